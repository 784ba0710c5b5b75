// SPDX-License-Identifier: Apache-2.0
// The cluster this node is part of: everything that exists only with an API server, put together.
//
// Loop only. Made before the agent's parts, which borrow from it; started when they stand; closed
// before they go. An API server that is away delays what needs it and ends nothing.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "base/loop.h"
#include "base/task.h"
#include "kubelet/certificates/node_certificates.h"
#include "kubelet/client/api_server.h"
#include "kubelet/client/http_api_server.h"
#include "kubelet/cluster/api_objects.h"
#include "kubelet/cluster/api_pods.h"
#include "kubelet/cluster/event_sink.h"
#include "kubelet/cluster/mirror_pods.h"
#include "kubelet/cluster/status_manager.h"
#include "kubelet/event_recorder.h"
#include "kubelet/node/lease_keeper.h"
#include "kubelet/node/node_keeper.h"
#include "kubelet/options/options.h"

namespace keelson::kubelet {

// What the cluster asks of the agent, and tells it.
struct ClusterHooks {
  std::function<NodeState()> node_state;
  std::function<void(const std::string& pod_cidr)> on_pod_cidr;
  std::function<void(const k8s::v1::Node&)> on_node;  // as the server has this node now
  std::function<void(SourceUpdate)> on_pods;  // those bound to this node
  ApiPods::OnObject on_object;  // each object of them, mirror pods too; may be null
  // See MirrorPodsOptions::ending.
  std::function<bool(const std::string& full_name)> static_pod_ending;
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
  // For reviews of who calls the node's own API: anybody may cause them, in any number.
  client::ApiServer& review_api() { return *review_api_; }
  // What pods name: ConfigMaps, Secrets, tokens, runtime classes.
  csi::ObjectSource& objects() { return objects_; }
  // Registers the node, keeps saying that and how it is, and begins to deliver pods. `static_sources`
  // are those that StaticPods will hear of.
  void Start(NodeSettings settings, std::set<PodSource> static_sources, EventRecorder& events,
             ClusterHooks hooks);
  // What a source of static pods wants now. REQUIRES: started.
  void StaticPods(const SourceUpdate& update) { mirrors_->Apply(update); }
  // Something that hooks.static_pod_ending tells may have changed. REQUIRES: started.
  void PodEnded() { mirrors_->Wake(); }
  // How a pod is now, for its status at the API server. REQUIRES: started.
  void Report(const PodReport& report) { statuses_->Set(report); }
  // For EventLog::SetListener.
  void RecordEvent(const k8s::v1::Event& event, const std::string& key) {
    event_sink_.Record(event, key);
  }
  // Something that hooks.node_state tells has changed.
  void NodeChanged();
  // Reads the node anew: what hooks.on_node told last may be old. A failure is logged. REQUIRES:
  // started.
  base::Task<void> RefreshNode();
  base::Task<void> Close();

  // For metrics. Mirror pods there are; 0 before Start.
  size_t mirror_pods() const { return pods_ ? pods_->Mirrors().size() : 0; }
  const NodeCertificates& certificates() const { return *certificates_; }

 private:
  void Learn(const k8s::v1::Node& node);
  Cluster(base::Loop& loop, const KubeletOptions& options, std::string node_name,
          std::unique_ptr<NodeCertificates> certificates);
  std::unique_ptr<client::ApiServer> Client(client::ClientOptions options) const;

  base::Loop& loop_;
  const KubeletOptions& options_;
  const std::string node_name_;
  std::unique_ptr<NodeCertificates> certificates_;  // with the connections of all below
  // Limits of their own, so that a burst of one kind holds up nothing of another.
  std::unique_ptr<client::ApiServer> api_;
  std::unique_ptr<client::ApiServer> heartbeat_;
  std::unique_ptr<client::ApiServer> event_api_;
  std::unique_ptr<client::ApiServer> review_api_;
  ApiObjects objects_;
  EventSink event_sink_;
  std::unique_ptr<NodeKeeper> node_;
  std::unique_ptr<LeaseKeeper> lease_;
  std::unique_ptr<ApiPods> pods_;
  std::unique_ptr<MirrorPods> mirrors_;
  std::unique_ptr<StatusManager> statuses_;
  std::function<void(const k8s::v1::Node&)> on_node_;
  std::string node_uid_;
  std::vector<std::string> addresses_;  // of the node, as the server has them
  base::TaskGroup tasks_;
};

}  // namespace keelson::kubelet
