// SPDX-License-Identifier: Apache-2.0
// A parsed JSON or YAML document before anyone knows its schema: what is merged, peeked at and
// decoded. Values are plain data, safe to copy and to use on any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace keelson::proto {

// Bounds and manners of reading. The defaults suit a manifest or configuration file.
struct DecodeOptions {
  bool strict = false;           // unknown and duplicate members are errors, not warnings
  size_t max_bytes = 10u << 20;  // input size
  int max_depth = 100;           // nesting of lists and maps
  size_t max_nodes = 500'000;    // values after aliases are expanded
  std::string source{};          // file name or URL in front of messages; may be empty
};

// Something we read past: an unknown or a duplicate member.
struct DecodeWarning {
  std::string path{};  // spec.containers[0].image
  int line = 0;        // 1-based, 0 unknown
  std::string message{};
};

struct Member;

struct Value {
  enum class Kind : uint8_t { kNull, kBool, kNumber, kString, kList, kMap };

  Kind kind = Kind::kNull;
  bool boolean = false;
  int line = 0;                 // where it starts, 1-based; 0 when it was not read from text
  std::string text;             // kString: the text; kNumber: a valid JSON number
  std::vector<Value> items;     // kList
  std::vector<Member> members;  // kMap, in order of appearance, keys unique

  // Without a line. A value made by default is null.
  static Value Bool(bool boolean);
  static Value Number(std::string text);  // REQUIRES: a valid JSON number
  static Value String(std::string text);
  static Value List();
  static Value Map();

  // The member of a map called `key`, or null. Valid until the map changes.
  const Value* Find(std::string_view key) const;
  Value* Find(std::string_view key);
};

struct Member {
  std::string key;
  int line = 0;
  Value value;
};

// Word for error messages: null, bool, number, string, list, object.
std::string_view KindName(Value::Kind kind);

// Reads one JSON or YAML document; JSON is recognised by its first character. Scalars without
// quotes are typed as sigs.k8s.io/yaml does it: YAML 1.1, so yes/no/on/off are bools and 0644 is
// octal. InvalidArgument names source, line and what is wrong: syntax, a second document, invalid
// UTF-8, or one of the bounds in `options`. Of duplicate members the last counts and a warning is
// left; in strict mode they are errors.
absl::StatusOr<Value> ParseTree(std::string_view text, const DecodeOptions& options,
                                std::vector<DecodeWarning>* warnings = nullptr);
// The same for text that must be JSON (RFC 8259).
absl::StatusOr<Value> ParseJsonTree(std::string_view text, const DecodeOptions& options,
                                    std::vector<DecodeWarning>* warnings = nullptr);

// RFC 7386: members of `patch` replace those of `target`, null removes, objects merge member by
// member, everything else replaces as a whole.
void MergePatch(const Value& patch, Value* target);

// Compact JSON. `value` must come from a parser above or hold valid number texts.
std::string ToJson(const Value& value);

struct TypeMeta {
  std::string api_version;
  std::string kind;
};

// apiVersion and kind of the document, empty where absent; InvalidArgument when it is not an
// object.
absl::StatusOr<TypeMeta> PeekTypeMeta(std::string_view yaml_or_json);
absl::StatusOr<TypeMeta> TypeMetaOf(const Value& document);

}  // namespace keelson::proto
