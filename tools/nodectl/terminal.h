// SPDX-License-Identifier: Apache-2.0
// The person's terminal while a program in a container has it. One thread.
#pragma once

#include <termios.h>

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/fd.h"

namespace keelson::nodectl {

// Raw mode from construction to destruction: keys go through as they are, Ctrl-C included.
class RawTerminal {
 public:
  // FailedPrecondition: `fd` is no terminal.
  static absl::StatusOr<RawTerminal> Enter(int fd);
  RawTerminal(RawTerminal&& other) noexcept : fd_(std::exchange(other.fd_, -1)), before_(other.before_) {}
  RawTerminal& operator=(RawTerminal&&) = delete;
  ~RawTerminal();

 private:
  RawTerminal(int fd, const termios& before) : fd_(fd), before_(before) {}
  int fd_;
  termios before_;
};

// {"Width":80,"Height":24} of the terminal at `fd`, as Kubernetes tells sizes; nullopt: none.
std::optional<std::string> TerminalSize(int fd);

// A descriptor that tells of changed sizes and of the signals that end us (signalfd(2)); they are blocked
// from now on.
absl::StatusOr<base::UniqueFd> WatchSignals();

}  // namespace keelson::nodectl
