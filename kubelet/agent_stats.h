// SPDX-License-Identifier: Apache-2.0
// What the agent measures and counts, and the endpoints that show it. For the files of the agent
// only. Loop only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "cgroups/pod_cgroups.h"
#include "kubelet/options/options.h"
#include "kubelet/server/debug_endpoints.h"
#include "kubelet/server/kubelet_server.h"
#include "kubelet/server/metrics_endpoints.h"
#include "kubelet/server/node_log_query.h"
#include "kubelet/server/stats_endpoints.h"
#include "kubelet/stats/collector.h"
#include "kubelet/stats/kubelet_metrics.h"
#include "kubelet/stats/pod_starts.h"

namespace keelson::cri {
class GrpcRuntime;
}
namespace keelson::probes {
class NodeProber;
}

namespace keelson::kubelet {

class Cluster;
class PodManager;
class Pleg;
struct PodServices;

struct AgentStatsDeps {
  base::Loop& loop;
  cri::GrpcRuntime& runtime;
  cgroups::PodCgroups& groups;
  PodManager& pods;
  Pleg& pleg;
  probes::NodeProber& prober;
  PodServices& services;
  NodeView& view;
  const Cluster* cluster;  // null on a node without one
};

class AgentStats {
 public:
  // Hears from `deps` from now on. None of them calls it, or is called, once the agent was shut
  // down; until then they and `options` live.
  AgentStats(AgentStatsDeps deps, const KubeletOptions& options, const std::string& node_name);
  // Adds the endpoints to a server that is to be made; it must not outlive this.
  void AddTo(KubeletServerOptions* server);
  // What nodectl asks for, over the local socket.
  void AddTo(HttpRoutes& routes) { stats_.AddRoutes(routes); }
  // After the server was closed, before the destructor.
  base::Task<void> Close() { return collector_.Close(); }
  KubeletMetrics& metrics() { return metrics_; }
  PodStarts& pod_starts() { return pod_starts_; }

 private:
  void Listen();
  std::vector<StatsPod> Pods() const;
  std::vector<HealthCheck> Checks() const;
  void ForgetProbes();
  base::Task<void> MeasureLogs();
  void WriteLogs(MetricsText& text) const;
  void WriteGates(MetricsText& text) const;
  void WritePods(MetricsText& text) const;
  void WriteContainers(MetricsText& text) const;
  void WriteNode(MetricsText& text) const;
  void WriteCluster(MetricsText& text) const;

  const AgentStatsDeps deps_;
  const KubeletOptions& options_;
  const std::string node_name_;
  KubeletMetrics metrics_;
  PodStarts pod_starts_{metrics_};
  StatsCollector collector_;
  StatsEndpoints stats_;
  MetricsEndpoints counts_;
  std::vector<StatsCollector::LogUse> logs_;  // as of the last scrape
  DebugEndpoints debug_;
  NodeLogEndpoint node_logs_;
  const bool query_node_logs_;
};

}  // namespace keelson::kubelet
