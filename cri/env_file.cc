// SPDX-License-Identifier: Apache-2.0
#include "cri/env_file.h"

#include <algorithm>
#include <optional>

#include "base/strings.h"

namespace keelson::cri {
namespace {

using base::StrCat;

constexpr std::string_view kBlank = " \t";

std::string_view TrimLeft(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of(kBlank), text.size()));
}

// Lines without their ends, LF or CRLF.
class Lines {
 public:
  explicit Lines(std::string_view text) : left_(text) {}
  std::optional<std::string_view> Next() {
    if (left_.empty()) return std::nullopt;
    const size_t end = std::min(left_.find('\n'), left_.size());
    std::string_view line = left_.substr(0, end);
    left_.remove_prefix(std::min(end + 1, left_.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    ++number_;
    return line;
  }
  absl::Status Refuse(std::string_view why) const {
    return absl::InvalidArgumentError(
        StrCat("invalid environment variable format at line ", number_, ": ", why));
  }

 private:
  std::string_view left_;
  int number_ = 0;
};

// What stands between the quote that `rest` begins after and its end, maybe lines further on.
absl::StatusOr<std::string> Quoted(std::string_view rest, Lines* lines) {
  std::string value;
  for (;;) {
    const size_t end = rest.find('\'');
    if (end != std::string_view::npos) {
      value += rest.substr(0, end);
      const std::string_view after = TrimLeft(rest.substr(end + 1));
      if (!after.empty() && after.front() != '#')
        return lines->Refuse("unexpected content after closing quote");
      return value;
    }
    value += rest;
    value += '\n';
    const auto next = lines->Next();
    if (!next) return lines->Refuse("unclosed single quote");
    rest = *next;
  }
}

}  // namespace

absl::StatusOr<std::string> EnvFileValue(std::string_view text, std::string_view key) {
  Lines lines(text);
  while (const auto next = lines.Next()) {
    const std::string_view line = TrimLeft(*next);
    if (line.empty() || line.front() == '#') continue;
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) return lines.Refuse("missing '='");
    const std::string_view name = line.substr(0, equals);
    if (name.find_first_not_of(kBlank) == std::string_view::npos)
      return lines.Refuse("empty variable name");
    if (kBlank.find(name.back()) != std::string_view::npos)
      return lines.Refuse("whitespace before '=' is not allowed");
    const std::string_view value = line.substr(equals + 1);
    // As in a shell, `A= 'x'` leaves A empty.
    if (!value.empty() && kBlank.find(value.front()) != std::string_view::npos) {
      if (name == key) return std::string();
      continue;
    }
    if (value.empty() || value.front() != '\'')
      return lines.Refuse("value must be enclosed in single quotes");
    auto quoted = Quoted(value.substr(1), &lines);
    if (!quoted.ok() || name == key) return quoted;
  }
  return std::string();
}

}  // namespace keelson::cri
