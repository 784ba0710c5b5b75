// SPDX-License-Identifier: Apache-2.0
// The kubelet's HTTP API: HTTPS on address:port behind the guard, and the read-only port without.
// Endpoints, words and statuses are those of Kubernetes 1.36. Loop only.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/loop.h"
#include "cri/runtime.h"
#include "kubelet/auth/guard.h"
#include "kubelet/logs/log_watches.h"
#include "kubelet/server/http_server.h"
#include "kubelet/server/node_view.h"
#include "kubelet/server/serving_certificate.h"
#include "kubelet/server/streaming_endpoints.h"

namespace keelson::kubelet {

struct KubeletServerOptions {
  std::string address = "0.0.0.0";
  uint16_t port = 10250;
  uint16_t read_only_port = 0;  // 0: none
  ServingCertificateOptions certificate;
  std::string client_ca_file;  // empty: client certificates mean nothing
  auth::GuardOptions guard;
  bool debugging_handlers = true;
  bool system_log_handler = true;
  bool profiling_handler = true;
  std::string system_log_dir = "/var/log";
  // Adds the endpoints of other rooms. `debugging`: on the secure port with debugging handlers.
  std::function<void(HttpRoutes&, bool debugging)> more_routes{};
  // Who hears of requests on the secure and on the read-only port; may be null, outlive the server.
  HttpObserver* secure_observer = nullptr;
  HttpObserver* read_only_observer = nullptr;
  // 1,000 idle and 200 active clients fit.
  HttpLimits limits{.connections = 2048};
};

class KubeletServer {
 public:
  // `view`, `runtime` and the reviewers (may be null, see Guard) outlive this.
  KubeletServer(base::Loop& loop, NodeView& view, cri::Runtime& runtime,
                KubeletServerOptions options, auth::TokenReviewer* tokens,
                auth::AccessReviewer* access);
  // Afterwards both ports serve. An error says which port, file or option is wrong.
  base::Task<absl::Status> Start();
  base::Task<void> Close();
  // The address it serves on, with the port it got.
  const std::string& name() const { return name_; }

 private:
  HttpRoutes Routes(bool secure);
  void AddPublicRoutes(HttpRoutes& routes);
  void AddDebuggingRoutes(HttpRoutes& routes);
  static void RefuseDebuggingRoutes(HttpRoutes& routes);
  absl::Status LoadClientCa();

  base::Task<void> GetHealth(const HttpRequest& request, Responder& responder);
  base::Task<void> GetPods(const HttpRequest& request, Responder& responder);
  base::Task<void> GetRunningPods(const HttpRequest& request, Responder& responder);
  base::Task<void> GetConfig(const HttpRequest& request, Responder& responder);
  base::Task<void> GetContainerLogs(const HttpRequest& request, Responder& responder);
  base::Task<void> GetSystemLogs(const HttpRequest& request, Responder& responder);

  base::Loop& loop_;
  NodeView& view_;
  cri::Runtime& runtime_;
  const KubeletServerOptions options_;
  auth::Guard guard_;
  StreamingEndpoints streaming_;
  LogWatches log_watches_;
  ServingCertificate certificate_;
  std::unique_ptr<FilesWatch> ca_watch_;  // null without a client_ca_file
  std::string name_;
  HttpServer secure_;
  HttpServer read_only_;
};

}  // namespace keelson::kubelet
