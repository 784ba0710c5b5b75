// SPDX-License-Identifier: Apache-2.0
#include "tools/nodectl/pod_row.h"

#include <algorithm>

#include "base/strings.h"

namespace keelson::nodectl {
namespace {

using k8s::meta::v1::Time;
using k8s::v1::ContainerStatus;
using k8s::v1::Pod;

std::string OrNone(const std::string& text) { return text.empty() ? "<none>" : text; }

bool ConditionIs(const k8s::v1::PodStatus& status, std::string_view type, std::string_view value) {
  return std::ranges::any_of(status.conditions(), [&](const auto& condition) {
    return condition.type() == type && condition.status() == value;
  });
}

// Restarts and when the last happened.
struct Restarts {
  int count = 0;
  Time last;
  void Add(const ContainerStatus& status) {
    count += status.restartcount();
    const Time& ended = status.laststate().terminated().finishedat();
    if (last.seconds() < ended.seconds()) last = ended;
  }
};

std::string TerminatedReason(const k8s::v1::ContainerStateTerminated& ended) {
  if (!ended.reason().empty()) return ended.reason();
  if (ended.signal() != 0) return base::StrCat("Signal:", ended.signal());
  return base::StrCat("ExitCode:", ended.exitcode());
}

struct Summary {
  std::string reason;
  Restarts restarts, sidecar_restarts;
  int ready = 0;
};

const k8s::v1::Container* FindInit(const Pod& pod, const std::string& name) {
  for (const auto& container : pod.spec().initcontainers())
    if (container.name() == name) return &container;
  return nullptr;
}

bool IsSidecar(const Pod& pod, const std::string& name) {
  const auto* container = FindInit(pod, name);
  return container != nullptr && container->restartpolicy() == "Always";
}

// Empty when the init container holds nothing up any more.
std::string InitReason(const Pod& pod, const ContainerStatus& status, int index) {
  const auto& state = status.state();
  if (state.has_terminated() && state.terminated().exitcode() == 0) return {};
  if (IsSidecar(pod, status.name()) && status.started()) return {};
  if (state.has_terminated()) return "Init:" + TerminatedReason(state.terminated());
  const std::string& waiting = state.waiting().reason();
  if (!waiting.empty() && waiting != "PodInitializing") return "Init:" + waiting;
  return base::StrCat("Init:", index, "/", pod.spec().initcontainers_size());
}

// True while an init container holds the pod up.
bool LookAtInit(const Pod& pod, Summary* sum) {
  int index = 0;
  for (const ContainerStatus& status : pod.status().initcontainerstatuses()) {
    sum->restarts.Add(status);
    const bool sidecar = IsSidecar(pod, status.name());
    if (sidecar) sum->sidecar_restarts.Add(status);
    std::string reason = InitReason(pod, status, index++);
    if (!reason.empty()) {
      sum->reason = std::move(reason);
      return true;
    }
    const bool ended =
        status.state().has_terminated() && status.state().terminated().exitcode() == 0;
    if (sidecar && !ended && status.ready()) ++sum->ready;
  }
  return false;
}

// The first container with something to say wins, so the list is read backwards.
void LookAtContainers(const Pod& pod, Summary* sum) {
  bool running = false;
  std::string failure;
  const auto& statuses = pod.status().containerstatuses();
  for (int i = statuses.size() - 1; i >= 0; --i) {
    const ContainerStatus& status = statuses[i];
    sum->restarts.Add(status);
    if (!status.state().waiting().reason().empty()) {
      sum->reason = status.state().waiting().reason();
    } else if (status.state().has_terminated()) {
      sum->reason = TerminatedReason(status.state().terminated());
      if (status.state().terminated().exitcode() != 0) failure = sum->reason;
    } else if (status.ready() && status.state().has_running()) {
      running = true;
      ++sum->ready;
    }
  }
  if (sum->reason != "Completed") return;
  if (running && ConditionIs(pod.status(), "Ready", "True"))
    sum->reason = "Running";
  else if (!failure.empty())
    sum->reason = failure;
  else if (running)
    sum->reason = "NotReady";
}

std::string FirstReason(const Pod& pod) {
  for (const auto& condition : pod.status().conditions())
    if (condition.type() == "PodScheduled" && condition.reason() == "SchedulingGated")
      return condition.reason();
  return pod.status().reason().empty() ? pod.status().phase() : pod.status().reason();
}

Summary Summarize(const Pod& pod) {
  Summary sum;
  sum.reason = FirstReason(pod);
  const bool initializing = LookAtInit(pod, &sum);
  if (!initializing || ConditionIs(pod.status(), "Initialized", "True")) {
    sum.restarts = sum.sidecar_restarts;
    LookAtContainers(pod, &sum);
  }
  const std::string& phase = pod.status().phase();
  if (pod.metadata().has_deletiontimestamp()) {
    if (pod.status().reason() == "NodeLost")
      sum.reason = "Unknown";
    else if (phase != "Succeeded" && phase != "Failed")
      sum.reason = "Terminating";
  }
  return sum;
}

std::string ReadinessGates(const Pod& pod) {
  if (pod.spec().readinessgates().empty()) return "<none>";
  int met = 0;
  for (const auto& gate : pod.spec().readinessgates())
    if (ConditionIs(pod.status(), gate.conditiontype(), "True")) ++met;
  return base::StrCat(met, "/", pod.spec().readinessgates_size());
}

}  // namespace

std::string Since(const Time& time, base::WallTime now) {
  if (time.seconds() == 0) return "<unknown>";
  const base::WallTime then =
      base::FromUnixNanos(0) + std::chrono::seconds(time.seconds()) + base::Nanos(time.nanos());
  return base::HumanDuration(now - then);
}

PodRow MakePodRow(const Pod& pod, base::WallTime now) {
  const Summary sum = Summarize(pod);
  PodRow row;
  row.ns = pod.metadata().namespace_();
  row.name = pod.metadata().name();
  row.ready = sum.ready;
  row.total = pod.spec().containers_size();
  for (const auto& container : pod.spec().initcontainers())
    if (container.restartpolicy() == "Always") ++row.total;
  row.status = sum.reason;
  row.restarts = base::StrCat(sum.restarts.count);
  if (sum.restarts.count != 0 && sum.restarts.last.seconds() != 0)
    base::StrAppend(&row.restarts, " (", Since(sum.restarts.last, now), " ago)");
  // A static pod has no creation time in any API server: its age counts from the node's first sight.
  row.age = Since(pod.metadata().has_creationtimestamp() ? pod.metadata().creationtimestamp()
                                                         : pod.status().starttime(),
                  now);
  row.ip = pod.status().podips().empty() ? "<none>" : OrNone(pod.status().podips(0).ip());
  row.node = OrNone(pod.spec().nodename());
  row.nominated_node = OrNone(pod.status().nominatednodename());
  row.readiness_gates = ReadinessGates(pod);
  return row;
}

}  // namespace keelson::nodectl
