// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/metrics_endpoints.h"

#include "kubelet/server/stats_endpoints.h"
#include "kubelet/stats/process_metrics.h"

namespace keelson::kubelet {
namespace {

// Named, so that what it holds outlives the answer.
base::Task<void> Scraped(std::string text, Responder& responder) {
  HttpResponse response = MetricsResponse(std::move(text));
  static_cast<void>(co_await responder.Send(std::move(response)));  // who left needs no answer
}

}  // namespace

MetricsEndpoints::MetricsEndpoints(KubeletMetrics& metrics, Hooks hooks)
    : metrics_(metrics),
      hooks_(std::move(hooks)),
      healthy_(slis_.Gauge("kubernetes_healthcheck", "1 when the check passes, else 0",
                           {"name", "type"})),
      checked_(slis_.Counter("kubernetes_healthchecks_total", "How checks ended",
                             {"name", "status", "type"})),
      secure_(metrics, true),
      read_only_(metrics, false) {}

void MetricsEndpoints::AddRoutes(HttpRoutes& routes) {
  routes.Add("GET", "/metrics", [this](const HttpRequest&, Responder& responder) {
    return GetMain(responder);
  });
  routes.Add("GET", "/metrics/probes", [this](const HttpRequest&, Responder& responder) {
    hooks_.before_probes();
    MetricsText text;
    metrics_.probes().Write(text);
    WriteProcessStart(text);
    return Scraped(text.Take(), responder);
  });
  routes.Add("GET", "/metrics/slis", [this](const HttpRequest&, Responder& responder) {
    return Scraped(ServiceLevels(), responder);
  });
}

base::Task<void> MetricsEndpoints::GetMain(Responder& responder) {
  co_await hooks_.before_main();
  MetricsText text;
  metrics_.main().Write(text);
  WriteProcessMetrics(text);
  co_await Scraped(text.Take(), responder);
}

std::string MetricsEndpoints::ServiceLevels() {
  for (const HealthCheck& check : hooks_.checks()) {
    healthy_.Set({check.name, "healthz"}, check.status.ok() ? 1 : 0);
    checked_.Add({check.name, check.status.ok() ? "success" : "error", "healthz"});
  }
  return slis_.Text();
}

}  // namespace keelson::kubelet
