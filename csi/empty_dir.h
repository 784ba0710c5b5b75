// SPDX-License-Identifier: Apache-2.0
// The emptyDir volume: a directory of the pod's own, on disk, in memory or in huge pages.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "base/loop.h"
#include "csi/volume_plugin.h"

namespace keelson::csi {

// A directory for all, as plain data, so that making it can leave the loop.
struct FreshDir {
  std::string path;
  std::string fs_type;  // tmpfs or hugetlbfs; empty: on disk
  std::string options;  // of the mount
  std::optional<gid_t> group;
  mode_t mode = 0777;
};

// Makes and mounts what is not there; what is there stays as it is, with its mode. Blocking.
absl::Status MakeFreshDir(const FreshDir& dir);

// The group that the pod's volumes belong to.
std::optional<gid_t> FsGroupOf(const k8s::v1::Pod& pod);

// `node_memory_bytes`: the upper bound of a directory in memory.
std::unique_ptr<VolumePlugin> MakeEmptyDirPlugin(base::Loop& loop, int64_t node_memory_bytes);

}  // namespace keelson::csi
