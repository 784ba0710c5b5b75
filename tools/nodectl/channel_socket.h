// SPDX-License-Identifier: Apache-2.0
// A stream to a container through the agent: a WebSocket on the local socket whose messages begin with
// the number of their channel (v5.channel.k8s.io). One thread; nothing waits but Open.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/fd.h"
#include "base/websocket.h"
#include "tools/nodectl/client.h"

namespace keelson::nodectl {

class ChannelSocket {
 public:
  // 255 as `channel`: the agent ended the channel in `data`'s first byte.
  using Sink = std::function<absl::Status(uint8_t channel, std::string_view data)>;

  // Returns once the agent has agreed to `protocol`; its refusal is an error in its own words.
  static absl::StatusOr<ChannelSocket> Open(const Client& client, const std::string& path,
                                            const QueryParams& query, const std::string& protocol);

  // Put into what goes out; nothing is sent before Flush.
  void Send(uint8_t channel, std::string_view data);
  void End(uint8_t channel);
  // Sends as much as fits now.
  absl::Status Flush();
  size_t pending() const { return out_.size() - sent_; }
  // Hands on what is there now. False: the agent has closed, close_reason() says why.
  absl::StatusOr<bool> Receive(const Sink& sink);
  int fd() const { return fd_.get(); }
  const std::string& close_reason() const { return close_reason_; }  // empty: all is well

 private:
  explicit ChannelSocket(base::UniqueFd fd) : fd_(std::move(fd)), in_(base::WsRole::kClient) {}
  absl::StatusOr<bool> HandOn(const Sink& sink);

  base::UniqueFd fd_;
  std::string out_;
  size_t sent_ = 0;
  base::WsDecoder in_;
  std::optional<uint8_t> channel_;  // of the message that comes in
  std::string close_reason_;
};

}  // namespace keelson::nodectl
