// SPDX-License-Identifier: Apache-2.0
// One inotify instance for all followers of logs: the kernel gives a user 128 of them. Loop only.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/inotify.h"
#include "base/loop.h"

namespace keelson::kubelet {

// Of one follower. Fields change before it is woken.
struct LogFollower {
  base::Wakeup wake;
  absl::Status error;  // not OK: no events come any more
};

class LogWatches {
 public:
  explicit LogWatches(base::Loop& loop) : loop_(loop), tasks_(loop) {}

  // `follower` is woken by changes in the directory until the handle is gone; it outlives the handle,
  // and this outlives both.
  class Handle;
  absl::StatusOr<std::unique_ptr<Handle>> Add(const std::string& dir, LogFollower& follower);
  // Afterwards nothing of it runs. REQUIRES: called before destruction, unless the loop has stopped
  // for good.
  base::Task<void> Close() { co_await tasks_.CancelAndJoin(); }

 private:
  base::Task<void> Run();
  void Remove(LogFollower& follower);

  base::Loop& loop_;
  std::unique_ptr<base::Inotify> inotify_;   // made for the first follower
  std::map<LogFollower*, int> followers_;    // with their watches; a directory has one for all
  base::TaskGroup tasks_;
};

class LogWatches::Handle {
 public:
  Handle(LogWatches& watches, LogFollower& follower) : watches_(watches), follower_(follower) {}
  Handle(const Handle&) = delete;
  ~Handle() { watches_.Remove(follower_); }

 private:
  LogWatches& watches_;
  LogFollower& follower_;
};

}  // namespace keelson::kubelet
