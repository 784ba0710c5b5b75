// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/stream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cstring>

#include "base/errno_status.h"
#include "base/log.h"
#include "kubelet/server/hung_up.h"

namespace keelson::kubelet {
namespace {

namespace asio = boost::asio;
using base::Task;
using boost::system::error_code;
using Socket = asio::generic::stream_protocol::socket;

absl::Status Gone(const char* call, const error_code& ec) {
  return absl::UnavailableError(base::StrCat(call, ": ", ec.message()));
}

class SocketStream : public ByteStream {
 public:
  SocketStream(base::Loop& loop, int family, base::UniqueFd fd)
      : socket_(loop.io(), asio::generic::stream_protocol(family, 0), fd.release()) {}

  Task<absl::StatusOr<size_t>> ReadSome(char* data, size_t size) override {
    error_code ec;
    const size_t got = co_await socket_.async_read_some(
        asio::buffer(data, size), asio::redirect_error(asio::use_awaitable, ec));
    if (ec == asio::error::eof) co_return 0;
    if (ec) co_return Gone("read", ec);
    co_return got;
  }

  Task<absl::Status> WriteAll(std::string_view data) override {
    error_code ec;
    co_await asio::async_write(socket_, asio::buffer(data.data(), data.size()),
                               asio::redirect_error(asio::use_awaitable, ec));
    if (ec) co_return Gone("write", ec);
    co_return absl::OkStatus();
  }

  void FinishWriting() override {
    error_code ignored;  // a peer that has gone needs no telling
    socket_.shutdown(Socket::shutdown_send, ignored);
  }

  Task<void> HungUp() override { return SocketHungUp(socket_); }

  std::string PeerAddress() const override {
    return PeerAddressOf(const_cast<Socket&>(socket_).native_handle());
  }

  void Close() override {
    error_code ignored;  // whatever it says, nobody uses the connection any more
    socket_.close(ignored);
  }

 private:
  Socket socket_;
};

}  // namespace

Task<void> ByteStream::HungUp() {
  base::OneShot<bool> never;
  co_await never.Wait();
}

// On other sockets nothing of it works, and nothing of it is needed.
void SetTcpManners(int fd) {
  auto set = [fd](int level, int option, int value) {
    static_cast<void>(::setsockopt(fd, level, option, &value, sizeof(value)));
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 15);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 15);
  set(IPPROTO_TCP, TCP_KEEPCNT, 9);
}

std::string PeerAddressOf(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &size) < 0) return {};
  const void* address = nullptr;
  if (storage.ss_family == AF_INET) address = &reinterpret_cast<sockaddr_in&>(storage).sin_addr;
  if (storage.ss_family == AF_INET6) address = &reinterpret_cast<sockaddr_in6&>(storage).sin6_addr;
  char text[INET6_ADDRSTRLEN] = {};
  if (address == nullptr || !::inet_ntop(storage.ss_family, address, text, sizeof(text))) return {};
  return text;
}

namespace {

class SocketListener : public Listener {
 public:
  SocketListener(base::Loop& loop, base::UniqueFd fd, int family, std::string name,
                 StreamFactory make = {})
      : loop_(loop),
        fd_(std::move(fd)),
        family_(family),
        name_(std::move(name)),
        make_(std::move(make)) {}

  std::string Name() const override { return name_; }

  Task<absl::StatusOr<std::unique_ptr<ByteStream>>> Accept() override {
    for (;;) {
      base::UniqueFd peer(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (peer.ok()) {
        CO_RETURN_IF_ERROR(CheckPeer(peer.get()));
        if (make_) co_return make_(family_, std::move(peer));
        co_return std::make_unique<SocketStream>(loop_, family_, std::move(peer));
      }
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno != EAGAIN) co_return base::ErrnoStatus("accept", name_);
      absl::Status ready = co_await base::WaitReadable(loop_, fd_.get());
      if (ready.ok()) continue;
      co_await base::Yield();  // when we were cancelled this unwinds: that is no error of the
                               // listener
      co_return ready;
    }
  }

 protected:
  virtual absl::Status CheckPeer(int fd) {
    SetTcpManners(fd);
    return absl::OkStatus();
  }

 private:
  base::Loop& loop_;
  base::UniqueFd fd_;
  const int family_;
  const std::string name_;
  const StreamFactory make_;
};

class UnixListener : public SocketListener {
 public:
  UnixListener(base::Loop& loop, base::UniqueFd fd, UnixListenOptions options, struct stat self)
      : SocketListener(loop, std::move(fd), AF_UNIX, base::StrCat("unix:", options.path)),
        options_(std::move(options)),
        self_(self) {}
  ~UnixListener() override {
    struct stat now;
    // Another agent may have put its own there.
    if (::lstat(options_.path.c_str(), &now) == 0 && now.st_ino == self_.st_ino &&
        now.st_dev == self_.st_dev)
      static_cast<void>(::unlink(options_.path.c_str()));
  }

 protected:
  absl::Status CheckPeer(int fd) override {
    struct ucred peer;
    socklen_t size = sizeof(peer);
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
      return base::ErrnoStatus("getsockopt SO_PEERCRED", Name());
    if (peer.uid == options_.allowed_uid) return absl::OkStatus();
    return absl::PermissionDeniedError(base::StrCat("process ", peer.pid, " of user ", peer.uid,
                                                    " connected to ", Name(), "; only user ",
                                                    options_.allowed_uid, " may"));
  }

 private:
  const UnixListenOptions options_;
  const struct stat self_;
};

absl::StatusOr<sockaddr_un> UnixAddress(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path))
    return absl::InvalidArgumentError(base::StrCat("socket path ", path, " has ", path.size(),
                                                   " bytes, at most ", sizeof(address.sun_path) - 1,
                                                   " fit; use a shorter root directory"));
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// Removes a socket nobody listens on.
absl::Status RemoveStale(const sockaddr_un& address, const std::string& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) < 0)
    return errno == ENOENT ? absl::OkStatus() : base::ErrnoStatus("stat", path);
  if (!S_ISSOCK(info.st_mode))
    return absl::AlreadyExistsError(base::StrCat(path, " is in the way and is not a socket"));
  base::UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.ok()) return base::ErrnoStatus("socket", path);
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ||
      errno == EAGAIN)
    return absl::AlreadyExistsError(base::StrCat("another agent serves ", path));
  if (::unlink(path.c_str()) < 0 && errno != ENOENT) return base::ErrnoStatus("unlink", path);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Listener>> ListenUnix(base::Loop& loop, UnixListenOptions options) {
  const std::string& path = options.path;
  auto address = UnixAddress(path);
  if (!address.ok()) return address.status();
  RETURN_IF_ERROR(RemoveStale(*address, path));
  base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.ok()) return base::ErrnoStatus("socket", path);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) < 0)
    return base::ErrnoStatus("bind", path);
  // Before listen(2), so that nobody gets in with the mode umask left.
  struct stat self;
  if (::chmod(path.c_str(), 0600) < 0) return base::ErrnoStatus("chmod", path);
  if (::lstat(path.c_str(), &self) < 0) return base::ErrnoStatus("stat", path);
  if (::listen(fd.get(), SOMAXCONN) < 0) return base::ErrnoStatus("listen", path);
  return std::make_unique<UnixListener>(loop, std::move(fd), std::move(options), self);
}

namespace {

struct TcpAddress {
  int family = AF_INET;
  socklen_t size = 0;
  sockaddr_storage storage{};
  const sockaddr* raw() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

absl::StatusOr<TcpAddress> ParseTcpAddress(const std::string& address, uint16_t port) {
  TcpAddress out;
  auto& four = reinterpret_cast<sockaddr_in&>(out.storage);
  auto& six = reinterpret_cast<sockaddr_in6&>(out.storage);
  if (::inet_pton(AF_INET, address.c_str(), &four.sin_addr) == 1) {
    four.sin_port = htons(port);
    out.size = sizeof(four);
  } else if (::inet_pton(AF_INET6, address.c_str(), &six.sin6_addr) == 1) {
    six.sin6_port = htons(port);
    out.family = AF_INET6;
    out.size = sizeof(six);
  } else {
    return absl::InvalidArgumentError(base::StrCat("address ", address, " is no IP address"));
  }
  out.storage.ss_family = static_cast<sa_family_t>(out.family);
  return out;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Listener>> ListenTcp(base::Loop& loop, const std::string& address,
                                                    uint16_t port, StreamFactory make) {
  auto parsed = ParseTcpAddress(address, port);
  if (!parsed.ok()) return parsed.status();
  const std::string wanted = base::StrCat(address, ":", port);
  base::UniqueFd fd(::socket(parsed->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.ok()) return base::ErrnoStatus("socket", wanted);
  const int on = 1;
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
    return base::ErrnoStatus("setsockopt SO_REUSEADDR", wanted);
  if (::bind(fd.get(), parsed->raw(), parsed->size) < 0) return base::ErrnoStatus("bind", wanted);
  if (::listen(fd.get(), SOMAXCONN) < 0) return base::ErrnoStatus("listen", wanted);

  sockaddr_in6 bound{};
  socklen_t size = sizeof(bound);
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &size) < 0)
    return base::ErrnoStatus("getsockname", wanted);
  // The port is at the same place in both kinds of address.
  const std::string name = base::StrCat(address, ":", ntohs(bound.sin6_port));
  return std::make_unique<SocketListener>(loop, std::move(fd), parsed->family, name,
                                          std::move(make));
}

Task<absl::StatusOr<std::unique_ptr<ByteStream>>> ConnectTcp(base::Loop& loop, std::string address,
                                                             uint16_t port) {
  auto parsed = ParseTcpAddress(address, port);
  if (!parsed.ok()) co_return parsed.status();
  const std::string wanted = base::StrCat(address, ":", port);
  base::UniqueFd fd(::socket(parsed->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.ok()) co_return base::ErrnoStatus("socket", wanted);
  if (::connect(fd.get(), parsed->raw(), parsed->size) < 0) {
    if (errno != EINPROGRESS) co_return base::ErrnoStatus("dial tcp", wanted);
    absl::Status ready = co_await base::WaitWritable(loop, fd.get());
    if (!ready.ok()) co_return ready;
    int error = 0;
    socklen_t size = sizeof(error);
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0) {
      if (error != 0) errno = error;
      co_return base::ErrnoStatus("dial tcp", wanted);
    }
  }
  SetTcpManners(fd.get());
  co_return std::make_unique<SocketStream>(loop, parsed->family, std::move(fd));
}

}  // namespace keelson::kubelet
