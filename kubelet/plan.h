// SPDX-License-Identifier: Apache-2.0
// What to do with a pod that should run: a pure function of the pod, what the runtime shows, the
// clock and the back-off table. No I/O, no log, no clock of its own.
//
// The rules are those of upstream's sync: sandbox first, init containers in order, sidecars (KEP-753),
// regular containers; ephemeral containers (KEP-277), each started once and never counted; restart
// policies and container restart rules (KEP-5307, KEP-5532).
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/time.h"
#include "kubelet/backoff.h"
#include "kubelet/pod.h"
#include "kubelet/runtime_view.h"
#include "probes/prober.h"

namespace keelson::kubelet {

enum class ContainerKind { kInit, kRegular, kEphemeral };

using ProbeResult = probes::Result;
using ProbeResults = probes::Results;

struct PlanInput {
  const v1::Pod& pod;
  const ObservedPod& seen;
  // The hash each container of the spec would be created with now.
  const std::map<std::string, std::string>& hashes;
  // When a container that has exited was first known to have.
  const std::map<std::string, base::MonoTime>& ended;  // by container id
  const BackoffTable& backoff;
  base::MonoTime now;
  // Containers a call is in progress for: nothing is planned for them.
  const std::set<std::string>& busy;
  const ProbeResults& probes;
  // Ids of ended containers that we killed in order to start them again: what they exited with does
  // not say whether they shall run.
  std::set<std::string> start_again = {};
};

struct StartAction {
  ContainerKind kind = ContainerKind::kRegular;
  int index = 0;                // in the spec's list of that kind
  uint32_t restart_count = 0;   // ignored when `created_id` is set
  bool first = false;           // no earlier instance is known: logs may still tell of one
  std::string created_id;       // already created, only start it
};

enum class KillCause { kSpecChanged, kLiveness, kStartup, kUnknownState, kRestartAll };
struct KillAction {
  std::string id;
  std::string name;
  KillCause cause;
  std::string message;  // of the Killing event
  bool start_again = true;  // by KillCause and restart policy, whatever it exits with
};

struct Waiting {
  std::string reason;
  std::string message;
};

struct PodPlan {
  // Stop everything: nothing runs and nothing is to be started any more.
  bool stop_pod = false;
  // Stop everything and make a sandbox with this attempt number.
  bool create_sandbox = false;
  uint32_t sandbox_attempt = 0;
  bool sandbox_changed = false;  // there was one before
  bool host_namespaces_changed = false;

  // A rule asked for it (KEP-5532): `kill` and `remove_containers` clear the pod but for its sandbox
  // and logs; the container that asked goes last.
  bool restart_all = false;

  std::vector<KillAction> kill;
  std::vector<StartAction> start;
  // Would start, but not before their back-off ends.
  std::map<std::string, Waiting> waiting;
  std::optional<base::MonoTime> look_again;
  // Dead instances that are not needed any more.
  std::vector<std::string> remove_containers;
  std::vector<std::string> remove_sandboxes;
  // Init containers are done (or there are none).
  bool initialized = false;
};

PodPlan MakePlan(const PlanInput& input);

// Whether a container that ended with `exit_code` runs again (pod policy, container policy, rules).
enum class RestartDecision { kNo, kYes, kRestartAllContainers };
RestartDecision DecideRestart(const v1::Pod& pod, const v1::Container& container, int exit_code);

// Whether some container has ended in a way that restarts all containers, and is still there.
bool RestartAllAsked(const v1::Pod& pod, const ObservedPod& seen);

// The key of a container's restart back-off: another image or other resources start it anew.
std::string RestartBackoffKey(const v1::Pod& pod, const v1::Container& container);

// A copy, since an ephemeral container is defined by a message of another type.
v1::Container ContainerOf(const v1::Pod& pod, ContainerKind kind, int index);

// A sandbox is needed before anything else can happen (condition PodReadyToStartContainers).
struct SandboxNeed {
  bool create = false;
  uint32_t attempt = 0;
  bool replaces = false;
};
SandboxNeed NeedSandbox(const v1::Pod& pod, const ObservedPod& seen);

}  // namespace keelson::kubelet
