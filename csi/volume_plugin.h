// SPDX-License-Identifier: Apache-2.0
// One type of volume. A new type is a new plugin in MakePodVolumes' list; what all types share
// (whose volumes there are, when to try again, what to say, what a restart left) is the manager's
// (pod_volumes.cc), which never has two calls for one volume in progress.
// Loop only; a plugin sends what may block to the pool.
#pragma once

#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/task.h"
#include "csi/volumes.h"

namespace keelson::csi {

// One volume of a pod, by value: the manager may forget the pod meanwhile.
struct VolumeRequest {
  PodPtr pod;
  k8s::v1::Volume volume;
  std::string dir;  // ROOT/pods/UID/volumes/PLUGIN~NAME/VOLUME, where the volume is to be
};

class VolumePlugin {
 public:
  explicit VolumePlugin(std::string name) : name_(std::move(name)), dir_name_(name_) {
    std::replace(dir_name_.begin(), dir_name_.end(), '/', '~');
  }
  virtual ~VolumePlugin() = default;

  const std::string& name() const { return name_; }          // kubernetes.io/empty-dir
  const std::string& dir_name() const { return dir_name_; }  // kubernetes.io~empty-dir

  virtual bool Serves(const k8s::v1::VolumeSource& source) const = 0;

  // Afterwards the volume is as its pod and its objects say now. Idempotent, also across a restart
  // of the agent: what is there stays. An error may leave parts; another call or TearDown finds them.
  virtual base::Task<absl::StatusOr<MountedVolume>> SetUp(VolumeRequest request) = 0;

  // Whether its files follow objects or the pod itself: SetUp is called again when those change.
  virtual bool follows_changes() const { return false; }

  // What must be done before everything mounted at or below `dir` is unmounted and `dir` removed;
  // after a restart the path is all that is known. OK if nothing was there.
  virtual base::Task<absl::Status> TearDown(std::string /*dir*/) { co_return absl::OkStatus(); }

 private:
  const std::string name_;
  std::string dir_name_;
};

}  // namespace keelson::csi
