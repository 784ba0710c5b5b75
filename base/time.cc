// SPDX-License-Identifier: Apache-2.0
#include "base/time.h"

#include <array>
#include <cstdio>
#include <ctime>

#include "base/strings.h"
#include "absl/strings/str_format.h"

namespace keelson::base {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;

struct Split {
  std::tm tm;
  int64_t nanos;
};

Split SplitTime(WallTime time) {
  int64_t total = ToUnixNanos(time);
  int64_t seconds = total / kNanosPerSecond;
  int64_t nanos = total % kNanosPerSecond;
  if (nanos < 0) {
    nanos += kNanosPerSecond;
    --seconds;
  }
  Split split{{}, nanos};
  std::time_t t = seconds;
  ::gmtime_r(&t, &split.tm);
  return split;
}

std::string DateAndTime(const std::tm& tm) {
  return absl::StrFormat("%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1,
                         tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

// Reads exactly `digits` decimal digits at the front of `text`.
std::optional<int> TakeDigits(std::string_view& text, size_t digits) {
  if (text.size() < digits) return std::nullopt;
  int value = 0;
  for (size_t i = 0; i < digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(digits);
  return value;
}

bool TakeChar(std::string_view& text, char c) {
  if (text.empty() || text[0] != c) return false;
  text.remove_prefix(1);
  return true;
}

// Fraction after the dot, in nanoseconds; digits past the ninth are dropped.
std::optional<int64_t> TakeFraction(std::string_view& text) {
  int64_t nanos = 0, unit = kNanosPerSecond / 10;
  size_t used = 0;
  while (used < text.size() && text[used] >= '0' && text[used] <= '9') {
    nanos += (text[used] - '0') * unit;
    unit /= 10;
    ++used;
  }
  if (used == 0) return std::nullopt;
  text.remove_prefix(used);
  return nanos;
}

std::optional<int> TakeOffsetSeconds(std::string_view& text) {
  if (TakeChar(text, 'Z') || TakeChar(text, 'z')) return 0;
  int sign = 0;
  if (TakeChar(text, '+')) sign = 1;
  else if (TakeChar(text, '-')) sign = -1;
  else return std::nullopt;
  auto hours = TakeDigits(text, 2);
  if (!hours || *hours > 23 || !TakeChar(text, ':')) return std::nullopt;
  auto minutes = TakeDigits(text, 2);
  if (!minutes || *minutes > 59) return std::nullopt;
  return sign * (*hours * 3600 + *minutes * 60);
}

bool DayExists(int year, int month, int day) {
  static constexpr std::array<int, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (month < 1 || month > 12 || day < 1) return false;
  bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return day <= kDays[month - 1] + (month == 2 && leap ? 1 : 0);
}

}  // namespace

std::string FormatRfc3339(WallTime time) { return DateAndTime(SplitTime(time).tm) + "Z"; }

std::string FormatRfc3339Nano(WallTime time) {
  Split split = SplitTime(time);
  std::string text = DateAndTime(split.tm);
  if (split.nanos != 0) {
    std::string digits = absl::StrFormat(".%09d", split.nanos);
    digits.erase(digits.find_last_not_of('0') + 1);
    text += digits;
  }
  return text + "Z";
}

std::optional<WallTime> ParseRfc3339(std::string_view text) {
  auto year = TakeDigits(text, 4);
  if (!year || !TakeChar(text, '-')) return std::nullopt;
  auto month = TakeDigits(text, 2);
  if (!month || !TakeChar(text, '-')) return std::nullopt;
  auto day = TakeDigits(text, 2);
  if (!day || !(TakeChar(text, 'T') || TakeChar(text, 't'))) return std::nullopt;
  auto hour = TakeDigits(text, 2);
  if (!hour || *hour > 23 || !TakeChar(text, ':')) return std::nullopt;
  auto minute = TakeDigits(text, 2);
  if (!minute || *minute > 59 || !TakeChar(text, ':')) return std::nullopt;
  auto second = TakeDigits(text, 2);
  if (!second || *second > 59) return std::nullopt;
  int64_t nanos = 0;
  if (TakeChar(text, '.')) {
    auto fraction = TakeFraction(text);
    if (!fraction) return std::nullopt;
    nanos = *fraction;
  }
  auto offset = TakeOffsetSeconds(text);
  if (!offset || !text.empty() || !DayExists(*year, *month, *day)) return std::nullopt;
  std::tm tm{};
  tm.tm_year = *year - 1900;
  tm.tm_mon = *month - 1;
  tm.tm_mday = *day;
  tm.tm_hour = *hour;
  tm.tm_min = *minute;
  tm.tm_sec = *second;
  int64_t seconds = ::timegm(&tm) - *offset;
  // A 64-bit count of nanoseconds spans 1678 to 2262.
  if (seconds > 9'223'372'035 || seconds < -9'223'372'035) return std::nullopt;
  return FromUnixNanos(seconds * kNanosPerSecond + nanos);
}

std::string HumanDuration(Nanos duration) {
  int64_t s = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
  if (s < 0) return "0s";
  if (s < 120) return StrCat(s, "s");
  int64_t m = s / 60;
  if (m < 10) return s % 60 ? StrCat(m, "m", s % 60, "s") : StrCat(m, "m");
  if (m < 180) return StrCat(m, "m");
  int64_t h = m / 60;
  if (h < 8) return m % 60 ? StrCat(h, "h", m % 60, "m") : StrCat(h, "h");
  if (h < 48) return StrCat(h, "h");
  int64_t d = h / 24;
  if (d < 8) return h % 24 ? StrCat(d, "d", h % 24, "h") : StrCat(d, "d");
  if (d < 365 * 2) return StrCat(d, "d");
  int64_t y = d / 365;
  if (y < 8) return d % 365 ? StrCat(y, "y", d % 365, "d") : StrCat(y, "y");
  return StrCat(y, "y");
}

namespace {
// `nanos` in units of `unit`, with the fraction's trailing zeros cut.
std::string WithFraction(uint64_t nanos, uint64_t unit, std::string_view suffix) {
  std::string text = StrCat(nanos / unit);
  if (uint64_t rest = nanos % unit; rest != 0) {
    std::string digits = StrCat(rest);
    size_t width = StrCat(unit).size() - 1;
    text += "." + std::string(width - digits.size(), '0') + digits;
    text.erase(text.find_last_not_of('0') + 1);
  }
  return StrCat(text, suffix);
}
}  // namespace

std::string GoDuration(Nanos duration) {
  if (duration.count() == 0) return "0s";
  bool negative = duration.count() < 0;
  uint64_t n = negative ? -static_cast<uint64_t>(duration.count())
                        : static_cast<uint64_t>(duration.count());
  std::string text;
  if (n < 1'000) text = StrCat(n, "ns");
  else if (n < 1'000'000) text = WithFraction(n, 1'000, "µs");
  else if (n < kNanosPerSecond) text = WithFraction(n, 1'000'000, "ms");
  else {
    uint64_t minutes = n / (60ULL * kNanosPerSecond);
    text = WithFraction(n % (60ULL * kNanosPerSecond), kNanosPerSecond, "s");
    if (minutes > 0) text = StrCat(minutes % 60, "m", text);
    if (minutes >= 60) text = StrCat(minutes / 60, "h", text);
  }
  return negative ? "-" + text : text;
}

}  // namespace keelson::base
