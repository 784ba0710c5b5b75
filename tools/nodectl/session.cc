// SPDX-License-Identifier: Apache-2.0
#include "tools/nodectl/session.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <charconv>
#include <optional>

#include "base/errno_status.h"
#include "proto/codec/codec.h"
#include "proto/k8s/meta.pb.h"
#include "tools/nodectl/channel_socket.h"
#include "tools/nodectl/terminal.h"

namespace keelson::nodectl {
namespace {

constexpr char kProtocol[] = "v5.channel.k8s.io";
enum : uint8_t { kStdin = 0, kStdout = 1, kStderr = 2, kOutcome = 3, kResize = 4 };
// Bytes on their way out above which we do not read more of our input.
constexpr size_t kEnough = 256 << 10;
constexpr size_t kMaxOutcome = 1 << 20;

class Session {
 public:
  Session(ChannelSocket socket, const SessionIo& io, base::UniqueFd signals)
      : socket_(std::move(socket)), io_(io), signals_(std::move(signals)) {
    in_open_ = io_.in_fd >= 0 || io_.in;
    detach_ = io_.detach;
  }

  absl::StatusOr<int> Run() {
    if (io_.tty) SendSize();
    bool open = true;
    while (open) {
      if (io_.in) RETURN_IF_ERROR(Pull());
      RETURN_IF_ERROR(socket_.Flush());
      pollfd wait[3] = {
          {socket_.fd(), static_cast<short>(POLLIN | (socket_.pending() ? POLLOUT : 0)), 0},
          {signals_.get(), POLLIN, 0},
          {WantsInput() ? io_.in_fd : -1, POLLIN, 0}};
      if (::poll(wait, 3, -1) < 0 && errno != EINTR) return base::ErrnoStatus("poll");
      if (wait[1].revents != 0)
        if (auto ended = TakeSignal()) return *ended;
      if (wait[2].revents != 0) RETURN_IF_ERROR(ReadInput());
      if (detached_) return 0;
      if ((wait[0].revents & (POLLIN | POLLHUP | POLLERR)) == 0) continue;
      auto more = socket_.Receive(
          [this](uint8_t channel, std::string_view data) { return Take(channel, data); });
      if (!more.ok()) return more.status();
      open = *more;
    }
    if (outcome_.empty())
      return absl::UnavailableError(
          base::StrCat("the session was cut off: ", socket_.close_reason()));
    return ExitCodeOf(outcome_);
  }

 private:
  bool WantsInput() const { return in_open_ && socket_.pending() < kEnough; }

  absl::Status Pull() {
    while (WantsInput()) {
      auto data = io_.in();
      if (!data.ok()) return data.status();
      Forward(*data);
    }
    return absl::OkStatus();
  }

  absl::Status ReadInput() {
    char block[32 << 10];
    const ssize_t got = ::read(io_.in_fd, block, sizeof(block));
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return absl::OkStatus();
    // EIO: the terminal is gone, which ends the input too.
    if (got < 0 && errno != EIO) return base::ErrnoStatus("read the input");
    const std::string_view typed(block, static_cast<size_t>(std::max<ssize_t>(got, 0)));
    std::string kept;
    if (!io_.tty || typed.empty()) {
      Forward(typed);
    } else {
      detached_ = detach_.Take(typed, &kept);
      if (!kept.empty()) Forward(kept);  // nothing would mean the end
    }
    return detached_ ? socket_.Flush() : absl::OkStatus();
  }

  // Empty: the end of the input.
  void Forward(std::string_view data) {
    if (data.empty()) {
      in_open_ = false;
      socket_.End(kStdin);
    } else {
      socket_.Send(kStdin, data);
    }
  }

  void SendSize() {
    if (auto size = TerminalSize(io_.in_fd)) socket_.Send(kResize, *size);
  }

  // The exit code when it ends us.
  std::optional<int> TakeSignal() {
    signalfd_siginfo info;
    if (::read(signals_.get(), &info, sizeof(info)) != sizeof(info)) return std::nullopt;
    if (info.ssi_signo != SIGWINCH) return 128 + static_cast<int>(info.ssi_signo);
    if (io_.tty) SendSize();
    return std::nullopt;
  }

  absl::Status Take(uint8_t channel, std::string_view data) {
    if (channel == kStdout && io_.out) return io_.out(data);
    if (channel == kStderr && io_.err) return io_.err(data);
    if (channel == kOutcome && outcome_.size() < kMaxOutcome) outcome_ += data;
    return absl::OkStatus();
  }

  ChannelSocket socket_;
  const SessionIo& io_;
  base::UniqueFd signals_;
  bool in_open_ = false;
  DetachKeys detach_;
  bool detached_ = false;
  std::string outcome_;
};

}  // namespace

absl::StatusOr<int> ExitCodeOf(std::string_view status_json) {
  k8s::meta::v1::Status status;
  RETURN_IF_ERROR(
      base::Annotate(proto::DecodeJson(status_json, &status, {}), "the session's outcome"));
  if (status.status() == "Success") return 0;
  for (const auto& cause : status.details().causes()) {
    int code = 0;
    const std::string& text = cause.message();
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), code);
    if (cause.reason() == "ExitCode" && error == std::errc() && end == text.data() + text.size())
      return code;
  }
  return absl::InternalError(status.message());
}

absl::Status WriteFd(int fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t put = ::write(fd, data.data(), data.size());
    if (put < 0 && errno == EAGAIN) {
      pollfd ready{fd, POLLOUT, 0};
      static_cast<void>(::poll(&ready, 1, -1));  // write tells what is wrong
      continue;
    }
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return base::ErrnoStatus("write the output");
    data.remove_prefix(static_cast<size_t>(put));
  }
  return absl::OkStatus();
}

absl::StatusOr<int> RunSession(const Client& client, const std::string& path, QueryParams query,
                               const SessionIo& io) {
  if (io.in_fd >= 0 || io.in) query.emplace_back("input", "1");
  if (io.out) query.emplace_back("output", "1");
  if (io.err && !io.tty) query.emplace_back("error", "1");
  if (io.tty) query.emplace_back("tty", "1");
  auto signals = WatchSignals();
  if (!signals.ok()) return signals.status();
  auto socket = ChannelSocket::Open(client, path, query, kProtocol);
  if (!socket.ok()) return socket.status();
  // Only now: what went wrong so far was told to a terminal that was still itself.
  std::optional<RawTerminal> raw;
  if (io.tty) {
    auto entered = RawTerminal::Enter(io.in_fd);
    if (!entered.ok()) return entered.status();
    raw.emplace(std::move(*entered));
  }
  return Session(std::move(*socket), io, std::move(*signals)).Run();
}

}  // namespace keelson::nodectl
