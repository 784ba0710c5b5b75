// SPDX-License-Identifier: Apache-2.0
#pragma once

// The few system-call wrappers the plugins need. base/ has richer ones, but they speak
// absl::Status.

#include <unistd.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cni-plugins/lib/status.h"

namespace keelson::cni {

// An open file descriptor; closed once, when the owner goes.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// Everything `fd` gives until its end; an error beyond `limit` bytes.
Or<std::string> ReadAll(int fd, size_t limit);
Or<std::string> ReadFile(const std::string& path, size_t limit = 1 << 20);
// One write to an existing file, as /proc and /sys want it.
Status WriteExisting(const std::string& path, std::string_view text);
// All of `text` to `fd`, across partial writes.
Status WriteAll(int fd, std::string_view text);
// Names in a directory, without "." and "..", unsorted.
Or<std::vector<std::string>> ListDir(const std::string& path);
// `n` lower-case hexadecimal digits from the kernel's random source.
std::string RandomHex(int n);

// A sysctl by its path below /proc/sys with '/' between parts (interface names may hold dots), read
// or written in the network namespace the caller is in. REQUIRES: parts are checked names.
Or<std::string> ReadSysctl(const std::string& name);
Status WriteSysctl(const std::string& name, std::string_view value);

}  // namespace keelson::cni
