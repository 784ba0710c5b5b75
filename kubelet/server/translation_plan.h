// SPDX-License-Identifier: Apache-2.0
// Which SPDY streams of a runtime stand for which channels of a WebSocket. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

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
  // This stream is collected and sent as one message at the end; a failure of ours comes there too,
  // as a Status.
  std::optional<uint8_t> outcome;
  bool tells_ends = false;  // the end of a stream is told to the client: 255, channel
};

// Of exec and attach. Pure.
TranslationPlan PlanRemoteCommand(const StreamOptions& options);
// Of one forwarded connection, for nodectl: channel 0 is the data, 1 an error's text. Pure.
TranslationPlan PlanForward(int32_t port);

// Whether a request asks for what these plans are for: v5.channel.k8s.io, and nodectl's
// port-forward.
bool AsksForV5(const HttpRequest& request);
bool AsksForLocalForward(const HttpRequest& request);

}  // namespace keelson::kubelet
