// SPDX-License-Identifier: Apache-2.0
// subPath of volume mounts. The volume belongs to containers that may exchange a directory for a link at
// any moment (CVE-2017-1002101, CVE-2021-25741), so the kernel resolves the path once, beneath the
// volume, and all else is done with the descriptor it gave. Blocking.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/fd.h"

namespace keelson::csi {

// Opens `sub_path` beneath `volume_root`; links that stay beneath it are followed. Missing directories
// are made with the mode of the directory above them.
absl::StatusOr<base::UniqueFd> OpenSubPath(const std::string& volume_root,
                                           const std::string& sub_path);

// Shows what `source_fd` is at `target`, making the mount point. What an earlier container bound there
// stays when it is the same object and is replaced when it is not.
absl::Status BindSubPathAt(int source_fd, const std::string& target);

}  // namespace keelson::csi
