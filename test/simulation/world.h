// SPDX-License-Identifier: Apache-2.0
// One simulated node: a runtime and a host that last, and an agent that is killed and started again.
// Everything happens on one virtual clock and follows from one seed.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kubelet/pod_manager.h"
#include "test/simulation/agent_clock.h"
#include "test/simulation/cluster.h"
#include "test/simulation/fake_host.h"
#include "test/simulation/fake_runtime.h"

namespace keelson::simulation {

// What a container does: runs on, or ends with a code after a time.
struct Behaviour {
  int exit_code = -1;  // -1: runs on
  int after_ms = 0;
};

kubelet::PodPtr MakePod(const std::string& name, const std::string& uid,
                        const std::string& restart_policy, const std::vector<Behaviour>& regular,
                        const std::vector<Behaviour>& init = {}, int sidecars = 0);

class World {
 public:
  // With an API server: pods come from it, too, and it is told how they are.
  explicit World(uint64_t seed, bool with_cluster = false);
  ~World();

  // A life of the agent begins, or ends as by SIGKILL: between any two steps of it.
  void StartAgent();
  void KillAgent();
  bool agent_runs() const { return life_ != nullptr; }

  // What the manifest directory holds; the agent hears of it at once, or when it starts.
  void SetPods(std::vector<kubelet::PodPtr> pods);
  const std::map<std::string, kubelet::PodPtr>& pods() const { return pods_; }

  void Run(base::Nanos time);
  // All is as it should be now; empty when it is, else what is wrong.
  std::string Problems() const;
  kubelet::PodManager& manager();
  kubelet::Admission& admission();

  Random& random() { return random_; }
  RuntimeState& runtime() { return runtime_; }
  HostState& host() { return host_; }
  // REQUIRES: with_cluster.
  ClusterState& cluster() { return *cluster_; }
  // The server goes away with all its watches, or comes back. REQUIRES: the agent runs.
  void SetReachable(bool reachable);
  // What this life of the agent asked of it.
  std::vector<std::string>& requests();
  base::VirtualClock& clock() { return clock_; }
  // Pods whose containers were harmed from outside; their restarts are in order.
  std::set<std::string> disturbed;

 private:
  struct Life;
  void Tell();
  // What the agent thinks of a pod.
  std::string Describe(const std::string& uid) const;

  // What should be there: static pods, and those of the API server that nobody deletes.
  std::map<std::string, kubelet::PodPtr> Wanted() const;

  base::VirtualClock clock_;
  Random random_;
  RuntimeState runtime_;
  HostState host_;
  std::unique_ptr<ClusterState> cluster_;
  std::map<std::string, kubelet::PodPtr> pods_;  // by uid
  std::unique_ptr<Life> life_;
};

}  // namespace keelson::simulation
