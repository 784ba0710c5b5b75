// SPDX-License-Identifier: Apache-2.0
// Keeps the logs of running containers within their size. Loop only; file work runs on the pool.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/loop.h"
#include "kubelet/logs/rotation.h"

namespace keelson::kubelet {

struct RotatorOptions {
  int64_t max_size_bytes = 10 << 20;                // containerLogMaxSize; negative: no rotation
  int max_files = 5;                                // containerLogMaxFiles
  base::Nanos interval = std::chrono::seconds(10);  // containerLogMonitorInterval
  int workers = 1;                                  // containerLogMaxWorkers
};

struct RunningLog {
  std::string container_id;
  std::string path;  // absolute, as the runtime tells it
};

class LogRotator {
 public:
  // Running containers only: the others write nothing any more.
  using ListRunning = std::function<std::vector<RunningLog>()>;
  // CRI ReopenContainerLog: the runtime opens the path anew.
  using Reopen = std::function<base::Task<absl::Status>(std::string container_id)>;

  LogRotator(base::Loop& loop, RotatorOptions options, ListRunning list, Reopen reopen)
      : loop_(loop), options_(options), list_(std::move(list)), reopen_(std::move(reopen)) {}

  // Checks at each interval until cancelled; returns at once when rotation is off.
  base::Task<void> Run();
  // One turn: afterwards every log that was too large has been rotated; failures are logged and
  // tried again at the next turn.
  base::Task<void> CheckAll();
  // Rotates the log if it is too large, reopens it if it is missing.
  base::Task<absl::Status> Check(RunningLog log);

 private:
  base::Task<absl::StatusOr<bool>> TooLarge(const RunningLog& log);
  base::Task<absl::Status> RotateAndReopen(RunningLog log);
  base::Task<void> Work(std::vector<RunningLog>* queue);

  base::Loop& loop_;
  const RotatorOptions options_;
  const ListRunning list_;
  const Reopen reopen_;
};

}  // namespace keelson::kubelet
