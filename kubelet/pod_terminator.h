// SPDX-License-Identifier: Apache-2.0
// Ends the containers of one pod in the right order and within their grace periods. Loop only; lives
// as long as one termination and reads the worker it belongs to.
//
// Regular containers end at the same time. A sidecar ends after all of them and after the sidecars
// behind it (KEP-753); waiting for its turn uses up its grace, as preStop hooks do. SIGKILL at the end
// of the grace is the runtime's.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/task.h"
#include "kubelet/plan.h"
#include "kubelet/runtime_view.h"

namespace keelson::kubelet {

class PodWorker;

class PodTerminator {
 public:
  explicit PodTerminator(PodWorker& worker);

  // Until no container and no sandbox of the pod runs any more. Never gives up.
  base::Task<void> Run();
  // One try: every container that may run, then every sandbox.
  base::Task<absl::Status> StopEverything();
  // One container, for a restart.
  base::Task<absl::Status> StopOne(KillAction action);

 private:
  // What containers that end later wait for.
  struct Turn {
    int left = 0;
    base::Wakeup done;
  };

  base::Task<bool> TryOnce();
  base::Task<absl::Status> Stop(ObservedContainer container, std::chrono::seconds grace,
                                std::shared_ptr<Turn> after, std::shared_ptr<Turn> own);
  base::Task<void> RunPreStop(ObservedContainer container, std::chrono::seconds limit,
                              std::shared_ptr<Turn> own);
  // Until nobody of `turn` is left, or `deadline`; says whether nobody is.
  base::Task<bool> Await(std::shared_ptr<Turn> turn, base::MonoTime deadline);
  base::Task<void> ShortenWhenAsked();
  std::chrono::seconds GraceOf(const std::string& container, std::optional<KillCause> cause) const;

  PodWorker& w_;
};

// The order containers end in: 0 first. Pure.
int StopStage(const v1::Pod& pod, const std::string& container);
// Seconds a container gets: the override, else the pod's own; at least 1.
int64_t GraceSeconds(const v1::Pod& pod, std::optional<int64_t> override_seconds,
                     const v1::Probe* failed_probe);

}  // namespace keelson::kubelet
