// SPDX-License-Identifier: Apache-2.0
// What is measured when somebody asks: /stats/summary, /metrics/resource and /metrics/cadvisor.
// Loop only.
#pragma once

#include "kubelet/server/http_server.h"
#include "kubelet/stats/collector.h"

namespace keelson::kubelet {

struct StatsEndpointOptions {
  bool pressure = true;  // gate KubeletPSI
};

class StatsEndpoints {
 public:
  // `collector` outlives this.
  StatsEndpoints(StatsCollector& collector, StatsEndpointOptions options)
      : collector_(collector), options_(options) {}
  // `routes` are served while this lives.
  void AddRoutes(HttpRoutes& routes);

 private:
  base::Task<void> GetSummary(const HttpRequest& request, Responder& responder);
  base::Task<void> GetResourceMetrics(const HttpRequest& request, Responder& responder);
  base::Task<void> GetContainerMetrics(const HttpRequest& request, Responder& responder);

  StatsCollector& collector_;
  const StatsEndpointOptions options_;
};

// The answer to a scrape.
HttpResponse MetricsResponse(std::string text);

}  // namespace keelson::kubelet
