// SPDX-License-Identifier: Apache-2.0
#include "proto/codec/value.h"

#include <algorithm>

#include "proto/codec/text.h"

namespace keelson::proto {
namespace {

using Kind = Value::Kind;

void NewLine(int indent, std::string* out) {
  out->push_back('\n');
  out->append(static_cast<size_t>(indent) * 2, ' ');
}

// indent < 0: compact.
void AppendJson(const Value& value, int indent, std::string* out) {
  const int inner = indent < 0 ? indent : indent + 1;
  const auto separate = [&](bool first) {
    if (!first) out->push_back(',');
    if (indent >= 0) NewLine(inner, out);
  };
  switch (value.kind) {
    case Kind::kNull:
      *out += "null";
      return;
    case Kind::kBool:
      *out += value.boolean ? "true" : "false";
      return;
    case Kind::kNumber:
      *out += value.text;
      return;
    case Kind::kString:
      AppendJsonString(value.text, out);
      return;
    case Kind::kList:
      out->push_back('[');
      for (const Value& item : value.items) {
        separate(&item == value.items.data());
        AppendJson(item, inner, out);
      }
      if (indent >= 0 && !value.items.empty()) NewLine(indent, out);
      out->push_back(']');
      return;
    case Kind::kMap:
      out->push_back('{');
      for (const Member& member : value.members) {
        separate(&member == value.members.data());
        AppendJsonString(member.key, out);
        *out += indent < 0 ? ":" : ": ";
        AppendJson(member.value, inner, out);
      }
      if (indent >= 0 && !value.members.empty()) NewLine(indent, out);
      out->push_back('}');
      return;
  }
}

}  // namespace

Value Value::Bool(bool boolean) {
  Value value;
  value.kind = Kind::kBool;
  value.boolean = boolean;
  return value;
}

Value Value::Number(std::string text) {
  Value value;
  value.kind = Kind::kNumber;
  value.text = std::move(text);
  return value;
}

Value Value::String(std::string text) {
  Value value;
  value.kind = Kind::kString;
  value.text = std::move(text);
  return value;
}

Value Value::List() {
  Value value;
  value.kind = Kind::kList;
  return value;
}

Value Value::Map() {
  Value value;
  value.kind = Kind::kMap;
  return value;
}

const Value* Value::Find(std::string_view key) const {
  const auto found = std::find_if(members.begin(), members.end(),
                                  [key](const Member& member) { return member.key == key; });
  return found == members.end() ? nullptr : &found->value;
}

Value* Value::Find(std::string_view key) {
  return const_cast<Value*>(static_cast<const Value*>(this)->Find(key));
}

std::string_view KindName(Value::Kind kind) {
  switch (kind) {
    case Kind::kNull:
      return "null";
    case Kind::kBool:
      return "bool";
    case Kind::kNumber:
      return "number";
    case Kind::kString:
      return "string";
    case Kind::kList:
      return "list";
    case Kind::kMap:
      return "object";
  }
  return "value";
}

void MergePatch(const Value& patch, Value* target) {
  if (patch.kind != Kind::kMap) {
    *target = patch;
    return;
  }
  if (target->kind != Kind::kMap) *target = Value::Map();
  for (const Member& change : patch.members) {
    if (change.value.kind == Kind::kNull) {
      std::erase_if(target->members,
                    [&](const Member& member) { return member.key == change.key; });
      continue;
    }
    Value* present = target->Find(change.key);
    if (present == nullptr) {
      present = &target->members.emplace_back(Member{change.key, change.line, {}}).value;
    }
    MergePatch(change.value, present);
  }
}

std::string ToJson(const Value& value) {
  std::string out;
  AppendJson(value, -1, &out);
  return out;
}

std::string ToPrettyJson(const Value& value) {
  std::string out;
  AppendJson(value, 0, &out);
  out.push_back('\n');
  return out;
}

absl::StatusOr<TypeMeta> TypeMetaOf(const Value& document) {
  if (document.kind != Kind::kMap) {
    return absl::InvalidArgumentError("expected an object with apiVersion and kind");
  }
  TypeMeta type;
  const auto read = [&document](std::string_view key, std::string* out) {
    const Value* value = document.Find(key);
    if (value != nullptr && value->kind == Kind::kString) *out = value->text;
  };
  read("apiVersion", &type.api_version);
  read("kind", &type.kind);
  return type;
}

absl::StatusOr<TypeMeta> PeekTypeMeta(std::string_view yaml_or_json) {
  absl::StatusOr<Value> document = ParseTree(yaml_or_json, DecodeOptions{});
  if (!document.ok()) return document.status();
  return TypeMetaOf(*document);
}

}  // namespace keelson::proto
