// SPDX-License-Identifier: Apache-2.0
#include "proto/codec/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <optional>

namespace keelson::proto {
namespace {

constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Length of the UTF-8 sequence at the front of `text` and its code point; 0 when there is none.
size_t DecodeUtf8(std::string_view text, uint32_t* code_point) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) {
    *code_point = lead;
    return 1;
  }
  const size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
  if (size == 0 || lead > 0xF4 || text.size() < size) return 0;
  uint32_t value = lead & (0x7F >> size);
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    value = value << 6 | (byte(i) & 0x3F);
  }
  constexpr std::array<uint32_t, 5> kLeast = {0, 0, 0x80, 0x800, 0x10000};
  if (value < kLeast[size] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return 0;
  *code_point = value;
  return size;
}

void AppendEscape(uint32_t unit, std::string* out) {
  char text[8];
  std::snprintf(text, sizeof text, "\\u%04x", unit & 0xFFFFu);
  *out += text;
}

bool BreaksYaml(uint32_t c) {
  return c == 0x7F || (c >= 0x80 && c < 0xA0) || c == 0x2028 || c == 0x2029 || c == 0xFEFF ||
         c == 0xFFFE || c == 0xFFFF;
}

// The escape of an ASCII character, 0 for none or \u.
char ShortEscape(uint32_t c) {
  switch (c) {
    case '"':
      return '"';
    case '\\':
      return '\\';
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\t':
      return 't';
    case '\b':
      return 'b';
    case '\f':
      return 'f';
    default:
      return 0;
  }
}

std::optional<bool> YamlBool(std::string_view text) {
  for (std::string_view word :
       {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"}) {
    if (text == word) return true;
  }
  for (std::string_view word :
       {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"}) {
    if (text == word) return false;
  }
  return std::nullopt;
}

// The integer `text` stands for, in decimal: 0x, 0o, 0b and a bare leading 0 (octal) are
// understood.
std::optional<std::string> YamlInteger(std::string_view text) {
  const bool negative = text[0] == '-';
  if (negative || text[0] == '+') text.remove_prefix(1);
  int base = 10;
  if (text.size() > 1 && text[0] == '0') {
    const char mark = static_cast<char>(text[1] | 0x20);
    base = mark == 'x' ? 16 : mark == 'b' ? 2 : 8;
    text.remove_prefix(mark == 'x' || mark == 'b' || mark == 'o' ? 2 : 1);
  }
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (negative && value > uint64_t{1} << 63) return std::nullopt;
  return (negative && value != 0 ? "-" : "") + std::to_string(value);
}

// [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
bool LooksLikeFloat(std::string_view text) {
  size_t i = text[0] == '-' || text[0] == '+' ? 1 : 0;
  const auto digits = [&] {
    const size_t start = i;
    while (i < text.size() && IsDigit(text[i])) ++i;
    return i - start;
  };
  const size_t whole = digits();
  if (i < text.size() && text[i] == '.') {
    ++i;
    if (digits() == 0 && whole == 0) return false;
  } else if (whole == 0) {
    return false;
  }
  if (i < text.size() && (text[i] | 0x20) == 'e') {
    ++i;
    if (i < text.size() && (text[i] == '-' || text[i] == '+')) ++i;
    if (digits() == 0) return false;
  }
  return i == text.size();
}

std::optional<std::string> YamlFloat(std::string_view text) {
  if (!LooksLikeFloat(text)) return std::nullopt;
  if (text[0] == '+') text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return NumberText(value);
}

// 2026-01-02 and what may follow: stays text.
bool LooksLikeDate(std::string_view text) {
  return text.size() > 4 && text[4] == '-' && std::all_of(text.begin(), text.begin() + 4, IsDigit);
}

std::optional<std::string> YamlNumber(std::string_view text) {
  if (text.empty() || !(IsDigit(text[0]) || text[0] == '-' || text[0] == '+' || text[0] == '.')) {
    return std::nullopt;
  }
  if (LooksLikeDate(text)) return std::nullopt;
  if (text[0] == '.') return YamlFloat(text);
  std::string plain(text);
  std::erase(plain, '_');
  if (auto integer = YamlInteger(plain)) return integer;
  return YamlFloat(plain);
}

}  // namespace

size_t FindInvalidUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    if (static_cast<unsigned char>(text[i]) < 0x80) {
      ++i;
      continue;
    }
    uint32_t code_point = 0;
    const size_t size = DecodeUtf8(text.substr(i), &code_point);
    if (size == 0) return i;
    i += size;
  }
  return std::string_view::npos;
}

void AppendUtf8(uint32_t c, std::string* out) {
  const auto push = [out](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    push(c);
  } else if (c < 0x800) {
    push(0xC0 | c >> 6);
    push(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    push(0xE0 | c >> 12);
    push(0x80 | (c >> 6 & 0x3F));
    push(0x80 | (c & 0x3F));
  } else {
    push(0xF0 | c >> 18);
    push(0x80 | (c >> 12 & 0x3F));
    push(0x80 | (c >> 6 & 0x3F));
    push(0x80 | (c & 0x3F));
  }
}

void AppendJsonString(std::string_view text, std::string* out, bool for_yaml) {
  out->push_back('"');
  for (size_t i = 0; i < text.size();) {
    uint32_t c = 0;
    const size_t size = DecodeUtf8(text.substr(i), &c);
    if (size == 0) {
      *out += "\xEF\xBF\xBD";
      ++i;
      continue;
    }
    if (const char escape = ShortEscape(c); escape != 0) {
      out->push_back('\\');
      out->push_back(escape);
    } else if (c < 0x20 || (for_yaml && BreaksYaml(c))) {
      AppendEscape(c, out);
    } else {
      out->append(text, i, size);
    }
    i += size;
  }
  out->push_back('"');
}

bool DecodeBase64(std::string_view text, std::string* bytes) {
  bytes->clear();
  uint32_t group = 0;
  int held = 0, padding = 0;
  for (const char c : text) {
    if (c == '\n' || c == '\r') continue;
    if (c == '=') {
      if (held + ++padding > 4 || held < 2) return false;
      continue;
    }
    const size_t digit = kBase64.find(c);
    if (digit == kBase64.npos || padding > 0) return false;
    group = group << 6 | static_cast<uint32_t>(digit);
    if (++held == 4) {
      for (int shift = 16; shift >= 0; shift -= 8)
        bytes->push_back(static_cast<char>(group >> shift));
      group = 0;
      held = 0;
    }
  }
  if (held == 0) return padding == 0;
  if (held + padding != 4) return false;
  group <<= 6 * padding;
  for (int i = 0; i < held - 1; ++i) bytes->push_back(static_cast<char>(group >> (16 - 8 * i)));
  return true;
}

std::string EncodeBase64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t size = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group = group << 8 | (j < size ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    }
    for (size_t j = 0; j < 4; ++j) {
      text.push_back(j <= size ? kBase64[group >> (18 - 6 * j) & 0x3F] : '=');
    }
  }
  return text;
}

std::string NumberText(double value) {
  const double magnitude = std::abs(value);
  const bool exponent = magnitude != 0 && (magnitude < 1e-6 || magnitude >= 1e21);
  char text[64];
  const auto result =
      std::to_chars(text, text + sizeof text, value,
                    exponent ? std::chars_format::scientific : std::chars_format::fixed);
  return std::string(text, result.ptr);
}

bool ResolvePlainScalar(std::string_view text, Value* value) {
  using Kind = Value::Kind;
  value->text.clear();
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") {
    value->kind = Kind::kNull;
    return true;
  }
  if (const auto boolean = YamlBool(text)) {
    value->kind = Kind::kBool;
    value->boolean = *boolean;
    return true;
  }
  std::string_view unsigned_text = text;
  if (text[0] == '-' || text[0] == '+') unsigned_text.remove_prefix(1);
  for (std::string_view word : {".inf", ".Inf", ".INF"}) {
    if (unsigned_text == word) return false;
  }
  if (text == ".nan" || text == ".NaN" || text == ".NAN") return false;
  if (auto number = YamlNumber(text)) {
    value->kind = Kind::kNumber;
    value->text = std::move(*number);
    return true;
  }
  value->kind = Kind::kString;
  value->text = text;
  return true;
}

}  // namespace keelson::proto
