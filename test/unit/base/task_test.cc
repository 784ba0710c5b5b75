// SPDX-License-Identifier: Apache-2.0
#include "base/task.h"

#include <gtest/gtest.h>

#include <boost/system/system_error.hpp>

#include "test/unit/base/fixture.h"

namespace keelson::base {
namespace {

using std::chrono::seconds;

using TaskTest = OnVirtualClock;

Task<void> Count(Wakeup* wakeup, int* wakes) {
  while (true) {
    co_await wakeup->Wait();
    ++*wakes;
  }
}

Task<void> SleepThenNote(Clock* clock, Nanos time, std::string note, std::vector<std::string>* notes) {
  co_await Sleep(*clock, time);
  notes->push_back(std::move(note));
}

// Notes how it ended.
Task<void> WatchEnd(Task<void> inner, std::string* end) {
  try {
    co_await std::move(inner);
    *end = "returned";
  } catch (const boost::system::system_error&) {
    *end = "cancelled";
    throw;
  }
}

template <typename T>
Task<void> Store(Task<T> task, std::optional<T>* out) {
  *out = co_await std::move(task);
}

TEST_F(TaskTest, SetIsRememberedUntilSomebodyWaits) {
  Wakeup wakeup;
  int wakes = 0;
  wakeup.Set();
  wakeup.Set();
  TaskGroup group(loop);
  group.Spawn("count", Count(&wakeup, &wakes));
  RunReady();
  EXPECT_EQ(wakes, 1) << "many sets are one";
  wakeup.Set();
  RunReady();
  EXPECT_EQ(wakes, 2);
  group.Cancel();
  RunReady();
  EXPECT_EQ(group.size(), 0u);
}

TEST_F(TaskTest, OneSetWakesAllWaiters) {
  Wakeup wakeup;
  int a = 0, b = 0;
  TaskGroup group(loop);
  group.Spawn("a", Count(&wakeup, &a));
  group.Spawn("b", Count(&wakeup, &b));
  RunReady();
  wakeup.Set();
  RunReady();
  EXPECT_EQ(a, 1);
  EXPECT_EQ(b, 1);
  group.Cancel();
  RunReady();
}

TEST_F(TaskTest, ACancelledWaiterTakesNoWakeAway) {
  Wakeup wakeup;
  int first = 0, second = 0;
  TaskGroup a(loop), b(loop);
  a.Spawn("a", Count(&wakeup, &first));
  RunReady();
  loop.Post([&] {  // from outside the loop a cancellation is only posted
    a.Cancel();
    wakeup.Set();
  });
  RunReady();
  b.Spawn("b", Count(&wakeup, &second));
  RunReady();
  EXPECT_EQ(first, 0);
  EXPECT_EQ(second, 1);
  b.Cancel();
  RunReady();
}

TEST_F(TaskTest, WaitUntilEndsAtItsDeadlineOrAtSet) {
  Wakeup wakeup;
  std::optional<bool> timed_out, woken;
  TaskGroup group(loop);
  group.Spawn("wait", Store(wakeup.WaitUntil(clock, clock.Monotonic() + seconds(5)), &timed_out));
  RunFor(seconds(4));
  EXPECT_FALSE(timed_out.has_value());
  RunFor(seconds(2));
  EXPECT_EQ(timed_out, false);
  group.Spawn("wait", Store(wakeup.WaitUntil(clock, clock.Monotonic() + seconds(5)), &woken));
  RunReady();
  wakeup.Set();
  RunReady();
  EXPECT_EQ(woken, true);
  EXPECT_FALSE(clock.has_timers()) << "its timer is gone";
  std::optional<bool> past;
  group.Spawn("wait", Store(wakeup.WaitUntil(clock, clock.Monotonic() - seconds(1)), &past));
  RunReady();
  EXPECT_EQ(past, false);
}

TEST_F(TaskTest, CancellingAWaitUntilLeavesNoTimer) {
  Wakeup wakeup;
  std::optional<bool> result;
  TaskGroup group(loop);
  group.Spawn("wait", Store(wakeup.WaitUntil(clock, clock.Monotonic() + seconds(5)), &result));
  RunReady();
  group.Cancel();
  RunReady();
  EXPECT_EQ(group.size(), 0u);
  EXPECT_FALSE(clock.has_timers());
  wakeup.Set();  // touches no dead waiter
}

TEST_F(TaskTest, SleepersWakeInOrderOfTime) {
  std::vector<std::string> notes;
  TaskGroup group(loop);
  group.Spawn("b", SleepThenNote(&clock, seconds(2), "b", &notes));
  group.Spawn("a", SleepThenNote(&clock, seconds(1), "a", &notes));
  group.Spawn("c", SleepThenNote(&clock, seconds(2), "c", &notes));
  RunFor(seconds(3));
  EXPECT_EQ(notes, (std::vector<std::string>{"a", "b", "c"}));
}

TEST_F(TaskTest, CancellingUnwindsASleep) {
  std::vector<std::string> notes;
  std::string end;
  TaskGroup group(loop);
  group.Spawn("sleep", WatchEnd(SleepThenNote(&clock, seconds(2), "never", &notes), &end));
  RunReady();
  EXPECT_EQ(group.Names(), std::vector<std::string>{"sleep"});
  group.Cancel();
  EXPECT_EQ(end, "") << "nothing ends inside Cancel";
  RunFor(seconds(3));
  EXPECT_EQ(end, "cancelled");
  EXPECT_TRUE(notes.empty());
  EXPECT_EQ(group.size(), 0u);
}

TEST_F(TaskTest, ATaskCancelledBeforeItsFirstTurnEnds) {
  std::vector<std::string> notes;
  TaskGroup group(loop);
  group.Spawn("sleep", SleepThenNote(&clock, seconds(2), "late", &notes));
  group.Cancel();
  RunFor(seconds(1));
  EXPECT_TRUE(notes.empty());
}

// Returns, and later does not, with its own group cancelled and without ever having waited.
Task<void> CancelOwnGroup(TaskGroup* group, bool wait) {
  group->Cancel();
  if (wait) co_await Yield();
}

TEST_F(TaskTest, ATaskThatIsCancelledWithoutEverWaitingEndsQuietly) {
  TaskGroup group(loop);
  group.Spawn("returns", CancelOwnGroup(&group, false));
  RunReady();
  EXPECT_EQ(group.size(), 0u);
  group.Spawn("waits", CancelOwnGroup(&group, true));
  RunReady();
  EXPECT_EQ(group.size(), 0u);
}

TEST_F(TaskTest, OneShotKeepsItsFirstValue) {
  OneShot<int> shot;
  shot.Set(1);
  shot.Set(2);
  std::optional<int> got;
  TaskGroup group(loop);
  group.Spawn("wait", Store(shot.Wait(), &got));
  RunReady();
  EXPECT_EQ(got, 1);
  OneShot<int> later;
  std::optional<int> then;
  group.Spawn("wait", Store(later.Wait(), &then));
  RunReady();
  EXPECT_FALSE(then.has_value());
  later.Set(7);
  RunReady();
  EXPECT_EQ(then, 7);
}

TEST_F(TaskTest, JoinWaitsForTheLastTask) {
  std::vector<std::string> notes;
  std::string end;
  TaskGroup workers(loop), outer(loop);
  workers.Spawn("a", SleepThenNote(&clock, seconds(1), "a", &notes));
  workers.Spawn("b", SleepThenNote(&clock, seconds(3), "b", &notes));
  outer.Spawn("join", WatchEnd(workers.Join(), &end));
  RunFor(seconds(2));
  EXPECT_EQ(end, "");
  RunFor(seconds(2));
  EXPECT_EQ(end, "returned");
}

Task<int> SleepAndReturn(Clock* clock, Nanos time, int value) {
  co_await Sleep(*clock, time);
  co_return value;
}

std::vector<Task<int>> Sleepers(Clock* clock, std::vector<int> times) {
  std::vector<Task<int>> tasks;
  for (int t : times) tasks.push_back(SleepAndReturn(clock, seconds(t), t));
  return tasks;
}

TEST_F(TaskTest, GatherReturnsResultsInOrder) {
  std::optional<std::vector<int>> got;
  TaskGroup group(loop);
  group.Spawn("gather", Store(Gather(loop, Sleepers(&clock, {3, 1, 2})), &got));
  RunFor(seconds(2));
  EXPECT_FALSE(got.has_value());
  RunFor(seconds(1));
  EXPECT_EQ(got, (std::vector<int>{3, 1, 2}));
  std::optional<std::vector<int>> nothing;
  group.Spawn("gather", Store(Gather(loop, Sleepers(&clock, {})), &nothing));
  RunReady();
  EXPECT_EQ(nothing, std::vector<int>());
}

TEST_F(TaskTest, CancellingAGatherEndsAllItsTasks) {
  std::optional<std::vector<int>> got;
  TaskGroup group(loop);
  group.Spawn("gather", Store(Gather(loop, Sleepers(&clock, {30, 10})), &got));
  RunFor(seconds(1));
  group.Cancel();
  RunReady();
  EXPECT_EQ(group.size(), 0u);
  EXPECT_FALSE(clock.has_timers());
  EXPECT_FALSE(got.has_value());
}

Task<void> NoteTurns(std::string name, std::vector<std::string>* notes) {
  notes->push_back(name + "1");
  co_await Yield();
  notes->push_back(name + "2");
}

TEST_F(TaskTest, YieldLetsOthersRun) {
  std::vector<std::string> notes;
  TaskGroup group(loop);
  group.Spawn("a", NoteTurns("a", &notes));
  group.Spawn("b", NoteTurns("b", &notes));
  RunReady();
  EXPECT_EQ(notes, (std::vector<std::string>{"a1", "b1", "a2", "b2"}));
}

Task<void> Throw() {
  co_await Yield();
  throw std::runtime_error("bug");
}

TEST_F(TaskTest, AnExceptionThatIsNoCancellationEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        TaskGroup group(loop);
        group.Spawn("broken", Throw());
        RunReady();
      },
      "broken.*bug");
}

}  // namespace
}  // namespace keelson::base
