// SPDX-License-Identifier: Apache-2.0
// The bytes of a watch, cut into events. Pure.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "kubelet/client/api_server.h"

namespace keelson::kubelet::client {

enum class Encoding { kProtobuf, kJson };

// Cuts a stream into frames: four bytes of length (big endian) before each in protobuf, a line feed
// after each in JSON.
class FrameReader {
 public:
  FrameReader(Encoding encoding, size_t max_frame) : encoding_(encoding), max_frame_(max_frame) {}
  void Add(std::string_view bytes);
  // The next whole frame, nullopt when there is none yet. ResourceExhausted: it is too long.
  absl::StatusOr<std::optional<std::string>> Next();
  // Bytes that wait.
  size_t size() const { return buffer_.size() - start_; }

 private:
  const Encoding encoding_;
  const size_t max_frame_;
  std::string buffer_;
  size_t start_ = 0;    // of the next frame
  size_t scanned_ = 0;  // JSON: no line feed before this
};

// What one frame says. An ERROR event is a status with an ApiError. InvalidArgument: not an event.
absl::StatusOr<WatchEvent> DecodeWatchEvent(Encoding encoding, std::string_view frame,
                                            const Resource& resource, std::string_view what);

}  // namespace keelson::kubelet::client
