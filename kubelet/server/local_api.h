// SPDX-License-Identifier: Apache-2.0
// The agent's local window: what nodectl reads, over a unix socket that only root may use.
//
//   GET /pods[?namespace=]  /pods/{ns}/{name}  /events[?namespace=]  /images  /configz  /inflight
//   GET /containerLogs/{ns}/{pod}/{container}?follow&previous&tailLines&sinceSeconds&sinceTime&...
//   GET /healthz
//   GET /stats/summary[?only_cpu_and_memory=true]
//   GET, POST /exec /attach /portForward and POST /run, as over HTTPS (streaming_endpoints.h)
//
// Pods, events and configuration are Kubernetes JSON; the rest is described in local_api.cc.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "base/loop.h"
#include "kubelet/logs/log_watches.h"
#include "kubelet/server/http_server.h"
#include "kubelet/server/log_query.h"
#include "kubelet/server/node_view.h"
#include "kubelet/server/streaming_endpoints.h"

namespace keelson::kubelet {

struct LocalApiOptions {
  std::string socket_path;  // <root-dir>/nodectl.sock
  uid_t allowed_uid = 0;
  HttpLimits limits{.header_bytes = 64 << 10, .body_bytes = 0};
};

class LocalApi {
 public:
  // `view` and `runtime` outlive this; without a runtime nothing reaches into containers.
  LocalApi(base::Loop& loop, NodeView& view, LocalApiOptions options,
           cri::Runtime* runtime = nullptr);
  // Listens and serves until Close. Errors are ListenUnix's.
  absl::Status Start();
  // Endpoints of other rooms, which come after ours; REQUIRES: before Start.
  void set_more(HttpRoutes routes) { more_ = std::move(routes); }
  base::Task<void> Close();

 private:
  HttpRoutes Routes();
  base::Task<void> GetPods(const HttpRequest& request, Responder& responder);
  base::Task<void> GetPod(const HttpRequest& request, Responder& responder);
  base::Task<void> GetEvents(const HttpRequest& request, Responder& responder);
  base::Task<void> GetImages(const HttpRequest& request, Responder& responder);
  base::Task<void> GetConfig(const HttpRequest& request, Responder& responder);
  base::Task<void> GetInflight(const HttpRequest& request, Responder& responder);
  base::Task<void> GetHealth(const HttpRequest& request, Responder& responder);
  base::Task<void> GetLogs(const HttpRequest& request, Responder& responder);
  base::Task<void> GetMore(const HttpRequest& request, Responder& responder);

  base::Loop& loop_;
  NodeView& view_;
  const LocalApiOptions options_;
  HttpRoutes more_;
  LogWatches log_watches_;
  std::unique_ptr<StreamingEndpoints> streaming_;  // null without a runtime
  HttpServer server_;
};

// Streams a container's log as /containerLogs answers it; shared with the HTTPS server. A request that
// could not be understood is refused.
base::Task<void> ServeContainerLogs(base::Loop& loop, NodeView& view, LogWatches& watches,
                                    absl::StatusOr<LogQuery> query, const HttpRequest& request,
                                    Responder& responder);

}  // namespace keelson::kubelet
