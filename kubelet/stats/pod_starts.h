// SPDX-License-Identifier: Apache-2.0
// How long pods of the API server take to start, as the service level indicator of pod startup
// latency counts it: until the API server shows all containers running, without the time of pulling
// images and of init containers. Loop only.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "kubelet/pod.h"
#include "kubelet/stats/kubelet_metrics.h"

namespace keelson::kubelet {

// Begin and end.
using TimeSpan = std::pair<base::WallTime, base::WallTime>;

// How much time the spans cover; what overlaps counts once. Pure.
base::Nanos Covered(std::vector<TimeSpan> spans);

class PodStarts {
 public:
  // `metrics` outlives it.
  explicit PodStarts(KubeletMetrics& metrics) : metrics_(metrics) {}

  // A pull for the pod ended now and took so long.
  void Pulled(const PodUid& uid, base::WallTime now, base::Nanos took);
  // The pod as the API server shows it now; null: it is gone. A pod that had begun to start when it
  // was first seen is not counted, nor is a mirror pod.
  void Watched(const PodUid& uid, const v1::Pod* pod, base::WallTime now);

 private:
  KubeletMetrics& metrics_;
  std::map<PodUid, std::vector<TimeSpan>> pulls_;  // of pods that start
  std::map<PodUid, bool> known_;                   // all pods; true: counted, or never to be
};

}  // namespace keelson::kubelet
