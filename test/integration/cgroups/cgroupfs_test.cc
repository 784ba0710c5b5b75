// SPDX-License-Identifier: Apache-2.0
// The cgroupfs driver on this machine's real v1 hierarchies, below a root of the test's own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/files.h"
#include "base/loop.h"
#include "base/strings.h"
#include "cgroups/factory.h"
#include "cgroups/group_files.h"

namespace keelson::cgroups {
namespace {

using base::StrCat;
using base::Task;

class Cgroupfs : public ::testing::Test {
 protected:
  void SetUp() override {
    auto mountinfo = base::ReadFile("/proc/self/mountinfo");
    ASSERT_TRUE(mountinfo.ok());
    hierarchies_ = ParseHierarchies(*mountinfo);
    if (::geteuid() != 0 || !hierarchies_.v1.contains("cpu") || !hierarchies_.v1.contains("memory"))
      GTEST_SKIP() << "needs root and cgroup v1";
    auto made = MakePodCgroups(loop_, {"cgroupfs", root_, hierarchies_});
    ASSERT_TRUE(made.ok()) << made.status();
    pods_ = std::move(*made);
  }
  void TearDown() override {
    if (pods_ == nullptr) return;
    EXPECT_TRUE(GroupFiles(hierarchies_).Destroy(root_).ok());
  }

  template <typename T>
  T Run(Task<T> task) {
    std::optional<T> result;
    base::TaskGroup tasks(loop_);
    tasks.Spawn("test", Keep(loop_, std::move(task), &result));
    loop_.io().restart();  // it was stopped by the task before
    loop_.Run();
    return std::move(*result);
  }
  template <typename T>
  static Task<void> Keep(base::Loop& loop, Task<T> task, std::optional<T>* result) {
    result->emplace(co_await std::move(task));
    loop.Stop();
  }
  std::string On(const char* controller, const std::string& file) {
    auto text = base::ReadFile(StrCat(hierarchies_.v1.at(controller), root_, "/kubepods", file));
    return text.ok() ? text->substr(0, text->find('\n')) : std::string(text.status().message());
  }

  base::Loop loop_;
  const std::string root_ = StrCat("/klcg-", ::getpid());
  Hierarchies hierarchies_;
  std::unique_ptr<PodCgroups> pods_;
};

TEST_F(Cgroupfs, APodsLifeFromLimitsToNothing) {
  Limits level;
  level.cpu_shares = 2;
  ASSERT_TRUE(Run(pods_->EnsureRoot({}, level, level)).ok());
  EXPECT_EQ(On("cpu", "/besteffort/cpu.shares"), "2");
  Limits limits;
  limits.cpu_shares = 512;
  limits.memory_bytes = 64 << 20;
  if (hierarchies_.v1.contains("pids")) limits.pids_max = 50;
  absl::Status made = Run(pods_->Ensure("u-1", QosClass::kBurstable, limits));
  ASSERT_TRUE(made.ok()) << made;
  EXPECT_EQ(On("cpu", "/burstable/podu-1/cpu.shares"), "512");
  EXPECT_EQ(On("memory", "/burstable/podu-1/memory.limit_in_bytes"), "67108864");
  limits.cpu_shares = 1024;
  EXPECT_TRUE(Run(pods_->Ensure("u-1", QosClass::kBurstable, limits)).ok());
  EXPECT_EQ(On("cpu", "/burstable/podu-1/cpu.shares"), "1024");
  EXPECT_TRUE(*Run(pods_->Exists("u-1", QosClass::kBurstable)));
  EXPECT_THAT(*Run(pods_->ListPods()), ::testing::ElementsAre("u-1"));
  EXPECT_EQ(pods_->CgroupParent("u-1", QosClass::kBurstable),
            root_ + "/kubepods/burstable/podu-1");
  EXPECT_TRUE(Run(pods_->Destroy("u-1")).ok());
  EXPECT_FALSE(*Run(pods_->Exists("u-1", QosClass::kBurstable)));
  EXPECT_TRUE(Run(pods_->Destroy("u-1")).ok());  // again: nothing there is success
}

TEST_F(Cgroupfs, LeftoversAreKilledBeforeTheGroupGoes) {
  ASSERT_TRUE(Run(pods_->Ensure("u-2", QosClass::kGuaranteed, {})).ok());
  pid_t child = ::fork();
  if (child == 0) {
    for (;;) ::pause();
  }
  for (const char* controller : {"cpu", "memory", "cpuset"}) {
    auto mount = hierarchies_.v1.find(controller);
    if (mount == hierarchies_.v1.end()) continue;
    absl::Status moved = base::WriteControlFile(
        StrCat(mount->second, root_, "/kubepods/podu-2/cgroup.procs"), StrCat(child));
    EXPECT_TRUE(moved.ok()) << moved;  // an empty cpuset would refuse it
  }
  absl::Status gone = Run(pods_->Destroy("u-2"));
  EXPECT_TRUE(gone.ok()) << gone;
  if (!gone.ok()) ::kill(child, SIGTERM);  // ours, not yet reaped
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

}  // namespace
}  // namespace keelson::cgroups
