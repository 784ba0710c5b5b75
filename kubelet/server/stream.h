// SPDX-License-Identifier: Apache-2.0
// Byte streams the HTTP server speaks over, and where they come from: a unix socket, TCP, and
// whatever wraps them (TLS). Loop only.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "base/loop.h"

namespace keelson::kubelet {

// What a TLS client showed of itself, leaf first, in DER. Nobody has verified it.
struct PeerCertificates {
  std::vector<std::string> der;
};

// One connection. One reader and one writer at a time, which may wait at the same time.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // REQUIRES: called once, before anything else. Afterwards both sides may talk.
  virtual base::Task<absl::Status> Handshake() { co_return absl::OkStatus(); }
  // After the handshake; null when the client showed no certificate.
  virtual std::shared_ptr<const PeerCertificates> Peer() const { return nullptr; }
  // At least one byte, or 0 at the end of what the peer sends. Unavailable: the connection is gone.
  // Cancelling loses no bytes.
  virtual base::Task<absl::StatusOr<size_t>> ReadSome(char* data, size_t size) = 0;
  // All of `data`, which stays valid until this returns.
  virtual base::Task<absl::Status> WriteAll(std::string_view data) = 0;
  // Tells the peer that nothing more comes from us; reading goes on. Nothing may be written afterwards.
  virtual void FinishWriting() {}
  // Returns when the connection is broken in both directions, which is found out without reading: for
  // who has no room for what it would read. A stream that cannot tell never returns.
  virtual base::Task<void> HungUp();
  // Address of the peer without its port; empty when it has none.
  virtual std::string PeerAddress() const { return {}; }
  // Waiting calls return Unavailable. Twice is fine.
  virtual void Close() = 0;
};

// What every TCP connection is told: small pieces do not wait for more of them, and a peer that has
// vanished is found out in some two minutes (15 s of silence, 9 probes 15 s apart; as Go's servers).
void SetTcpManners(int fd);

// getpeername(2) of a TCP socket; empty for others.
std::string PeerAddressOf(int fd);

class Listener {
 public:
  virtual ~Listener() = default;
  // Waits for the next connection. An error concerns one connection or a passing want of resources.
  virtual base::Task<absl::StatusOr<std::unique_ptr<ByteStream>>> Accept() = 0;
  // For messages: unix:/run/x.sock, 127.0.0.1:10248.
  virtual std::string Name() const = 0;
};

struct UnixListenOptions {
  std::string path;  // at most 107 bytes (unix(7)); its directory exists
  uid_t allowed_uid = 0;
};
// Mode 0600, and a peer of another user is turned away (SO_PEERCRED). A socket nobody listens on
// any more is replaced; AlreadyExists when somebody does. The destructor removes the socket.
absl::StatusOr<std::unique_ptr<Listener>> ListenUnix(base::Loop& loop, UnixListenOptions options);

// Makes the stream for a connected, non-blocking socket.
using StreamFactory = std::function<std::unique_ptr<ByteStream>(int family, base::UniqueFd fd)>;

// `address` is an IPv4 or IPv6 literal; port 0 takes a free one, which Name() tells. Without a
// factory the streams are plain.
absl::StatusOr<std::unique_ptr<Listener>> ListenTcp(base::Loop& loop, const std::string& address,
                                                    uint16_t port, StreamFactory make = {});

// Connects to an address literal. Unavailable: nobody listens there.
base::Task<absl::StatusOr<std::unique_ptr<ByteStream>>> ConnectTcp(base::Loop& loop,
                                                                   std::string address,
                                                                   uint16_t port);

}  // namespace keelson::kubelet
