// SPDX-License-Identifier: Apache-2.0
// What nobody owns: pods in the runtime without a worker, and directories, mounts and cgroups of
// pods that are gone.
//
// Loop only; its two tasks run in the owner's group. Traces without an owner come from crashes
// only: one look soon after the start, when pods that wait to start have gone first, and one now
// and then.
#pragma once

#include <functional>
#include <vector>

#include "kubelet/pod_services.h"

namespace keelson::kubelet {

class Leftovers {
 public:
  // `knows`: a pod is wanted or in hand. `end` takes a pod in hand that the runtime has and nobody
  // knows. Neither waits.
  Leftovers(PodServices& services, std::function<bool(const PodUid&)> knows,
            std::function<void(const PodUid&)> end);

  // Every source has spoken: from now on what is not known is nobody's.
  void Start() { ready_.Set(); }
  // The runtime shows a pod that nobody knows. REQUIRES: after Start.
  void LookForStrangers() { stranger_.Set(); }

  // These end when they are cancelled.
  base::Task<void> EndStrangers();
  base::Task<void> Sweep();

 private:
  base::Task<void> EndUnknownPods();
  base::Task<void> RemoveTraces();
  bool Owned(const PodUid& uid) const;

  PodServices& s_;
  const std::function<bool(const PodUid&)> knows_;
  const std::function<void(const PodUid&)> end_;
  base::Wakeup ready_, stranger_;
};

}  // namespace keelson::kubelet
