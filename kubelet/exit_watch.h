// SPDX-License-Identifier: Apache-2.0
// Learns of a process's end from the kernel, for runtimes that do not stream events. Loop only.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/fd.h"
#include "base/loop.h"

namespace keelson::kubelet {

class ExitWatch {
 public:
  explicit ExitWatch(base::Loop& loop) : loop_(loop), tasks_(loop) {}

  // Calls `on_exit` once when `pid` has ended, at once if there is no such process. One watch a key;
  // the same key again does nothing. A number that was reused before we opened it is watched in vain:
  // the relist finds that exit.
  void Watch(const std::string& key, pid_t pid, std::function<void()> on_exit);
  bool watching(const std::string& key) const { return watched_.contains(key); }
  size_t size() const { return watched_.size(); }
  base::Task<void> Close() { co_await tasks_.CancelAndJoin(); }

 private:
  base::Task<void> WaitFor(std::string key, base::UniqueFd pidfd, std::function<void()> on_exit);

  base::Loop& loop_;
  std::map<std::string, pid_t> watched_;
  base::TaskGroup tasks_;
};

}  // namespace keelson::kubelet
