// SPDX-License-Identifier: Apache-2.0
#include "cgroups/factory.h"

#include "base/strings.h"
#include "cgroups/drivers.h"

namespace keelson::cgroups {

absl::StatusOr<std::unique_ptr<PodCgroups>> MakePodCgroups(base::Loop& loop,
                                                           PodCgroupsOptions options) {
  if (options.hierarchies.v1.empty() && !options.hierarchies.is_v2())
    return absl::InvalidArgumentError("no cgroup hierarchy is mounted");
  if (options.driver == "cgroupfs") return MakeCgroupfsDriver(loop, std::move(options));
  return absl::UnimplementedError(base::StrCat(
      "cgroup driver \"", options.driver,
      "\" is not served yet; set cgroupDriver to cgroupfs here and SystemdCgroup to false in the "
      "runtime"));
}

}  // namespace keelson::cgroups
