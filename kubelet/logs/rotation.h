// SPDX-License-Identifier: Apache-2.0
// Rotation of a container's log: the live file `<n>.log`, one plain rotated file
// `<n>.log.YYYYMMDD-HHMMSS`, older ones with .gz (upstream's container log manager).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "base/time.h"

namespace keelson::kubelet {

// In the order in which it is done.
struct RotationPlan {
  std::vector<std::string> remove;    // leftovers of a broken rotation, and the oldest
  std::vector<std::string> compress;  // to <name>.gz
  std::string rotated;                // what the live file is renamed to
};

// What to do before the live file `name` is rotated: `names` are all names of its directory,
// `stamp` is RotationStamp(now). At most `max_files` files are left, the new live one included.
// Pure.
RotationPlan PlanRotation(const std::string& name, std::vector<std::string> names, int max_files,
                          const std::string& stamp);

// YYYYMMDD-HHMMSS in local time.
std::string RotationStamp(base::WallTime time);

// Carries out the plan in `dir` but for the reopening: afterwards the live file has its rotated
// name and does not exist. Blocks: for the pool. On failure the live file is where it was, and the
// next rotation finishes the rest. AlreadyExists: the rotated name is taken, try again a second
// later.
absl::Status Rotate(const base::UniqueFd& dir, const std::string& name, const RotationPlan& plan);

}  // namespace keelson::kubelet
