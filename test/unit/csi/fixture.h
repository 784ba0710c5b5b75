// SPDX-License-Identifier: Apache-2.0
// A folder of one test, in a mount namespace of the test program's own.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <utility>

#include "base/files.h"
#include "test/unit/base/fixture.h"

namespace keelson::csi {

// Mounts of a test are nobody else's and go with the program. Made before any thread, which shares it.
inline bool HaveOwnMounts() {
  static const bool own = ::geteuid() == 0 && ::unshare(CLONE_NEWNS) == 0 &&
                          ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  return own;
}

class InDir : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!HaveOwnMounts()) GTEST_SKIP() << "needs root to mount";
  }
  // Writes `text` to `name` in the test's folder.
  std::string File(const std::string& name, const std::string& text = "") {
    const std::string path = dir / name;
    EXPECT_TRUE(base::WriteFileAtomic(path, text, 0644, false).ok()) << path;
    return path;
  }
  std::string Dir(const std::string& name) {
    const std::string path = dir / name;
    EXPECT_TRUE(base::MakeDirs(path, 0755).ok()) << path;
    return path;
  }
  std::string Link(const std::string& name, const std::string& to) {
    const std::string path = dir / name;
    EXPECT_EQ(::symlink(to.c_str(), path.c_str()), 0) << path;
    return path;
  }

  base::TempDir dir;
};

// How an event about volume `v` begins.
inline const std::string kFailed = "MountVolume.SetUp failed for volume \"v\" : ";

// Also with a loop on a clock that the test moves: what waits and tries again does so at once.
class InDirOnLoop : public InDir {
 protected:
  void TearDown() override { loop.io().stop(); }  // as when the agent ends, whatever still runs

  // What `task` returns, within ten minutes of virtual time.
  template <typename T>
  T Finish(base::Task<T> task) {
    std::optional<T> result;
    group.Spawn("test", base::internal::StoreResult<T>(std::move(task), &result));
    loop.RunReady();
    if (!result) base::RunFor(loop, clock, std::chrono::minutes(10));
    return result ? *std::move(result) : T(absl::CancelledError("still waiting"));
  }

  base::VirtualClock clock;
  base::Loop loop{clock};
  base::TaskGroup group{loop};
};

}  // namespace keelson::csi
