// SPDX-License-Identifier: Apache-2.0
// One pod from first sight to last trace.
//
// Loop only. A worker never waits for one thing while another could go on: each round looks, plans and
// starts the calls the plan asks for; every call is a task of its own that wakes the worker when it
// ends. A container with a call in progress is "busy" and left out of plans.
//
// The phases go one way: syncing -> terminating -> terminated -> finished. Terminated pods whose
// manifest is still there (they succeeded or failed) stay terminated, with their logs, until it goes.
// Destroying a worker leaves everything in the runtime as it is: a new one picks it up.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/loop.h"
#include "kubelet/container_starter.h"
#include "kubelet/plan.h"
#include "kubelet/pod.h"
#include "kubelet/pod_images.h"
#include "kubelet/pod_services.h"
#include "kubelet/status.h"

namespace keelson::kubelet {

enum class WorkerPhase { kSyncing, kTerminating, kTerminated, kFinished };
std::string_view WorkerPhaseName(WorkerPhase phase);

struct TerminateRequest {
  // Seconds; wins over the pod's own. May be called again with less.
  std::optional<int64_t> grace;
  // Why, when it is not the pod's own doing (eviction, rejection).
  std::optional<PodVerdict> verdict;
  // The pod is no longer wanted: nothing of it shall be left.
  bool removed = false;
};

class PodWorker {
 public:
  // `on_change` runs whenever status() or phase() changed; it must not destroy the worker.
  PodWorker(PodServices& services, PodPtr pod, base::WallTime first_seen,
            std::function<void(PodWorker&)> on_change);
  ~PodWorker();

  // Until the pod is finished.
  base::Task<void> Run();
  // Cancels the calls in progress and waits for them: for the agent's own shutdown.
  base::Task<void> Close();

  // Another object of the same pod.
  void Update(PodPtr pod);
  // The same pod, of which only the object's status differs: wakes when conditions of others do.
  void UpdateObject(PodPtr pod);
  void Terminate(TerminateRequest request);
  // The source wants this very pod again while it ends: its containers stay, for the next worker to
  // count their restarts from.
  void SetWantedAgain(bool wanted) { wanted_again_ = wanted; }
  // Something changed: look again.
  void Wake() { wake_.Set(); }

  const v1::Pod& pod() const { return *pod_; }
  const PodPtr& pod_ptr() const { return pod_; }
  const PodUid& uid() const { return uid_; }
  WorkerPhase phase() const { return phase_; }
  const v1::PodStatus& status() const { return status_; }
  bool removed() const { return removed_; }
  // A container may run, or be made to.
  bool may_run() const { return !stopped_; }
  // What the worker waits for now, for people.
  std::string Doing() const;

 private:
  friend class PodTerminator;

  struct Failure {  // of something that is tried again
    Waiting waiting;
    base::MonoTime retry_at;
    base::Nanos delay{0};
  };

  base::Task<void> Sync();
  base::Task<void> SyncOnce();
  base::Task<bool> Look();
  void Remember();
  PodPlan Plan() const;
  void Act(const PodPlan& plan);
  void ActStarts(const PodPlan& plan);
  bool MayStart(const StartAction& action);
  void Begin(const StartAction& action);
  void BeginVolumes();
  void Prefetch();
  void CheckDeadline();
  void LookAgainAt(base::MonoTime when);
  void Enter(WorkerPhase next);
  // False when there was nothing new to say.
  bool Publish(const PodPlan* plan);
  void UpdateProbes();
  ObservedPod Shown() const;
  std::map<std::string, Waiting> WaitingReasons(const PodPlan* plan) const;
  std::optional<Failure> NextFailure(const std::optional<Failure>& last, Waiting waiting) const;

  base::Task<void> MakeVolumeDirs();
  base::Task<void> MountVolumes();
  base::Task<void> CreateSandbox(uint32_t attempt, bool replaces);
  base::Task<absl::Status> ReplaceSandbox();
  base::Task<absl::StatusOr<std::string>> RuntimeHandler(PodPtr pod);
  base::Task<absl::Status> RunSandbox(uint32_t attempt);
  base::Task<void> StartContainer(StartAction action, ImageState image);
  base::Task<void> KillContainer(KillAction action);
  base::Task<void> RemoveContainer(std::string id, bool keep_logs);
  base::Task<void> RemoveSandbox(std::string id);
  base::Task<void> ReadMessages();

  base::Task<void> CleanUp();
  base::Task<absl::Status> ReleaseResources();
  base::Task<absl::Status> RemoveEverything();

  // Fixed.
  PodServices& s_;
  const PodUid uid_;
  const base::WallTime first_seen_;
  const base::MonoTime first_seen_mono_;
  const std::function<void(PodWorker&)> on_change_;

  // What is wanted.
  PodPtr pod_;
  std::map<std::string, std::string> hashes_;
  std::optional<int64_t> grace_;
  std::optional<PodVerdict> verdict_;
  bool removed_ = false;
  bool wanted_again_ = false;

  // How far we are.
  WorkerPhase phase_ = WorkerPhase::kSyncing;
  bool stopped_ = false;    // the last container has ended, and none is made any more
  bool published_ = false;  // status_ is ours, not what an earlier life left at the API server
  std::optional<std::map<std::string, csi::MountedVolume>> volumes_;
  bool mounting_ = false;
  bool sandbox_busy_ = false;
  std::set<std::string> busy_;      // names of containers with a call in progress
  std::set<std::string> hooked_;    // of these: starting, with a postStart hook that has not ended
  std::set<std::string> removing_;  // ids
  std::optional<Failure> volume_failure_, sandbox_failure_;
  std::map<std::string, Failure> start_failures_;  // by container name
  BackoffTable crash_backoff_;
  std::map<std::string, base::MonoTime> ended_;          // by container id
  std::set<std::string> start_again_;  // ids killed to be started again; until they are removed
  std::map<std::string, std::string> messages_;          // termination messages by container id
  std::map<std::string, std::string> backoff_reported_;  // container name -> id of the ended instance
  std::map<std::string, uint32_t> past_restarts_;
  std::vector<std::string> last_ips_;
  v1::PodStatus status_;
  base::MonoTime look_again_;
  base::Nanos look_failure_{0};

  PodImages images_;
  ContainerStarter starter_;
  base::Wakeup wake_;
  base::Wakeup stop_changed_;  // grace_ or removed_ changed while terminating
  base::TaskGroup calls_;      // what makes things: awaited before anything is torn down
  base::TaskGroup kills_;
  base::TaskGroup mounts_;  // waits for volumes, whoever makes them; may be cancelled at any time
};

}  // namespace keelson::kubelet
