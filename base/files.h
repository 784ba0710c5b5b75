// SPDX-License-Identifier: Apache-2.0
// Files of ours and files of strangers. Blocking calls: on the loop only for small local files, else
// through the BlockingPool. Any thread; no state. Errors carry errno's meaning and name the path.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"

namespace keelson::base {

// The whole file; ResourceExhausted when it is longer than `max_bytes`.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes = 1 << 20);
absl::StatusOr<std::string> ReadFd(int fd, size_t max_bytes, std::string_view name);

// Writes existing control files (/proc, /sys, cgroupfs) in one write(2).
absl::Status WriteControlFile(const std::string& path, std::string_view data);

// After success the file holds `data` even across a power cut: temporary name, write, fsync, rename,
// fsync of the directory. After failure the old content stands. With `durable` false both fsyncs are
// left out: atomic for readers, and lost on a power cut.
absl::Status WriteFileAtomic(const std::string& path, std::string_view data, mode_t mode,
                             bool durable = true);

// mkdir -p; existing directories keep their mode. `mode` is applied regardless of umask to new ones.
absl::Status MakeDirs(const std::string& path, mode_t mode);

// Opens `relative` under `dir_fd` as if that were the root: symlinks and `..` cannot leave it.
// openat2(2) RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS.
absl::StatusOr<UniqueFd> OpenInRoot(int dir_fd, const std::string& relative, int flags,
                                    mode_t mode = 0);
// As above, but any symlink on the way is an error: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS.
absl::StatusOr<UniqueFd> OpenBeneath(int dir_fd, const std::string& relative, int flags,
                                     mode_t mode = 0);
absl::StatusOr<UniqueFd> OpenDir(const std::string& path);

// Names in a directory without . and .., sorted; at most `max_entries` (ResourceExhausted beyond).
absl::StatusOr<std::vector<std::string>> ListDir(const std::string& path,
                                                 size_t max_entries = 1 << 20);

// rm -r that never leaves the file system `path` is on and never follows a symlink: what lies beyond
// a mount is somebody's data. OK if nothing is there; FailedPrecondition names a mount in the way.
absl::Status RemoveTree(const std::string& path);

bool PathExists(const std::string& path);

// Joins with exactly one slash. Neither part is checked.
std::string JoinPath(std::string_view a, std::string_view b);

}  // namespace keelson::base
