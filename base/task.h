// SPDX-License-Identifier: Apache-2.0
// Coroutines of the loop.
//
// Task<T> is a lazy coroutine that runs on the loop's thread. Everything here is loop-only. A
// cancelled task is unwound by one exception (boost::system::system_error, operation_aborted) thrown
// from the co_await it is suspended in; nothing else in the project throws across a co_await.
// Cancelling is a request: TaskGroup::Join says when the tasks have really ended.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/time.h"

namespace keelson::base {

class Loop;

template <typename T = void>
using Task = boost::asio::awaitable<T>;

namespace internal {
struct WaitState;
std::shared_ptr<WaitState> NewWait();
// Suspends until Complete(state); throws operation_aborted when cancelled first.
Task<void> Suspend(std::shared_ptr<WaitState> state);
// Resumes the waiter in a later turn of the loop. A second call does nothing.
void Complete(WaitState& state);
}  // namespace internal

// A value that one side sets once and the other awaits once.
template <typename T>
class OneShot {
 public:
  OneShot() : shared_(std::make_shared<Shared>()) {}
  bool done() const { return shared_->value.has_value(); }
  // The first value wins.
  void Set(T value) {
    if (done()) return;
    shared_->value.emplace(std::move(value));
    internal::Complete(*shared_->wait);
  }
  // REQUIRES: awaited at most once.
  Task<T> Wait() {
    auto shared = shared_;
    if (!shared->value) co_await internal::Suspend(shared->wait);
    co_return std::move(*shared->value);
  }

 private:
  struct Shared {
    std::optional<T> value;
    std::shared_ptr<internal::WaitState> wait = internal::NewWait();
  };
  std::shared_ptr<Shared> shared_;  // copies of a OneShot are the same OneShot
};

// "Something changed, look again": Set() is remembered until a waiter consumed it; many Set()s before
// the waiter runs are one. Any number of waiters; one Set wakes all that wait at that moment.
class Wakeup {
 public:
  Wakeup() = default;
  Wakeup(const Wakeup&) = delete;
  Wakeup& operator=(const Wakeup&) = delete;
  void Set();
  bool is_set() const { return set_; }
  // Returns after Set(), having consumed it.
  Task<void> Wait();
  // As Wait, but returns false when `deadline` passes first.
  Task<bool> WaitUntil(Clock& clock, MonoTime deadline);

 private:
  bool set_ = false;
  std::list<std::shared_ptr<internal::WaitState>> waiters_;
};

// Sleeps on the loop's clock.
Task<void> Sleep(Clock& clock, Nanos duration);
Task<void> SleepUntil(Clock& clock, MonoTime deadline);
// Lets everything that is ready run once.
Task<void> Yield();

// Owns running tasks. The destructor REQUIRES that the group is empty or that its loop will not run
// again: leave a scope with `co_await group.CancelAndJoin()`.
class TaskGroup {
 public:
  explicit TaskGroup(Loop& loop);
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;
  ~TaskGroup();

  // On the loop's thread `task` runs inline up to its first wait. An exception that is no
  // cancellation is logged with `name` and ends the process: it is a bug of ours.
  void Spawn(std::string name, Task<void> task);
  // On the loop's thread only. Asks every task to end; those spawned afterwards are not affected.
  void Cancel();
  // Returns when no task is left.
  Task<void> Join();
  Task<void> CancelAndJoin();
  size_t size() const;
  // Names of the running tasks, for debugging.
  std::vector<std::string> Names() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// Runs all tasks at the same time and returns their results in order. Cancelling cancels all and
// returns once they ended.
template <typename T>
Task<std::vector<T>> Gather(Loop& loop, std::vector<Task<T>> tasks);

namespace internal {
template <typename T>
Task<void> StoreResult(Task<T> task, std::optional<T>* out) {
  out->emplace(co_await std::move(task));
}
// Joins the group; when that is cancelled, cancels the group and joins it all the same.
Task<void> JoinOrCancel(TaskGroup& group);
}  // namespace internal

template <typename T>
Task<std::vector<T>> Gather(Loop& loop, std::vector<Task<T>> tasks) {
  std::vector<std::optional<T>> slots(tasks.size());
  TaskGroup group(loop);
  for (size_t i = 0; i < tasks.size(); ++i)
    group.Spawn("gather", internal::StoreResult<T>(std::move(tasks[i]), &slots[i]));
  co_await internal::JoinOrCancel(group);
  std::vector<T> results;
  results.reserve(slots.size());
  for (auto& slot : slots) results.push_back(std::move(*slot));
  co_return results;
}

}  // namespace keelson::base
