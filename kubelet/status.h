// SPDX-License-Identifier: Apache-2.0
// PodStatus as users see it: a pure function of the pod, what the runtime shows and a little context.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/time.h"
#include "kubelet/plan.h"
#include "kubelet/pod.h"
#include "kubelet/runtime_view.h"

namespace keelson::kubelet {

// Why a pod ended without its containers' say: eviction, rejection, deadline, shutdown.
struct PodVerdict {
  std::string reason;
  std::string message;
  // Message of the condition DisruptionTarget (KEP-3329); empty: it gets none.
  std::string disruption = {};
};

struct StatusInput {
  const v1::Pod& pod;
  const ObservedPod& seen;
  const v1::PodStatus& previous;  // what this function returned last; its times are carried on
  base::WallTime now;
  base::WallTime start_time;      // when the node first saw the pod
  // Waiting reasons by container name; they win over an ended state when the container will run again.
  const std::map<std::string, Waiting>& waiting;
  const ProbeResults& probes;
  // Text of termination messages by container id, already bounded.
  const std::map<std::string, std::string>& messages;
  std::string runtime_name;       // of container ids: <runtime>://<id>
  std::string qos_class;
  std::vector<std::string> node_ips;
  std::vector<std::string> last_pod_ips;  // kept after the sandbox has stopped
  // A sandbox exists and nothing has to be made before containers can start.
  bool sandbox_ready = false;
  // The pod is being or has been ended; containers that vanished are shown as ended.
  bool terminating = false;
  // The last word on the pod: an undecided phase becomes Succeeded or Failed.
  bool terminal = false;
  std::optional<PodVerdict> verdict = {};
  // Restart counts found in the log directory for containers without any instance.
  std::map<std::string, uint32_t> restart_counts = {};
  // As PlanInput::start_again.
  std::set<std::string> start_again = {};
  // The pod's runtime handler can make mounts below a read-only one read-only too.
  bool recursive_read_only = false;
};

v1::PodStatus MakePodStatus(const StatusInput& input);

// Phase from container statuses alone, rules in the order upstream applies them. `terminal`: nothing
// runs again, so that a pod of the API gets a terminal phase; a static one may be shown as it was.
// `forced`: names of containers that are started again whatever they ended with.
std::string MakePhase(const v1::Pod& pod, const v1::PodStatus& status, bool terminal,
                      const std::set<std::string>& forced = {});

bool IsTerminalPhase(const std::string& phase);
const v1::PodCondition* FindCondition(const v1::PodStatus& status, const std::string& type);
void SetTime(base::WallTime time, k8s::meta::v1::Time* out);

}  // namespace keelson::kubelet
