// SPDX-License-Identifier: Apache-2.0
// What the kubelet translates itself because runtimes speak SPDY only (upstream's
// ExtendWebSocketsToKubelet): the channels of a WebSocket, each a SPDY stream of the runtime. Loop
// only.
#pragma once

#include <string>

#include "base/loop.h"
#include "kubelet/server/http_message.h"
#include "kubelet/server/translation_plan.h"

namespace keelson::kubelet {

// Answers a WebSocket request by the plan, with a SPDY session at `url`. 255 and a channel end that
// channel's input; a client that leaves ends them all. Returns when both sides have ended.
base::Task<void> TranslateStreams(base::Loop& loop, std::string url, TranslationPlan plan,
                                  const HttpRequest& request, Responder& responder);

}  // namespace keelson::kubelet
