// SPDX-License-Identifier: Apache-2.0
// Stacks as a profile of the pprof tool. Pure. Addresses are left for pprof to name, which has the
// program's file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"

namespace keelson::kubelet {

struct CpuSamples {
  std::vector<std::vector<uintptr_t>> stacks;  // return addresses, innermost first
  base::Nanos period{};
  base::WallTime began;
  base::Nanos lasted{};
};

// Serialized perftools.profiles.Profile. `maps`: text of /proc/self/maps.
std::string EncodeProfile(const CpuSamples& samples, std::string_view maps);

}  // namespace keelson::kubelet
