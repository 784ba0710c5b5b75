// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>

#include "cni-plugins/lib/os.h"
#include "cni-plugins/lib/status.h"

namespace keelson::cni {

// A network namespace, kept alive by an open descriptor.
class NetNs {
 public:
  // kInvalidEnvironment, naming CNI_NETNS, when `path` is something else. IsGone() tells when
  // nothing is there, or only the empty file it was mounted on: DEL takes that for "already gone".
  static Or<NetNs> Open(const std::string& path);
  // The namespace this process is in.
  static Or<NetNs> Current();
  // Whether an error of Open() means that the namespace has ceased to exist.
  static bool IsGone(const Status& status);

  int fd() const { return fd_.get(); }
  bool SameAs(const NetNs& other) const { return inode_ == other.inode_ && dev_ == other.dev_; }

  // Runs `f` inside and returns its result (a Status or an Or). The process has one thread, which
  // is back in its own namespace afterwards; if it cannot come back it ends, because anything it
  // did from then on would hit the wrong namespace.
  template <typename F>
  auto Run(F&& f) const -> decltype(f()) {
    CNI_LET(const NetNs home, Current());
    CNI_TRY(Enter());
    struct Back {
      const NetNs& home;
      ~Back() { home.EnterOrDie(); }
    } back{home};
    return std::forward<F>(f)();
  }

 private:
  NetNs(Fd fd, dev_t dev, ino_t inode) : fd_(std::move(fd)), dev_(dev), inode_(inode) {}
  Status Enter() const;
  void EnterOrDie() const;
  Fd fd_;
  dev_t dev_;
  ino_t inode_;
};

}  // namespace keelson::cni
