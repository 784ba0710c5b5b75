// SPDX-License-Identifier: Apache-2.0
// Processes are pidfds: a number may be another process by the time it is used.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/fd.h"
#include "base/loop.h"

namespace keelson::base {

struct ChildOptions {
  std::vector<std::string> argv;  // argv[0] is an absolute path; no shell, no PATH search
  std::vector<std::string> env;   // NAME=value; the whole environment
  std::string stdin_data;
  size_t max_output = 1 << 20;    // bytes of stdout and of stderr each; what is beyond is dropped
  Nanos timeout = std::chrono::minutes(1);
};

struct ChildResult {
  int exit_code = 0;  // 128 + signal when killed, as a shell reports it
  std::string out;
  std::string err;
  bool truncated = false;
};

// Runs a child with only stdin, stdout and stderr open and returns when it has exited. Past the
// timeout, or when the task is cancelled, the child's process group is killed; DeadlineExceeded.
Task<absl::StatusOr<ChildResult>> RunChild(Loop& loop, ChildOptions options);

// pidfd_open(2). NotFound when no such process exists.
absl::StatusOr<UniqueFd> OpenPidfd(pid_t pid);

}  // namespace keelson::base
