// SPDX-License-Identifier: Apache-2.0
// Time as the agent sees it. Loop only. One interface, two kinds: the machine's clock, and a virtual
// one that a test moves by hand.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "base/time.h"

namespace keelson::base {

class Clock {
 public:
  using TimerId = std::pair<MonoTime, uint64_t>;
  virtual ~Clock() = default;
  virtual WallTime Now() const = 0;
  virtual MonoTime Monotonic() const = 0;
  // Runs `fn` on the loop at `when` or soon after; never inside this call.
  virtual TimerId Schedule(MonoTime when, absl::AnyInvocable<void()> fn) = 0;
  // After this the timer does not fire. Unknown and fired ids are fine.
  virtual void Cancel(TimerId id) = 0;
};

// Timers in order of time, then of creation.
class TimerQueue {
 public:
  Clock::TimerId Add(MonoTime when, absl::AnyInvocable<void()> fn);
  // True when the earliest timer may have changed.
  bool Remove(Clock::TimerId id);
  bool empty() const { return timers_.empty(); }
  MonoTime earliest() const { return timers_.begin()->first.first; }
  size_t size() const { return timers_.size(); }
  // Runs every timer due at `now`, also those added meanwhile.
  void RunDue(MonoTime now);

 private:
  std::map<Clock::TimerId, absl::AnyInvocable<void()>> timers_;
  uint64_t next_ = 0;
};

// A clock for tests and simulations: stands still until advanced.
class VirtualClock : public Clock {
 public:
  // Wall time at start is arbitrary but fixed: 2026-01-01T00:00:00Z.
  VirtualClock();
  WallTime Now() const override { return wall_base_ + (mono_ - MonoTime()); }
  MonoTime Monotonic() const override { return mono_; }
  TimerId Schedule(MonoTime when, absl::AnyInvocable<void()> fn) override;
  void Cancel(TimerId id) override;

  bool has_timers() const { return !queue_.empty(); }
  // Moves to the earliest timer and runs what is due. False when there is none at or before `limit`;
  // then the clock stands at `limit`.
  bool AdvanceToNext(MonoTime limit);
  // A step of the wall clock alone, as an administrator or NTP makes it.
  void StepWall(Nanos by) { wall_base_ += by; }

 private:
  MonoTime mono_;
  WallTime wall_base_;
  TimerQueue queue_;
};

}  // namespace keelson::base
