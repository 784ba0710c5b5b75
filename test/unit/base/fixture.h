// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/files.h"
#include "base/loop.h"
#include "base/strings.h"

namespace keelson::base {

// A directory of one test; gone afterwards.
class TempDir {
 public:
  explicit TempDir(std::string_view parent = "/tmp") : path_(StrCat(parent, "/kl-base-XXXXXX")) {
    KEELSON_CHECK(::mkdtemp(path_.data()) != nullptr);
  }
  ~TempDir() { static_cast<void>(RemoveTree(path_)); }
  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return StrCat(path_, "/", name); }

 private:
  std::string path_;
};

// A loop on a clock that a test moves.
class OnVirtualClock : public ::testing::Test {
 protected:
  void RunFor(Nanos time) { base::RunFor(loop, clock, time); }
  void RunReady() { loop.RunReady(); }
  VirtualClock clock;
  Loop loop{clock};
};

// Runs `task` on the machine's clock to its end and returns what it returned.
template <typename T>
Task<void> StoreAndStop(Task<T> task, std::optional<T>* out, Loop* loop) {
  out->emplace(co_await std::move(task));
  loop->Stop();
}
template <typename T>
T RunOnLoop(Loop& loop, Task<T> task) {
  std::optional<T> result;
  TaskGroup group(loop);
  group.Spawn("test", StoreAndStop<T>(std::move(task), &result, &loop));
  loop.io().restart();  // it may have run out of work before
  loop.Run();
  loop.io().restart();
  loop.io().poll();
  KEELSON_CHECK(result.has_value());
  return *std::move(result);
}

}  // namespace keelson::base
