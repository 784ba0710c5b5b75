// SPDX-License-Identifier: Apache-2.0
// What a PodWorker does outside: each call a task of its own that ends by waking the worker.
#include <algorithm>

#include "base/errno_status.h"
#include "base/log.h"
#include "base/strings.h"
#include "cri/error.h"
#include "kubelet/pod_terminator.h"
#include "kubelet/pod_worker.h"

namespace keelson::kubelet {

using base::StrCat;
using base::Task;

namespace {

// What the runtime said, in the words of an event.
absl::Status AsRpcError(const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), cri::GrpcErrorText(status));
}

}  // namespace

Task<void> PodWorker::StartContainer(StartAction action, ImageState image) {
  PodPtr pod = pod_;
  const std::string name = ContainerOf(*pod, action.kind, action.index).name();
  const ObservedSandbox* sandbox = s_.pleg.View(uid_).sandbox();
  StartRequest request{pod,      action, std::move(image), *volumes_, sandbox ? sandbox->id : "",
                       sandbox ? sandbox->attempt : 0,
                       sandbox ? sandbox->ips : std::vector<std::string>()};
  std::function<bool()> stopping = [this] { return phase_ != WorkerPhase::kSyncing; };
  StartResult result = co_await starter_.Start(std::move(request), std::move(stopping));
  busy_.erase(name);
  hooked_.erase(name);
  if (s_.observer)
    s_.observer->ContainerStarted(action.kind, result.failure ? result.failure->reason : "");
  if (result.failure) {
    std::optional<Failure> last;
    if (auto it = start_failures_.find(name); it != start_failures_.end()) last = it->second;
    start_failures_[name] = *NextFailure(last, *result.failure);
  } else {
    start_failures_.erase(name);
  }
  if (result.image_lost)
    s_.images.Forget(ContainerOf(*pod, action.kind, action.index).image());
  // What is in the runtime now has used its image; a failed creation uses it again.
  if (!result.failure || result.image_lost) images_.Consume(name);
  Wake();
}

std::optional<PodWorker::Failure> PodWorker::NextFailure(const std::optional<Failure>& last,
                                                         Waiting waiting) const {
  base::Nanos delay = last ? std::min(last->delay * 2, s_.options.retry_max)
                           : s_.options.retry_initial;
  return Failure{std::move(waiting), s_.loop.clock().Monotonic() + delay, delay};
}

void PodWorker::BeginVolumes() {
  if (volumes_ || mounting_) return;
  if (volume_failure_ && s_.loop.clock().Monotonic() < volume_failure_->retry_at)
    return LookAgainAt(volume_failure_->retry_at);
  mounting_ = true;
  calls_.Spawn("volume directories", MakeVolumeDirs());
}

Task<void> PodWorker::MakeVolumeDirs() {
  PodPtr pod = pod_;
  absl::Status made = co_await s_.files.MakePodDirs(pod);
  if (made.ok() && phase_ == WorkerPhase::kSyncing) {
    mounts_.Spawn("volumes", MountVolumes());
    co_return;
  }
  mounting_ = false;
  if (!made.ok()) {
    s_.events.PodEvent(*pod, EventType::kWarning, "FailedToMakePodDataDirectories",
                       StrCat("error making pod data directories: ", base::Message(made)));
    volume_failure_ = NextFailure(volume_failure_, {});
  }
  Wake();
}

Task<void> PodWorker::MountVolumes() {
  PodPtr pod = pod_;
  auto mounted = co_await s_.volumes.Mount(pod);
  mounting_ = false;
  if (mounted.ok()) {
    volumes_ = *std::move(mounted);
    volume_failure_.reset();
  } else {
    s_.events.PodEvent(
        *pod, EventType::kWarning, "FailedMount",
        StrCat("Unable to attach or mount volumes: ", base::Message(mounted.status())));
    volume_failure_ = NextFailure(volume_failure_, {});
  }
  Wake();
}

Task<void> PodWorker::CreateSandbox(uint32_t attempt, bool replaces) {
  absl::Status status;
  if (replaces) {
    s_.events.PodEvent(*pod_, EventType::kNormal, "SandboxChanged",
                       "Pod sandbox changed, it will be killed and re-created.");
    status = co_await ReplaceSandbox();
    status = AsRpcError(status);
  }
  if (status.ok() && phase_ == WorkerPhase::kSyncing) status = co_await RunSandbox(attempt);
  sandbox_busy_ = false;
  if (s_.observer) s_.observer->SandboxMade(status.ok());
  if (status.ok()) {
    sandbox_failure_.reset();
  } else {
    s_.events.PodEvent(*pod_, EventType::kWarning, "FailedCreatePodSandBox",
                       StrCat("Failed to create pod sandbox: ", base::Message(status)));
    sandbox_failure_ = NextFailure(sandbox_failure_, {});
    // It may exist all the same: the answer was lost, or an earlier attempt finished late.
    s_.pleg.MarkChanged(uid_);
  }
  Wake();
}

// Ends everything in the old sandboxes and takes init containers away, so that they run again.
Task<absl::Status> PodWorker::ReplaceSandbox() {
  PodTerminator terminator(*this);
  absl::Status stopped = co_await terminator.StopEverything();
  CO_RETURN_IF_ERROR(stopped);
  const ObservedPod seen = s_.pleg.View(uid_);
  for (const auto& c : pod_->spec().initcontainers()) {
    for (const auto& o : seen.containers) {
      if (o.name != c.name()) continue;
      absl::Status removed = co_await s_.runtime.RemoveContainer(o.id);
      if (!removed.ok() && !absl::IsNotFound(removed)) co_return removed;
      s_.pleg.NoteContainerRemoved(uid_, o.id);
    }
  }
  co_return absl::OkStatus();
}

// Runtime classes are objects of the API server; without one only the default handler exists.
Task<absl::StatusOr<std::string>> PodWorker::RuntimeHandler(PodPtr pod) {
  std::string name = pod->spec().runtimeclassname();
  if (name.empty() || !s_.objects) co_return std::string();
  co_return co_await s_.objects->RuntimeHandler(std::move(name));
}

Task<absl::Status> PodWorker::RunSandbox(uint32_t attempt) {
  PodPtr pod = pod_;
  absl::Status dirs = co_await s_.files.MakePodDirs(pod);
  CO_RETURN_IF_ERROR(dirs);
  absl::Status cgroup =
      co_await s_.cgroups.Ensure(uid_, s_.config.Qos(*pod), s_.config.PodLimits(*pod));
  CO_RETURN_IF_ERROR(cgroup);
  auto config = s_.config.Sandbox(*pod, attempt);
  CO_RETURN_IF_ERROR(config.status());
  auto handler = co_await RuntimeHandler(pod);
  CO_RETURN_IF_ERROR(handler.status());
  absl::StatusOr<std::string> id;
  {
    StartGate::Place place = co_await s_.starts.Enter(StartStep::kRunSandbox);
    if (phase_ != WorkerPhase::kSyncing) co_return absl::OkStatus();
    const base::MonoTime asked = s_.loop.clock().Monotonic();
    id = co_await s_.runtime.RunPodSandbox(*std::move(config), *handler);
    if (s_.observer)
      s_.observer->SandboxRun(*handler, id.ok(), s_.loop.clock().Monotonic() - asked);
  }
  if (!id.ok()) co_return AsRpcError(id.status());
  absl::Status noted = co_await s_.pleg.NoteSandbox(uid_, pod->metadata().name(),
                                                    pod->metadata().namespace_(), *id);
  if (!noted.ok()) s_.pleg.MarkChanged(uid_);
  co_return absl::OkStatus();
}

Task<void> PodWorker::KillContainer(KillAction action) {
  PodTerminator terminator(*this);
  absl::Status status = co_await terminator.StopOne(action);
  if (!status.ok())
    KLOG_WARNING("Cannot stop a container; trying again", {"pod", ShortName(*pod_)},
                 {"container", action.name}, {"err", status});
  // Whatever was left of its back-off does not hold for a container we ended.
  s_.pleg.MarkChanged(uid_);
  busy_.erase(action.name);
  Wake();
}

Task<void> PodWorker::RemoveContainer(std::string id, bool keep_logs) {
  const ObservedContainer* seen = s_.pleg.View(uid_).FindById(id);
  std::string name = seen ? seen->name : "", log = seen ? seen->log_path : "";
  absl::Status status = co_await s_.runtime.RemoveContainer(id);
  removing_.erase(id);
  if (!status.ok() && !absl::IsNotFound(status)) {
    KLOG_WARNING("Cannot remove a dead container; trying again", {"pod", ShortName(*pod_)},
                 {"id", id}, {"err", status});
    co_return;
  }
  s_.pleg.NoteContainerRemoved(uid_, id);
  if (keep_logs) {
    // Their numbers are all that tells how often the container has restarted.
    past_restarts_ = co_await s_.files.PastRestarts(pod_);
    Wake();
    co_return;
  }
  absl::Status logs = co_await s_.files.RemoveContainerLogs(pod_, name, id, log);
  if (!logs.ok()) KLOG_WARNING("Cannot remove a dead container's log", {"id", id}, {"err", logs});
}

Task<void> PodWorker::RemoveSandbox(std::string id) {
  absl::Status status = co_await s_.runtime.StopPodSandbox(id);
  if (status.ok() || absl::IsNotFound(status)) status = co_await s_.runtime.RemovePodSandbox(id);
  removing_.erase(id);
  if (!status.ok() && !absl::IsNotFound(status)) {
    KLOG_WARNING("Cannot remove an old sandbox; trying again", {"pod", ShortName(*pod_)},
                 {"id", id}, {"err", status});
    co_return;
  }
  s_.pleg.NoteSandboxRemoved(uid_, id);
}

// After the last container has ended. A pod whose manifest is still there keeps its containers (for
// their logs) and directories; the rest goes now.
Task<void> PodWorker::CleanUp() {
  base::Nanos delay = s_.options.retry_initial;
  auto retry = [&](absl::Status status) -> Task<void> {
    KLOG_WARNING("Cannot clean up after a pod; trying again", {"pod", ShortName(*pod_)},
                 {"err", status});
    co_await base::Sleep(s_.loop.clock(), delay);
    delay = std::min(delay * 2, s_.options.retry_max);
  };
  while (true) {
    absl::Status status = co_await ReleaseResources();
    if (status.ok()) break;
    co_await retry(status);
  }
  Enter(WorkerPhase::kTerminated);
  Publish(nullptr);
  while (!removed_) co_await stop_changed_.Wait();
  while (!wanted_again_) {
    absl::Status status = co_await RemoveEverything();
    if (status.ok()) {
      s_.pleg.Forget(uid_);
      break;
    }
    co_await retry(status);
  }
  Enter(WorkerPhase::kFinished);
}

Task<absl::Status> PodWorker::ReleaseResources() {
  absl::Status unmounted = co_await s_.volumes.Unmount(uid_);
  absl::Status cgroup = co_await s_.cgroups.Destroy(uid_);
  co_return unmounted.ok() ? cgroup : unmounted;
}

Task<absl::Status> PodWorker::RemoveEverything() {
  absl::Status looked = co_await s_.pleg.Refresh(uid_);
  CO_RETURN_IF_ERROR(looked);
  const ObservedPod seen = s_.pleg.View(uid_);
  for (const auto& c : seen.containers) {
    absl::Status status = co_await s_.runtime.RemoveContainer(c.id);
    if (!status.ok() && !absl::IsNotFound(status)) co_return status;
    s_.pleg.NoteContainerRemoved(uid_, c.id);
  }
  for (const auto& s : seen.sandboxes) {
    absl::Status status = co_await s_.runtime.RemovePodSandbox(s.id);
    if (!status.ok() && !absl::IsNotFound(status)) co_return status;
    s_.pleg.NoteSandboxRemoved(uid_, s.id);
  }
  const auto& meta = pod_->metadata();
  co_return co_await s_.files.RemovePod(meta.namespace_(), meta.name(), uid_);
}

}  // namespace keelson::kubelet
