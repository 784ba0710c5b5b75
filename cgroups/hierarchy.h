// SPDX-License-Identifier: Apache-2.0
// Which cgroup hierarchies this node has and where they are mounted. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace keelson::cgroups {

struct Hierarchies {
  // cgroup v1: controller ("cpu", "memory", ..., "systemd" for name=systemd) -> mount point. Several
  // controllers may share one. "unified" is a v2 mount beside them (hybrid): it has no controllers
  // to give, but the runtime makes groups there, which end with the pod's.
  std::map<std::string, std::string> v1;
  // cgroup v2 mount point that has controllers to give; empty otherwise.
  std::string v2;
  bool is_v2() const { return !v2.empty() && v1.empty(); }
};

// From mountinfo text (proc(5)).
Hierarchies ParseHierarchies(std::string_view mountinfo);

// InvalidArgument with upstream's words when the node has cgroup v1 and `fail_on_v1` is set.
absl::Status CheckCgroupVersion(const Hierarchies& hierarchies, bool fail_on_v1);

// InvalidArgument when `proc_swaps` (text of /proc/swaps) lists a swap device.
absl::Status CheckSwapOff(std::string_view proc_swaps);

// cpu.weight of cgroup v2 for v1 shares, and back (KEP-2254).
uint64_t WeightFromShares(uint64_t shares);
uint64_t SharesFromWeight(uint64_t weight);

}  // namespace keelson::cgroups
