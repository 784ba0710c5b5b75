// SPDX-License-Identifier: Apache-2.0
// Clients of exec, attach and port-forward as others write them: channels over WebSocket (Boost.Beast's)
// and SPDY streams. Blocking; one thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kubelet/server/spdy.h"
#include "test/integration/server/server_fixture.h"

namespace keelson::integration {

// The target of a command in a container of the served pod, with streams like "input=1&output=1".
std::string ExecTarget(const std::string& container, const std::vector<std::string>& command,
                       const std::string& streams);

// A TLS connection below a stream.
class StreamClient : public kubelet::TlsClient {
 public:
  explicit StreamClient(const ServedNode& node) : TlsClient(node.port, node.Alice()) {}
  ssize_t Some(char* data, size_t size) { return Read(data, size); }
};

// `vN.channel.k8s.io`: the first byte of a message is its channel.
class Channels {
 public:
  // Fails the test unless the server agrees to `protocol`.
  Channels(const ServedNode& node, const std::string& target, const std::string& protocol);
  ~Channels();
  bool open() const { return open_; }
  void Send(int channel, const std::string& data) {
    SendMessage(std::string(1, static_cast<char>(channel)) + data);
  }
  void End(int channel) { Send(255, std::string(1, static_cast<char>(channel))); }
  void Ping();
  // What came on a channel so far and until `text` is in it, or the server closes.
  const std::string& ReadUntil(int channel, const std::string& text);
  // Messages as they are; nullopt: the server has closed.
  void SendMessage(const std::string& message);
  std::optional<std::string> ReadMessage();
  // All that comes until the server closes.
  std::map<int, std::string>& ReadAll();
  // How the server closed: 1000 is well.
  int close_code() const;

 private:
  bool ReadOne();
  struct Impl;
  std::unique_ptr<Impl> impl_;
  bool open_ = false;
  std::map<int, std::string> got_;
};

// What SPDY goes through: an upgraded connection, or the messages of a WebSocket.
class Pipe {
 public:
  virtual ~Pipe() = default;
  virtual void Send(const std::string& bytes) = 0;
  virtual std::string Some() = 0;  // empty at the end
};

class Spdy {
 public:
  Spdy(const ServedNode& node, const std::string& target, const std::string& protocol,
       bool tunnelled = false);
  // Straight to the runtime's streaming server at `url`, with nothing of ours in between.
  Spdy(const std::string& url, const std::string& protocol);
  bool open() const { return open_; }
  // Returns when the server has answered for it.
  uint32_t Open(const kubelet::SpdyEncoder::Headers& headers);
  void Send(uint32_t id, const std::string& data, bool fin = false);
  // What came on a stream until its end, or that of the connection.
  const std::string& ReadAll(uint32_t id);
  const std::string& ReadUntil(uint32_t id, const std::string& text);

  // The far side has ended the stream.
  bool ended(uint32_t id) const {
    const auto found = ended_.find(id);
    return found != ended_.end() && found->second;
  }

 private:
  bool ReadOne();
  template <typename Socket>
  void Upgrade(std::unique_ptr<Socket> socket, const std::string& target,
               const std::string& protocol);
  std::unique_ptr<Pipe> pipe_;
  bool open_ = false;
  uint32_t next_ = 1;
  kubelet::SpdyEncoder encoder_;
  kubelet::SpdyDecoder decoder_;
  std::map<uint32_t, std::string> got_;
  std::map<uint32_t, bool> replied_, ended_;
};

}  // namespace keelson::integration
