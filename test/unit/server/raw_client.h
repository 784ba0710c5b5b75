// SPDX-License-Identifier: Apache-2.0
// A client that can be as rude as a test needs, over a unix socket.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/thread.h"
#include "test/lib/loop_thread.h"

namespace keelson::kubelet {

class SocketDir {
 public:
  SocketDir() {
    std::string name = "/tmp/kl-server-XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~SocketDir() { std::filesystem::remove_all(path_); }
  std::string At(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

class RawClient {
 public:
  explicit RawClient(const std::string& path)
      : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    connected_ = ::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  bool connected() const { return connected_; }
  int fd() const { return fd_.get(); }
  // False when the peer has closed.
  bool Send(std::string_view text) {
    return ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(text.size());
  }
  // What comes until `text` is in it or the peer closes; fails the test after 20 s of silence.
  std::string ReadUntil(std::string_view text) {
    while (in_.find(text) == in_.npos && ReadSome()) {
    }
    return std::exchange(in_, {});
  }
  std::string ReadAll() {
    while (ReadSome()) {
    }
    return std::exchange(in_, {});
  }
  std::string Get(std::string_view target) {
    Send("GET " + std::string(target) + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    return ReadAll();
  }

 private:
  bool ReadSome() {
    pollfd ready{fd_.get(), POLLIN, 0};
    if (::poll(&ready, 1, 20'000) != 1) {
      ADD_FAILURE() << "nothing came for 20 s";
      return false;
    }
    char block[64 << 10];
    const ssize_t got = ::read(fd_.get(), block, sizeof(block));
    if (got > 0) in_.append(block, got);
    return got > 0;
  }
  base::UniqueFd fd_;
  bool connected_ = false;
  std::string in_;
};

// Body of an answer with chunks, put together.
inline std::string Unchunk(const std::string& answer) {
  std::string body;
  size_t at = answer.find("\r\n\r\n");
  if (at == answer.npos) return {};
  at += 4;
  for (;;) {
    const size_t end = answer.find("\r\n", at);
    if (end == answer.npos) return body + "<cut>";
    const size_t size = std::stoul(answer.substr(at, end - at), nullptr, 16);
    if (size == 0) return body;
    body += answer.substr(end + 2, size);
    at = end + 2 + size + 2;
  }
}

using test::LoopThread;

}  // namespace keelson::kubelet
