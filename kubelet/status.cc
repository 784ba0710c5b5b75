// SPDX-License-Identifier: Apache-2.0
#include "kubelet/status.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_join.h"
#include "base/strings.h"
#include "kubelet/conditions.h"
#include "kubelet/container_status.h"

namespace keelson::kubelet {

using base::StrCat;

namespace {

void AddContainerStatuses(const StatusInput& in, v1::PodStatus& status) {
  for (const auto& c : in.pod.spec().initcontainers())
    *status.add_initcontainerstatuses() = MakeContainerStatus(in, c, ContainerKind::kInit);
  for (const auto& c : in.pod.spec().containers())
    *status.add_containerstatuses() = MakeContainerStatus(in, c, ContainerKind::kRegular);
  for (int i = 0; i < in.pod.spec().ephemeralcontainers_size(); ++i) {
    const v1::Container c = ContainerOf(in.pod, ContainerKind::kEphemeral, i);
    *status.add_ephemeralcontainerstatuses() =
        MakeContainerStatus(in, c, ContainerKind::kEphemeral);
  }
  for (auto* list : {status.mutable_containerstatuses(), status.mutable_ephemeralcontainerstatuses()})
    std::sort(list->begin(), list->end(),
              [](const auto& a, const auto& b) { return a.name() < b.name(); });
}

void AddAddresses(const StatusInput& in, v1::PodStatus& status) {
  if (!in.node_ips.empty()) {
    status.set_hostip(in.node_ips[0]);
    for (const auto& ip : in.node_ips) status.add_hostips()->set_ip(ip);
  }
  const ObservedSandbox* sandbox = in.seen.sandbox();
  std::vector<std::string> ips;
  if (in.pod.spec().hostnetwork()) ips = in.node_ips;
  else if (sandbox && sandbox->ready && !sandbox->ips.empty()) ips = sandbox->ips;
  else ips = in.last_pod_ips;
  if (ips.empty()) return;
  status.set_podip(ips[0]);
  for (const auto& ip : ips) status.add_podips()->set_ip(ip);
}

}  // namespace

void SetTime(base::WallTime time, k8s::meta::v1::Time* out) {
  int64_t nanos = base::ToUnixNanos(time);
  out->set_seconds(nanos / 1'000'000'000);
}

bool IsTerminalPhase(const std::string& phase) { return phase == "Succeeded" || phase == "Failed"; }

v1::PodStatus MakePodStatus(const StatusInput& in) {
  v1::PodStatus status;
  AddContainerStatuses(in, status);
  std::set<std::string> forced;
  for (const auto& c : in.seen.containers)
    if ((in.start_again.contains(c.id) || c.state == ContainerState::kCreated) &&
        in.seen.Newest(c.name) == &c)
      forced.insert(c.name);
  std::string phase = MakePhase(in.pod, status, in.terminal, forced);
  const bool over = IsTerminalPhase(in.previous.phase());
  if (over) phase = in.previous.phase();
  if (in.verdict && !over) {
    phase = "Failed";
    if (!in.verdict->reason.empty()) status.set_reason(in.verdict->reason);
    if (!in.verdict->message.empty()) status.set_message(in.verdict->message);
  } else if (phase == in.previous.phase()) {
    // They belong to the phase, whoever set them: a verdict of an earlier life, too.
    if (in.previous.has_reason()) status.set_reason(in.previous.reason());
    if (in.previous.has_message()) status.set_message(in.previous.message());
  }
  status.set_phase(phase);
  status.set_qosclass(in.qos_class);
  if (in.pod.metadata().generation() > 0)
    status.set_observedgeneration(in.pod.metadata().generation());
  SetTime(in.start_time, status.mutable_starttime());
  AddAddresses(in, status);
  AddConditions(in, status);
  return status;
}

}  // namespace keelson::kubelet
