// SPDX-License-Identifier: Apache-2.0
#include "base/task.h"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include "absl/functional/any_invocable.h"
#include "base/check.h"
#include "base/log.h"
#include "base/loop.h"

namespace keelson::base {

namespace asio = boost::asio;
using boost::system::error_code;

namespace internal {

struct WaitState {
  absl::AnyInvocable<void(error_code)> resume;  // set while somebody waits
  bool done = false;

  void Resume(error_code ec) {
    if (!resume) return;
    auto fn = std::move(resume);
    resume = nullptr;
    fn(ec);
  }
};

std::shared_ptr<WaitState> NewWait() { return std::make_shared<WaitState>(); }

void Complete(WaitState& state) {
  if (state.done) return;
  state.done = true;
  state.Resume({});
}

Task<void> Suspend(std::shared_ptr<WaitState> state) {
  if (state->done) co_return;
  auto initiate = [state](auto handler) {
    auto slot = asio::get_associated_cancellation_slot(handler);
    if (slot.is_connected())
      slot.assign([weak = std::weak_ptr(state)](asio::cancellation_type) {
        if (auto live = weak.lock()) live->Resume(asio::error::operation_aborted);
      });
    // Through post: the waiter runs in a turn of its own, never inside the one who completed it.
    state->resume = [handler = std::move(handler)](error_code ec) mutable {
      auto executor = asio::get_associated_executor(handler);
      asio::post(executor, [handler = std::move(handler), ec]() mutable { handler(ec); });
    };
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void(error_code)>(
      initiate, asio::use_awaitable);
}

Task<void> JoinOrCancel(TaskGroup& group) {
  std::exception_ptr cancelled;
  try {
    co_await group.Join();
  } catch (const boost::system::system_error&) {
    cancelled = std::current_exception();
  }
  if (!cancelled) co_return;
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  co_await group.CancelAndJoin();
  std::rethrow_exception(cancelled);
}

}  // namespace internal

void Wakeup::Set() {
  set_ = true;
  auto waiters = std::move(waiters_);
  waiters_.clear();
  for (auto& waiter : waiters) internal::Complete(*waiter);
}

Task<void> Wakeup::Wait() {
  if (!set_) {
    auto state = internal::NewWait();
    auto place = waiters_.insert(waiters_.end(), state);
    std::exception_ptr cancelled;
    try {
      co_await internal::Suspend(state);
    } catch (const boost::system::system_error&) {
      cancelled = std::current_exception();
    }
    if (cancelled) {
      if (!state->done) waiters_.erase(place);
      std::rethrow_exception(cancelled);
    }
  }
  set_ = false;
}

Task<bool> Wakeup::WaitUntil(Clock& clock, MonoTime deadline) {
  if (!set_ && clock.Monotonic() < deadline) {
    auto state = internal::NewWait();
    auto place = waiters_.insert(waiters_.end(), state);
    auto timer = clock.Schedule(deadline, [this, state, place] {
      if (state->done) return;
      waiters_.erase(place);
      internal::Complete(*state);
    });
    std::exception_ptr cancelled;
    try {
      co_await internal::Suspend(state);
    } catch (const boost::system::system_error&) {
      cancelled = std::current_exception();
    }
    clock.Cancel(timer);
    if (cancelled) {
      if (!state->done) waiters_.erase(place);
      std::rethrow_exception(cancelled);
    }
  }
  co_return std::exchange(set_, false);
}

Task<void> SleepUntil(Clock& clock, MonoTime deadline) {
  auto state = internal::NewWait();
  auto timer = clock.Schedule(deadline, [state] { internal::Complete(*state); });
  std::exception_ptr cancelled;
  try {
    co_await internal::Suspend(state);
  } catch (const boost::system::system_error&) {
    cancelled = std::current_exception();
  }
  if (!cancelled) co_return;
  clock.Cancel(timer);
  std::rethrow_exception(cancelled);
}

Task<void> Sleep(Clock& clock, Nanos duration) {
  co_await SleepUntil(clock, clock.Monotonic() + duration);
}

Task<void> Yield() { co_await asio::post(asio::use_awaitable); }

struct TaskGroup::State {
  struct Running {
    std::string name;
    asio::cancellation_signal cancel;
  };
  explicit State(Loop& l) : loop(l) {}
  Loop& loop;
  std::list<Running> running;
  std::list<std::shared_ptr<internal::WaitState>> joiners;
  // Completes when the last task ends.
  void TaskEnded(std::list<Running>::iterator it) {
    running.erase(it);
    if (!running.empty()) return;
    for (auto& joiner : std::exchange(joiners, {})) internal::Complete(*joiner);
  }
};

TaskGroup::TaskGroup(Loop& loop) : state_(std::make_shared<State>(loop)) {}

TaskGroup::~TaskGroup() {
  KEELSON_CHECK(state_->running.empty() || state_->loop.io().stopped());
}

namespace {
[[noreturn]] void DieOf(const std::string& task, std::exception_ptr error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    KLOG_ERROR("Task ended with an exception", {"task", task}, {"what", e.what()});
  }
  std::abort();
}

bool IsCancellation(std::exception_ptr error) {
  try {
    std::rethrow_exception(error);
  } catch (const boost::system::system_error& e) {
    return e.code() == asio::error::operation_aborted;
  } catch (...) {
    return false;
  }
}
}  // namespace

namespace {
// asio awaits once more behind a task that never suspended, and when the task was cancelled by then,
// it throws there: out of the loop, and the process ends.
Task<void> Contained(Task<void> task) {
  std::exception_ptr error;
  try {
    co_await std::move(task);
  } catch (...) {
    error = std::current_exception();
  }
  co_await asio::this_coro::throw_if_cancelled(false);
  if (error) std::rethrow_exception(error);
}
}  // namespace

void TaskGroup::Spawn(std::string name, Task<void> task) {
  auto it = state_->running.emplace(state_->running.end());
  it->name = std::move(name);
  auto on_end = [state = state_, it](std::exception_ptr error) {
    if (error && !IsCancellation(error)) DieOf(it->name, error);
    state->TaskEnded(it);
  };
  asio::co_spawn(state_->loop.io(), Contained(std::move(task)),
                 asio::bind_cancellation_slot(it->cancel.slot(), std::move(on_end)));
}

void TaskGroup::Cancel() {
  // Emitting only posts; no task ends inside this loop.
  for (auto& running : state_->running) running.cancel.emit(asio::cancellation_type::terminal);
}

Task<void> TaskGroup::Join() {
  auto state = state_;
  while (!state->running.empty()) {
    auto wait = internal::NewWait();
    state->joiners.push_back(wait);
    co_await internal::Suspend(wait);
  }
}

Task<void> TaskGroup::CancelAndJoin() {
  Cancel();
  co_await Join();
}

size_t TaskGroup::size() const { return state_->running.size(); }

std::vector<std::string> TaskGroup::Names() const {
  std::vector<std::string> names;
  for (const auto& running : state_->running) names.push_back(running.name);
  return names;
}

}  // namespace keelson::base
