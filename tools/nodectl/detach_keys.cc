// SPDX-License-Identifier: Apache-2.0
#include "tools/nodectl/detach_keys.h"

#include <optional>

#include "base/strings.h"

namespace keelson::nodectl {
namespace {

constexpr std::string_view kCtrl = "ctrl-";

std::optional<char> KeyOf(std::string_view name) {
  if (name.size() == 1) return name[0];
  if (!name.starts_with(kCtrl) || name.size() != kCtrl.size() + 1) return std::nullopt;
  const char key = name.back();
  const bool has_control = (key >= 'a' && key <= 'z') || key == '@' || (key >= '[' && key <= '_');
  if (!has_control) return std::nullopt;
  return static_cast<char>(key & 0x1f);  // as a terminal sends it
}

}  // namespace

absl::StatusOr<DetachKeys> DetachKeys::Parse(const std::string& text) {
  DetachKeys parsed;
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    const std::string_view name = rest.substr(0, comma);
    const std::optional<char> key = KeyOf(name);
    if (!key || comma == rest.size() - 1)
      return absl::InvalidArgumentError(
          base::StrCat("--detach-keys ", text, ": \"", key ? "" : name,
                       "\" is no key; keys are single characters or ctrl-a to ctrl-z"));
    parsed.keys_ += *key;
    rest = comma == rest.npos ? std::string_view() : rest.substr(comma + 1);
  }
  return parsed;
}

bool DetachKeys::Take(std::string_view typed, std::string* out) {
  for (char c : typed) {
    if (keys_.empty()) {
      *out += c;
      continue;
    }
    if (c != keys_[matched_]) {
      out->append(keys_, 0, matched_);
      matched_ = 0;
      if (c != keys_[0]) {
        *out += c;
        continue;
      }
    }
    if (++matched_ < keys_.size()) continue;
    matched_ = 0;
    return true;
  }
  return false;
}

}  // namespace keelson::nodectl
