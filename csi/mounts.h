// SPDX-License-Identifier: Apache-2.0
// mount(2) and its newer relatives, by descriptor where a container could move the path.
// Blocking: through the pool. No state.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"

namespace keelson::csi {

// Mount points in mountinfo text (proc(5)) at or below `dir`, the deepest and latest first: the order
// to unmount them in.
std::vector<std::string> MountsBelow(std::string_view mountinfo, std::string_view dir);

// A tmpfs or hugetlbfs with these options at `path`, unless one is mounted there: then false.
absl::StatusOr<bool> MountFresh(const std::string& fs_type, const std::string& path,
                                const std::string& options);

// Makes `target` show the object behind `source_fd` (open_tree(2), move_mount(2)): no path of the
// source is walked again. `target` exists and is of the same kind.
absl::Status BindFd(int source_fd, const std::string& target);

// Unmounts everything at or below `dir`, whose way there may be a link. A busy mount is detached:
// its users keep it, nobody new reaches it.
absl::Status UnmountBelow(const std::string& dir);

// True when both descriptors are the same object of the same file system.
bool SameObject(int a, int b);

}  // namespace keelson::csi
