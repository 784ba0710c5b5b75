// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/healthz.h"

#include "base/log.h"

namespace keelson::kubelet {
namespace {

using base::Task;

constexpr base::Nanos kRetry = std::chrono::seconds(5);

Task<void> SayOk(Responder& responder) {
  HttpResponse ok;
  ok.body = "ok";
  static_cast<void>(co_await responder.Send(std::move(ok)));  // an asker who left is no news
}

HttpRoutes Routes() {
  HttpRoutes routes;
  routes.Add("GET", "/healthz",
             [](const HttpRequest&, Responder& responder) { return SayOk(responder); });
  return routes;
}

}  // namespace

HealthzServer::HealthzServer(base::Loop& loop, std::string address, uint16_t port)
    : loop_(loop),
      address_(std::move(address)),
      port_(port),
      server_(loop, Routes(), {.header_bytes = 16 << 10, .body_bytes = 0}),
      tasks_(loop) {}

void HealthzServer::Start() { tasks_.Spawn("healthz listen", Listen()); }

Task<void> HealthzServer::Close() {
  co_await tasks_.CancelAndJoin();
  co_await server_.Close();
}

Task<void> HealthzServer::Listen() {
  for (;;) {
    auto listener = ListenTcp(loop_, address_, port_);
    if (listener.ok()) {
      server_.Serve(std::move(*listener));
      co_return;
    }
    KLOG_ERROR("Healthz does not listen, trying again", {"err", listener.status()});
    co_await base::Sleep(loop_.clock(), kRetry);
  }
}

}  // namespace keelson::kubelet
