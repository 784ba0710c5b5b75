// SPDX-License-Identifier: Apache-2.0
// Which pods make room for a critical one: as few as possible, best-effort before burstable before
// guaranteed ones, of equals the smaller (upstream's kubelet/preemption). Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kubelet/pod.h"
#include "kubelet/status.h"

namespace keelson::kubelet {

// What is missing for a pod to fit.
struct Shortage {
  std::string resource;  // cpu, memory, pods, ephemeral-storage, ...
  int64_t amount = 0;    // milli-CPUs, bytes, pieces; more than 0
};

// `pods` that may have to go for `pod`; InvalidArgument, in upstream's words, when all together
// would not do.
absl::StatusOr<std::vector<const v1::Pod*>> PodsToPreempt(const v1::Pod& pod,
                                                          const std::vector<const v1::Pod*>& pods,
                                                          const std::vector<Shortage>& shortages);

// Whether `other` may be ended for `pod`.
bool MayPreempt(const v1::Pod& pod, const v1::Pod& other);

// What a pod gets that is ended so; reason and message are those of its event, too.
PodVerdict Preempted();

}  // namespace keelson::kubelet
