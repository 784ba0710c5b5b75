// SPDX-License-Identifier: Apache-2.0
// $(NAME) in commands, arguments, environment values and subPathExpr (kubernetes core/v1:
// Container). Pure; any thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace keelson::cri {

struct EnvVar {
  std::string name;
  std::string value;
  bool operator==(const EnvVar&) const = default;
};

// Replaces each $(NAME) by `lookup(NAME)`; where that is nullopt the reference stays as written. $$
// is a dollar sign; anything else after a dollar stays.
std::string Expand(std::string_view text,
                   const std::function<std::optional<std::string>(std::string_view)>& lookup);

// The same with the names of `env`; of equal names the last counts.
std::string Expand(std::string_view text, const std::vector<EnvVar>& env);

// A mount's subPathExpr: every name must have a value that is not empty, else InvalidArgument
// "missing value for A, B".
absl::StatusOr<std::string> ExpandSubPath(std::string_view expression,
                                          const std::vector<EnvVar>& env);

}  // namespace keelson::cri
