// SPDX-License-Identifier: Apache-2.0
#include "test/apiserver/patch.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <charconv>

#include "base/errno_status.h"
#include "base/strings.h"
#include "proto/codec/codec.h"
#include "proto/options.pb.h"

namespace keelson::apiserver {
namespace {

using base::StrCat;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using proto::Value;
using Kind = proto::Value::Kind;

const FieldDescriptor* FieldNamed(const Descriptor* type, std::string_view json_name) {
  for (int i = 0; type != nullptr && i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (field->json_name() == json_name) return field;
    if (field->options().GetExtension(proto::inlined)) {
      if (const auto* inner = FieldNamed(field->message_type(), json_name)) return inner;
    }
  }
  return nullptr;
}

void Erase(Value* map, std::string_view key) {
  std::erase_if(map->members, [&](const auto& member) { return member.key == key; });
}

Value* Slot(Value* map, const std::string& key, Kind kind) {
  if (Value* found = map->Find(key)) {
    if (found->kind == kind) return found;
    Erase(map, key);
  }
  Value empty;
  empty.kind = kind;
  map->members.push_back({key, 0, std::move(empty)});
  return &map->members.back().value;
}

std::string Directive(const Value& map) {
  const Value* directive = map.Find("$patch");
  return directive == nullptr ? "" : directive->text;
}

void Merge(const Value& patch, const Descriptor* type, Value* target);

// What is added by a patch holds no directives.
Value Clean(const Value& patch, const Descriptor* type) {
  if (patch.kind != Kind::kMap) return patch;
  Value clean = Value::Map();
  Merge(patch, type, &clean);
  return clean;
}

void MergeObjects(const Value& patch, const std::string& key, const Descriptor* type, Value* list) {
  for (const Value& element : patch.items) {
    if (Directive(element) == "replace") {
      list->items.clear();
      continue;
    }
    const Value* id = element.Find(key);
    if (id == nullptr) continue;
    const auto same = [&](const Value& have) {
      const Value* other = have.Find(key);
      return other != nullptr && other->text == id->text;
    };
    const auto found = std::find_if(list->items.begin(), list->items.end(), same);
    if (Directive(element) == "delete") {
      std::erase_if(list->items, same);
    } else if (found != list->items.end()) {
      Merge(element, type, &*found);
    } else {
      list->items.push_back(Clean(element, type));
    }
  }
}

void MergeScalars(const Value& patch, Value* list) {
  for (const Value& element : patch.items) {
    const auto same = [&](const Value& have) { return have.text == element.text; };
    if (std::none_of(list->items.begin(), list->items.end(), same)) list->items.push_back(element);
  }
}

void MergeMember(const proto::Member& member, const Descriptor* type, Value* target) {
  constexpr std::string_view kDeletions = "$deleteFromPrimitiveList/";
  if (member.key.starts_with(kDeletions)) {
    Value* list = target->Find(std::string_view(member.key).substr(kDeletions.size()));
    for (const Value& gone : member.value.items) {
      if (list == nullptr) break;
      std::erase_if(list->items, [&](const Value& have) { return have.text == gone.text; });
    }
    return;
  }
  if (member.key.starts_with('$')) return;  // order, which a test does not look at
  if (member.value.kind == Kind::kNull) return Erase(target, member.key);
  const FieldDescriptor* field = FieldNamed(type, member.key);
  const Descriptor* inner = field == nullptr ? nullptr : field->message_type();
  if (field != nullptr && field->is_map()) inner = nullptr;
  const bool merges =
      field != nullptr &&
      field->options().GetExtension(proto::patch_strategy).find("merge") != std::string::npos;
  if (member.value.kind == Kind::kMap) {
    Merge(member.value, inner, Slot(target, member.key, Kind::kMap));
  } else if (member.value.kind == Kind::kList && merges) {
    const std::string key = field->options().GetExtension(proto::merge_key);
    Value* list = Slot(target, member.key, Kind::kList);
    key.empty() ? MergeScalars(member.value, list) : MergeObjects(member.value, key, inner, list);
  } else {
    Value* slot = Slot(target, member.key, member.value.kind);
    *slot = member.value;
  }
}

void Merge(const Value& patch, const Descriptor* type, Value* target) {
  if (Directive(patch) == "replace") target->members.clear();
  if (const Value* retain = patch.Find("$retainKeys")) {
    std::erase_if(target->members, [&](const auto& member) {
      return std::none_of(retain->items.begin(), retain->items.end(),
                          [&](const Value& key) { return key.text == member.key; });
    });
  }
  for (const auto& member : patch.members) MergeMember(member, type, target);
}

// RFC 6902 on paths of members; "-" appends to a list.
absl::Status ApplyJsonOperation(const Value& operation, Value* root) {
  const Value* op = operation.Find("op");
  const Value* path = operation.Find("path");
  const Value* value = operation.Find("value");
  if (op == nullptr || path == nullptr) return absl::InvalidArgumentError("no op or no path");
  Value* at = root;
  std::string_view rest = path->text;
  while (rest.starts_with('/')) {
    rest.remove_prefix(1);
    const size_t slash = std::min(rest.find('/'), rest.size());
    std::string key(rest.substr(0, slash));
    rest.remove_prefix(slash);
    for (size_t i; (i = key.find("~1")) != std::string::npos;) key.replace(i, 2, "/");
    for (size_t i; (i = key.find("~0")) != std::string::npos;) key.replace(i, 2, "~");
    if (rest.empty() && at->kind == Kind::kMap) {
      if (op->text == "test") return absl::OkStatus();
      Erase(at, key);
      if (op->text != "remove" && value != nullptr) at->members.push_back({key, 0, *value});
      return absl::OkStatus();
    }
    if (at->kind == Kind::kList && rest.empty() && key == "-" && value != nullptr) {
      at->items.push_back(*value);
      return absl::OkStatus();
    }
    size_t index = 0;
    std::from_chars(key.data(), key.data() + key.size(), index);
    at = at->kind == Kind::kList ? (index < at->items.size() ? &at->items[index] : nullptr)
                                 : at->Find(key);
    if (at == nullptr) break;
  }
  return absl::InvalidArgumentError(StrCat("JSON patch: no such path: ", path->text));
}

}  // namespace

absl::Status ApplyPatch(kubelet::client::PatchType type, const Value& patch,
                        google::protobuf::Message* object) {
  auto tree = proto::EncodeTree(*object);
  RETURN_IF_ERROR(tree.status());
  switch (type) {
    case kubelet::client::PatchType::kStrategicMerge:
      Merge(patch, object->GetDescriptor(), &*tree);
      break;
    case kubelet::client::PatchType::kMerge:
      proto::MergePatch(patch, &*tree);
      break;
    case kubelet::client::PatchType::kJson:
      for (const Value& operation : patch.items) {
        RETURN_IF_ERROR(ApplyJsonOperation(operation, &*tree));
      }
      break;
  }
  return proto::DecodeTree(*tree, object, {});
}

}  // namespace keelson::apiserver
