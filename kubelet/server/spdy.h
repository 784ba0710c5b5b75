// SPDX-License-Identifier: Apache-2.0
// SPDY/3.1 frames, as far as a client of a runtime's streaming server needs them: opening streams and
// carrying their data. Pure: bytes in, events out. The far side's headers are not looked at, and flow
// control does not exist there (moby/spdystream), so back-pressure is TCP's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace keelson::kubelet {

struct SpdyEvent {
  enum class Kind { kReply, kData, kReset, kPing, kGoAway, kOther };
  Kind kind = Kind::kOther;
  uint32_t id = 0;        // of the stream, or of the ping
  bool fin = false;       // the far side sends no more on the stream
  std::string payload{};  // of data; a frame comes in pieces as it arrives
};

class SpdyDecoder {
 public:
  void Feed(std::string_view bytes);
  // nullopt: more bytes are needed. InvalidArgument: not SPDY/3, nothing follows.
  absl::StatusOr<std::optional<SpdyEvent>> Next();

 private:
  absl::StatusOr<bool> ReadHeader();

  std::string in_;  // from at_ on not yet used
  size_t at_ = 0;
  // The present frame, while has_header_.
  bool has_header_ = false;
  bool control_ = false;
  bool fin_ = false;
  uint16_t type_ = 0;
  uint32_t id_ = 0;
  uint32_t left_ = 0;
};

class SpdyEncoder {
 public:
  using Headers = std::vector<std::pair<std::string, std::string>>;  // names in lower case

  SpdyEncoder();
  ~SpdyEncoder();
  SpdyEncoder(const SpdyEncoder&) = delete;

  // SYN_STREAM. Frames must be sent in the order they were made: they share a compressor. REQUIRES:
  // odd ids that grow.
  std::string Open(uint32_t id, const Headers& headers);
  static std::string Data(uint32_t id, std::string_view payload, bool fin);
  static std::string Ping(uint32_t id);

 private:
  struct Compressor;
  std::unique_ptr<Compressor> compressor_;
};

}  // namespace keelson::kubelet
