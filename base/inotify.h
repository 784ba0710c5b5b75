// SPDX-License-Identifier: Apache-2.0
// inotify(7) as a coroutine. Loop only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/fd.h"
#include "base/loop.h"

namespace keelson::base {

struct FileEvent {
  int watch = -1;      // what Add returned; -1 when events were lost (IN_Q_OVERFLOW): look at everything
  uint32_t mask = 0;   // IN_*
  std::string name;    // entry of a watched directory, or empty
};

class Inotify {
 public:
  static absl::StatusOr<std::unique_ptr<Inotify>> Create(Loop& loop);
  // Watches `path`; the same path again changes its mask. NotFound when it does not exist.
  absl::StatusOr<int> Add(const std::string& path, uint32_t mask);
  void Remove(int watch);
  // The events that are there, waiting for the first. REQUIRES: one caller at a time.
  Task<absl::StatusOr<std::vector<FileEvent>>> Next();

 private:
  Inotify(Loop& loop, UniqueFd fd) : loop_(loop), fd_(std::move(fd)) {}
  Loop& loop_;
  UniqueFd fd_;
};

}  // namespace keelson::base
