// SPDX-License-Identifier: Apache-2.0
#include "base/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "test/unit/base/fixture.h"

namespace keelson::base {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

ChildOptions Shell(std::string script) {
  ChildOptions options;
  options.argv = {"/bin/sh", "-c", std::move(script)};
  options.env = {"PATH=/usr/bin:/bin"};
  options.timeout = seconds(20);
  return options;
}

class ProcessTest : public ::testing::Test {
 protected:
  absl::StatusOr<ChildResult> Run(ChildOptions options) {
    return RunOnLoop(loop, RunChild(loop, std::move(options)));
  }
  Loop loop;
};

TEST_F(ProcessTest, ExitCodeAndBothOutputsComeBack) {
  auto result = Run(Shell("echo out; echo err >&2; exit 3"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 3);
  EXPECT_EQ(result->out, "out\n");
  EXPECT_EQ(result->err, "err\n");
  EXPECT_FALSE(result->truncated);
}

TEST_F(ProcessTest, ASignalIsReportedAsAShellDoes) {
  auto result = Run(Shell("kill -TERM $$"));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->exit_code, 128 + SIGTERM);
}

TEST_F(ProcessTest, EnvironmentAndDescriptorsAreOnlyWhatWasGiven) {
  UniqueFd stray(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ChildOptions options;
  options.argv = {"/usr/bin/env"};
  options.env = {"FOO=bar"};
  auto result = Run(options);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->out, "FOO=bar\n");
  options.argv = {"/bin/ls", "/proc/self/fd"};
  result = Run(options);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->out, "0\n1\n2\n3\n") << "3 is ls's own";
}

TEST_F(ProcessTest, InputBeyondAnySocketBufferArrives) {
  ChildOptions options = Shell("wc -c");
  options.stdin_data = std::string(3 << 20, 'x');
  auto result = Run(std::move(options));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(std::stoi(result->out), 3 << 20);
}

TEST_F(ProcessTest, AChildThatDoesNotReadHarmsNobody) {
  ChildOptions options = Shell("exec 0<&-; exit 4");
  options.stdin_data = std::string(3 << 20, 'x');
  auto result = Run(std::move(options));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->exit_code, 4);
}

TEST_F(ProcessTest, OutputBeyondTheLimitIsCutAndTheChildGoesOn) {
  ChildOptions options = Shell("head -c 1000000 /dev/zero; echo done >&2");
  options.max_output = 1000;
  auto result = Run(std::move(options));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->out.size(), 1000u);
  EXPECT_TRUE(result->truncated);
  EXPECT_EQ(result->err, "done\n");
}

TEST_F(ProcessTest, AllOfALargeOutputIsThere) {
  ChildOptions options = Shell("head -c 900000 /dev/zero");
  auto result = Run(std::move(options));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->out.size(), 900000u);
}

TEST_F(ProcessTest, TimeoutKillsTheWholeGroup) {
  ChildOptions options = Shell("sleep 300 & echo $!; wait");
  options.timeout = milliseconds(100);
  auto result = Run(std::move(options));
  EXPECT_TRUE(absl::IsDeadlineExceeded(result.status())) << result.status();
  EXPECT_NE(Message(result.status()).find("did not exit within 100ms"), std::string_view::npos);
}

// A plugin that leaves a daemon behind must not hold us for as long as the daemon runs.
TEST_F(ProcessTest, AGrandchildThatHoldsThePipesIsNotWaitedFor) {
  const auto begun = std::chrono::steady_clock::now();
  auto result = Run(Shell("sleep 5 & echo out"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->out, "out\n");
  EXPECT_LT(std::chrono::steady_clock::now() - begun, seconds(4));
}

TEST_F(ProcessTest, WhatCannotBeStartedIsNamed) {
  ChildOptions options;
  options.argv = {"/nowhere/plugin"};
  auto result = Run(std::move(options));
  EXPECT_TRUE(absl::IsNotFound(result.status())) << result.status();
  EXPECT_NE(Message(result.status()).find("/nowhere/plugin"), std::string_view::npos);
}

Task<void> RunAndIgnore(Loop* loop, ChildOptions options) {
  auto result = co_await RunChild(*loop, std::move(options));
  ADD_FAILURE() << "was cancelled, but returned " << result.status();
}

// Cancelled in the middle: child killed and reaped, nothing left open, nobody waits.
TEST_F(ProcessTest, CancellingKillsTheChild) {
  TempDir dir;
  ChildOptions options = Shell("echo $$ > pid.tmp; mv pid.tmp pid; sleep 300");
  options.argv[2] = StrCat("cd ", dir.path(), "; ", options.argv[2]);
  const auto before = ListDir("/proc/self/fd")->size();
  pid_t pid = 0;
  {
    TaskGroup group(loop);
    group.Spawn("child", RunAndIgnore(&loop, std::move(options)));
    loop.RunReady();
    while (!PathExists(dir / "pid")) ::usleep(1000);  // the child is a real process
    pid = std::stoi(*ReadFile(dir / "pid"));
    group.Cancel();
    loop.RunReady();
    EXPECT_EQ(group.size(), 0u);
  }
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_EQ(ListDir("/proc/self/fd")->size(), before);
}

TEST_F(ProcessTest, ManyChildrenAtTheSameTime) {
  std::vector<Task<absl::StatusOr<ChildResult>>> tasks;
  for (int i = 0; i < 16; ++i) tasks.push_back(RunChild(loop, Shell(StrCat("exit ", i))));
  auto results = RunOnLoop(loop, Gather(loop, std::move(tasks)));
  for (int i = 0; i < 16; ++i) EXPECT_EQ(results[i]->exit_code, i);
}

TEST_F(ProcessTest, PidfdOfNobodyIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(OpenPidfd(0x3fffffff).status()));
  EXPECT_TRUE(OpenPidfd(::getpid()).ok());
}

}  // namespace
}  // namespace keelson::base
