// SPDX-License-Identifier: Apache-2.0
#include "probes/live_time.h"

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <exception>

#include "base/loop.h"

namespace keelson::probes {
namespace {

namespace asio = boost::asio;
using base::Task;

constexpr int kSlices = 4;

Task<void> ThenSignal(Task<void> work, base::Wakeup* done) {
  co_await std::move(work);
  done->Set();
}

Task<bool> WaitLiveTime(base::Clock& clock, base::Wakeup& done, base::Nanos limit) {
  const base::Nanos slice = std::max(base::Nanos(1), limit / kSlices);
  for (base::Nanos left = limit; left > base::Nanos(0); left -= slice) {
    const base::MonoTime due = clock.Monotonic() + std::min(slice, left);
    const bool ended = co_await done.WaitUntil(clock, due);
    if (ended) co_return true;
  }
  // What has arrived by now was in time, only we have not looked yet: one turn to poll the sockets,
  // one to read.
  co_await base::Yield();
  co_await base::Yield();
  co_return done.is_set();
}

}  // namespace

Task<bool> RunWithin(base::Loop& loop, base::Nanos limit, Task<void> work) {
  base::TaskGroup group(loop);
  base::Wakeup done;
  group.Spawn("limited", ThenSignal(std::move(work), &done));
  bool ended = false;
  std::exception_ptr cancelled;
  try {
    ended = co_await WaitLiveTime(loop.clock(), done, limit);
  } catch (const boost::system::system_error&) {
    cancelled = std::current_exception();
  }
  // What cannot be cut off, as a Yield, ends without a word of a cancellation that came meanwhile;
  // the next co_await would throw.
  const auto state = co_await asio::this_coro::cancellation_state;
  if (!cancelled && state.cancelled() != asio::cancellation_type::none)
    cancelled =
        std::make_exception_ptr(boost::system::system_error(asio::error::operation_aborted));
  // A cancelled coroutine may not await before this; `group` and `done` must outlive the work.
  if (cancelled) co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  group.Cancel();
  co_await base::internal::JoinOrCancel(group);
  if (cancelled) std::rethrow_exception(cancelled);
  co_return ended;
}

}  // namespace keelson::probes
