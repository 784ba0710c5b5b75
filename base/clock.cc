// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

namespace keelson::base {

Clock::TimerId TimerQueue::Add(MonoTime when, absl::AnyInvocable<void()> fn) {
  Clock::TimerId id{when, next_++};
  timers_.emplace(id, std::move(fn));
  return id;
}

bool TimerQueue::Remove(Clock::TimerId id) {
  auto it = timers_.find(id);
  if (it == timers_.end()) return false;
  bool first = it == timers_.begin();
  timers_.erase(it);
  return first;
}

void TimerQueue::RunDue(MonoTime now) {
  while (!timers_.empty() && earliest() <= now) {
    auto node = timers_.extract(timers_.begin());
    node.mapped()();
  }
}

VirtualClock::VirtualClock()
    : mono_(Nanos(1'000'000'000)), wall_base_(FromUnixNanos(1'767'225'600'000'000'000)) {}

Clock::TimerId VirtualClock::Schedule(MonoTime when, absl::AnyInvocable<void()> fn) {
  return queue_.Add(when, std::move(fn));
}

void VirtualClock::Cancel(TimerId id) { queue_.Remove(id); }

bool VirtualClock::AdvanceToNext(MonoTime limit) {
  if (queue_.empty() || queue_.earliest() > limit) {
    if (mono_ < limit) mono_ = limit;
    return false;
  }
  if (mono_ < queue_.earliest()) mono_ = queue_.earliest();
  queue_.RunDue(mono_);
  return true;
}

}  // namespace keelson::base
