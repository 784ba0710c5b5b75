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
    auto stream = co_await listener->Accept();
    if (stream.ok()) {
      // One newcomer waits here, the others in the kernel.
      while (connections_ >= limits_.connections) {
        CloseLongestIdle();
        co_await room_.Wait();
      }
      ++connections_;
      tasks_.Spawn("http connection", ServeOne(std::move(*stream)));
      continue;
    }
    KLOG_WARNING("Connection not accepted", {"listener", listener->Name()},
                 {"err", stream.status()});
    if (!absl::IsPermissionDenied(stream.status())) co_await base::Sleep(loop_.clock(), kPause);
  }
}

// Its task then finds the end of it, and makes room.
void HttpServer::CloseLongestIdle() {
  ConnectionState* longest = nullptr;
  for (ConnectionState& state : states_)
    if (state.sent_away) return;
  for (ConnectionState& state : states_)
    if (state.idle && (longest == nullptr || state.idle_since < longest->idle_since))
      longest = &state;
  if (longest == nullptr) return;
  longest->sent_away = true;
  longest->stream->Close();
}

Task<void> HttpServer::ServeOne(std::unique_ptr<ByteStream> stream) {
  struct Entry {
    HttpServer& server;
    std::list<ConnectionState>::iterator state;
    ~Entry() {
      server.states_.erase(state);
      --server.connections_;
      server.room_.Set();
    }
  } entry{*this, states_.emplace(states_.end())};
  entry.state->stream = stream.get();
  entry.state->became_idle = &room_;
  co_await ServeHttpConnection(loop_, routes_, limits_, *entry.state);
  stream->Close();
}

}  // namespace keelson::kubelet
