// SPDX-License-Identifier: Apache-2.0
// A small HTTP/1.1 server: routes to coroutines, bounded in every direction a client controls.
// Loop only. Any ByteStream will do, so the same server speaks over a unix socket, TCP and TLS.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "kubelet/server/http_message.h"
#include "kubelet/server/stream.h"

namespace keelson::kubelet {

// What happens beyond each bound stands beside it. idle and write are upstream's times.
struct HttpLimits {
  size_t header_bytes = 1 << 20;                   // beyond: 431
  size_t body_bytes = 1 << 20;                     // beyond: 413
  size_t connections = 256;                        // beyond: the longest idle one is closed, or we wait
  base::Nanos handshake = std::chrono::seconds(10);  // TLS: closed
  base::Nanos idle = std::chrono::seconds(90);     // between requests: closed
  base::Nanos request = std::chrono::seconds(30);  // first byte to last of a request: closed
  base::Nanos write = std::chrono::hours(4);       // one piece of an answer not taken: closed
};

class HttpRoutes {
 public:
  // `pattern` as MatchPattern takes it. The first route that fits wins.
  // Method `*` is every method.
  void Add(std::string method, std::string pattern, HttpHandler handler);
  struct Found {
    const HttpHandler* handler = nullptr;  // null: 404, or 405 when `allow` is not empty
    std::string allow;                     // methods the path has
  };
  // Fills request.params.
  Found Find(HttpRequest& request) const;

  HttpFilter filter{};               // empty: none
  HttpObserver* observer = nullptr;  // outlives the server

 private:
  struct Route {
    std::string method, pattern;
    HttpHandler handler;
  };
  std::vector<Route> routes_;
};

// Where a connection stands, for the server to choose whom to send away when it is full.
struct ConnectionState {
  ByteStream* stream = nullptr;
  bool idle = false;  // between requests, so that a client must expect its end (RFC 9112, 9.5)
  base::MonoTime idle_since{};
  bool sent_away = false;  // closed to make room, and about to end
  base::Wakeup* became_idle = nullptr;
};

class HttpServer {
 public:
  HttpServer(base::Loop& loop, HttpRoutes routes, HttpLimits limits = {})
      : loop_(loop), routes_(std::move(routes)), limits_(limits), tasks_(loop) {}

  // Serves what the listener accepts until Close. May be called for several listeners.
  void Serve(std::unique_ptr<Listener> listener);
  // Afterwards no listener, connection or handler is left. REQUIRES: called before destruction,
  // unless the loop has stopped for good.
  base::Task<void> Close() { co_await tasks_.CancelAndJoin(); }
  size_t connections() const { return connections_; }

 private:
  base::Task<void> AcceptAll(std::unique_ptr<Listener> listener);
  void CloseLongestIdle();
  base::Task<void> ServeOne(std::unique_ptr<ByteStream> stream);

  base::Loop& loop_;
  const HttpRoutes routes_;
  const HttpLimits limits_;
  size_t connections_ = 0;
  std::list<ConnectionState> states_;  // of the connections
  base::Wakeup room_;                  // a connection ended, or became idle
  base::TaskGroup tasks_;
};

// One connection: requests in, answers out, until either side has had enough (http_connection.cc).
base::Task<void> ServeHttpConnection(base::Loop& loop, const HttpRoutes& routes,
                                     const HttpLimits& limits, ConnectionState& state);

}  // namespace keelson::kubelet
