// SPDX-License-Identifier: Apache-2.0
#include "kubelet/pod_worker.h"

#include <algorithm>

#include "base/check.h"
#include "base/errno_status.h"
#include "base/log.h"
#include "base/strings.h"
#include "cri/error.h"
#include "kubelet/canonical.h"
#include "kubelet/conditions.h"
#include "kubelet/pod_terminator.h"

namespace keelson::kubelet {

using base::StrCat;
using base::Task;

namespace {

// A container that ran this long since its last back-off begins anew, whatever the longest delay is.
constexpr std::chrono::seconds kCrashForgotten(600);
constexpr size_t kMessageBytes = 4096;      // of one container
constexpr size_t kPodMessageBytes = 12288;  // of all containers of a pod together
constexpr base::Nanos kRuntimeRetryFirst = std::chrono::milliseconds(100);
constexpr base::Nanos kRuntimeRetryMax = std::chrono::seconds(5);

// Spreads equal periods of many pods: 1 to 1.5 times, fixed per pod.
base::Nanos Spread(base::Nanos period, const PodUid& uid) {
  return period + period / 2 * static_cast<int64_t>(std::hash<std::string>()(uid) % 1000) / 1000;
}

}  // namespace

std::string_view WorkerPhaseName(WorkerPhase phase) {
  switch (phase) {
    case WorkerPhase::kSyncing: return "syncing";
    case WorkerPhase::kTerminating: return "terminating";
    case WorkerPhase::kTerminated: return "terminated";
    case WorkerPhase::kFinished: return "finished";
  }
  return "";
}

PodWorker::PodWorker(PodServices& services, PodPtr pod, base::WallTime first_seen,
                     std::function<void(PodWorker&)> on_change)
    : s_(services),
      uid_(pod->metadata().uid()),
      first_seen_(first_seen),
      first_seen_mono_(services.loop.clock().Monotonic() -
                       std::max(base::Nanos(0), services.loop.clock().Now() - first_seen)),
      on_change_(std::move(on_change)),
      crash_backoff_(services.options.crash_backoff_initial, services.options.crash_backoff_max,
                     kCrashForgotten),
      images_(services.loop, services.images, services.events, [this] { Wake(); }),
      starter_(services),
      calls_(services.loop),
      kills_(services.loop),
      mounts_(services.loop) {
  // What an earlier life of the agent told the API server goes on: times, restarts, an end.
  if (!IsStaticPod(*pod)) {
    status_ = pod->status();
    for (const auto& ip : status_.podips()) last_ips_.push_back(ip.ip());
  }
  Update(std::move(pod));
}

PodWorker::~PodWorker() = default;

void PodWorker::Update(PodPtr pod) {
  KEELSON_CHECK(pod->metadata().uid() == uid_);
  pod_ = std::move(pod);
  hashes_.clear();
  for (const auto& c : pod_->spec().initcontainers()) hashes_[c.name()] = s_.config.Hash(c);
  for (const auto& c : pod_->spec().containers()) hashes_[c.name()] = s_.config.Hash(c);
  for (int i = 0; i < pod_->spec().ephemeralcontainers_size(); ++i) {
    const v1::Container c = ContainerOf(*pod_, ContainerKind::kEphemeral, i);
    hashes_[c.name()] = s_.config.Hash(c);
  }
  s_.volumes.Update(pod_);
  Wake();
}

void PodWorker::UpdateObject(PodPtr pod) {
  auto foreign = [](const v1::Pod& of) {
    v1::PodStatus conditions;
    for (const auto& c : of.status().conditions())
      if (!IsOurCondition(c.type())) *conditions.add_conditions() = c;
    return Canonical(conditions);
  };
  const bool changed = foreign(*pod_) != foreign(*pod);
  pod_ = std::move(pod);
  if (changed) Wake();
}

void PodWorker::Terminate(TerminateRequest request) {
  const bool less = request.grace && (!grace_ || *request.grace < *grace_);
  const bool news = phase_ == WorkerPhase::kSyncing || less || (request.verdict && !verdict_) ||
                    (request.removed && !removed_);
  if (!news) return;
  if (request.verdict && !verdict_) verdict_ = std::move(request.verdict);
  removed_ |= request.removed;
  if (less) grace_ = request.grace;
  if (phase_ == WorkerPhase::kSyncing) Enter(WorkerPhase::kTerminating);
  stop_changed_.Set();
  Wake();
}

// The only place where the phase changes.
void PodWorker::Enter(WorkerPhase next) {
  KEELSON_CHECK(next > phase_);
  KLOG_V(2, "Pod changes phase", {"pod", ShortName(*pod_)}, {"from", WorkerPhaseName(phase_)},
         {"to", WorkerPhaseName(next)});
  phase_ = next;
  if (next == WorkerPhase::kTerminating) s_.prober.BeginTermination(uid_);
  if (next == WorkerPhase::kTerminated) s_.prober.Remove(uid_);
  on_change_(*this);
}

Task<void> PodWorker::Run() {
  past_restarts_ = co_await s_.files.PastRestarts(pod_);
  co_await Sync();
  PodTerminator terminator(*this);
  co_await terminator.Run();
  stopped_ = true;
  if (!Publish(nullptr)) on_change_(*this);
  co_await CleanUp();
}

Task<void> PodWorker::Close() {
  co_await images_.Close();
  co_await calls_.CancelAndJoin();
  co_await kills_.CancelAndJoin();
  co_await mounts_.CancelAndJoin();
}

Task<void> PodWorker::Sync() {
  while (phase_ == WorkerPhase::kSyncing) {
    look_again_ = s_.loop.clock().Monotonic() + Spread(s_.options.sync_frequency, uid_);
    const base::MonoTime began = s_.loop.clock().Monotonic();
    co_await SyncOnce();
    if (s_.observer) s_.observer->PodSynced(s_.loop.clock().Monotonic() - began);
    if (phase_ != WorkerPhase::kSyncing) co_return;
    co_await wake_.WaitUntil(s_.loop.clock(), look_again_);
  }
}

void PodWorker::LookAgainAt(base::MonoTime when) { look_again_ = std::min(look_again_, when); }

Task<void> PodWorker::SyncOnce() {
  bool looked = co_await Look();
  if (!looked || phase_ != WorkerPhase::kSyncing) co_return;
  co_await ReadMessages();
  CheckDeadline();
  if (phase_ != WorkerPhase::kSyncing) co_return;
  PodPlan plan = Plan();
  Publish(&plan);
  if (plan.stop_pod || IsTerminalPhase(status_.phase())) {
    Enter(WorkerPhase::kTerminating);
    co_return;
  }
  Act(plan);
  UpdateProbes();
}

// Makes the view current. False when the runtime did not answer: try again soon.
Task<bool> PodWorker::Look() {
  if (s_.pleg.changed(uid_)) {
    absl::Status status = co_await s_.pleg.Refresh(uid_);
    if (!status.ok()) {
      look_failure_ = std::clamp(look_failure_ * 2, kRuntimeRetryFirst, kRuntimeRetryMax);
      KLOG_WARNING("Cannot read a pod from the runtime; trying again", {"pod", ShortName(*pod_)},
                   {"err", status});
      LookAgainAt(s_.loop.clock().Monotonic() + look_failure_);
      co_return false;
    }
  }
  look_failure_ = base::Nanos(0);
  Remember();
  co_return true;
}

// What is lost when an object goes: addresses, and when an end was first seen.
void PodWorker::Remember() {
  const ObservedPod& seen = s_.pleg.View(uid_);
  if (const ObservedSandbox* sandbox = seen.sandbox(); sandbox && !sandbox->ips.empty())
    last_ips_ = sandbox->ips;
  base::MonoTime now = s_.loop.clock().Monotonic();
  base::WallTime wall = s_.loop.clock().Now();
  for (const auto& c : seen.containers) {
    if (c.state != ContainerState::kExited || ended_.contains(c.id)) continue;
    base::Nanos ago = wall - base::FromUnixNanos(c.finished_at);
    // A stepped clock must not make an end lie in the future or hours ago.
    ago = std::clamp(ago, base::Nanos(0), base::Nanos(s_.options.crash_backoff_max));
    ended_[c.id] = now - ago;
  }
  std::erase_if(ended_, [&](const auto& item) { return !seen.FindById(item.first); });
  std::erase_if(messages_, [&](const auto& item) { return !seen.FindById(item.first); });
  std::erase_if(start_again_, [&](const auto& id) { return !seen.FindById(id); });
}

Task<void> PodWorker::ReadMessages() {
  const ObservedPod seen = s_.pleg.View(uid_);
  const int containers = pod_->spec().containers_size() + pod_->spec().initcontainers_size();
  const size_t share = std::min(kMessageBytes, kPodMessageBytes / std::max(1, containers));
  for (const auto& c : seen.containers) {
    if (c.state != ContainerState::kExited || messages_.contains(c.id)) continue;
    messages_[c.id];  // once, also when there is nothing
    if (seen.Newest(c.name) != seen.FindById(c.id)) continue;
    bool fall_back = c.termination_message_policy == "FallbackToLogsOnError" && c.exit_code != 0 &&
                     c.reason != "ContainerCannotRun";
    std::string text = co_await s_.files.TerminationMessage(pod_, c.name, c.log_path, fall_back,
                                                            share);
    messages_[c.id] = std::move(text);
  }
}

void PodWorker::CheckDeadline() {
  if (!pod_->spec().has_activedeadlineseconds()) return;
  base::MonoTime deadline =
      first_seen_mono_ + std::chrono::seconds(pod_->spec().activedeadlineseconds());
  if (s_.loop.clock().Monotonic() < deadline) return LookAgainAt(deadline);
  const char* text = "Pod was active on the node longer than the specified deadline";
  s_.events.PodEvent(*pod_, EventType::kNormal, "DeadlineExceeded", text);
  Terminate({.grace = std::nullopt, .verdict = PodVerdict{"DeadlineExceeded", text}});
}

PodPlan PodWorker::Plan() const {
  return MakePlan({*pod_, s_.pleg.View(uid_), hashes_, ended_, crash_backoff_,
                   s_.loop.clock().Monotonic(), busy_, s_.prober.ResultsOf(uid_), start_again_});
}

void PodWorker::Act(const PodPlan& plan) {
  BeginVolumes();
  for (const auto& action : plan.kill) {
    busy_.insert(action.name);
    if (action.start_again) start_again_.insert(action.id);
    kills_.Spawn(StrCat("kill ", action.name), KillContainer(action));
  }
  base::MonoTime now = s_.loop.clock().Monotonic();
  if (plan.create_sandbox) {
    Prefetch();
    if (sandbox_failure_ && now < sandbox_failure_->retry_at) {
      LookAgainAt(sandbox_failure_->retry_at);
    } else if (!sandbox_busy_ && busy_.empty()) {
      sandbox_busy_ = true;
      calls_.Spawn("sandbox", CreateSandbox(plan.sandbox_attempt, plan.sandbox_changed));
    }
  } else if (!sandbox_busy_) {
    ActStarts(plan);
  }
  for (const auto& id : plan.remove_containers)
    if (removing_.insert(id).second) kills_.Spawn("remove container", RemoveContainer(id, plan.restart_all));
  for (const auto& id : plan.remove_sandboxes)
    if (removing_.insert(id).second) kills_.Spawn("remove sandbox", RemoveSandbox(id));
  if (plan.look_again) LookAgainAt(*plan.look_again);
  if (auto at = images_.RetryAt()) LookAgainAt(*at);
}

// Images are asked for while the sandbox is being made. Policy Always pulls at each start, so that only
// the containers that come first are asked for early.
void PodWorker::Prefetch() {
  auto sandbox = [this] { return s_.config.Sandbox(*pod_, 0).value_or(runtime::v1::PodSandboxConfig()); };
  for (const auto& c : pod_->spec().initcontainers())
    images_.Want(pod_, c, FieldPath(ContainerKind::kInit, c.name()), sandbox);
  for (const auto& c : pod_->spec().containers())
    images_.Want(pod_, c, FieldPath(ContainerKind::kRegular, c.name()), sandbox);
}

void PodWorker::ActStarts(const PodPlan& plan) {
  bool hook_ahead = false;
  for (const auto& action : plan.start) {
    const v1::Container c = ContainerOf(*pod_, action.kind, action.index);
    // A postStart hook holds back the containers after it: people rely on that order.
    if (action.kind == ContainerKind::kRegular && hook_ahead) break;
    if (MayStart(action)) Begin(action);
    hook_ahead |= probes::HasPostStart(c);
  }
}

// Everything the container needs is there; what is not has been asked for.
bool PodWorker::MayStart(const StartAction& action) {
  const v1::Container c = ContainerOf(*pod_, action.kind, action.index);
  for (int i = 0; action.kind == ContainerKind::kRegular && i < action.index; ++i) {
    const v1::Container& before = pod_->spec().containers(i);
    if (busy_.contains(before.name()) && probes::HasPostStart(before)) return false;
  }
  auto failed = start_failures_.find(c.name());
  if (failed != start_failures_.end() && s_.loop.clock().Monotonic() < failed->second.retry_at) {
    LookAgainAt(failed->second.retry_at);
    return false;
  }
  if (!action.created_id.empty()) return volumes_.has_value();
  images_.Want(pod_, c, FieldPath(action.kind, c.name()), [this] {
    return s_.config.Sandbox(*pod_, 0).value_or(runtime::v1::PodSandboxConfig());
  });
  return volumes_.has_value() && images_.Ready(c.name()) != nullptr;
}

void PodWorker::Begin(const StartAction& action) {
  const v1::Container c = ContainerOf(*pod_, action.kind, action.index);
  const ObservedContainer* last = s_.pleg.View(uid_).Newest(c.name());
  if (last && last->state == ContainerState::kExited)
    crash_backoff_.Next(RestartBackoffKey(*pod_, c), ended_[last->id],
                        s_.loop.clock().Monotonic());
  ImageState image;
  if (const ImageState* ready = images_.Ready(c.name())) image = *ready;
  busy_.insert(c.name());
  if (probes::HasPostStart(c)) hooked_.insert(c.name());
  calls_.Spawn(StrCat("start ", c.name()), StartContainer(action, std::move(image)));
}

void PodWorker::UpdateProbes() {
  const ObservedPod& seen = s_.pleg.View(uid_);
  std::vector<probes::Target> targets;
  for (const auto& c : seen.containers)
    if (c.state == ContainerState::kRunning && !hooked_.contains(c.name))
      targets.push_back({c.name, c.id, base::FromUnixNanos(c.started_at)});
  s_.prober.Update(pod_, std::move(targets), last_ips_);
}

// What users are shown: a container runs once its postStart hook has ended.
ObservedPod PodWorker::Shown() const {
  ObservedPod seen = s_.pleg.View(uid_);
  if (phase_ != WorkerPhase::kSyncing) return seen;
  for (auto& c : seen.containers)
    if (c.state == ContainerState::kRunning && hooked_.contains(c.name))
      c.state = ContainerState::kCreated;
  return seen;
}

std::map<std::string, Waiting> PodWorker::WaitingReasons(const PodPlan* plan) const {
  std::map<std::string, Waiting> reasons = images_.WaitingReasons();
  for (const auto& [name, failure] : start_failures_) reasons[name] = failure.waiting;
  if (plan)
    for (const auto& [name, waiting] : plan->waiting) reasons[name] = waiting;
  return reasons;
}

bool PodWorker::Publish(const PodPlan* plan) {
  const ObservedPod seen = Shown();
  StatusInput input{*pod_,          seen,
                    status_,        s_.loop.clock().Now(),
                    first_seen_,    WaitingReasons(plan),
                    s_.prober.ResultsOf(uid_), messages_,
                    s_.options.runtime_name,   std::string(QosName(s_.config.Qos(*pod_))),
                    s_.config.NodeIps(),       last_ips_};
  input.sandbox_ready = !NeedSandbox(*pod_, seen).create;
  input.terminating = phase_ >= WorkerPhase::kTerminating;
  input.terminal = stopped_;
  input.verdict = verdict_;
  input.restart_counts = past_restarts_;
  input.start_again = start_again_;
  input.recursive_read_only = s_.options.recursive_read_only_handlers.contains(
      seen.sandboxes.empty() ? "" : seen.sandboxes.front().runtime_handler);
  v1::PodStatus next = MakePodStatus(input);
  if (plan) {
    for (const auto& [name, waiting] : plan->waiting) {
      const ObservedContainer* ended = seen.Newest(name);
      if (!ended || std::exchange(backoff_reported_[name], ended->id) == ended->id) continue;
      s_.events.PodEvent(*pod_, EventType::kWarning, "BackOff",
                         StrCat("Back-off restarting failed container ", name, " in pod ",
                                pod_->metadata().name(), "_", pod_->metadata().namespace_(), "(",
                                uid_, ")"),
                         FieldPath(*pod_, name));
    }
  }
  if (std::exchange(published_, true) && Canonical(next) == Canonical(status_)) return false;
  const base::Nanos since_seen = s_.loop.clock().Monotonic() - first_seen_mono_;
  if (s_.observer && status_.phase() == "Pending" && next.phase() == "Running")
    s_.observer->PodRunning(*pod_, since_seen);
  status_ = std::move(next);
  on_change_(*this);
  return true;
}

std::string PodWorker::Doing() const {
  std::vector<std::string> names = calls_.Names();
  for (auto& name : mounts_.Names()) names.push_back(std::move(name));
  for (auto& name : kills_.Names()) names.push_back(std::move(name));
  std::string text(WorkerPhaseName(phase_));
  for (const auto& name : names) base::StrAppend(&text, ", ", name);
  return text;
}

}  // namespace keelson::kubelet
