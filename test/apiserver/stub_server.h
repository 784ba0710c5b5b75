// SPDX-License-Identifier: Apache-2.0
// FakeApiServer over HTTP/2 and TLS on loopback, for clients that speak to sockets: paths, queries,
// Kubernetes protobuf and JSON, client certificates and bearer tokens, watches as streams. Faults
// of the fake show as the wire shows them: an answer's code, a connection that breaks.
//
// Loop only: on a test's own loop, or on one that a thread of the test runs.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/loop.h"
#include "test/apiserver/authority.h"
#include "test/apiserver/fake_api_server.h"

namespace keelson::apiserver {

struct StubOptions {
  KeyPair serving;        // for 127.0.0.1 and what else clients call it
  std::string client_ca;  // PEM; client certificates of others fail the handshake
  std::map<std::string, std::string> tokens;  // bearer token -> user
  bool anonymous = true;                      // else 401 without a certificate or token
  bool json_only = false;                     // 415 to protobuf bodies, answers in JSON
  bool http1 = false;                         // offers HTTP/1.1 only
};

class StubServer {
 public:
  // Listens on 127.0.0.1, at a port of the kernel's choice or `port`. `loop`, `fake` outlive it.
  static absl::StatusOr<std::unique_ptr<StubServer>> Start(base::Loop& loop, FakeApiServer& fake,
                                                           StubOptions options, int port = 0);
  ~StubServer();
  // REQUIRES: awaited before destruction. Connections break.
  base::Task<void> Stop();

  int port() const { return port_; }
  std::string url() const;
  // Now open, and ever accepted.
  size_t connections() const;
  int accepted() const;
  // Users of the requests so far, in order; "" for nobody. And the last request's headers, lower
  // case.
  const std::vector<std::string>& users() const;
  const std::map<std::string, std::string>& last_headers() const;
  // Breaks every connection.
  void DropConnections();
  // Reads nothing more from connections now open and sends nothing: packets go nowhere. New ones
  // work.
  void Freeze();
  // Changes who is let in.
  StubOptions& options();

 private:
  struct State;
  explicit StubServer(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
  int port_ = 0;
};

}  // namespace keelson::apiserver
