// SPDX-License-Identifier: Apache-2.0
// The agent: its parts put together for one node. Owns them all; the loop owns nothing.
//
// Start() connects, adopts what runs and begins; Shutdown() ends the agent and leaves pods running.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/loop.h"
#include "kubelet/options/options.h"
#include "kubelet/server/node_view.h"

namespace k8s::v1 {
class Node;
}
namespace keelson::cri {
struct PulledImage;
}

namespace keelson::kubelet {

class Cluster;
struct KubeletServerOptions;
struct NodeState;

class Agent : public NodeView {
 public:
  // `options` are validated. Nothing happens before Start.
  Agent(base::Loop& loop, KubeletOptions options);
  ~Agent() override;

  // Afterwards the agent serves. An error is fatal: it says what to do about it.
  base::Task<absl::Status> Start();
  // Afterwards no task of the agent runs.
  base::Task<void> Shutdown();

  // NodeView
  std::vector<k8s::v1::Pod> Pods() override;
  std::vector<k8s::v1::Event> Events() override;
  base::Task<absl::StatusOr<std::vector<NodeImage>>> Images() override;
  absl::StatusOr<ContainerLog> FindLog(const std::string& ns, const std::string& pod,
                                       const std::string& container, bool previous) override;
  base::Task<void> ContainerEnded(std::string container_id) override;
  const google::protobuf::Message& Configuration() override;
  std::vector<InflightCall> Inflight() override;
  absl::Status Health() override;

 private:
  struct Parts;  // everything behind the options, in the order it is made

  absl::Status CheckNode();
  absl::Status MakeParts();
  absl::Status MakeDirs();
  absl::Status MakeImageCredentials();
  void Pulled(const k8s::v1::Pod& pod, const cri::PulledImage& image);
  void UseClusterCertificate(KubeletServerOptions* server) const;
  void StartSources();
  void WatchShutdown();
  void JoinCluster();
  NodeState State() const;
  void LookAtAddresses();
  absl::Status AdmitByOwnWords();
  void AdmitBy(const k8s::v1::Node& node);
  base::Task<absl::Status> Connect();
  base::Task<absl::Status> PrepareCgroups();
  base::Task<absl::Status> Adopt();

  base::Loop& loop_;
  KubeletOptions options_;
  const std::string node_name_;
  std::string runtime_version_;       // containerd://2.1.9
  std::vector<std::string> node_ips_;  // as they are now
  std::map<std::string, std::string> own_allocatable_;  // quantities by resource
  std::unique_ptr<Cluster> cluster_;  // null when standalone; the parts borrow from it
  std::unique_ptr<Parts> parts_;
};

}  // namespace keelson::kubelet
