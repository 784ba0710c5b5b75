// SPDX-License-Identifier: Apache-2.0
// Clock, loop, pool and inotify.
#include "base/loop.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <atomic>
#include <boost/system/system_error.hpp>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/inotify.h"
#include "test/unit/base/fixture.h"

namespace keelson::base {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(VirtualClock, RunsTimersInOrderAndStandsAtTheLimit) {
  VirtualClock clock;
  const MonoTime start = clock.Monotonic();
  std::string order;
  clock.Schedule(start + seconds(2), [&] { order += 'b'; });
  clock.Schedule(start + seconds(1), [&] {
    order += 'a';
    clock.Schedule(start + seconds(1), [&] { order += '+'; });
  });
  auto id = clock.Schedule(start + seconds(2), [&] { order += 'x'; });
  clock.Cancel(id);
  clock.Cancel(id);
  while (clock.AdvanceToNext(start + seconds(5))) {
  }
  EXPECT_EQ(order, "a+b");
  EXPECT_EQ(clock.Monotonic(), start + seconds(5));
  EXPECT_FALSE(clock.has_timers());
}

TEST(VirtualClock, AWallStepMovesNoTimer) {
  VirtualClock clock;
  const MonoTime start = clock.Monotonic();
  const WallTime wall = clock.Now();
  bool fired = false;
  clock.Schedule(start + seconds(2), [&] { fired = true; });
  clock.StepWall(std::chrono::hours(1));
  EXPECT_EQ(clock.Now() - wall, std::chrono::hours(1));
  EXPECT_FALSE(clock.AdvanceToNext(start + seconds(1)));
  EXPECT_FALSE(fired);
}

Task<int> SleepShortly(Loop* loop) {
  co_await Sleep(loop->clock(), milliseconds(20));
  co_return 1;
}

TEST(RealLoop, TimersFireInTimeAndOnlyOnce) {
  Loop loop;
  const auto begun = std::chrono::steady_clock::now();
  int late = 0;
  auto cancelled = loop.clock().Schedule(loop.clock().Monotonic() + milliseconds(1), [&] { ++late; });
  loop.clock().Cancel(cancelled);
  loop.clock().Schedule(loop.clock().Monotonic() + milliseconds(500), [&] { ++late; });
  EXPECT_EQ(RunOnLoop(loop, SleepShortly(&loop)), 1);
  const auto took = std::chrono::steady_clock::now() - begun;
  EXPECT_GE(took, milliseconds(20));
  EXPECT_LT(took, milliseconds(450)) << "a later timer does not hold back an earlier one";
  EXPECT_EQ(late, 0);
}

TEST(RealLoop, PostAndStopWorkFromAnyThread) {
  Loop loop;
  std::atomic<bool> ran{false};
  std::thread other([&] {
    loop.Post([&] {
      ran = true;
      loop.Stop();
    });
  });
  loop.Run();
  other.join();
  EXPECT_TRUE(ran);
}

Task<std::thread::id> WhereBlockingWorkRuns(Loop* loop) {
  auto where = [] { return std::this_thread::get_id(); };
  co_return co_await RunBlocking(*loop, std::move(where));
}

TEST(Pool, BlockingWorkRunsElsewhereAndItsResultComesBack) {
  Loop loop;
  EXPECT_NE(RunOnLoop(loop, WhereBlockingWorkRuns(&loop)), std::this_thread::get_id());
}

TEST(Pool, WorkOfASimulationRunsInline) {
  VirtualClock clock;
  Loop loop(clock);
  std::thread::id where;
  loop.pool().Submit([&] { where = std::this_thread::get_id(); });
  EXPECT_EQ(where, std::this_thread::get_id());
}

// So many at the same time: the pool makes threads as work waits, and no more than its limit.
TEST(Pool, RunsUpToItsLimitAtTheSameTime) {
  constexpr int kLimit = 3;
  std::mutex mutex;
  std::condition_variable changed;
  int inside = 0, most = 0, done = 0;
  {
    BlockingPool pool(kLimit);
    for (int i = 0; i < 3 * kLimit; ++i)
      pool.Submit([&] {
        std::unique_lock lock(mutex);
        most = std::max(most, ++inside);
        changed.notify_all();
        // Leaves once the pool has been full: shows that it gets there.
        changed.wait(lock, [&] { return most == kLimit; });
        --inside;
        ++done;
        changed.notify_all();
      });
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return done == 3 * kLimit; });
  }
  EXPECT_EQ(most, kLimit);
}

struct Blocked {
  std::atomic<bool> begun{false}, go{false}, ended{false};
};
Task<int> BlockOn(Loop* loop, std::shared_ptr<Blocked> blocked) {
  auto work = [blocked] {
    blocked->begun = true;
    blocked->begun.notify_one();
    blocked->go.wait(false);
    blocked->ended = true;
    return 5;
  };
  co_return co_await RunBlocking(*loop, std::move(work));
}

Task<void> Ignore(Task<int> task) { co_await std::move(task); }

// The caller may go away; the work owns what it touches and its result is dropped.
TEST(Pool, CancelledWaiterLeavesTheWorkToItsEnd) {
  auto blocked = std::make_shared<Blocked>();
  {
    Loop loop;
    TaskGroup group(loop);
    group.Spawn("block", Ignore(BlockOn(&loop, blocked)));
    loop.RunReady();
    blocked->begun.wait(false);  // work that has not begun is dropped when the loop goes
    group.Cancel();
    loop.RunReady();
    EXPECT_EQ(group.size(), 0u);
    EXPECT_FALSE(blocked->ended);
    blocked->go = true;
    blocked->go.notify_one();
  }
  EXPECT_TRUE(blocked->ended) << "the loop waits for work in progress when it goes";
}

class PipeTest : public ::testing::Test {
 protected:
  PipeTest() {
    int fds[2];
    KEELSON_CHECK(::pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0);
    read.reset(fds[0]);
    write.reset(fds[1]);
  }
  Loop loop;
  UniqueFd read, write;
};

Task<void> WaitAndNote(Loop* loop, int fd, std::string* note) {
  try {
    absl::Status status = co_await WaitReadable(*loop, fd);
    *note = status.ok() ? "readable" : status.ToString();
  } catch (const boost::system::system_error&) {
    *note = "cancelled";
    throw;
  }
}

TEST_F(PipeTest, WaitReadableReturnsWhenThereIsSomething) {
  std::string note;
  TaskGroup group(loop);
  group.Spawn("wait", WaitAndNote(&loop, read.get(), &note));
  loop.RunReady();
  EXPECT_EQ(note, "");
  ASSERT_EQ(::write(write.get(), "x", 1), 1);
  loop.RunReady();
  EXPECT_EQ(note, "readable");
}

TEST_F(PipeTest, ACancelledWaitLeavesTheDescriptorToItsOwner) {
  std::string note;
  TaskGroup group(loop);
  group.Spawn("wait", WaitAndNote(&loop, read.get(), &note));
  loop.RunReady();
  group.Cancel();
  loop.RunReady();
  EXPECT_EQ(note, "cancelled");
  EXPECT_GE(::fcntl(read.get(), F_GETFD), 0) << "still open";
  group.Spawn("again", WaitAndNote(&loop, read.get(), &note));
  group.Cancel();  // before its first turn
  loop.RunReady();
  EXPECT_GE(::fcntl(read.get(), F_GETFD), 0);
}

TEST_F(PipeTest, WhatCannotBeWaitedForIsAnError) {
  TempDir dir;
  UniqueFd file(::open((dir / "file").c_str(), O_CREAT | O_RDWR, 0600));
  std::string note;
  TaskGroup group(loop);
  group.Spawn("wait", WaitAndNote(&loop, 1 << 20, &note));
  loop.RunReady();
  EXPECT_NE(note, "");
  EXPECT_NE(note, "readable");
}

Task<std::vector<FileEvent>> NextEvents(Inotify* inotify) {
  auto events = co_await inotify->Next();
  co_return events.ok() ? *events : std::vector<FileEvent>();
}

TEST(InotifyTest, TellsWhichEntryOfWhichDirectory) {
  TempDir dir;
  Loop loop;
  auto inotify = Inotify::Create(loop);
  ASSERT_TRUE(inotify.ok()) << inotify.status();
  auto watch = (*inotify)->Add(dir.path(), IN_CLOSE_WRITE | IN_DELETE);
  ASSERT_TRUE(watch.ok()) << watch.status();
  ASSERT_TRUE(WriteFileAtomic(dir / "elsewhere", "x", 0600).ok());
  UniqueFd(::open((dir / "some-file").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)).reset();
  ::unlink((dir / "some-file").c_str());
  std::vector<FileEvent> events = RunOnLoop(loop, NextEvents(inotify->get()));
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[1].name, "some-file");
  EXPECT_EQ(events[1].watch, *watch);
  EXPECT_TRUE(events[1].mask & IN_CLOSE_WRITE);
  EXPECT_TRUE(events[2].mask & IN_DELETE);
}

TEST(InotifyTest, WaitsForTheFirstEvent) {
  TempDir dir;
  Loop loop;
  auto inotify = Inotify::Create(loop);
  ASSERT_TRUE((*inotify)->Add(dir.path(), IN_CREATE).ok());
  loop.clock().Schedule(loop.clock().Monotonic() + milliseconds(10),
                        [&] { ASSERT_TRUE(MakeDirs(dir / "later", 0700).ok()); });
  std::vector<FileEvent> events = RunOnLoop(loop, NextEvents(inotify->get()));
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].name, "later");
}

TEST(InotifyTest, AMissingPathIsNotFound) {
  Loop loop;
  auto inotify = Inotify::Create(loop);
  EXPECT_TRUE(absl::IsNotFound((*inotify)->Add("/nowhere/at/all", IN_CREATE).status()));
  (*inotify)->Remove(12345);
}

}  // namespace
}  // namespace keelson::base
