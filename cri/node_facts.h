// SPDX-License-Identifier: Apache-2.0
// What the mapping must know of this machine. Blocking reads of /sys, a few files; once at start.
#pragma once

#include <string>
#include <vector>

namespace keelson::cri {

// Sizes of huge pages the kernel has, in cgroups' names ("2MB", "1GB"), smallest first; empty when
// it has none. `sys` is /sys, or a test's.
std::vector<std::string> HugePageSizes(const std::string& sys = "/sys");

// The existing .../cpuN/thermal_throttle directories of all CPUs: masked in containers, because
// they tell what runs beside them.
std::vector<std::string> ThermalThrottlePaths(const std::string& sys = "/sys");

}  // namespace keelson::cri
