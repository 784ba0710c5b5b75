// SPDX-License-Identifier: Apache-2.0
// Complaints about fields of an object, in the words of the Kubernetes API (apimachinery
// field.Error). Plain data, any thread.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace keelson::kubelet::sources {

struct FieldError {
  std::string path;  // spec.containers[0].name
  std::string body;  // Required value
  std::string Text() const { return path + ": " + body; }
};

// A place in an object: spec.containers[0].resources.limits[cpu].
class FieldPath {
 public:
  explicit FieldPath(std::string_view root) : text_(root) {}
  FieldPath Child(std::string_view name) const;
  FieldPath Index(int index) const;
  FieldPath Key(std::string_view key) const;
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// Collects complaints in order. Each verb is one kind of field.Error and prints as that does.
class FieldErrors {
 public:
  void Required(const FieldPath& path, std::string_view detail = {});
  void Invalid(const FieldPath& path, std::string_view value, std::string_view detail);
  void Invalid(const FieldPath& path, int64_t value, std::string_view detail);
  // A value that is no string or number; `json` is printed as it is.
  void InvalidJson(const FieldPath& path, std::string_view json, std::string_view detail);
  void InvalidAll(const FieldPath& path, std::string_view value,
                  const std::vector<std::string>& details);
  void Duplicate(const FieldPath& path, std::string_view value);
  void NotFound(const FieldPath& path, std::string_view value, std::string_view detail = {});
  void NotSupported(const FieldPath& path, std::string_view value,
                    std::initializer_list<std::string_view> supported);
  void Forbidden(const FieldPath& path, std::string_view detail);
  void TooLong(const FieldPath& path, int max_bytes);
  void TooMany(const FieldPath& path, int count, int max);

  const std::vector<FieldError>& all() const { return all_; }
  bool empty() const { return all_.empty(); }
  size_t size() const { return all_.size(); }

 private:
  void Add(const FieldPath& path, std::string body, std::string_view detail);
  std::vector<FieldError> all_;
};

// As Go's %q: quotes, backslashes and what is not printable are escaped.
std::string Quoted(std::string_view text);

}  // namespace keelson::kubelet::sources
