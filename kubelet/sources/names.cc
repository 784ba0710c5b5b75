// SPDX-License-Identifier: Apache-2.0
#include "kubelet/sources/names.h"

#include <arpa/inet.h>

#include <algorithm>
#include <limits>

#include "base/strings.h"

namespace keelson::kubelet::sources {
namespace {

using base::StrCat;

constexpr std::string_view kLabel = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
constexpr std::string_view kKey = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

bool LowerAlnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool Alnum(char c) { return LowerAlnum(c) || (c >= 'A' && c <= 'Z'); }

// Not empty, ends made of `edge`, the rest of `edge` or one of `inner`.
bool Shape(std::string_view value, bool (*edge)(char), std::string_view inner) {
  return !value.empty() && edge(value.front()) && edge(value.back()) &&
         std::all_of(value.begin(), value.end(), [&](char c) {
           return edge(c) || inner.find(c) != std::string_view::npos;
         });
}

bool IsLabel(std::string_view value) { return Shape(value, LowerAlnum, "-"); }

bool IsUnderscoreLabel(std::string_view value) {
  if (value.starts_with('_')) value.remove_prefix(1);
  return Shape(value, LowerAlnum, "-_");
}

bool EachPart(std::string_view value, bool (*check)(std::string_view)) {
  const auto parts = Split(value, '.');
  return std::all_of(parts.begin(), parts.end(), check);
}

std::string MaxLength(int length) {
  return StrCat("must be no more than ", length, " characters");
}

// "(e.g. 'a',  or 'b', regex used ...": the API's own punctuation.
std::string Pattern(std::string_view message, std::string_view regex,
                    std::initializer_list<std::string_view> examples) {
  std::string out = StrCat(message, " (e.g. ");
  bool first = true;
  for (std::string_view example : examples) {
    base::StrAppend(&out, first ? "" : " or ", "'", example, "', ");
    first = false;
  }
  base::StrAppend(&out, "regex used for validation is '", regex, "')");
  return out;
}

void Leading(std::string_view value, Complaints* out) {
  if (value == ".") {
    out->push_back("must not be '.'");
  } else if (value == "..") {
    out->push_back("must not be '..'");
  } else if (value.starts_with("..")) {
    out->push_back("must not start with '..'");
  }
}

}  // namespace

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::string RangeComplaint(int64_t low, int64_t high) {
  return StrCat("must be between ", low, " and ", high, ", inclusive");
}

Complaints Dns1123Label(std::string_view value) {
  Complaints out;
  if (value.size() > 63) out.push_back(MaxLength(63));
  if (IsLabel(value)) return out;
  if (EachPart(value, IsLabel)) {
    out.push_back("must not contain dots");
  } else {
    out.push_back(Pattern(
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
        "and must start and end with an alphanumeric character",
        kLabel, {"my-name", "123-abc"}));
  }
  return out;
}

Complaints Dns1123Subdomain(std::string_view value) {
  Complaints out;
  if (value.size() > 253) out.push_back(MaxLength(253));
  if (!EachPart(value, IsLabel)) {
    out.push_back(Pattern(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' "
        "or '.', and must start and end with an alphanumeric character",
        StrCat(kLabel, "(\\.", kLabel, ")*"), {"example.com"}));
  }
  return out;
}

Complaints Dns1123SubdomainWithUnderscore(std::string_view value) {
  constexpr std::string_view label = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
  Complaints out;
  if (value.size() > 253) out.push_back(MaxLength(253));
  if (!EachPart(value, IsUnderscoreLabel)) {
    out.push_back(Pattern(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', "
        "'-' or '.', and must start and end with an alphanumeric character",
        StrCat(label, "(\\.", label, ")*"), {"example.com"}));
  }
  return out;
}

Complaints QualifiedName(std::string_view value) {
  const std::string shape = Pattern(
      "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
      "alphanumeric character",
      kKey, {"MyName", "my.name", "123-abc"});
  const auto parts = Split(value, '/');
  if (parts.size() > 2) {
    return {StrCat("a valid label key ", shape,
                   " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')")};
  }
  Complaints out;
  if (parts.size() == 2 && parts[0].empty()) {
    out.push_back("prefix part must be non-empty");
  } else if (parts.size() == 2) {
    for (const std::string& text : Dns1123Subdomain(parts[0])) {
      out.push_back(StrCat("prefix part ", text));
    }
  }
  const std::string_view name = parts.back();
  if (name.empty()) {
    out.push_back("name part must be non-empty");
  } else if (name.size() > 63) {
    out.push_back(StrCat("name part ", MaxLength(63)));
  }
  if (!Shape(name, Alnum, "-_.")) out.push_back(StrCat("name part ", shape));
  return out;
}

Complaints LabelValue(std::string_view value) {
  Complaints out;
  if (value.size() > 63) out.push_back(MaxLength(63));
  if (!value.empty() && !Shape(value, Alnum, "-_.")) {
    out.push_back(Pattern(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
        "'.', and must start and end with an alphanumeric character",
        StrCat("(", kKey, ")?"), {"MyValue", "my_value", "12345"}));
  }
  return out;
}

Complaints PortNumber(int64_t port) {
  if (port >= 1 && port <= 65535) return {};
  return {RangeComplaint(1, 65535)};
}

Complaints PortName(std::string_view value) {
  Complaints out;
  if (value.size() > 15) out.push_back(MaxLength(15));
  const auto allowed = [](char c) { return LowerAlnum(c) || c == '-'; };
  if (value.empty() || !std::all_of(value.begin(), value.end(), allowed)) {
    out.push_back("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  }
  const auto letter = [](char c) { return c >= 'a' && c <= 'z'; };
  if (std::none_of(value.begin(), value.end(), letter)) {
    out.push_back("must contain at least one letter (a-z)");
  }
  if (value.find("--") != std::string_view::npos) {
    out.push_back("must not contain consecutive hyphens");
  }
  if (value.starts_with('-') || value.ends_with('-')) {
    out.push_back("must not begin or end with a hyphen");
  }
  return out;
}

Complaints HttpHeaderName(std::string_view value) {
  const auto allowed = [](char c) { return Alnum(c) || c == '-'; };
  if (!value.empty() && std::all_of(value.begin(), value.end(), allowed)) return {};
  return {Pattern("a valid HTTP header must consist of alphanumeric characters or '-'",
                  "[-A-Za-z0-9]+", {"X-Header-Name"})};
}

Complaints EnvVarName(std::string_view value) {
  if (value.empty()) return {"environment variable name must be non-empty"};
  const auto allowed = [](char c) { return c >= 0x20 && c < 0x7f && c != '='; };
  if (std::all_of(value.begin(), value.end(), allowed)) return {};
  return {
      "a valid environment variable name must consist only of printable ASCII characters other "
      "than '='"};
}

Complaints ConfigMapKey(std::string_view value) {
  Complaints out;
  if (value.size() > 253) out.push_back(MaxLength(253));
  const auto allowed = [](char c) { return Alnum(c) || c == '-' || c == '_' || c == '.'; };
  if (value.empty() || !std::all_of(value.begin(), value.end(), allowed)) {
    out.push_back(
        Pattern("a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
                "[-._a-zA-Z0-9]+", {"key.name", "KEY_NAME", "key-name"}));
  }
  Leading(value, &out);
  return out;
}

Complaints UserId(int64_t id) {
  constexpr int64_t max = std::numeric_limits<int32_t>::max();
  if (id >= 0 && id <= max) return {};
  return {RangeComplaint(0, max)};
}

Complaints GroupId(int64_t id) { return UserId(id); }

bool IsIpAddress(std::string_view text) {
  in6_addr v6;
  const std::string copy(text);
  if (text.find('\0') != std::string_view::npos) return false;
  if (text.find(':') != std::string_view::npos) {
    return ::inet_pton(AF_INET6, copy.c_str(), &v6) == 1;
  }
  const auto parts = Split(text, '.');
  return parts.size() == 4 && std::all_of(parts.begin(), parts.end(), [](std::string_view part) {
           int value = 0;
           for (char c : part) {
             if (c < '0' || c > '9') return false;
             value = std::min(value * 10 + (c - '0'), 256);
           }
           return !part.empty() && value <= 255;
         });
}

bool IsSysctlName(std::string_view value) {
  std::string dotted(value);
  std::replace(dotted.begin(), dotted.end(), '/', '.');
  return value.size() <= 253 && EachPart(dotted, [](std::string_view part) {
           return Shape(part, LowerAlnum, "-_");
         });
}

}  // namespace keelson::kubelet::sources
