// SPDX-License-Identifier: Apache-2.0
#include "cri/expand.h"

#include <algorithm>
#include <set>

#include "base/strings.h"

namespace keelson::cri {
namespace {

std::optional<std::string> Find(const std::vector<EnvVar>& env, std::string_view name) {
  auto it = std::find_if(env.rbegin(), env.rend(), [&](const EnvVar& v) { return v.name == name; });
  if (it == env.rend()) return std::nullopt;
  return it->value;
}

}  // namespace

std::string Expand(std::string_view text,
                   const std::function<std::optional<std::string>(std::string_view)>& lookup) {
  std::string out;
  while (true) {
    const size_t dollar = text.find('$');
    out += text.substr(0, dollar);
    if (dollar == text.npos) return out;
    text.remove_prefix(dollar + 1);
    if (text.starts_with('$')) {
      out += '$';
      text.remove_prefix(1);
      continue;
    }
    const size_t close = text.starts_with('(') ? text.find(')') : text.npos;
    if (close == text.npos) {  // no reference: the dollar is itself
      out += '$';
      continue;
    }
    const std::string_view name = text.substr(1, close - 1);
    if (auto value = lookup(name))
      out += *value;
    else
      base::StrAppend(&out, "$(", name, ")");
    text.remove_prefix(close + 1);
  }
}

std::string Expand(std::string_view text, const std::vector<EnvVar>& env) {
  return Expand(text, [&](std::string_view name) { return Find(env, name); });
}

absl::StatusOr<std::string> ExpandSubPath(std::string_view expression,
                                          const std::vector<EnvVar>& env) {
  std::set<std::string> missing;
  std::string expanded = Expand(expression, [&](std::string_view name) {
    auto value = Find(env, name);
    if (!value || value->empty()) missing.emplace(name);
    return std::optional(value.value_or(""));
  });
  if (missing.empty()) return expanded;
  std::string names;
  for (const std::string& name : missing) base::StrAppend(&names, names.empty() ? "" : ", ", name);
  return absl::InvalidArgumentError(base::StrCat("missing value for ", names));
}

}  // namespace keelson::cri
