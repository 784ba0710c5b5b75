// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/http_server.h"

#include "base/log.h"

namespace keelson::kubelet {

using base::Task;

void HttpRoutes::Add(std::string method, std::string pattern, HttpHandler handler) {
  routes_.push_back({std::move(method), std::move(pattern), std::move(handler)});
}

HttpRoutes::Found HttpRoutes::Find(HttpRequest& request) const {
  Found found;
  for (const Route& route : routes_) {
    auto params = MatchPattern(route.pattern, request.path);
    if (!params) continue;
    if (route.method == request.method || route.method == "*") {
      request.params = std::move(*params);
      return {&route.handler, {}};
    }
    found.allow += found.allow.empty() ? route.method : ", " + route.method;
  }
  return found;
}

void HttpServer::Serve(std::unique_ptr<Listener> listener) {
  std::string name = base::StrCat("accept ", listener->Name());
  tasks_.Spawn(std::move(name), AcceptAll(std::move(listener)));
}

Task<void> HttpServer::AcceptAll(std::unique_ptr<Listener> listener) {
  // Out of descriptors or memory: others must end something first, there is no event for it.
  constexpr base::Nanos kPause = std::chrono::milliseconds(100);
  for (;;) {
    while (connections_ >= limits_.connections) co_await connection_ended_.Wait();
    auto stream = co_await listener->Accept();
    if (stream.ok()) {
      ++connections_;
      tasks_.Spawn("http connection", ServeOne(std::move(*stream)));
      continue;
    }
    KLOG_WARNING("Connection not accepted", {"listener", listener->Name()},
                 {"err", stream.status()});
    if (!absl::IsPermissionDenied(stream.status())) co_await base::Sleep(loop_.clock(), kPause);
  }
}

Task<void> HttpServer::ServeOne(std::unique_ptr<ByteStream> stream) {
  struct Count {
    HttpServer& server;
    ~Count() {
      --server.connections_;
      server.connection_ended_.Set();
    }
  } count{*this};
  co_await ServeHttpConnection(loop_, routes_, limits_, *stream);
  stream->Close();
}

}  // namespace keelson::kubelet
