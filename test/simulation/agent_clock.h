// SPDX-License-Identifier: Apache-2.0
// The world's clock as one life of the agent sees it: when that life ends, so do its timers.
#pragma once

#include <set>
#include <utility>

#include "base/clock.h"

namespace keelson::simulation {

class AgentClock : public base::Clock {
 public:
  explicit AgentClock(base::VirtualClock& world) : world_(world) {}
  ~AgentClock() override { CancelAll(); }

  base::WallTime Now() const override { return world_.Now(); }
  base::MonoTime Monotonic() const override { return world_.Monotonic(); }
  TimerId Schedule(base::MonoTime when, absl::AnyInvocable<void()> fn) override {
    TimerId id = world_.Schedule(when, std::move(fn));
    timers_.insert(id);
    if (timers_.size() > 4096) std::erase_if(timers_, [&](TimerId t) { return t.first < Monotonic(); });
    return id;
  }
  void Cancel(TimerId id) override {
    timers_.erase(id);
    world_.Cancel(id);
  }
  void CancelAll() {
    for (TimerId id : std::exchange(timers_, {})) world_.Cancel(id);
  }

 private:
  base::VirtualClock& world_;
  std::set<TimerId> timers_;
};

}  // namespace keelson::simulation
