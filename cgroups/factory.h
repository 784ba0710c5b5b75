// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/loop.h"
#include "cgroups/hierarchy.h"
#include "cgroups/pod_cgroups.h"

namespace keelson::cgroups {

struct PodCgroupsOptions {
  std::string driver = "cgroupfs";  // or systemd
  std::string cgroup_root = "/";    // parent of kubepods
  Hierarchies hierarchies;
};

// InvalidArgument when the node lacks what the options ask for.
absl::StatusOr<std::unique_ptr<PodCgroups>> MakePodCgroups(base::Loop& loop,
                                                           PodCgroupsOptions options);

}  // namespace keelson::cgroups
