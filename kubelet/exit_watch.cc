// SPDX-License-Identifier: Apache-2.0
#include "kubelet/exit_watch.h"

#include "base/log.h"
#include "base/process.h"

namespace keelson::kubelet {

void ExitWatch::Watch(const std::string& key, pid_t pid, std::function<void()> on_exit) {
  if (!watched_.emplace(key, pid).second) return;
  auto pidfd = base::OpenPidfd(pid);
  if (!pidfd.ok()) {
    if (!absl::IsNotFound(pidfd.status()))
      KLOG_WARNING("Cannot watch a container process; the relist will find its end",
                   {"id", key}, {"err", pidfd.status()});
    watched_.erase(key);
    if (absl::IsNotFound(pidfd.status())) loop_.Post(std::move(on_exit));
    return;
  }
  tasks_.Spawn("exit watch", WaitFor(key, *std::move(pidfd), std::move(on_exit)));
}

base::Task<void> ExitWatch::WaitFor(std::string key, base::UniqueFd pidfd,
                                    std::function<void()> on_exit) {
  absl::Status status = co_await base::WaitReadable(loop_, pidfd.get());
  watched_.erase(key);
  if (status.ok()) on_exit();
}

}  // namespace keelson::kubelet
