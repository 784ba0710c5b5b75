// SPDX-License-Identifier: Apache-2.0
// The one thread that owns all state.
//
// A Loop is an io_context with a clock and a pool for calls that block. With the machine's clock it
// runs until Stop(); with a virtual clock a test steps it.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>
#include <type_traits>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/clock.h"
#include "base/task.h"

namespace keelson::base {

// Threads for system calls that may block (mounts, directory walks, large writes). Threads are made
// when work waits and no thread is idle, up to the limit, and end after a minute of idleness.
class BlockingPool {
 public:
  // With no threads, work runs at once on the caller: for simulations.
  explicit BlockingPool(int max_threads);
  ~BlockingPool();  // waits for work in progress; queued work is dropped
  // Any thread.
  void Submit(absl::AnyInvocable<void()> work);
  bool inline_mode() const { return max_threads_ == 0; }

 private:
  struct State;
  const int max_threads_;
  std::shared_ptr<State> state_;
};

class Loop {
 public:
  // The machine's clock, up to eight blocking threads.
  Loop();
  // Somebody else's clock, blocking work done inline: for tests and simulations, which step the loop
  // with RunReady. `clock` outlives the loop.
  explicit Loop(Clock& clock);
  ~Loop();

  boost::asio::io_context& io() { return io_; }
  Clock& clock() { return *clock_; }
  BlockingPool& pool() { return *pool_; }

  // Runs until Stop(). Rethrows nothing; see TaskGroup::Spawn.
  void Run();
  // Any thread.
  void Stop();
  // Runs `fn` on the loop's thread in a later turn. Any thread.
  void Post(absl::AnyInvocable<void()> fn);

  // Runs what is ready now and returns; time stands still.
  void RunReady();

 private:
  boost::asio::io_context io_;
  std::unique_ptr<Clock> real_clock_;
  Clock* clock_;
  std::unique_ptr<BlockingPool> pool_;
};

// Runs what is ready, then moves `clock` to its next timer, until `limit` of virtual time has passed.
void RunFor(Loop& loop, VirtualClock& clock, Nanos limit);

// Runs `fn` on the pool and returns its result on the loop. `fn` owns all it touches: when the waiting
// task is cancelled, `fn` still runs to its end and its result is dropped.
template <typename F>
Task<std::invoke_result_t<F>> RunBlocking(Loop& loop, F fn) {
  using T = std::invoke_result_t<F>;
  static_assert(!std::is_void_v<T>, "return a Status");
  OneShot<T> result;
  loop.pool().Submit([&loop, result, fn = std::move(fn)]() mutable {
    if (loop.pool().inline_mode()) return result.Set(fn());
    loop.Post([result, value = fn()]() mutable { result.Set(std::move(value)); });
  });
  co_return co_await result.Wait();
}

// Waits until `fd` is readable (or has hung up). The descriptor stays the caller's.
Task<absl::Status> WaitReadable(Loop& loop, int fd);
// The same for writing.
Task<absl::Status> WaitWritable(Loop& loop, int fd);

}  // namespace keelson::base
