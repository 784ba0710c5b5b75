// SPDX-License-Identifier: Apache-2.0
// Volumes of pods as the pod worker uses them: everything a pod's containers mount exists before they
// are created and is gone before the pod is. Loop only; system calls that may block run on the pool.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/task.h"
#include "proto/k8s/pod.pb.h"

namespace keelson::csi {

using PodPtr = std::shared_ptr<const k8s::v1::Pod>;

struct MountedVolume {
  std::string host_path;
  bool read_only = false;  // whatever the mounts ask for
};

class PodVolumes {
 public:
  virtual ~PodVolumes() = default;

  // Sets up every volume that a container of the pod mounts, all at the same time, each again until
  // it works; returns them by name. Idempotent: what is there stays as it is, with its data. From now
  // on what volumes show of objects, and of the pod itself, is kept up to date. An error says which
  // volumes are missing after two minutes, or cannot be had at all. When the task is cancelled,
  // what was begun goes on; Unmount awaits it.
  virtual base::Task<absl::StatusOr<std::map<std::string, MountedVolume>>> Mount(PodPtr pod) = 0;

  // Another object of a pod whose volumes are here; of other pods nothing happens.
  virtual void Update(PodPtr pod) = 0;

  // The directory or file `sub_path` of a mounted volume, bound to a path of ours so that a container
  // that swaps the path for a link cannot lead us out (CVE-2021-25741). `index` is the mount's place in
  // the container's volumeMounts. A missing directory is made, with the mode of the one above.
  virtual base::Task<absl::StatusOr<std::string>> BindSubPath(std::string pod_uid,
                                                              std::string volume,
                                                              MountedVolume mounted,
                                                              std::string container, int index,
                                                              std::string sub_path) = 0;

  // Afterwards nothing of the pod is mounted and its emptyDirs are removed. OK if nothing was there.
  virtual base::Task<absl::Status> Unmount(std::string pod_uid) = 0;
};

}  // namespace keelson::csi
