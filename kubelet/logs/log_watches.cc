// SPDX-License-Identifier: Apache-2.0
#include "kubelet/logs/log_watches.h"

#include <sys/inotify.h>

#include <algorithm>

namespace keelson::kubelet {

using base::Task;

absl::StatusOr<std::unique_ptr<LogWatches::Handle>> LogWatches::Add(const std::string& dir,
                                                                    LogFollower& follower) {
  if (!inotify_) {
    auto inotify = base::Inotify::Create(loop_);
    if (!inotify.ok()) return inotify.status();
    inotify_ = std::move(*inotify);
    tasks_.Spawn("log watches", Run());
  }
  auto watch = inotify_->Add(dir, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE);
  if (!watch.ok()) return watch.status();
  followers_[&follower] = *watch;
  return std::make_unique<Handle>(*this, follower);
}

void LogWatches::Remove(LogFollower& follower) {
  auto own = followers_.extract(&follower);
  const bool shared = std::ranges::any_of(
      followers_, [&](const auto& other) { return other.second == own.mapped(); });
  if (!shared && inotify_) inotify_->Remove(own.mapped());
}

Task<void> LogWatches::Run() {
  absl::Status error;
  while (error.ok()) {
    auto events = co_await inotify_->Next();
    error = events.status();
    for (auto& [follower, watch] : followers_) {
      const bool meant = !events.ok() || std::ranges::any_of(*events, [&](const auto& event) {
        return event.watch == watch || event.watch == -1;
      });
      if (!meant) continue;
      follower->error = error;
      follower->wake.Set();
    }
  }
  inotify_.reset();  // the next follower tries anew
}

}  // namespace keelson::kubelet
