// SPDX-License-Identifier: Apache-2.0
// What the agent counts: /metrics, /metrics/probes and /metrics/slis. Loop only.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kubelet/server/http_server.h"
#include "kubelet/stats/kubelet_metrics.h"

namespace keelson::kubelet {

// A named check of the agent's health.
struct HealthCheck {
  std::string name;
  absl::Status status;
};

class MetricsEndpoints {
 public:
  using Checks = std::function<std::vector<HealthCheck>()>;
  struct Hooks {
    Checks checks;
    std::function<base::Task<void>()> before_main;  // before the families of /metrics are written
    std::function<void()> before_probes;            // likewise
  };
  // `metrics` outlives this.
  MetricsEndpoints(KubeletMetrics& metrics, Hooks hooks);
  // `routes` are served while this lives.
  void AddRoutes(HttpRoutes& routes);
  // Counts the requests of one port.
  HttpObserver* ObserverOf(bool secure) { return secure ? &secure_ : &read_only_; }

 private:
  class Observer : public HttpObserver {
   public:
    Observer(KubeletMetrics& metrics, bool secure) : metrics_(metrics), secure_(secure) {}
    void RequestBegan(const HttpRequest& request) override {
      metrics_.RequestBegan({request.method, request.path, secure_});
    }
    void RequestEnded(const HttpRequest& request, base::Nanos took) override {
      metrics_.RequestEnded({request.method, request.path, secure_}, took);
    }

   private:
    KubeletMetrics& metrics_;
    const bool secure_;
  };

  base::Task<void> GetMain(Responder& responder);
  std::string ServiceLevels();

  KubeletMetrics& metrics_;
  const Hooks hooks_;
  Registry slis_;
  Family &healthy_, &checked_;
  Observer secure_, read_only_;
};

}  // namespace keelson::kubelet
