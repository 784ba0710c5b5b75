// SPDX-License-Identifier: Apache-2.0
// What the kubelet translates itself because runtimes speak SPDY only (upstream's
// ExtendWebSocketsToKubelet): remote commands over v5.channel.k8s.io, and SPDY tunnelled through
// WebSocket messages for port-forward. Loop only.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/loop.h"
#include "kubelet/server/http_message.h"
#include "kubelet/server/spdy.h"
#include "kubelet/server/streaming.h"

namespace keelson::kubelet {

// A channel (first byte of a message) and the SPDY stream it stands for.
struct ChannelStream {
  uint8_t channel = 0;
  SpdyEncoder::Headers headers;
  bool from_client = false;
  bool to_client = false;
};

struct TranslationPlan {
  std::string subprotocol;             // of the WebSocket
  std::string runtime_protocol;        // of SPDY
  std::vector<ChannelStream> streams;  // in the order they are opened
  uint8_t greeting = 0;                // channel of an empty message: we are connected
  // This stream is collected and sent as one message at the end; a failure of ours comes there too, as
  // a Status.
  std::optional<uint8_t> outcome;
  bool tells_ends = false;  // the end of a stream is told to the client: 255, channel
};

// Of exec and attach. Pure.
TranslationPlan PlanRemoteCommand(const StreamOptions& options);
// Of one forwarded connection, for nodectl: channel 0 is the data, 1 an error's text. Pure.
TranslationPlan PlanForward(int32_t port);

bool AsksForV5(const HttpRequest& request);      // v5.channel.k8s.io
bool AsksForTunnel(const HttpRequest& request);  // SPDY/3.1+*.k8s.io
bool AsksForLocalForward(const HttpRequest& request);

// Answers a WebSocket request by the plan, with a SPDY session at `url`. 255 and a channel end that
// channel's input. Returns when both sides have ended.
base::Task<void> TranslateStreams(base::Loop& loop, std::string url, TranslationPlan plan,
                                  const HttpRequest& request, Responder& responder);

// Carries SPDY bytes in WebSocket messages. Refusals of the runtime reach the client as they are.
base::Task<void> TunnelSpdy(base::Loop& loop, std::string url, const HttpRequest& request,
                            Responder& responder);

}  // namespace keelson::kubelet
