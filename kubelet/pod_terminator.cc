// SPDX-License-Identifier: Apache-2.0
#include "kubelet/pod_terminator.h"

#include <algorithm>

#include "base/errno_status.h"
#include "base/log.h"
#include "base/strings.h"
#include "kubelet/pod_worker.h"

namespace keelson::kubelet {

using base::StrCat;
using base::Task;
using std::chrono::seconds;

namespace {

constexpr int64_t kDefaultGrace = 30;
// A container whose grace was used up, by its hook or by waiting for its turn, still gets a moment
// between SIGTERM and SIGKILL. (Upstream stretches a grace of one second to this, too.)
constexpr seconds kLeastGrace(2);

const v1::Container* FindSpec(const v1::Pod& pod, const std::string& name) {
  for (const auto& c : pod.spec().containers())
    if (c.name() == name) return &c;
  for (const auto& c : pod.spec().initcontainers())
    if (c.name() == name) return &c;
  return nullptr;
}

bool MayRun(const ObservedContainer& c) { return c.state != ContainerState::kExited; }

}  // namespace

int StopStage(const v1::Pod& pod, const std::string& container) {
  const auto& inits = pod.spec().initcontainers();
  for (int i = 0; i < inits.size(); ++i)
    if (inits[i].name() == container && IsSidecar(inits[i])) return inits.size() - i;
  return 0;
}

int64_t GraceSeconds(const v1::Pod& pod, std::optional<int64_t> override_seconds,
                     const v1::Probe* failed_probe) {
  int64_t grace = pod.spec().has_terminationgraceperiodseconds()
                      ? pod.spec().terminationgraceperiodseconds()
                      : kDefaultGrace;
  if (pod.metadata().has_deletiongraceperiodseconds())
    grace = pod.metadata().deletiongraceperiodseconds();
  else if (failed_probe && failed_probe->has_terminationgraceperiodseconds())
    grace = failed_probe->terminationgraceperiodseconds();
  if (override_seconds) grace = *override_seconds;
  return std::max<int64_t>(1, grace);
}

PodTerminator::PodTerminator(PodWorker& worker) : w_(worker) {}

seconds PodTerminator::GraceOf(const std::string& container, std::optional<KillCause> cause) const {
  const v1::Container* spec = FindSpec(*w_.pod_, container);
  const v1::Probe* failed = nullptr;
  if (spec && cause == KillCause::kLiveness) failed = &spec->livenessprobe();
  if (spec && cause == KillCause::kStartup) failed = &spec->startupprobe();
  return seconds(GraceSeconds(*w_.pod_, w_.grace_, failed));
}

Task<void> PodTerminator::Run() {
  w_.Publish(nullptr);
  // What is being made is awaited: a sandbox or container that appears later would be missed.
  co_await w_.images_.Close();
  co_await w_.calls_.Join();
  // Except volumes, which may never come: unmounting awaits what was begun.
  co_await w_.mounts_.CancelAndJoin();
  base::TaskGroup helper(w_.s_.loop);
  helper.Spawn("shorten grace", ShortenWhenAsked());
  base::Nanos delay = w_.s_.options.retry_initial;
  while (true) {
    bool done = co_await TryOnce();
    if (done) break;
    co_await base::Sleep(w_.s_.loop.clock(), delay);
    delay = std::min(delay * 2, w_.s_.options.retry_max);
  }
  co_await helper.CancelAndJoin();
  co_await w_.kills_.Join();
  co_await w_.ReadMessages();
  w_.Publish(nullptr);
}

Task<bool> PodTerminator::TryOnce() {
  absl::Status status = co_await w_.s_.pleg.Refresh(w_.uid_);
  if (status.ok()) status = co_await StopEverything();
  if (status.ok()) status = co_await w_.s_.pleg.Refresh(w_.uid_);
  w_.Remember();
  const ObservedPod& seen = w_.s_.pleg.View(w_.uid_);
  if (status.ok() && seen.AnyRunning())
    status = absl::InternalError("containers still run after they were stopped");
  if (status.ok()) co_return true;
  w_.s_.events.PodEvent(*w_.pod_, EventType::kWarning, "FailedKillPod",
                        StrCat("error killing pod: ", base::Message(status)));
  co_return false;
}

Task<absl::Status> PodTerminator::StopEverything() {
  const ObservedPod seen = w_.s_.pleg.View(w_.uid_);
  std::map<int, std::vector<const ObservedContainer*>> stages;
  for (const auto& c : seen.containers)
    if (MayRun(c)) stages[StopStage(*w_.pod_, c.name)].push_back(&c);
  std::vector<Task<absl::Status>> stops;
  std::shared_ptr<Turn> before;
  for (const auto& [stage, containers] : stages) {
    auto own = std::make_shared<Turn>();
    own->left = static_cast<int>(containers.size());
    for (const auto* c : containers)
      stops.push_back(Stop(*c, GraceOf(c->name, std::nullopt), before, own));
    before = own;
  }
  auto results = co_await base::Gather(w_.s_.loop, std::move(stops));
  absl::Status first;
  for (const auto& status : results) first.Update(status);
  for (const auto& sandbox : seen.sandboxes) {
    absl::Status status = co_await w_.s_.runtime.StopPodSandbox(sandbox.id);
    if (!absl::IsNotFound(status)) first.Update(status);
  }
  w_.s_.pleg.MarkChanged(w_.uid_);
  co_return first;
}

Task<absl::Status> PodTerminator::StopOne(KillAction action) {
  const ObservedContainer* seen = w_.s_.pleg.View(w_.uid_).FindById(action.id);
  if (!seen) co_return absl::OkStatus();
  w_.s_.events.PodEvent(*w_.pod_, EventType::kNormal, "Killing", action.message,
                        FieldPath(*w_.pod_, action.name));
  seconds grace = action.cause == KillCause::kRestartAll ? seconds(1)
                                                         : GraceOf(action.name, action.cause);
  ObservedContainer container = *seen;
  co_return co_await Stop(std::move(container), grace, nullptr, nullptr);
}

Task<absl::Status> PodTerminator::Stop(ObservedContainer container, seconds grace,
                                       std::shared_ptr<Turn> after, std::shared_ptr<Turn> own) {
  base::Clock& clock = w_.s_.loop.clock();
  const base::MonoTime begun = clock.Monotonic();
  const base::MonoTime deadline = begun + grace;
  const v1::Container* spec = FindSpec(*w_.pod_, container.name);
  if (w_.phase_ != WorkerPhase::kSyncing && container.state == ContainerState::kRunning)
    w_.s_.events.PodEvent(*w_.pod_, EventType::kNormal, "Killing",
                          StrCat("Stopping container ", container.name),
                          FieldPath(*w_.pod_, container.name));
  // One that does not end in time goes on beside the signal and dies with its container.
  base::TaskGroup hook(w_.s_.loop);
  auto hooked = std::make_shared<Turn>();
  if (spec && probes::HasPreStop(*spec) && container.state == ContainerState::kRunning) {
    hooked->left = 1;
    hook.Spawn("preStop", RunPreStop(container, grace + 2 * kLeastGrace, hooked));
  }
  const bool hook_ended = co_await Await(hooked, deadline);
  if (!hook_ended)
    KLOG_WARNING("A preStop hook did not end within the grace period; the container is stopped now",
                 {"pod", ShortName(*w_.pod_)}, {"container", container.name});
  co_await Await(after, deadline);
  base::Nanos used = clock.Monotonic() - begun;
  const seconds least = std::min(grace, kLeastGrace);
  const seconds left = std::max(least, std::chrono::ceil<seconds>(grace - used));
  absl::Status status = co_await w_.s_.runtime.StopContainer(container.id, left);
  co_await hook.CancelAndJoin();
  if (own && --own->left == 0) own->done.Set();
  co_return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

Task<void> PodTerminator::RunPreStop(ObservedContainer container, seconds limit,
                                     std::shared_ptr<Turn> own) {
  probes::HookTarget target{container.name, container.id, w_.last_ips_};
  absl::Status hook = co_await w_.s_.hooks.PreStop(w_.pod_, std::move(target), limit);
  if (!hook.ok())
    w_.s_.events.PodEvent(*w_.pod_, EventType::kWarning, "FailedPreStopHook",
                          "PreStopHook failed");  // its output stays out of events
  own->left = 0;
  own->done.Set();
}

Task<bool> PodTerminator::Await(std::shared_ptr<Turn> turn, base::MonoTime deadline) {
  base::Clock& clock = w_.s_.loop.clock();
  while (turn && turn->left > 0 && clock.Monotonic() < deadline) {
    bool more = co_await turn->done.WaitUntil(clock, deadline);
    if (!more) break;
  }
  co_return !turn || turn->left == 0;
}

// A deletion may be repeated with less grace: containers that are being stopped are then told again.
Task<void> PodTerminator::ShortenWhenAsked() {
  std::optional<int64_t> known = w_.grace_;
  while (true) {
    co_await w_.stop_changed_.Wait();
    if (w_.grace_ == known) continue;
    known = w_.grace_;
    const ObservedPod seen = w_.s_.pleg.View(w_.uid_);
    for (const auto& c : seen.containers) {
      if (!MayRun(c)) continue;
      absl::Status status = co_await w_.s_.runtime.StopContainer(c.id, GraceOf(c.name, std::nullopt));
      if (!status.ok() && !absl::IsNotFound(status))
        KLOG_WARNING("Cannot shorten a container's grace period", {"id", c.id}, {"err", status});
    }
  }
}

}  // namespace keelson::kubelet
