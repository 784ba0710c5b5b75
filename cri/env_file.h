// SPDX-License-Identifier: Apache-2.0
// Files of environment variables that containers leave for each other (KEP-3721):
//   # comment
//   NAME='value, which may
//   span lines'
// Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace keelson::cri {

// The value of `key`, its first one; empty when it has none. InvalidArgument names the line that no
// reader could take, if it comes before the key.
absl::StatusOr<std::string> EnvFileValue(std::string_view text, std::string_view key);

}  // namespace keelson::cri
