// SPDX-License-Identifier: Apache-2.0
// How the container runtime is: ready or not and why, its handlers and features, the node's images,
// and whether our own view of it is fresh. Asks; the words are upstream's (kubelet/runtime.go).
//
// Loop only; borrows what it is given. A Status that fails changes nothing at once: the runtime may
// restart. After `down_after` without a good one it is down.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/loop.h"
#include "base/task.h"
#include "cri/runtime.h"
#include "kubelet/node/node_object.h"

namespace keelson::kubelet {

struct RuntimeStateOptions {
  base::Nanos period = std::chrono::seconds(5);
  base::Nanos hurry = std::chrono::seconds(1);  // while it is not ready, so that its return is seen
  base::Nanos down_after = std::chrono::seconds(30);
  base::Nanos relist_threshold = std::chrono::minutes(3);
  base::Nanos images_period = std::chrono::minutes(5);    // for images others pull and remove
  base::Nanos images_spacing = std::chrono::seconds(10);  // of two readings, when many are pulled
  std::string pod_cidr;                                   // podCIDR; a cluster's node has its own
};

// What problems are made from.
struct RuntimeObservation {
  std::optional<base::MonoTime> good;    // the last Status that said RuntimeReady
  std::string runtime_problem;           // of the last Status; empty: ready
  std::string network_problem = "network state unknown";
  std::optional<base::MonoTime> relist;  // start of the last full relist
};

// In upstream's order, empty when all is well. Pure.
std::vector<std::string> ProblemsOf(const RuntimeObservation& seen, base::MonoTime now,
                                    const RuntimeStateOptions& options);

class RuntimeState {
 public:
  // `last_relist` is Pleg's; `changed` runs when a look made Problems or what Fill writes differ.
  RuntimeState(base::Loop& loop, cri::Runtime& runtime, RuntimeStateOptions options,
               std::function<std::optional<base::MonoTime>()> last_relist,
               std::function<void()> changed);

  // Until cancelled.
  base::Task<void> Run();

  // The connection to the runtime broke or came back: ask now.
  void Look() { look_.Set(); }
  // An image was pulled or removed.
  void ImagesChanged() { images_changed_.Set(); }
  // The node's podCIDRs, comma-separated; each value is told once, again until the runtime took it.
  void SetPodCidr(std::string pod_cidr);

  // As of this moment; empty: the runtime lets the node be ready.
  std::vector<std::string> Problems() const;
  // Why pods outside the host's network cannot start; empty when they can.
  const std::string& network_problem() const { return seen_.network_problem; }
  // Writes what is known here; appends problems.
  void Fill(NodeState* state) const;

 private:
  base::Task<void> StatusLoop();
  base::Task<absl::Status> Ask();
  void Learn(const cri::rt::StatusResponse& answer);
  base::Task<void> ImagesLoop();
  base::Task<void> CidrLoop();

  base::Loop& loop_;
  cri::Runtime& runtime_;
  const RuntimeStateOptions o_;
  const std::function<std::optional<base::MonoTime>()> last_relist_;
  const std::function<void()> changed_;
  base::Wakeup look_, images_changed_, cidr_changed_;
  RuntimeObservation seen_;
  NodeState known_;  // handlers, features and images only
  std::string pod_cidr_;
};

}  // namespace keelson::kubelet
