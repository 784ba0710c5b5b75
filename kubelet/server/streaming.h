// SPDX-License-Identifier: Apache-2.0
// exec, attach and port-forward: what the query asks for, and the upgraded connection handed on to the
// runtime's streaming server, byte for byte, SPDY and WebSocket alike. Loop only.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/loop.h"
#include "kubelet/server/http_message.h"

namespace keelson::kubelet {

struct StreamOptions {
  bool stdin_on = false, stdout_on = false, stderr_on = false, tty = false;
};
// input, output, error, tty; `1` is true. With a terminal stderr is one with stdout.
// InvalidArgument: no stream at all.
absl::StatusOr<StreamOptions> ParseStreamOptions(const Query& query);

// Ports a WebSocket port-forward names; none for SPDY, which names them later. InvalidArgument:
// missing, or no port.
absl::StatusOr<std::vector<int32_t>> ParseForwardPorts(const HttpRequest& request);

// Repeats the request at `url` and, when that answers 101, connects both sides until one ends. The
// client is told of in X-Forwarded-For and its credentials are left out. Refusals of the far side reach
// it as they are; other failures are 500.
base::Task<void> ProxyUpgrade(base::Loop& loop, std::string url, const HttpRequest& request,
                              Responder& responder);

}  // namespace keelson::kubelet
