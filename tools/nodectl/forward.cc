// SPDX-License-Identifier: Apache-2.0
// port-forward: each connection here is a WebSocket to the agent, and one in the pod.
#include "tools/nodectl/forward.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <list>
#include <optional>

#include "base/errno_status.h"
#include "tools/nodectl/channel_socket.h"
#include "tools/nodectl/commands.h"
#include "tools/nodectl/lookup.h"
#include "tools/nodectl/table.h"
#include "tools/nodectl/terminal.h"

namespace keelson::nodectl {
namespace {

constexpr char kProtocol[] = "v1.portforward.keelson";
enum : uint8_t { kData = 0, kError = 1, kEndOf = 255 };
constexpr size_t kEnough = 256 << 10;  // bytes on their way above which we read no more

struct Door {
  base::UniqueFd listener;
  uint16_t port = 0, remote = 0;
};

absl::StatusOr<Door> Listen(const std::string& address, const ForwardedPort& port) {
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(port.local);
  if (::inet_pton(AF_INET, address.c_str(), &where.sin_addr) != 1)
    return absl::InvalidArgumentError(base::StrCat("--address ", address, " is no IPv4 address"));
  Door door{base::UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)), 0, port.remote};
  const std::string name = base::StrCat(address, ":", port.local);
  const int on = 1;
  if (!door.listener.ok() ||
      ::setsockopt(door.listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
    return base::ErrnoStatus("socket", name);
  socklen_t size = sizeof(where);
  if (::bind(door.listener.get(), reinterpret_cast<sockaddr*>(&where), size) < 0 ||
      ::listen(door.listener.get(), SOMAXCONN) < 0 ||
      ::getsockname(door.listener.get(), reinterpret_cast<sockaddr*>(&where), &size) < 0)
    return base::ErrnoStatus("listen on", name);
  door.port = ntohs(where.sin_port);
  return door;
}

// One connection and its stream. Nothing waits.
class Link {
 public:
  Link(base::UniqueFd peer, ChannelSocket pod) : peer_(std::move(peer)), pod_(std::move(pod)) {}

  void AddTo(std::vector<pollfd>* wait) const {
    short peer = 0, pod = 0;
    if (peer_reads_ && pod_.pending() < kEnough) peer |= POLLIN;
    if (!to_peer_.empty()) peer |= POLLOUT;
    if (to_peer_.size() < kEnough) pod |= POLLIN;
    if (pod_.pending() > 0) pod |= POLLOUT;
    // Without wishes a closed descriptor would still wake us, again and again.
    wait->push_back({peer != 0 ? peer_.get() : -1, peer, 0});
    wait->push_back({pod != 0 ? pod_.fd() : -1, pod, 0});
  }

  // False: it is over.
  bool Turn(const pollfd& peer, const pollfd& pod) {
    if (peer.revents != 0 && peer_reads_ && pod_.pending() < kEnough) ReadPeer();
    if (pod.revents != 0 && to_peer_.size() < kEnough) ReadPod();
    if (!pod_.Flush().ok()) return false;
    WritePeer();
    if (gone_) return false;
    return !(pod_over_ && to_peer_.empty());
  }

 private:
  void ReadPeer() {
    char block[32 << 10];
    const ssize_t got = ::recv(peer_.get(), block, sizeof(block), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got < 0) gone_ = true;
    if (got > 0) pod_.Send(kData, {block, static_cast<size_t>(got)});
    if (got != 0) return;
    peer_reads_ = false;
    pod_.End(kData);
  }

  void ReadPod() {
    auto more = pod_.Receive([this](uint8_t channel, std::string_view data) {
      if (channel == kData) to_peer_ += data;
      if (channel == kError) std::fprintf(stderr, "nodectl: %s\n", Printable(data).c_str());
      if (channel == kEndOf && data[0] == static_cast<char>(kData)) pod_ended_ = true;
      return absl::OkStatus();
    });
    if (more.ok() && *more) return;
    if (!pod_.close_reason().empty())
      std::fprintf(stderr, "nodectl: %s\n", Printable(pod_.close_reason()).c_str());
    pod_over_ = true;
  }

  void WritePeer() {
    while (!to_peer_.empty()) {
      const ssize_t put = ::send(peer_.get(), to_peer_.data(), to_peer_.size(), MSG_NOSIGNAL);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0 && errno == EAGAIN) return;
      if (put < 0) {
        gone_ = true;
        return;
      }
      to_peer_.erase(0, static_cast<size_t>(put));
    }
    if (std::exchange(pod_ended_, false)) ::shutdown(peer_.get(), SHUT_WR);
  }

  base::UniqueFd peer_;
  ChannelSocket pod_;
  std::string to_peer_;
  bool peer_reads_ = true;   // it has not ended its side
  bool pod_ended_ = false;   // the pod's side has ended, which the peer was not told yet
  bool pod_over_ = false;
  bool gone_ = false;
};

class Forwarder {
 public:
  Forwarder(Client client, std::string path, std::vector<Door> doors, base::UniqueFd signals)
      : client_(std::move(client)), path_(std::move(path)), doors_(std::move(doors)),
        signals_(std::move(signals)) {}

  // Until a signal comes.
  absl::StatusOr<int> Run() {
    for (;;) {
      std::vector<pollfd> wait = {{signals_.get(), POLLIN, 0}};
      for (const Door& door : doors_) wait.push_back({door.listener.get(), POLLIN, 0});
      for (const Link& link : links_) link.AddTo(&wait);
      if (::poll(wait.data(), wait.size(), -1) < 0 && errno != EINTR) return base::ErrnoStatus("poll");
      if (wait[0].revents != 0) return 0;
      size_t at = 1 + doors_.size();
      for (auto link = links_.begin(); link != links_.end(); at += 2)
        link = link->Turn(wait[at], wait[at + 1]) ? std::next(link) : links_.erase(link);
      for (size_t i = 0; i < doors_.size(); ++i)
        if (wait[1 + i].revents != 0) Accept(doors_[i]);
    }
  }

 private:
  void Accept(const Door& door) {
    base::UniqueFd peer(::accept4(door.listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!peer.ok()) return;  // it left again, or the next round shows what is wrong
    std::printf("Handling connection for %u\n", door.port);
    std::fflush(stdout);
    auto socket = ChannelSocket::Open(client_, path_, {{"port", base::StrCat(door.remote)}}, kProtocol);
    if (!socket.ok()) {
      std::fprintf(stderr, "nodectl: %s\n", Printable(base::Message(socket.status())).c_str());
      return;
    }
    links_.emplace_back(std::move(peer), std::move(*socket));
  }

  const Client client_;
  const std::string path_;
  const std::vector<Door> doors_;
  const base::UniqueFd signals_;
  std::list<Link> links_;
};

}  // namespace

absl::StatusOr<ForwardedPort> ParseForwardedPort(const std::string& text) {
  const absl::Status bad = absl::InvalidArgumentError(
      base::StrCat("\"", text, "\" is not LOCAL:REMOTE, :REMOTE or PORT"));
  auto number = [](std::string_view digits) -> std::optional<uint16_t> {
    uint16_t port = 0;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    return port;
  };
  const size_t colon = text.find(':');
  const std::string_view all(text);
  const auto remote = number(colon == text.npos ? all : all.substr(colon + 1));
  std::optional<uint16_t> local = remote;
  if (colon == 0) local = 0;
  else if (colon != text.npos) local = number(all.substr(0, colon));
  if (!remote || *remote == 0 || !local) return bad;
  return ForwardedPort{*local, *remote};
}

absl::StatusOr<int> PortForward(const Options& options) {
  auto pod = OnePod(options, options.names[0]);
  if (!pod.ok()) return pod.status();
  std::vector<Door> doors;
  for (size_t i = 1; i < options.names.size(); ++i) {
    auto port = ParseForwardedPort(options.names[i]);
    if (!port.ok()) return port.status();
    auto door = Listen(options.address, *port);
    if (!door.ok()) return door.status();
    doors.push_back(std::move(*door));
  }
  auto signals = WatchSignals();
  if (!signals.ok()) return signals.status();
  for (const Door& door : doors)
    std::printf("Forwarding from %s:%u -> %u\n", options.address.c_str(), door.port, door.remote);
  std::fflush(stdout);
  const std::string path = base::StrCat("/portForward/", pod->metadata().namespace_(), "/",
                                        pod->metadata().name());
  return Forwarder(Client(options.socket), path, std::move(doors), std::move(*signals)).Run();
}

}  // namespace keelson::nodectl
