// SPDX-License-Identifier: Apache-2.0
#include "kubelet/node/shutdown.h"

#include <algorithm>

#include "base/check.h"
#include "base/errno_status.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "proto/codec/value.h"

namespace keelson::kubelet {

using base::Task;
using std::chrono::seconds;

namespace {

constexpr int32_t kSystemCritical = 2'000'000'000;  // scheduling API
constexpr base::Nanos kReconnect = seconds(1);
// How long logind may take to read its configuration again: upstream's five looks.
constexpr base::Nanos kFirstLook = std::chrono::milliseconds(100);
constexpr int kLooks = 5;

}  // namespace

std::vector<ShutdownGroup> ShutdownGroups(base::Nanos all, base::Nanos critical,
                                          std::vector<ShutdownGroup> by_priority) {
  if (by_priority.empty()) {
    if (all <= base::Nanos(0) || critical > all) return {};
    const auto whole = [](base::Nanos time) {
      return std::chrono::floor<seconds>(time).count();
    };
    return {{0, whole(all - critical)}, {kSystemCritical, whole(critical)}};
  }
  std::stable_sort(by_priority.begin(), by_priority.end(),
                   [](const auto& a, const auto& b) { return a.priority < b.priority; });
  return by_priority;
}

base::Nanos ShutdownPeriod(const std::vector<ShutdownGroup>& groups) {
  int64_t sum = 0;
  for (const ShutdownGroup& group : groups) sum += group.seconds;
  return seconds(sum);
}

std::vector<ShutdownStep> ShutdownSteps(const std::vector<ShutdownGroup>& groups,
                                        const std::vector<PodPtr>& pods) {
  KEELSON_CHECK(!groups.empty());
  std::vector<ShutdownStep> steps;
  for (const ShutdownGroup& group : groups) steps.push_back({group, {}});
  for (const PodPtr& pod : pods) {
    const int32_t priority = pod->spec().priority();
    auto above = std::upper_bound(
        steps.begin(), steps.end(), priority,
        [](int32_t p, const ShutdownStep& step) { return p < step.group.priority; });
    if (above != steps.begin()) --above;
    above->pods.push_back(pod);
  }
  std::erase_if(steps, [](const ShutdownStep& step) { return step.pods.empty(); });
  return steps;
}

int64_t ShutdownGrace(const v1::Pod& pod, const ShutdownGroup& group) {
  if (!pod.spec().has_terminationgraceperiodseconds()) return group.seconds;
  return std::min(pod.spec().terminationgraceperiodseconds(), group.seconds);
}

NodeShutdown::NodeShutdown(base::Loop& loop, Connect connect, EventRecorder& events,
                           ShutdownOptions options, ShutdownHooks hooks)
    : loop_(loop),
      connect_(std::move(connect)),
      events_(events),
      o_(std::move(options)),
      hooks_(std::move(hooks)) {
  KEELSON_CHECK(!o_.groups.empty());
}

std::string NodeShutdown::Problem() const {
  return shutting_down_ ? "node is shutting down" : "";
}

std::optional<Rejection> NodeShutdown::Admit() const {
  if (!shutting_down_) return std::nullopt;
  return Rejection{"NodeShutdown", "Pod was rejected as the node is shutting down."};
}

Task<void> NodeShutdown::Run() {
  absl::Status armed = co_await Arm();
  if (!armed.ok()) {
    KLOG_ERROR("Pods will not end gracefully when the node shuts down: logind cannot be asked",
               {"err", armed});
    co_return;
  }
  KLOG_INFO("Shutdowns of the node wait for its pods",
            {"seconds", std::chrono::floor<seconds>(ShutdownPeriod(o_.groups)).count()});
  while (true) {
    if (armed.ok()) {
      const absl::Status ended = co_await Watch();
      KLOG_WARNING("Lost the connection to logind; connecting again", {"err", ended});
    }
    co_await base::Sleep(loop_.clock(), kReconnect);
    const bool told = !armed.ok();
    armed = co_await Arm();
    if (!armed.ok() && !told)
      KLOG_ERROR("Cannot watch for shutdowns of the node; trying on", {"err", armed});
  }
}

Task<absl::Status> NodeShutdown::Arm() {
  auto bus = co_await connect_();
  if (!bus.ok()) co_return bus.status();
  bus_ = *std::move(bus);
  auto delay = co_await bus_->InhibitDelay();
  if (!delay.ok()) co_return delay.status();
  const base::Nanos wanted = ShutdownPeriod(o_.groups);
  if (wanted > *delay) {
    const absl::Status raised = co_await RaiseDelay(wanted);
    CO_RETURN_IF_ERROR(raised);
  }
  auto lock = co_await bus_->Inhibit();
  if (!lock.ok()) co_return lock.status();
  lock_ = *std::move(lock);
  co_return absl::OkStatus();
}

Task<absl::Status> NodeShutdown::RaiseDelay(base::Nanos wanted) {
  const absl::Status asked = co_await bus_->RequestInhibitDelay(wanted);
  CO_RETURN_IF_ERROR(asked);
  base::Nanos have{0}, pause = kFirstLook;
  for (int look = 1;; ++look) {
    auto delay = co_await bus_->InhibitDelay();
    if (!delay.ok()) co_return delay.status();
    have = *delay;
    if (have >= wanted) co_return absl::OkStatus();
    if (look == kLooks) break;
    co_await base::Sleep(loop_.clock(), pause);  // there is no signal for it
    pause *= 2;
  }
  co_return absl::DeadlineExceededError(
      base::StrCat("logind did not take over InhibitDelayMaxSec=", base::GoDuration(wanted),
                   ", it still has ", base::GoDuration(have)));
}

Task<absl::Status> NodeShutdown::Watch() {
  while (true) {
    auto begins = co_await bus_->NextShutdown();
    if (!begins.ok()) co_return begins.status();
    co_await OnShutdown(*begins);
  }
}

Task<void> NodeShutdown::OnShutdown(bool begins) {
  events_.NodeEvent(EventType::kNormal, "Shutdown",
                    begins ? "Shutdown manager detected shutdown event"
                           : "Shutdown manager detected shutdown cancellation");
  shutting_down_ = begins;
  hooks_.changed();
  if (begins) {
    co_await EndPods();
    lock_.reset();  // logind goes on
    co_return;
  }
  auto lock = co_await bus_->Inhibit();
  if (lock.ok())
    lock_ = *std::move(lock);
  else
    KLOG_ERROR("The next shutdown of the node will not wait for its pods", {"err", lock.status()});
}

Task<void> NodeShutdown::EndPods() {
  const base::WallTime start = loop_.clock().Now();
  SaveState(start, std::nullopt);
  std::vector<ShutdownStep> steps = ShutdownSteps(o_.groups, hooks_.active_pods());
  for (ShutdownStep& step : steps) co_await EndStep(std::move(step));
  SaveState(start, loop_.clock().Now());
  KLOG_INFO("Pods have ended or had their time; the node shuts down");
}

Task<void> NodeShutdown::EndStep(ShutdownStep step) {
  const std::string why = "Pod was terminated in response to imminent node shutdown.";
  const PodVerdict verdict{"Terminated", why, why};
  const base::MonoTime due = loop_.clock().Monotonic() + seconds(step.group.seconds);
  for (const PodPtr& pod : step.pods)
    hooks_.end_pod(pod->metadata().uid(), ShutdownGrace(*pod, step.group), verdict);
  const auto left = [&] {
    return std::count_if(step.pods.begin(), step.pods.end(), [&](const PodPtr& pod) {
      return !hooks_.pod_ended(pod->metadata().uid());
    });
  };
  while (left() > 0) {
    if (co_await pods_changed_.WaitUntil(loop_.clock(), due)) continue;
    if (const auto still = left(); still > 0)
      KLOG_WARNING("Pods did not end in the time a shutdown gives them",
                   {"priority", step.group.priority}, {"seconds", step.group.seconds},
                   {"pods", still});
    co_return;
  }
}

// For whoever looks after the node is up again.
void NodeShutdown::SaveState(base::WallTime start, std::optional<base::WallTime> end) {
  proto::Value state = proto::Value::Map();
  state.members.push_back({"startTime", 0, proto::Value::String(base::FormatRfc3339Nano(start))});
  state.members.push_back(
      {"endTime", 0,
       proto::Value::String(end ? base::FormatRfc3339Nano(*end) : "0001-01-01T00:00:00Z")});
  const absl::Status written = base::WriteFileAtomic(o_.state_file, proto::ToJson(state), 0644);
  if (!written.ok())
    KLOG_WARNING("Cannot note the node's shutdown", {"file", o_.state_file}, {"err", written});
}

}  // namespace keelson::kubelet
