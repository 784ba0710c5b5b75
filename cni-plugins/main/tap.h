// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cni-plugins/lib/status.h"

namespace keelson::cni {

struct TapSpec {
  std::string name;
  bool multi_queue = false;
  std::optional<int64_t> owner;  // uid that may open it; none: anybody with CAP_NET_ADMIN
  std::optional<int64_t> group;
};

// Makes a persistent tap device in the current namespace. On failure nothing is left.
Status MakeTapDevice(const TapSpec& spec);

}  // namespace keelson::cni
