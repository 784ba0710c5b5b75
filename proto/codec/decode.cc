// SPDX-License-Identifier: Apache-2.0
// Tree to message. All problems of a document are collected, so that a person mends them in one go.
#include <google/protobuf/message.h>

#include <charconv>
#include <cmath>
#include <optional>

#include "base/errno_status.h"
#include "base/strings.h"
#include "proto/codec/codec.h"
#include "proto/codec/forms.h"
#include "proto/codec/path.h"
#include "proto/codec/plan.h"
#include "proto/codec/text.h"

namespace keelson::proto {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using Kind = Value::Kind;

constexpr size_t kMaxProblems = 20;

std::string Shown(const Value& value) {
  constexpr size_t kMost = 64;
  std::string text(KindName(value.kind));
  if (value.kind == Kind::kBool) base::StrAppend(&text, " ", value.boolean);
  if (value.kind == Kind::kNumber) base::StrAppend(&text, " ", value.text.substr(0, kMost));
  if (value.kind == Kind::kString) {
    text += ' ';
    AppendJsonString(std::string_view(value.text).substr(0, kMost), &text);
  }
  return text;
}

// Puts one value into a singular field or at the end of a repeated one.
class Setter {
 public:
  Setter(Message* message, const FieldDescriptor* field)
      : message_(message), field_(field), reflection_(message->GetReflection()) {}

#define KEELSON_SETTER(Type, Name)                                \
  void Name(Type value) {                                         \
    if (field_->is_repeated())                                    \
      reflection_->Add##Name(message_, field_, std::move(value)); \
    else                                                          \
      reflection_->Set##Name(message_, field_, std::move(value)); \
  }
  KEELSON_SETTER(int32_t, Int32)
  KEELSON_SETTER(int64_t, Int64)
  KEELSON_SETTER(uint32_t, UInt32)
  KEELSON_SETTER(uint64_t, UInt64)
  KEELSON_SETTER(double, Double)
  KEELSON_SETTER(float, Float)
  KEELSON_SETTER(bool, Bool)
  KEELSON_SETTER(std::string, String)
  KEELSON_SETTER(int, EnumValue)
#undef KEELSON_SETTER

  Message* Part() {
    return field_->is_repeated() ? reflection_->AddMessage(message_, field_)
                                 : reflection_->MutableMessage(message_, field_);
  }

 private:
  Message* message_;
  const FieldDescriptor* field_;
  const Reflection* reflection_;
};

class Decoder {
 public:
  Decoder(const DecodeOptions& options, std::vector<DecodeWarning>* warnings)
      : options_(options), warnings_(warnings) {}

  absl::Status Decode(const Value& tree, Message* message) {
    message->Clear();
    DecodeMessage(tree, PlanFor(message->GetDescriptor()).form, message, Path{}, /*top=*/true);
    if (problems_.empty()) return absl::OkStatus();
    if (count_ > kMaxProblems) {
      base::StrAppend(&problems_, "\n", Where(options_, 0), count_ - kMaxProblems,
                      " more problems");
    }
    return absl::InvalidArgumentError(problems_);
  }

 private:
  void Problem(int line, const Path& path, std::string_view what) {
    if (++count_ > kMaxProblems) return;
    if (!problems_.empty()) problems_ += '\n';
    base::StrAppend(&problems_, Where(options_, line, path), what);
  }

  void Unexpected(std::string_view wanted, const Value& value, const Path& path) {
    Problem(value.line, path, base::StrCat("expected ", wanted, ", got ", Shown(value)));
  }

  void Unknown(const Member& member, const Path& path) {
    if (options_.strict) return Problem(member.line, path, "unknown field");
    if (warnings_ != nullptr && warnings_->size() < kMaxProblems) {
      warnings_->push_back({path.Text(), member.line, "unknown field"});
    }
  }

  // `top`: a whole object, which has apiVersion and kind beside the fields of its message.
  void DecodeMessage(const Value& value, Form form, Message* message, const Path& path, bool top) {
    if (value.kind == Kind::kNull) return;
    if (form == LIST) {
      const FieldDescriptor* items = message->GetDescriptor()->field(0);
      return DecodeList(value, OBJECT, items, message, path, /*top=*/false);
    }
    if (form != OBJECT) {
      const std::string wrong = DecodeForm(form, value, message);
      if (!wrong.empty()) Problem(value.line, path, wrong);
      return;
    }
    if (value.kind != Kind::kMap) return Unexpected("object", value, path);
    for (const Member& member : value.members) {
      const Path inner{&path, member.key};
      if (DecodeMember(member, message, inner, top)) continue;
      if (top && (member.key == "apiVersion" || member.key == "kind")) continue;
      Unknown(member, inner);
    }
  }

  // False when neither the message nor one inlined in it has such a field.
  bool DecodeMember(const Member& member, Message* message, const Path& path, bool top) {
    const MessagePlan& plan = PlanFor(message->GetDescriptor());
    for (const FieldPlan& field : plan.fields) {
      if (!field.inlined && field.name() == member.key) {
        DecodeField(member.value, field, message, path, top);
        return true;
      }
    }
    for (const FieldPlan& field : plan.fields) {
      if (!field.inlined || !HasMember(field.field->message_type(), member.key)) continue;
      Message* part = message->GetReflection()->MutableMessage(message, field.field);
      return DecodeMember(member, part, path, /*top=*/false);
    }
    return false;
  }

  static bool HasMember(const google::protobuf::Descriptor* type, std::string_view key) {
    for (const FieldPlan& field : PlanFor(type).fields) {
      if (field.inlined ? HasMember(field.field->message_type(), key) : field.name() == key) {
        return true;
      }
    }
    return false;
  }

  void DecodeField(const Value& value, const FieldPlan& plan, Message* message, const Path& path,
                   bool top) {
    if (value.kind == Kind::kNull) return;
    const FieldDescriptor* field = plan.field;
    if (field->is_map()) return DecodeMap(value, field, message, path);
    if (field->is_repeated()) {
      // The items of a list are whole objects.
      return DecodeList(value, plan.form, field, message, path, top && field->name() == "items");
    }
    DecodeOne(value, plan.form, field, message, path, /*top=*/false);
  }

  void DecodeList(const Value& value, Form form, const FieldDescriptor* field, Message* message,
                  const Path& path, bool top) {
    if (value.kind != Kind::kList) return Unexpected("list", value, path);
    for (size_t i = 0; i < value.items.size(); ++i) {
      DecodeOne(value.items[i], form, field, message, Path{&path, {}, static_cast<int>(i)}, top);
    }
  }

  void DecodeMap(const Value& value, const FieldDescriptor* field, Message* message,
                 const Path& path) {
    if (value.kind != Kind::kMap) return Unexpected("object", value, path);
    const FieldDescriptor* key_field = field->message_type()->map_key();
    const FieldDescriptor* value_field = field->message_type()->map_value();
    const Form form =
        value_field->message_type() == nullptr ? OBJECT : PlanFor(value_field->message_type()).form;
    for (const Member& member : value.members) {
      Message* entry = message->GetReflection()->AddMessage(message, field);
      entry->GetReflection()->SetString(entry, key_field, member.key);
      DecodeOne(member.value, form, value_field, entry, Path{&path, member.key, -1, true},
                /*top=*/false);
    }
  }

  // Null stands for the zero value, as in Go.
  void DecodeOne(const Value& value, Form form, const FieldDescriptor* field, Message* message,
                 const Path& path, bool top) {
    Setter set(message, field);
    const bool null = value.kind == Kind::kNull;
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return DecodeMessage(value, form, set.Part(), path, top);
      case FieldDescriptor::CPPTYPE_STRING:
        if (field->type() == FieldDescriptor::TYPE_BYTES) return DecodeBytes(value, set, path);
        if (!null && value.kind != Kind::kString) return Unexpected("string", value, path);
        return set.String(value.text);
      case FieldDescriptor::CPPTYPE_BOOL:
        if (!null && value.kind != Kind::kBool) return Unexpected("bool", value, path);
        return set.Bool(value.boolean);
      case FieldDescriptor::CPPTYPE_INT32:
        return set.Int32(Integer<int32_t>(value, path));
      case FieldDescriptor::CPPTYPE_INT64:
        return set.Int64(Integer<int64_t>(value, path));
      case FieldDescriptor::CPPTYPE_UINT32:
        return set.UInt32(Integer<uint32_t>(value, path));
      case FieldDescriptor::CPPTYPE_UINT64:
        return set.UInt64(Integer<uint64_t>(value, path));
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return set.Double(Real(value, path));
      case FieldDescriptor::CPPTYPE_FLOAT:
        return set.Float(static_cast<float>(Real(value, path)));
      case FieldDescriptor::CPPTYPE_ENUM:
        return set.EnumValue(Enum(value, field, path));
    }
  }

  void DecodeBytes(const Value& value, Setter& set, const Path& path) {
    std::string bytes;
    if (value.kind != Kind::kNull &&
        (value.kind != Kind::kString || !DecodeBase64(value.text, &bytes))) {
      return Unexpected("base64 text", value, path);
    }
    set.String(std::move(bytes));
  }

  template <typename T>
  T Integer(const Value& value, const Path& path) {
    if (value.kind == Kind::kNull) return 0;
    T result = 0;
    const char* end = value.text.data() + value.text.size();
    const auto parsed = value.kind == Kind::kNumber
                            ? std::from_chars(value.text.data(), end, result)
                            : std::from_chars_result{end, std::errc::invalid_argument};
    if (parsed.ec == std::errc::result_out_of_range) {
      Problem(
          value.line, path,
          base::StrCat(value.text.substr(0, 64), " does not fit into ", sizeof(T) * 8, " bits"));
    } else if (parsed.ec != std::errc() || parsed.ptr != end) {
      Unexpected("integer", value, path);
    }
    return result;
  }

  double Real(const Value& value, const Path& path) {
    if (value.kind == Kind::kNull) return 0;
    double result = 0;
    const char* end = value.text.data() + value.text.size();
    if (value.kind != Kind::kNumber ||
        std::from_chars(value.text.data(), end, result).ec != std::errc()) {
      Unexpected("number", value, path);
    }
    return result;
  }

  int Enum(const Value& value, const FieldDescriptor* field, const Path& path) {
    if (value.kind == Kind::kNull) return field->default_value_enum()->number();
    if (value.kind == Kind::kNumber) return Integer<int32_t>(value, path);
    const auto* found =
        value.kind == Kind::kString ? field->enum_type()->FindValueByName(value.text) : nullptr;
    if (found != nullptr) return found->number();
    Unexpected(base::StrCat("a value of ", field->enum_type()->name()), value, path);
    return 0;
  }

  const DecodeOptions& options_;
  std::vector<DecodeWarning>* warnings_;
  std::string problems_;
  size_t count_ = 0;
};

}  // namespace

absl::Status DecodeTree(const Value& tree, Message* message, const DecodeOptions& options,
                        std::vector<DecodeWarning>* warnings) {
  if (tree.kind == Kind::kNull) {
    return absl::InvalidArgumentError(Where(options, 0) + "the document is empty");
  }
  return Decoder(options, warnings).Decode(tree, message);
}

absl::Status DecodeJson(std::string_view json, Message* message, const DecodeOptions& options,
                        std::vector<DecodeWarning>* warnings) {
  absl::StatusOr<Value> tree = ParseJsonTree(json, options, warnings);
  if (!tree.ok()) return tree.status();
  return DecodeTree(*tree, message, options, warnings);
}

absl::Status DecodeYaml(std::string_view yaml, Message* message, const DecodeOptions& options,
                        std::vector<DecodeWarning>* warnings) {
  absl::StatusOr<Value> tree = ParseTree(yaml, options, warnings);
  if (!tree.ok()) return tree.status();
  return DecodeTree(*tree, message, options, warnings);
}

}  // namespace keelson::proto
