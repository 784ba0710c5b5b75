// SPDX-License-Identifier: Apache-2.0
// Files of a volume that change all at once. The layout is the kubelet's, and programs rely on it:
//   ..2026_11_23_13_00_00.1234567890/   one generation of files
//   ..data -> ..2026_11_23_13_00_00.1234567890
//   name   -> ..data/name               for each first path element
// Blocking: through the pool. One writer per directory. No state but the disk's.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace keelson::csi {

struct ProjectedFile {
  std::string data;
  mode_t mode = 0644;
  std::optional<uid_t> owner = {};
  bool operator==(const ProjectedFile&) const = default;
};
using Payload = std::map<std::string, ProjectedFile>;  // by path inside the volume

// `path` without empty and `.` elements. InvalidArgument for what may not name a file of a volume:
// absolute, `..`, a first element that starts with `..`, longer than 4096 or 255 in one element.
absl::StatusOr<std::string> CleanPayloadPath(std::string_view path);

// Afterwards `dir` (which exists) shows exactly `payload`. Nothing is written when it does already.
// After a crash at any step readers see the old or the new files, and the next call tidies up.
// With `group`, files are readable by it and directories are its own (fsGroup of a read-only one).
absl::Status WritePayload(const std::string& dir, const Payload& payload,
                          std::optional<gid_t> group);

}  // namespace keelson::csi
