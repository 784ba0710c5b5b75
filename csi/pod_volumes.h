// SPDX-License-Identifier: Apache-2.0
// The volumes of this node's pods. Types: emptyDir (disk, memory, huge pages), hostPath, and those
// made of objects: configMap, secret, downwardAPI, projected. Every other type is refused: nothing is
// silently left out of a pod.
//
// The disk is the memory: after a restart a pod's volumes are found in its directory, taken over
// when the pod still wants them, and torn down when it does not.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "csi/objects.h"
#include "csi/volume_plugin.h"
#include "csi/volumes.h"

namespace keelson::csi {

struct PodVolumesOptions {
  std::string root_dir = "/var/lib/kubelet";
  int64_t node_memory_bytes = 0;  // allocatable: the upper bound of memory-backed emptyDirs
  ObjectSource* objects = nullptr;  // outlives the volumes; null on a node without an API server
  std::map<std::string, std::string> allocatable = {};  // quantities, for resourceFieldRef
  // Told of each failed attempt, in the words of an event FailedMount.
  std::function<void(const k8s::v1::Pod& pod, std::string message)> on_failure = {};
};

std::unique_ptr<PodVolumes> MakePodVolumes(base::Loop& loop, PodVolumesOptions options);

// The same with these types instead, for tests of what all types share. `root_dir`, `objects` and
// `on_failure` count of the options.
std::unique_ptr<PodVolumes> MakePodVolumes(base::Loop& loop, PodVolumesOptions options,
                                           std::vector<std::unique_ptr<VolumePlugin>> plugins);

}  // namespace keelson::csi
