// SPDX-License-Identifier: Apache-2.0
// Asks the runtime what it has: lists of everything or of one pod, and the status of what a list
// does not tell enough about.
//
// Loop only. What a task is given to fill in outlives it, and so does this. Errors are the
// runtime's.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "base/loop.h"
#include "cri/runtime.h"
#include "kubelet/runtime_view.h"

namespace keelson::kubelet {

class RuntimeReader {
 public:
  using Listing = std::map<PodUid, ObservedPod>;  // ids and states only

  RuntimeReader(base::Loop& loop, cri::Runtime& runtime) : loop_(loop), runtime_(runtime) {}

  // Of one pod, or of all when `uid` is empty. What no kubelet made is left out.
  base::Task<absl::StatusOr<Listing>> List(std::string uid);
  // Fills in what a list does not tell; `pids`: process ids too, which costs the runtime more. What
  // has the state it has in `known` is not asked about.
  base::Task<absl::Status> Inspect(ObservedPod* pod, const ObservedPod* known, bool pids);
  // The same by its id. A sandbox that is gone is not ready; a container that is gone is NotFound.
  base::Task<absl::Status> InspectSandbox(ObservedSandbox* sandbox, bool pids);
  base::Task<absl::Status> InspectContainer(ObservedContainer* container, bool pids);

 private:
  base::Loop& loop_;
  cri::Runtime& runtime_;
};

}  // namespace keelson::kubelet
