// SPDX-License-Identifier: Apache-2.0
#include "proto/codec/duration.h"

#include <array>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "base/strings.h"

namespace keelson::proto {
namespace {

// µ has two code points.
constexpr std::array<std::pair<std::string_view, uint64_t>, 8> kUnits = {{
    {"ns", 1},
    {"us", 1'000},
    {"\xC2\xB5s", 1'000},
    {"\xCE\xBCs", 1'000},
    {"ms", 1'000'000},
    {"s", 1'000'000'000},
    {"m", 60'000'000'000},
    {"h", 3'600'000'000'000},
}};
constexpr uint64_t kLimit = uint64_t{1} << 63;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

uint64_t TakeUnit(std::string_view* text) {
  size_t end = 0;
  while (end < text->size() && (*text)[end] != '.' && !IsDigit((*text)[end])) ++end;
  const std::string_view name = text->substr(0, end);
  text->remove_prefix(end);
  for (const auto& [unit, nanos] : kUnits) {
    if (unit == name) return nanos;
  }
  return 0;
}

// One "12.5s" at the front of `text`, added to `total`. False when malformed or too long.
bool TakeTerm(std::string_view* text, uint64_t* total) {
  uint64_t whole = 0;
  size_t digits = 0;
  for (; !text->empty() && IsDigit(text->front()); text->remove_prefix(1), ++digits) {
    if (whole > kLimit / 10) return false;
    whole = whole * 10 + (text->front() - '0');
  }
  uint64_t fraction = 0;
  double place = 1;
  if (!text->empty() && text->front() == '.') {
    text->remove_prefix(1);
    for (; !text->empty() && IsDigit(text->front()); text->remove_prefix(1), ++digits) {
      // Digits beyond what fits are below a nanosecond.
      const uint64_t digit = static_cast<uint64_t>(text->front() - '0');
      if (fraction > (kLimit - 1 - digit) / 10) continue;
      fraction = fraction * 10 + digit;
      place *= 10;
    }
  }
  const uint64_t unit = digits == 0 ? 0 : TakeUnit(text);
  if (unit == 0 || whole > kLimit / unit || whole * unit > kLimit - *total) return false;
  const double part = static_cast<double>(fraction) * (static_cast<double>(unit) / place);
  *total += whole * unit + static_cast<uint64_t>(part);
  return *total <= kLimit;
}

}  // namespace

absl::StatusOr<base::Nanos> ParseGoDuration(std::string_view text) {
  const absl::Status malformed = absl::InvalidArgumentError(base::StrCat(
      "duration \"", text.substr(0, 64), "\": expected numbers with units such as 1h30m or 500ms"));
  std::string_view rest = text;
  const bool negative = !rest.empty() && rest[0] == '-';
  if (negative || (!rest.empty() && rest[0] == '+')) rest.remove_prefix(1);
  if (rest == "0") return base::Nanos(0);
  if (rest.empty()) return malformed;
  uint64_t total = 0;
  while (!rest.empty()) {
    if (!TakeTerm(&rest, &total)) return malformed;
  }
  if (negative) return base::Nanos(static_cast<int64_t>(-total));
  if (total == kLimit) return malformed;
  return base::Nanos(static_cast<int64_t>(total));
}

}  // namespace keelson::proto
