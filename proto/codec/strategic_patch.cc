// SPDX-License-Identifier: Apache-2.0
#include "proto/codec/strategic_patch.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <set>

#include "proto/codec/codec.h"
#include "proto/codec/plan.h"

namespace keelson::proto {
namespace {

using google::protobuf::Descriptor;
using Kind = Value::Kind;

void Set(Value* map, std::string key, Value value) {
  map->members.push_back({std::move(key), 0, std::move(value)});
}

bool Equal(const Value& a, const Value& b) {
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::kNull:
      return true;
    case Kind::kBool:
      return a.boolean == b.boolean;
    case Kind::kNumber:
    case Kind::kString:
      return a.text == b.text;
    case Kind::kList:
      return std::equal(a.items.begin(), a.items.end(), b.items.begin(), b.items.end(), Equal);
    case Kind::kMap:
      return a.members.size() == b.members.size() &&
             std::all_of(a.members.begin(), a.members.end(), [&](const Member& m) {
               const Value* other = b.Find(m.key);
               return other && Equal(m.value, *other);
             });
  }
  return false;
}

// How a member's lists merge; the message type of its objects, null for scalars and plain maps.
struct Rule {
  const Descriptor* type = nullptr;
  std::string merge_key;
  bool merge = false;
  bool retain_keys = false;
};

Rule RuleFor(const Descriptor* type, const std::string& name) {
  Rule rule;
  if (!type) return rule;
  for (const FieldPlan& plan : PlanFor(type).fields) {
    const auto* message = plan.field->message_type();
    if (plan.inlined && message) {
      Rule inner = RuleFor(message, name);
      if (inner.type || inner.merge) return inner;
    }
    if (plan.name() != name) continue;
    const auto& options = plan.field->options();
    const std::string& strategy = options.GetExtension(patch_strategy);
    rule.merge_key = options.GetExtension(merge_key);
    rule.merge = strategy.starts_with("merge");
    rule.retain_keys = strategy.find("retainKeys") != std::string::npos;
    if (message && plan.form == OBJECT && !plan.field->is_map()) rule.type = message;
  }
  return rule;
}

Value DiffMaps(const Descriptor* type, const Value& before, const Value& after);

const Value* FindByKey(const Value& list, const std::string& key, const Value& wanted) {
  for (const Value& item : list.items) {
    const Value* value = item.Find(key);
    if (value && Equal(*value, wanted)) return &item;
  }
  return nullptr;
}

bool KeysAreUnique(const Value& list, const std::string& key) {
  std::set<std::string> seen;
  return std::all_of(list.items.begin(), list.items.end(), [&](const Value& item) {
    const Value* value = item.Find(key);
    return value && seen.insert(ToJson(*value)).second;
  });
}

Value KeyOnly(const Value& item, const std::string& key) {
  Value map = Value::Map();
  Set(&map, key, *item.Find(key));
  return map;
}

// A list of objects told apart by a key.
void DiffKeyedList(const Rule& rule, const std::string& name, const Value& before,
                   const Value& after, Value* patch) {
  Value changes = Value::List();
  if (!KeysAreUnique(before, rule.merge_key) || !KeysAreUnique(after, rule.merge_key)) {
    changes = after;
    Value replace = Value::Map();
    Set(&replace, "$patch", Value::String("replace"));
    changes.items.push_back(std::move(replace));
    return Set(patch, name, std::move(changes));
  }
  Value order = Value::List();
  for (const Value& item : after.items) {
    order.items.push_back(KeyOnly(item, rule.merge_key));
    const Value* old = FindByKey(before, rule.merge_key, *item.Find(rule.merge_key));
    if (!old) {
      changes.items.push_back(item);
      continue;
    }
    Value change = DiffMaps(rule.type, *old, item);
    if (change.members.empty()) continue;
    if (rule.retain_keys) {
      Value keys = Value::List();
      for (const Member& m : item.members) keys.items.push_back(Value::String(m.key));
      Set(&change, "$retainKeys", std::move(keys));
    }
    Set(&change, rule.merge_key, *item.Find(rule.merge_key));
    changes.items.push_back(std::move(change));
  }
  for (const Value& item : before.items) {
    if (FindByKey(after, rule.merge_key, *item.Find(rule.merge_key))) continue;
    Value gone = KeyOnly(item, rule.merge_key);
    Set(&gone, "$patch", Value::String("delete"));
    changes.items.push_back(std::move(gone));
  }
  Set(patch, "$setElementOrder/" + name, std::move(order));
  if (!changes.items.empty()) Set(patch, name, std::move(changes));
}

// A list of scalars that others may add to.
void DiffSet(const std::string& name, const Value& before, const Value& after, Value* patch) {
  auto missing = [](const Value& from, const Value& in) {
    Value list = Value::List();
    for (const Value& item : from.items)
      if (std::none_of(in.items.begin(), in.items.end(),
                       [&](const Value& other) { return Equal(item, other); }))
        list.items.push_back(item);
    return list;
  };
  Value gone = missing(before, after), added = missing(after, before);
  if (!gone.items.empty()) Set(patch, "$deleteFromPrimitiveList/" + name, std::move(gone));
  Set(patch, "$setElementOrder/" + name, after);
  if (!added.items.empty()) Set(patch, name, std::move(added));
}

void DiffMember(const Descriptor* type, const std::string& name, const Value& before,
                const Value& after, Value* patch) {
  if (Equal(before, after)) return;
  const Rule rule = RuleFor(type, name);
  if (before.kind == Kind::kMap && after.kind == Kind::kMap) {
    Value change = DiffMaps(rule.type, before, after);
    if (!change.members.empty()) Set(patch, name, std::move(change));
  } else if (before.kind == Kind::kList && after.kind == Kind::kList && rule.merge) {
    if (rule.merge_key.empty()) return DiffSet(name, before, after, patch);
    DiffKeyedList(rule, name, before, after, patch);
  } else {
    Set(patch, name, after);
  }
}

Value DiffMaps(const Descriptor* type, const Value& before, const Value& after) {
  Value patch = Value::Map();
  for (const Member& m : after.members) {
    const Value* old = before.Find(m.key);
    if (old)
      DiffMember(type, m.key, *old, m.value, &patch);
    else
      Set(&patch, m.key, m.value);
  }
  for (const Member& m : before.members)
    if (!after.Find(m.key)) Set(&patch, m.key, Value{});
  return patch;
}

}  // namespace

absl::StatusOr<Value> StrategicPatch(const google::protobuf::Message& before,
                                     const google::protobuf::Message& after) {
  auto old_tree = EncodeTree(before);
  if (!old_tree.ok()) return old_tree.status();
  auto new_tree = EncodeTree(after);
  if (!new_tree.ok()) return new_tree.status();
  return DiffMaps(after.GetDescriptor(), *old_tree, *new_tree);
}

}  // namespace keelson::proto
