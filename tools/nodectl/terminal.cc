// SPDX-License-Identifier: Apache-2.0
#include "tools/nodectl/terminal.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>

#include "base/errno_status.h"

namespace keelson::nodectl {

absl::StatusOr<RawTerminal> RawTerminal::Enter(int fd) {
  termios before{};
  if (::tcgetattr(fd, &before) < 0)
    return absl::FailedPreconditionError("the input is not a terminal");
  termios raw = before;
  ::cfmakeraw(&raw);
  if (::tcsetattr(fd, TCSADRAIN, &raw) < 0) return base::ErrnoStatus("tcsetattr");
  return RawTerminal(fd, before);
}

RawTerminal::~RawTerminal() {
  if (fd_ >= 0) static_cast<void>(::tcsetattr(fd_, TCSADRAIN, &before_));  // it may have gone
}

std::optional<std::string> TerminalSize(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0) return std::nullopt;
  return base::StrCat("{\"Width\":", size.ws_col, ",\"Height\":", size.ws_row, "}");
}

absl::StatusOr<base::UniqueFd> WatchSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGWINCH, SIGTERM, SIGHUP, SIGINT}) sigaddset(&set, signal);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) < 0) return base::ErrnoStatus("sigprocmask");
  base::UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.ok()) return base::ErrnoStatus("signalfd");
  return fd;
}

}  // namespace keelson::nodectl
