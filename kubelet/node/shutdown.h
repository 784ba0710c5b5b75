// SPDX-License-Identifier: Apache-2.0
// Graceful node shutdown (KEP-2000, KEP-2712): logind is held up while pods end, those of low
// priority first.
//
// Loop only; borrows what it is given. Without a system bus or logind at the start it says so and
// is off, as upstream; a connection that breaks later is made again each second.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/loop.h"
#include "base/task.h"
#include "kubelet/admission.h"
#include "kubelet/event_recorder.h"
#include "kubelet/node/login_bus.h"
#include "kubelet/pod.h"
#include "kubelet/status.h"

namespace keelson::kubelet {

// Pods of a priority from this one up to the next group's share so many seconds.
struct ShutdownGroup {
  int32_t priority = 0;
  int64_t seconds = 0;
  bool operator==(const ShutdownGroup&) const = default;
};

// By priority, lowest first; empty: the feature is off. `by_priority` wins over the two periods of
// ordinary and critical pods.
std::vector<ShutdownGroup> ShutdownGroups(base::Nanos all, base::Nanos critical,
                                          std::vector<ShutdownGroup> by_priority);
// What logind has to wait for.
base::Nanos ShutdownPeriod(const std::vector<ShutdownGroup>& groups);

struct ShutdownStep {
  ShutdownGroup group;
  std::vector<PodPtr> pods;  // never empty
};
// Steps in their order. Pods below the lowest group are in it. REQUIRES: groups, sorted.
std::vector<ShutdownStep> ShutdownSteps(const std::vector<ShutdownGroup>& groups,
                                        const std::vector<PodPtr>& pods);
// Seconds a pod gets to end: its own, at most the group's.
int64_t ShutdownGrace(const v1::Pod& pod, const ShutdownGroup& group);

struct ShutdownHooks {
  // Pods that are not over.
  std::function<std::vector<PodPtr>()> active_pods;
  // Ends a pod.
  std::function<void(const PodUid& uid, int64_t grace_seconds, const PodVerdict& verdict)> end_pod;
  // No container of it runs and no volume is mounted.
  std::function<bool(const PodUid& uid)> pod_ended;
  // Problem() differs now.
  std::function<void()> changed;
};

struct ShutdownOptions {
  std::vector<ShutdownGroup> groups;  // REQUIRES: not empty
  std::string state_file;             // <root-dir>/graceful_node_shutdown_state
};

class NodeShutdown {
 public:
  using Connect = std::function<base::Task<absl::StatusOr<std::unique_ptr<LoginBus>>>()>;

  // `connect` is ConnectLoginBus, but for tests.
  NodeShutdown(base::Loop& loop, Connect connect, EventRecorder& events, ShutdownOptions options,
               ShutdownHooks hooks);

  // Until cancelled, or at once when there is no logind.
  base::Task<void> Run();
  // Some pod's end came nearer: looks at pod_ended again.
  void PodsChanged() { pods_changed_.Set(); }

  // For the node's Ready condition; empty unless a shutdown is on its way.
  std::string Problem() const;
  // No pod begins during a shutdown.
  std::optional<Rejection> Admit() const;

 private:
  // Ready to be told of shutdowns.
  base::Task<absl::Status> Arm();
  base::Task<absl::Status> RaiseDelay(base::Nanos wanted);
  base::Task<absl::Status> Watch();
  base::Task<void> OnShutdown(bool begins);
  base::Task<void> EndPods();
  base::Task<void> EndStep(ShutdownStep step);
  void SaveState(base::WallTime start, std::optional<base::WallTime> end);

  base::Loop& loop_;
  const Connect connect_;
  EventRecorder& events_;
  const ShutdownOptions o_;
  const ShutdownHooks hooks_;
  std::unique_ptr<LoginBus> bus_;
  base::UniqueFd lock_;  // shutdowns wait while it is open
  bool shutting_down_ = false;
  base::Wakeup pods_changed_;
};

}  // namespace keelson::kubelet
