// SPDX-License-Identifier: Apache-2.0
// WebSocket frames (RFC 6455) of either end, without I/O: bytes in, events out. Pure but for the masks
// of a client's frames, which are random.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace keelson::base {

enum class WsRole { kServer, kClient };

struct WsEvent {
  enum class Kind { kData, kPing, kPong, kClose };
  Kind kind = Kind::kData;
  // Of data: a message comes in pieces as it arrives, so that memory does not grow with it.
  bool begins = false;
  bool ends = false;
  std::string payload{};  // unmasked; of a close: two bytes of code and a reason, or nothing
};

// What one end receives.
class WsDecoder {
 public:
  // `role` is ours: a server demands masks (section 5.1), a client refuses them.
  explicit WsDecoder(WsRole role) : masked_(role == WsRole::kServer) {}

  void Feed(std::string_view bytes);
  // nullopt: more bytes are needed. InvalidArgument: the peer broke the protocol, nothing follows.
  absl::StatusOr<std::optional<WsEvent>> Next();

 private:
  absl::StatusOr<bool> ReadHeader();
  std::string TakePayload(size_t size);

  const bool masked_;
  std::string in_;  // from at_ on not yet used
  size_t at_ = 0;
  // The present frame, while has_header_.
  bool has_header_ = false;
  bool fin_ = false;
  bool begins_ = false;  // nothing of its message was handed out yet
  uint8_t opcode_ = 0;
  uint64_t left_ = 0;
  uint8_t mask_[4] = {};
  size_t mask_at_ = 0;
  bool in_message_ = false;  // a fragmented message goes on
};

enum class WsOpcode : uint8_t { kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10 };
// One whole frame. REQUIRES: at most 125 bytes for close, ping and pong.
std::string WsFrame(WsRole role, WsOpcode opcode, std::string_view payload);
// A close frame; the reason is cut to fit.
std::string WsCloseFrame(WsRole role, uint16_t code, std::string_view reason);

// Sec-WebSocket-Accept for a Sec-WebSocket-Key (section 4.2.2).
std::string WsAccept(std::string_view key);

}  // namespace keelson::base
