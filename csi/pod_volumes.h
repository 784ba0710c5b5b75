// SPDX-License-Identifier: Apache-2.0
// The volumes a node serves by itself: emptyDir (disk, memory, huge pages) and hostPath, and those
// made of objects: configMap, secret, downwardAPI, projected. Every other type is refused: nothing is
// silently left out of a pod.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/loop.h"
#include "csi/objects.h"
#include "csi/volumes.h"

namespace keelson::csi {

struct PodVolumesOptions {
  std::string root_dir = "/var/lib/kubelet";
  int64_t node_memory_bytes = 0;  // allocatable: the upper bound of memory-backed emptyDirs
  ObjectSource* objects = nullptr;  // outlives the volumes; null on a node without an API server
  std::map<std::string, std::string> allocatable = {};  // quantities, for resourceFieldRef
};

std::unique_ptr<PodVolumes> MakePodVolumes(base::Loop& loop, PodVolumesOptions options);

}  // namespace keelson::csi
