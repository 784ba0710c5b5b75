// SPDX-License-Identifier: Apache-2.0
#include "proto/codec/quantity.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "absl/status/status.h"
#include "base/strings.h"
#include "proto/k8s/quantity.pb.h"

namespace keelson::proto {
namespace {

__extension__ typedef __int128 Int128;
using Format = Quantity::Format;

constexpr int64_t kNano = 1'000'000'000;
constexpr Int128 PowerOfTen(int exponent) {
  Int128 power = 1;
  for (int i = 0; i < exponent; ++i) power *= 10;
  return power;
}
constexpr Int128 kBound = PowerOfTen(38);  // 1e29 in nanos
// Binary amounts saturate where upstream's do, at int64's end.
constexpr Int128 kBinaryBound = Int128{INT64_MAX} * kNano;
constexpr size_t kMaxText = 256;

struct Suffix {
  std::string_view text;
  int exponent;  // of ten, or of two for the binary ones
  Format format;
};

constexpr std::array<Suffix, 16> kSuffixes = {{
    {"n", -9, Format::kDecimalSi},
    {"u", -6, Format::kDecimalSi},
    {"m", -3, Format::kDecimalSi},
    {"", 0, Format::kDecimalSi},
    {"k", 3, Format::kDecimalSi},
    {"M", 6, Format::kDecimalSi},
    {"G", 9, Format::kDecimalSi},
    {"T", 12, Format::kDecimalSi},
    {"P", 15, Format::kDecimalSi},
    {"E", 18, Format::kDecimalSi},
    {"Ki", 10, Format::kBinarySi},
    {"Mi", 20, Format::kBinarySi},
    {"Gi", 30, Format::kBinarySi},
    {"Ti", 40, Format::kBinarySi},
    {"Pi", 50, Format::kBinarySi},
    {"Ei", 60, Format::kBinarySi},
}};

// The text taken apart: sign, digits before the dot without leading zeros, digits after it, suffix.
struct Parts {
  bool negative = false;
  std::string_view whole;
  std::string_view fraction;
  Suffix suffix;
};

std::string_view TakeDigits(std::string_view* text) {
  const size_t end = std::min(text->find_first_not_of("0123456789"), text->size());
  std::string_view digits = text->substr(0, end);
  text->remove_prefix(end);
  return digits;
}

std::optional<Suffix> InterpretSuffix(std::string_view text) {
  for (const Suffix& suffix : kSuffixes) {
    if (suffix.text == text) return suffix;
  }
  if (text.size() < 2 || (text[0] != 'e' && text[0] != 'E')) return std::nullopt;
  std::string_view digits = text.substr(1);
  if (digits[0] == '+' && digits.size() > 1 && digits[1] != '-') digits.remove_prefix(1);
  int exponent = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  if (exponent > 1000 || exponent < -1000) return std::nullopt;
  return Suffix{text, exponent, Format::kDecimalExponent};
}

absl::StatusOr<Parts> Split(std::string_view text) {
  if (text.empty() || text.size() > kMaxText) {
    return absl::InvalidArgumentError("quantity: expected a number, perhaps with a suffix");
  }
  Parts parts;
  std::string_view rest = text;
  if (rest[0] == '-' || rest[0] == '+') {
    parts.negative = rest[0] == '-';
    rest.remove_prefix(1);
  }
  const bool starts_well = !rest.empty() && (rest[0] == '.' || (rest[0] >= '0' && rest[0] <= '9'));
  parts.whole = TakeDigits(&rest);
  parts.whole.remove_prefix(std::min(parts.whole.find_first_not_of('0'), parts.whole.size()));
  if (!rest.empty() && rest[0] == '.') {
    rest.remove_prefix(1);
    parts.fraction = TakeDigits(&rest);
  }
  const std::optional<Suffix> suffix = InterpretSuffix(rest);
  if (!starts_well || !suffix) {
    return absl::InvalidArgumentError(base::StrCat(
        "quantity \"", text, "\": ", starts_well ? "unknown suffix" : "expected a number",
        "; write a number and one of n u m k M G T P E Ki Mi Gi Ti Pi Ei or e<exponent>"));
  }
  parts.suffix = *suffix;
  return parts;
}

// |digits * 10^shift| rounded up; nullopt beyond the bound.
std::optional<Int128> ScaleDecimal(const std::string& digits, int shift) {
  const int size = static_cast<int>(digits.size());
  const int keep = shift < 0 ? std::max(0, size + shift) : size;
  Int128 value = 0;
  for (int i = 0; i < keep; ++i) {
    if (value > kBound / 10 - 1) return std::nullopt;
    value = value * 10 + (digits[i] - '0');
  }
  const bool exact = digits.find_first_not_of('0', keep) == std::string::npos;
  if (!exact) ++value;
  for (int i = 0; i < shift && value != 0; ++i) {
    if (value > kBound / 10) return std::nullopt;
    value *= 10;
  }
  return value;
}

// |whole.fraction * 2^exponent| in nanos, rounded up, at most kBinaryBound.
Int128 ScaleBinary(const Parts& parts) {
  const Int128 unit = (Int128{1} << parts.suffix.exponent) * kNano;  // at most 1.2e27
  Int128 whole = 0;
  for (char digit : parts.whole) {
    whole = whole * 10 + (digit - '0');
    if (whole * unit > kBinaryBound) return kBinaryBound;
  }
  // From the last digit to the first, each step divides by ten and remembers whether it lost
  // anything.
  Int128 fraction = 0;
  bool exact = true;
  for (auto digit = parts.fraction.rbegin(); digit != parts.fraction.rend(); ++digit) {
    const Int128 sum = (*digit - '0') * unit + fraction;
    exact = exact && sum % 10 == 0;
    fraction = sum / 10;
  }
  return std::min(whole * unit + fraction + (exact ? 0 : 1), kBinaryBound);
}

// Whether upstream keeps this text instead of printing the canonical one: a number short enough for
// its int64 path whose exponent is a multiple of three and which does not end in 000.
bool KeepsItsText(const Parts& parts) {
  const std::string whole(parts.whole.empty() ? "0" : parts.whole);
  const std::string digits = whole + std::string(parts.fraction);
  if (digits[0] == '0') return false;
  if (parts.suffix.format == Format::kBinarySi) {
    const int precision = 15 - static_cast<int>(whole.size()) - parts.suffix.exponent * 3 / 10 - 1;
    return precision >= 0 && parts.fraction.empty() && std::stoll(whole) % 8 != 0;
  }
  const int scale = parts.suffix.exponent - static_cast<int>(parts.fraction.size());
  return digits.size() <= 18 && scale >= -9 && scale % 3 == 0 && !digits.ends_with("000");
}

std::string IntegerText(Int128 value) {
  const bool negative = value < 0;
  std::string text;
  do {
    const int digit = static_cast<int>(value % 10);
    text.push_back(static_cast<char>('0' + (digit < 0 ? -digit : digit)));
    value /= 10;
  } while (value != 0);
  if (negative) text.push_back('-');
  std::reverse(text.begin(), text.end());
  return text;
}

// value / unit rounded away from zero, within int64.
int64_t DivideUp(Int128 value, Int128 unit) {
  Int128 result = value / unit;
  if (value % unit != 0) result += value < 0 ? -1 : 1;
  return static_cast<int64_t>(std::clamp<Int128>(result, Int128{INT64_MIN}, Int128{INT64_MAX}));
}

}  // namespace

Quantity Quantity::FromValue(int64_t value, Format format) {
  Quantity quantity;
  quantity.nanos_ = Int128{value} * kNano;
  quantity.format_ = format;
  return quantity;
}

Quantity Quantity::FromMilli(int64_t milli, Format format) {
  Quantity quantity;
  quantity.nanos_ = Int128{milli} * (kNano / 1000);
  quantity.format_ = format;
  return quantity;
}

absl::StatusOr<Quantity> Quantity::Parse(std::string_view text) {
  absl::StatusOr<Parts> parts = Split(text);
  if (!parts.ok()) return parts.status();
  Quantity quantity;
  quantity.format_ = parts->suffix.format;
  if (quantity.format_ == Format::kBinarySi) {
    quantity.nanos_ = ScaleBinary(*parts);
    // Less than one byte prints as a decimal fraction.
    if (quantity.nanos_ > 0 && quantity.nanos_ < kNano) quantity.format_ = Format::kDecimalSi;
  } else {
    const std::string digits = std::string(parts->whole) + std::string(parts->fraction);
    const int shift = parts->suffix.exponent - static_cast<int>(parts->fraction.size()) + 9;
    const std::optional<Int128> nanos = ScaleDecimal(digits, shift);
    if (!nanos) {
      return absl::InvalidArgumentError(
          base::StrCat("quantity \"", text, "\": larger than 1e29, which is our limit"));
    }
    quantity.nanos_ = *nanos;
  }
  if (parts->negative) quantity.nanos_ = -quantity.nanos_;
  if (text == "0" || KeepsItsText(*parts)) quantity.text_ = text;
  return quantity;
}

absl::StatusOr<Quantity> Quantity::From(const k8s::resource::Quantity& message) {
  if (message.string().empty()) return Quantity();
  return Parse(message.string());
}

int64_t Quantity::Value() const { return DivideUp(nanos_, kNano); }
int64_t Quantity::MilliValue() const { return DivideUp(nanos_, kNano / 1000); }
double Quantity::AsDouble() const { return static_cast<double>(nanos_) / kNano; }

void Quantity::Add(const Quantity& other) {
  if (nanos_ == 0) format_ = other.format_;
  text_.clear();
  Int128 sum = 0;
  if (__builtin_add_overflow(nanos_, other.nanos_, &sum)) sum = nanos_ < 0 ? -kBound : kBound;
  nanos_ = std::clamp(sum, -kBound, kBound);
}

void Quantity::Sub(const Quantity& other) {
  Quantity negated = other;
  negated.Neg();
  Add(negated);
}

void Quantity::Neg() {
  text_.clear();
  nanos_ = -nanos_;
}

std::string Quantity::DecimalText(Format format) const {
  Int128 mantissa = nanos_;
  int exponent = -9;
  while (mantissa % 10 == 0) {
    mantissa /= 10;
    ++exponent;
  }
  // SI has no suffix beyond E.
  while (exponent % 3 != 0 || (format == Format::kDecimalSi && exponent > 18)) {
    mantissa *= 10;
    --exponent;
  }
  std::string text = IntegerText(mantissa);
  if (exponent == 0) return text;
  if (format == Format::kDecimalExponent) return base::StrCat(text, "e", exponent);
  for (const Suffix& suffix : kSuffixes) {
    if (suffix.format == Format::kDecimalSi && suffix.exponent == exponent) {
      return base::StrCat(text, suffix.text);
    }
  }
  return text;
}

std::string Quantity::Canonical() const {
  if (nanos_ == 0) return "0";
  if (format_ != Format::kBinarySi) return DecimalText(format_);
  const Int128 magnitude = nanos_ < 0 ? -nanos_ : nanos_;
  if (magnitude < Int128{1024} * kNano || magnitude % kNano != 0) {
    return DecimalText(Format::kDecimalSi);
  }
  Int128 amount = nanos_ / kNano;
  int exponent = 0;
  while (amount % 1024 == 0 && exponent < 60) {
    amount /= 1024;
    exponent += 10;
  }
  std::string_view unit;
  for (const Suffix& suffix : kSuffixes) {
    if (suffix.format == Format::kBinarySi && suffix.exponent == exponent) unit = suffix.text;
  }
  return base::StrCat(IntegerText(amount), unit);
}

std::string Quantity::ToString() const { return text_.empty() ? Canonical() : text_; }

void Quantity::To(k8s::resource::Quantity* message) const { message->set_string(ToString()); }

}  // namespace keelson::proto
