// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/stats_endpoints.h"

#include "base/log.h"
#include "base/strings.h"
#include "kubelet/server/replies.h"
#include "kubelet/stats/container_metrics.h"
#include "kubelet/stats/summary.h"
#include "proto/codec/codec.h"

namespace keelson::kubelet {
namespace {

using base::Task;

HttpResponse InternalError(const absl::Status& status) {
  return TextResponse(500, base::StrCat("Internal Error: ", base::Message(status)));
}

// As Go's strconv.ParseBool; anything else is an error there and no there.
bool IsTrue(const std::string& text) {
  for (const char* word : {"1", "t", "T", "true", "TRUE", "True"})
    if (text == word) return true;
  return false;
}

void Report(const Snapshot& snapshot) {
  if (!snapshot.problem.ok())
    KLOG_WARNING("Some figures are missing", {"err", snapshot.problem});
}

}  // namespace

HttpResponse MetricsResponse(std::string text) {
  HttpResponse response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = std::move(text);
  return response;
}

void StatsEndpoints::AddRoutes(HttpRoutes& routes) {
  auto summary = [this](const HttpRequest& request, Responder& responder) {
    return GetSummary(request, responder);
  };
  routes.Add("GET", "/stats/summary", summary);
  routes.Add("POST", "/stats/summary", summary);
  routes.Add("GET", "/metrics/resource", [this](const HttpRequest& request, Responder& responder) {
    return GetResourceMetrics(request, responder);
  });
  routes.Add("GET", "/metrics/cadvisor", [this](const HttpRequest& request, Responder& responder) {
    return GetContainerMetrics(request, responder);
  });
}

Task<void> StatsEndpoints::GetSummary(const HttpRequest& request, Responder& responder) {
  SummaryOptions options;
  options.only_cpu_and_memory = IsTrue(request.QueryValue("only_cpu_and_memory").value_or(""));
  options.pressure = options_.pressure;
  const auto snapshot = co_await collector_.Collect(
      options.only_cpu_and_memory ? StatsDepth::kCpuAndMemory : StatsDepth::kFull);
  Report(*snapshot);
  proto::EncodeOptions pretty;
  pretty.pretty = true;
  auto json = proto::EncodeJson(MakeSummary(*snapshot, options), pretty);
  HttpResponse response;
  if (json.ok()) {
    response.content_type = "application/json";
    response.body = *std::move(json);
  } else {
    response = InternalError(json.status());
  }
  co_await Reply(responder, std::move(response));
}

Task<void> StatsEndpoints::GetResourceMetrics(const HttpRequest&, Responder& responder) {
  const auto snapshot = co_await collector_.Collect(StatsDepth::kCpuAndMemory);
  Report(*snapshot);
  SummaryOptions options;
  options.only_cpu_and_memory = true;
  MetricsText text;
  WriteResourceMetrics(MakeSummary(*snapshot, options), !snapshot->problem.ok(), text);
  co_await Reply(responder, MetricsResponse(text.Take()));
}

Task<void> StatsEndpoints::GetContainerMetrics(const HttpRequest&, Responder& responder) {
  const auto snapshot = co_await collector_.Collect(StatsDepth::kProcesses);
  Report(*snapshot);
  ContainerMetricsOptions options;
  options.pressure = options_.pressure;
  MetricsText text;
  WriteContainerMetrics(*snapshot, options, text);
  co_await Reply(responder, MetricsResponse(text.Take()));
}

}  // namespace keelson::kubelet
