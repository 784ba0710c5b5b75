// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cni-plugins/lib/status.h"

namespace keelson::cni {

// A JSON value. Objects keep the order of their members and numbers keep their spelling, so that a
// configuration handed on to another plugin is the one we were given. Own code rather than cJSON:
// Debian has that only as a shared library, and the dynamic loader costs more (0.3 ms measured)
// than everything else our start-up does (0.06 ms).
class Json {
 public:
  enum class Kind { kNull, kBool, kNumber, kString, kArray, kObject };
  struct Member;

  // Bounds for text from outside: bytes, and levels of nesting.
  static constexpr size_t kMaxBytes = 4 << 20;
  static constexpr int kMaxDepth = 64;

  Json();
  ~Json();
  Json(const Json&);
  Json(Json&&) noexcept;
  Json& operator=(const Json&);
  Json& operator=(Json&&) noexcept;
  explicit Json(bool value);
  explicit Json(int64_t value);
  explicit Json(int value) : Json(static_cast<int64_t>(value)) {}
  explicit Json(std::string value);
  explicit Json(std::string_view value) : Json(std::string(value)) {}
  explicit Json(const char* value) : Json(std::string(value)) {}
  static Json Array();
  static Json Object();
  static Json Strings(const std::vector<std::string>& values);

  // RFC 8259, one value and nothing after it; strings are valid UTF-8 afterwards. Of members with
  // equal names the last counts, as in Go. kDecoding with the byte offset on failure.
  static Or<Json> Parse(std::string_view text);
  // Compact, or with four spaces of indentation as the Go plugins print results.
  std::string Dump(bool pretty = false) const;

  Kind kind() const { return kind_; }
  bool is_null() const { return kind_ == Kind::kNull; }
  bool is_object() const { return kind_ == Kind::kObject; }
  bool is_array() const { return kind_ == Kind::kArray; }
  bool is_string() const { return kind_ == Kind::kString; }
  bool boolean() const { return bool_; }
  // A string's content; a number's spelling.
  const std::string& text() const { return text_; }
  const std::vector<Json>& items() const { return items_; }
  const std::vector<Member>& members() const { return members_; }

  // The member called `key`, else one that differs only in ASCII case (Go's encoding/json accepts
  // those, so configurations in the field rely on it), else nullptr.
  const Json* Find(std::string_view key) const;
  Json* Find(std::string_view key) {
    return const_cast<Json*>(static_cast<const Json*>(this)->Find(key));
  }
  // Adds or replaces. REQUIRES: is_object().
  Json& Set(std::string_view key, Json value);
  void Remove(std::string_view key);
  // REQUIRES: is_array().
  Json& Append(Json value);

 private:
  friend class JsonParser;
  Kind kind_ = Kind::kNull;
  bool bool_ = false;
  std::string text_;
  std::vector<Json> items_;
  std::vector<Member> members_;
};

struct Json::Member {
  std::string name;
  Json value;
};

// Reads typed values out of a configuration and remembers where it is, so that an error names the
// field: "ipam.ranges[0][1].subnet: ...". The first error sticks in `*error` (shared by all readers
// made from this one; it outlives them) and later reads return their fallbacks: read everything,
// then look at the error once. Absent and null both mean "not given". Borrows the Json.
class Reader {
 public:
  Reader(const Json& root, Status* error) : value_(&root), error_(error) {}

  Reader operator[](std::string_view key) const;  // an absent reader if there is no such member
  std::vector<Reader> Items() const;              // a wrong type is an error, absent is empty
  std::vector<std::pair<std::string, Reader>> Members() const;

  bool given() const { return value_ != nullptr && !value_->is_null(); }
  const Json* json() const { return value_; }
  const std::string& path() const { return path_; }

  std::string String(std::string_view fallback = "") const;
  bool Bool(bool fallback = false) const;
  // Errors outside [min, max] or when not a whole number.
  int64_t Int(int64_t fallback = 0, int64_t min = INT64_MIN, int64_t max = INT64_MAX) const;
  std::vector<std::string> Strings() const;
  // Records "<path>: <why>" with code kInvalidConfig unless an error is already there.
  void Fail(const std::string& why) const;
  bool ok() const { return error_->ok(); }
  const Status& status() const { return *error_; }

 private:
  Reader(const Json* value, Status* error, std::string path)
      : value_(value), error_(error), path_(std::move(path)) {}
  const Json* value_;
  Status* error_;
  std::string path_;
};

}  // namespace keelson::cni
