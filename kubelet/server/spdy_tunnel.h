// SPDX-License-Identifier: Apache-2.0
// SPDY in the messages of a WebSocket (SPDY/3.1+portforward.k8s.io), which the kubelet unwraps
// because runtimes speak SPDY only (upstream's ExtendWebSocketsToKubelet). Loop only.
#pragma once

#include <string>

#include "base/loop.h"
#include "kubelet/server/http_message.h"

namespace keelson::kubelet {

bool AsksForTunnel(const HttpRequest& request);  // SPDY/3.1+*.k8s.io

// Connects the request's messages with a SPDY session at `url`. Refusals of the runtime reach the
// client as they are.
base::Task<void> TunnelSpdy(base::Loop& loop, std::string url, const HttpRequest& request,
                            Responder& responder);

}  // namespace keelson::kubelet
