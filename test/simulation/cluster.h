// SPDX-License-Identifier: Apache-2.0
// The API server of a simulated node: a store that lasts, people who work on it, and what each life of
// the agent has towards it.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "kubelet/cluster/api_pods.h"
#include "kubelet/cluster/mirror_pods.h"
#include "kubelet/cluster/status_manager.h"
#include "kubelet/pod_manager.h"
#include "proto/k8s/node.pb.h"
#include "test/apiserver/fake_api_server.h"
#include "test/simulation/fake_runtime.h"
#include "test/simulation/random.h"

namespace keelson::simulation {

struct ApiFaults {
  bool on = true;
  double refuse = 0.04;    // the connection breaks, nothing happened
  double lose = 0.04;      // it happened, the answer was lost
  double trouble = 0.04;   // 409, 429 or 500
  double slow = 0.05;      // seconds
  bool down = false;       // nobody answers
};

class ClusterState {
 public:
  explicit ClusterState(base::VirtualClock& clock);

  // --- What people and controllers do ---
  // Binds the pod to this node, as the scheduler does.
  void Create(const kubelet::v1::Pod& pod);
  void Delete(const kubelet::v1::Pod& pod, int64_t grace);
  void ForceDelete(const kubelet::v1::Pod& pod);
  void RemoveFinalizers(const kubelet::v1::Pod& pod);
  void SetGate(const kubelet::v1::Pod& pod, const std::string& type);
  void OverwriteStatus(const kubelet::v1::Pod& pod);

  // No mirrors.
  std::vector<kubelet::PodPtr> Pods() const;
  std::vector<kubelet::PodPtr> Mirrors() const;
  std::vector<kubelet::PodPtr> Wanted() const;
  bool IsWanted(const std::string& uid) const;
  // What the server shows that is not so; `statics` are the manifests, by uid.
  std::string Problems(const std::vector<kubelet::PodManager::Entry>& entries,
                       const std::map<std::string, kubelet::PodPtr>& statics,
                       const RuntimeState& runtime, const std::set<std::string>& disturbed) const;

  apiserver::ObjectStore store;
  ApiFaults faults;
  kubelet::v1::Node node;
};

// One life of the agent.
struct ClusterLife {
  ClusterLife(base::Loop& loop, ClusterState& state, Random& random,
              std::function<void(kubelet::SourceUpdate)> on_pods);
  void Start(base::TaskGroup& tasks);

  apiserver::FakeApiServer server;
  kubelet::ApiPods pods;
  kubelet::StatusManager statuses;
  kubelet::MirrorPods mirrors;
};

}  // namespace keelson::simulation
