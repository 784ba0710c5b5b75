// SPDX-License-Identifier: Apache-2.0
#include "proto/codec/forms.h"

#include <charconv>
#include <limits>
#include <optional>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/strings.h"
#include "base/time.h"
#include "proto/codec/duration.h"
#include "proto/codec/quantity.h"

namespace keelson::proto {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using Kind = Value::Kind;

constexpr int64_t kNano = 1'000'000'000;

// The forms are few and their fields known: name them, whichever package the message lives in.
const FieldDescriptor* Field(const Message& message, const char* name) {
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
  KEELSON_CHECK(field != nullptr);
  return field;
}
const FieldDescriptor* OnlyField(const Message& message) {
  return message.GetDescriptor()->field(0);
}

std::string Expected(std::string_view wanted, const Value& value) {
  std::string text = base::StrCat("expected ", wanted, ", got ", KindName(value.kind));
  if (value.kind == Kind::kString) base::StrAppend(&text, " \"", value.text.substr(0, 64), "\"");
  if (value.kind == Kind::kNumber) base::StrAppend(&text, " ", value.text.substr(0, 64));
  return text;
}

template <typename T>
std::optional<T> Integer(const Value& value) {
  if (value.kind != Kind::kNumber) return std::nullopt;
  T result = 0;
  const char* end = value.text.data() + value.text.size();
  const auto parsed = std::from_chars(value.text.data(), end, result);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return result;
}

std::string DecodeTime(Form form, const Value& value, Message* message) {
  const auto time = value.kind == Kind::kString ? base::ParseRfc3339(value.text) : std::nullopt;
  if (!time) return Expected("a time such as 2026-01-02T03:04:05Z", value);
  int64_t nanos = base::ToUnixNanos(*time);
  int64_t seconds = nanos / kNano;
  nanos %= kNano;
  if (nanos < 0) {
    nanos += kNano;
    --seconds;
  }
  const auto* reflection = message->GetReflection();
  reflection->SetInt64(message, Field(*message, "seconds"), seconds);
  if (form == MICRO_TIME) {
    reflection->SetInt32(message, Field(*message, "nanos"),
                         static_cast<int32_t>(nanos / 1000 * 1000));
  }
  return "";
}

Value EncodeTime(Form form, const Message& message) {
  const auto* reflection = message.GetReflection();
  const FieldDescriptor* seconds = Field(message, "seconds");
  const FieldDescriptor* nanos = Field(message, "nanos");
  if (!reflection->HasField(message, seconds) && !reflection->HasField(message, nanos)) return {};
  // Years 1678 to 2262 are what our clock type holds; the wire can say more.
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max() / kNano - 1;
  const int64_t whole = std::clamp(reflection->GetInt64(message, seconds), -kMost, kMost);
  std::string text = base::FormatRfc3339(base::FromUnixNanos(whole * kNano));
  if (form == MICRO_TIME) {
    const int32_t micros = std::clamp(reflection->GetInt32(message, nanos), 0, 999'999'999) / 1000;
    text.pop_back();
    text += absl::StrFormat(".%06dZ", micros);
  }
  return Value::String(std::move(text));
}

std::string DecodeDuration(Form form, const Value& value, Message* message) {
  const auto* reflection = message->GetReflection();
  if (value.kind == Kind::kString) {
    const absl::StatusOr<base::Nanos> duration = ParseGoDuration(value.text);
    if (!duration.ok()) return std::string(base::Message(duration.status()));
    reflection->SetInt64(message, OnlyField(*message), duration->count());
    return "";
  }
  const std::optional<int64_t> nanos = Integer<int64_t>(value);
  if (form != DURATION_OR_NANOS || !nanos) return Expected("a duration such as \"1m30s\"", value);
  reflection->SetInt64(message, OnlyField(*message), *nanos);
  return "";
}

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  return text.substr(0, text.find_last_not_of(kSpace) + 1);
}

std::string DecodeQuantity(const Value& value, Message* message) {
  if (value.kind != Kind::kString && value.kind != Kind::kNumber) {
    return Expected("a quantity such as \"100m\" or \"2Gi\"", value);
  }
  const absl::StatusOr<Quantity> quantity = Quantity::Parse(Trimmed(value.text));
  if (!quantity.ok()) return std::string(base::Message(quantity.status()));
  message->GetReflection()->SetString(message, OnlyField(*message), quantity->ToString());
  return "";
}

Value EncodeQuantity(const Message& message) {
  std::string text = message.GetReflection()->GetString(message, OnlyField(message));
  if (text.empty()) return Value::String("0");
  const absl::StatusOr<Quantity> quantity = Quantity::Parse(Trimmed(text));
  return Value::String(quantity.ok() ? quantity->ToString() : std::move(text));
}

std::string DecodeIntOrString(const Value& value, Message* message) {
  const auto* reflection = message->GetReflection();
  if (value.kind == Kind::kString) {
    reflection->SetInt64(message, Field(*message, "type"), 1);
    reflection->SetString(message, Field(*message, "strVal"), value.text);
    return "";
  }
  const std::optional<int32_t> number = Integer<int32_t>(value);
  if (!number) return Expected("a 32-bit integer or a string", value);
  reflection->SetInt64(message, Field(*message, "type"), 0);
  reflection->SetInt32(message, Field(*message, "intVal"), *number);
  return "";
}

Value EncodeIntOrString(const Message& message) {
  const auto* reflection = message.GetReflection();
  if (reflection->GetInt64(message, Field(message, "type")) == 0) {
    return Value::Number(std::to_string(reflection->GetInt32(message, Field(message, "intVal"))));
  }
  return Value::String(reflection->GetString(message, Field(message, "strVal")));
}

absl::StatusOr<Value> EncodeRaw(const Message& message) {
  const std::string raw = message.GetReflection()->GetString(message, OnlyField(message));
  if (raw.empty()) return Value{};
  return ParseJsonTree(raw, DecodeOptions{.source = message.GetDescriptor()->full_name()});
}

}  // namespace

std::string DecodeForm(Form form, const Value& value, Message* message) {
  switch (form) {
    case TIME:
    case MICRO_TIME:
      return DecodeTime(form, value, message);
    case DURATION:
    case DURATION_OR_NANOS:
      return DecodeDuration(form, value, message);
    case QUANTITY:
      return DecodeQuantity(value, message);
    case INT_OR_STRING:
      return DecodeIntOrString(value, message);
    case RAW_JSON:
      message->GetReflection()->SetString(message, OnlyField(*message), ToJson(value));
      return "";
    case OBJECT:
    case LIST:
      break;
  }
  KEELSON_CHECK(false);
  return "";
}

absl::StatusOr<Value> EncodeForm(Form form, const Message& message) {
  switch (form) {
    case TIME:
    case MICRO_TIME:
      return EncodeTime(form, message);
    case DURATION:
    case DURATION_OR_NANOS: {
      const int64_t nanos = message.GetReflection()->GetInt64(message, OnlyField(message));
      return Value::String(base::GoDuration(base::Nanos(nanos)));
    }
    case QUANTITY:
      return EncodeQuantity(message);
    case INT_OR_STRING:
      return EncodeIntOrString(message);
    case RAW_JSON:
      return EncodeRaw(message);
    case OBJECT:
    case LIST:
      break;
  }
  KEELSON_CHECK(false);
  return Value{};
}

}  // namespace keelson::proto
