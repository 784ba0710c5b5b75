// SPDX-License-Identifier: Apache-2.0
// Message to tree, with Kubernetes' rules for what is written when it is empty.
#include <google/protobuf/message.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "base/errno_status.h"
#include "base/strings.h"
#include "proto/codec/codec.h"
#include "proto/codec/forms.h"
#include "proto/codec/plan.h"
#include "proto/codec/text.h"

namespace keelson::proto {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using Kind = Value::Kind;

Value Real(double value) {
  if (!std::isfinite(value)) return Value{};
  return Value::Number(NumberText(value));
}

Value EnumName(int number, const FieldDescriptor* field) {
  const auto* found = field->enum_type()->FindValueByNumber(number);
  return found == nullptr ? Value::Number(std::to_string(number)) : Value::String(found->name());
}

absl::Status EncodeMessage(const Message& message, Form form, Value* out);

// The field's value, or with index >= 0 that element's.
absl::Status EncodeOne(const Message& message, const FieldPlan& plan, int index, Value* out) {
  const FieldDescriptor* field = plan.field;
  const Reflection* reflection = message.GetReflection();
#define KEELSON_GET(Name)                            \
  (index < 0 ? reflection->Get##Name(message, field) \
             : reflection->GetRepeated##Name(message, field, index))
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return EncodeMessage(KEELSON_GET(Message), plan.form, out);
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string text = KEELSON_GET(String);
      const bool bytes = field->type() == FieldDescriptor::TYPE_BYTES;
      *out = Value::String(bytes ? EncodeBase64(text) : std::move(text));
      break;
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      *out = Value::Bool(KEELSON_GET(Bool));
      break;
    case FieldDescriptor::CPPTYPE_INT32:
      *out = Value::Number(std::to_string(KEELSON_GET(Int32)));
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      *out = Value::Number(std::to_string(KEELSON_GET(Int64)));
      break;
    case FieldDescriptor::CPPTYPE_UINT32:
      *out = Value::Number(std::to_string(KEELSON_GET(UInt32)));
      break;
    case FieldDescriptor::CPPTYPE_UINT64:
      *out = Value::Number(std::to_string(KEELSON_GET(UInt64)));
      break;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      *out = Real(KEELSON_GET(Double));
      break;
    case FieldDescriptor::CPPTYPE_FLOAT:
      *out = Real(static_cast<double>(KEELSON_GET(Float)));
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      *out = EnumName(KEELSON_GET(EnumValue), field);
      break;
  }
#undef KEELSON_GET
  return absl::OkStatus();
}

absl::Status EncodeMap(const Message& message, const FieldDescriptor* field, int size, Value* out) {
  const MessagePlan& entry_plan = PlanFor(field->message_type());
  out->kind = Kind::kMap;
  for (int i = 0; i < size; ++i) {
    const Message& entry = message.GetReflection()->GetRepeatedMessage(message, field, i);
    Member& member = out->members.emplace_back();
    Value key;
    RETURN_IF_ERROR(EncodeOne(entry, entry_plan.fields[0], -1, &key));
    member.key = std::move(key.text);
    RETURN_IF_ERROR(EncodeOne(entry, entry_plan.fields[1], -1, &member.value));
  }
  std::sort(out->members.begin(), out->members.end(),
            [](const Member& a, const Member& b) { return a.key < b.key; });
  return absl::OkStatus();
}

absl::Status EncodeRepeated(const Message& message, const FieldPlan& plan, Value* out) {
  const int size = message.GetReflection()->FieldSize(message, plan.field);
  if (plan.field->is_map()) return EncodeMap(message, plan.field, size, out);
  out->kind = Kind::kList;
  out->items.resize(static_cast<size_t>(size));
  for (int i = 0; i < size; ++i) {
    RETURN_IF_ERROR(EncodeOne(message, plan, i, &out->items[static_cast<size_t>(i)]));
  }
  return absl::OkStatus();
}

bool IsZero(const Value& value) {
  switch (value.kind) {
    case Kind::kNull:
      return true;
    case Kind::kBool:
      return !value.boolean;
    case Kind::kNumber:
      return value.text == "0" || value.text == "-0";
    case Kind::kString:
      return value.text.empty();
    case Kind::kList:
    case Kind::kMap:
      return false;
  }
  return false;
}

// Whether JSON has the member, and its value. See options.proto for `always` and `pointer`.
absl::StatusOr<bool> EncodeField(const Message& message, const FieldPlan& plan, Value* out) {
  const Reflection* reflection = message.GetReflection();
  const FieldDescriptor* field = plan.field;
  if (field->is_repeated()) {
    if (reflection->FieldSize(message, field) == 0) return plan.always;  // null, as Go's nil slice
    RETURN_IF_ERROR(EncodeRepeated(message, plan, out));
    return true;
  }
  const bool present = reflection->HasField(message, field);
  if (!present && (!plan.always || plan.pointer)) return plan.always;
  RETURN_IF_ERROR(EncodeOne(message, plan, -1, out));
  if (plan.always || plan.pointer) return true;
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) return out->kind != Kind::kNull;
  // Enums of CRI have presence rules of their own; a name is never a zero value.
  return !IsZero(*out);
}

absl::Status EncodeFields(const Message& message, std::vector<Member>* members) {
  for (const FieldPlan& plan : PlanFor(message.GetDescriptor()).fields) {
    if (plan.inlined) {
      const Message& part = message.GetReflection()->GetMessage(message, plan.field);
      RETURN_IF_ERROR(EncodeFields(part, members));
      continue;
    }
    Value value;
    absl::StatusOr<bool> shown = EncodeField(message, plan, &value);
    if (!shown.ok()) return shown.status();
    if (*shown) members->push_back({plan.name(), 0, std::move(value)});
  }
  return absl::OkStatus();
}

absl::Status EncodeMessage(const Message& message, Form form, Value* out) {
  if (form == LIST) {
    return EncodeRepeated(message, PlanFor(message.GetDescriptor()).fields[0], out);
  }
  if (form != OBJECT) {
    absl::StatusOr<Value> value = EncodeForm(form, message);
    if (!value.ok()) return value.status();
    *out = *std::move(value);
    return absl::OkStatus();
  }
  out->kind = Kind::kMap;
  return EncodeFields(message, &out->members);
}

}  // namespace

absl::StatusOr<Value> EncodeTree(const Message& message, const TypeMeta& type) {
  // Looking at a map by reflection leaves a second, repeated form of it in the message for good.
  // Let it be in a copy: the original may be an object we keep.
  const std::unique_ptr<Message> copy(message.New());
  copy->CopyFrom(message);
  Value tree;
  RETURN_IF_ERROR(EncodeMessage(*copy, PlanFor(message.GetDescriptor()).form, &tree));
  if (tree.kind != Kind::kMap) return tree;
  std::vector<Member> head;
  if (!type.kind.empty()) head.push_back({"kind", 0, Value::String(type.kind)});
  if (!type.api_version.empty()) head.push_back({"apiVersion", 0, Value::String(type.api_version)});
  tree.members.insert(tree.members.begin(), std::make_move_iterator(head.begin()),
                      std::make_move_iterator(head.end()));
  return tree;
}

absl::StatusOr<std::string> EncodeJson(const Message& message, const EncodeOptions& options) {
  absl::StatusOr<Value> tree = EncodeTree(message, options.type);
  if (!tree.ok()) return tree.status();
  return options.pretty ? ToPrettyJson(*tree) : ToJson(*tree);
}

absl::StatusOr<std::string> EncodeYaml(const Message& message, const EncodeOptions& options) {
  absl::StatusOr<Value> tree = EncodeTree(message, options.type);
  if (!tree.ok()) return tree.status();
  return ToYaml(*tree);
}

}  // namespace keelson::proto
