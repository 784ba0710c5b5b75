// SPDX-License-Identifier: Apache-2.0
// Keeps this node's object at the API server true: makes it once, then says how the node is. Loop
// only; borrows everything it is given.
//
// A status is computed every `update` and at each StateChanged; it is written when something but a
// heartbeat changed, else every `report`, at a moment of each node's own. Failures are tried again
// and never end Run.
#pragma once

#include <functional>
#include <optional>
#include <random>

#include "absl/status/statusor.h"
#include "base/loop.h"
#include "base/task.h"
#include "kubelet/client/api_server.h"
#include "kubelet/event_recorder.h"
#include "kubelet/node/node_object.h"

namespace keelson::kubelet {

struct NodeKeeperOptions {
  NodeSettings settings;
  bool register_node = true;                  // registerNode
  base::Nanos update = std::chrono::seconds(10);  // nodeStatusUpdateFrequency
  base::Nanos report = std::chrono::minutes(5);   // nodeStatusReportFrequency
  uint64_t seed = 0;                          // of jitter
};

class NodeKeeper {
 public:
  // `observe` says how the node is now. `on_pod_cidr` hears of podCIDRs, comma-separated.
  NodeKeeper(base::Loop& loop, client::ApiServer& api, EventRecorder& events,
             NodeKeeperOptions options, std::function<NodeState()> observe,
             std::function<void(const std::string& pod_cidr)> on_pod_cidr);

  // Hears of the object whenever the server has told how it is. Before Run.
  void OnNode(std::function<void(const k8s::v1::Node&)> on_node) { on_node_ = std::move(on_node); }

  // Until cancelled.
  base::Task<void> Run();
  // Asks the server how the object is now: others change labels and taints.
  base::Task<absl::Status> Refresh();
  // Something that `observe` tells may have changed: look now, not at the next turn.
  void StateChanged() { changed_.Set(); }

  // As the server has it; null before it was registered or read.
  const k8s::v1::Node* node() const { return node_ ? &*node_ : nullptr; }

 private:
  base::Task<void> Register();
  base::Task<absl::Status> RegisterOnce();
  base::Task<void> ReportOnce();
  base::Task<absl::Status> Write(bool read_first);
  void Learn(k8s::v1::Node node);
  void AnnounceReboot(const std::string& known_boot_id);
  base::Nanos Jittered(base::Nanos period, double part);

  base::Loop& loop_;
  client::ApiServer& api_;
  EventRecorder& events_;
  const NodeKeeperOptions o_;
  const std::function<NodeState()> observe_;
  const std::function<void(const std::string&)> on_pod_cidr_;
  std::function<void(const k8s::v1::Node&)> on_node_;
  base::Wakeup changed_;
  std::optional<k8s::v1::Node> node_;
  std::optional<base::MonoTime> report_due_;  // when the heartbeat alone is worth a write
  std::string pod_cidr_;
  std::string announced_boot_id_;
  std::mt19937_64 random_;
};

}  // namespace keelson::kubelet
