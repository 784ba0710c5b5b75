// SPDX-License-Identifier: Apache-2.0
// One argument of `nodectl port-forward`. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace keelson::nodectl {

struct ForwardedPort {
  uint16_t local = 0;  // 0: any
  uint16_t remote = 0;
};
// LOCAL:REMOTE, :REMOTE, or PORT for both.
absl::StatusOr<ForwardedPort> ParseForwardedPort(const std::string& text);

}  // namespace keelson::nodectl
