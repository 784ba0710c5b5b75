// SPDX-License-Identifier: Apache-2.0
// Connections of probes and hooks: TCP, and HTTP over it. Loop only; cancelling closes the socket.
// Sockets are closed with a reset (SO_LINGER 0): thousands of probes leave no TIME-WAIT behind.
// Error texts are those of Go's net package, which users see in events.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/fd.h"
#include "base/task.h"
#include "probes/http_call.h"

namespace keelson::base {
class Loop;
}

namespace keelson::probes {

// Connects to an address or name; gives the socket, which does not block. The error says
// "dial tcp 192.0.2.1:80: connect: connection refused".
base::Task<absl::StatusOr<base::UniqueFd>> Connect(base::Loop& loop, std::string host, int port);

// How far a request came; shared, so that a caller whose patience ended can tell.
struct HttpExchange {
  std::string url;    // of the last request sent
  std::string error;  // empty: there is an answer
  bool head_read = false;
  bool plain_answer = false;  // to a TLS hello
  int code = 0;
  std::string body;
};

// GETs `call`, following redirects to the same host name, ten at most, and fills `exchange`.
base::Task<void> HttpGet(base::Loop& loop, HttpCall call, std::shared_ptr<HttpExchange> exchange);

}  // namespace keelson::probes
