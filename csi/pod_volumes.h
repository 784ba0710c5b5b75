// SPDX-License-Identifier: Apache-2.0
// The volumes a node serves by itself: emptyDir (disk, memory, huge pages) and hostPath. Every other
// type is refused with its name: nothing is silently left out of a pod.
#pragma once

#include <memory>
#include <string>

#include "base/loop.h"
#include "csi/volumes.h"

namespace keelson::csi {

struct PodVolumesOptions {
  std::string root_dir = "/var/lib/kubelet";
  int64_t node_memory_bytes = 0;  // allocatable: the upper bound of memory-backed emptyDirs
};

std::unique_ptr<PodVolumes> MakePodVolumes(base::Loop& loop, PodVolumesOptions options);

}  // namespace keelson::csi
