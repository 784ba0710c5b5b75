// SPDX-License-Identifier: Apache-2.0
// The cluster this node is part of: everything that exists only with an API server, put together.
//
// Loop only. Made before the agent's parts, which borrow from it; started when they stand; closed
// before they go. An API server that is away delays what needs it and ends nothing.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/loop.h"
#include "base/task.h"
#include "kubelet/client/api_server.h"
#include "kubelet/client/http_api_server.h"
#include "kubelet/cluster/api_objects.h"
#include "kubelet/event_recorder.h"
#include "kubelet/node/lease_keeper.h"
#include "kubelet/node/node_keeper.h"
#include "kubelet/options/options.h"

namespace keelson::kubelet {

// What the cluster asks of the agent, and tells it.
struct ClusterHooks {
  std::function<NodeState()> node_state;
  std::function<void(const std::string& pod_cidr)> on_pod_cidr;
};

class Cluster {
 public:
  // Reads the kubeconfig and all it names; asks nothing of the server. `options` and `loop` outlive
  // the cluster. InvalidArgument and NotFound say which file is wrong, and how.
  static absl::StatusOr<std::unique_ptr<Cluster>> Make(base::Loop& loop,
                                                       const KubeletOptions& options,
                                                       std::string node_name,
                                                       client::OnAnswer on_answer = {});
  ~Cluster();

  client::ApiServer& api() { return *api_; }
  // What pods name: ConfigMaps, Secrets, tokens, runtime classes.
  csi::ObjectSource& objects() { return objects_; }
  // Registers the node and keeps saying that and how it is.
  void Start(NodeSettings settings, EventRecorder& events, ClusterHooks hooks);
  // Something that hooks.node_state tells has changed.
  void NodeChanged();
  base::Task<void> Close();

 private:
  Cluster(base::Loop& loop, const KubeletOptions& options, std::string node_name,
          std::shared_ptr<client::Transport> transport);
  std::unique_ptr<client::ApiServer> Client(client::ClientOptions options) const;

  base::Loop& loop_;
  const KubeletOptions& options_;
  const std::string node_name_;
  std::shared_ptr<client::Transport> transport_;
  // Limits of their own, so that a burst of one kind holds up nothing of another.
  std::unique_ptr<client::ApiServer> api_;
  std::unique_ptr<client::ApiServer> heartbeat_;
  ApiObjects objects_;
  std::unique_ptr<NodeKeeper> node_;
  std::unique_ptr<LeaseKeeper> lease_;
  base::TaskGroup tasks_;
};

}  // namespace keelson::kubelet
