// SPDX-License-Identifier: Apache-2.0
#include "base/loop.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <boost/system/system_error.hpp>

#include "base/errno_status.h"

namespace keelson::base {

namespace asio = boost::asio;

namespace {

// One kernel timer, armed for the earliest of all.
class RealClock : public Clock {
 public:
  explicit RealClock(asio::io_context& io) : timer_(io) {}

  WallTime Now() const override {
    return std::chrono::time_point_cast<Nanos>(std::chrono::system_clock::now());
  }
  MonoTime Monotonic() const override { return std::chrono::steady_clock::now(); }

  TimerId Schedule(MonoTime when, absl::AnyInvocable<void()> fn) override {
    TimerId id = queue_.Add(when, std::move(fn));
    if (!armed_ || when < armed_for_) Arm();
    return id;
  }
  // Leaves the kernel timer armed: firing for nothing costs less than arming again.
  void Cancel(TimerId id) override { queue_.Remove(id); }

 private:
  void Arm() {
    armed_ = !queue_.empty();
    if (!armed_) return;
    armed_for_ = queue_.earliest();
    timer_.expires_at(armed_for_);
    timer_.async_wait([this](const boost::system::error_code& ec) {
      if (ec) return;  // armed anew for an earlier time, or going away
      armed_ = false;
      queue_.RunDue(Monotonic());
      if (!armed_) Arm();
    });
  }

  TimerQueue queue_;
  asio::steady_timer timer_;
  bool armed_ = false;
  MonoTime armed_for_;
};

constexpr int kBlockingThreads = 8;

}  // namespace

Loop::Loop()
    : io_(1),
      real_clock_(std::make_unique<RealClock>(io_)),
      clock_(real_clock_.get()),
      pool_(std::make_unique<BlockingPool>(kBlockingThreads)) {}

Loop::Loop(Clock& clock) : io_(1), clock_(&clock), pool_(std::make_unique<BlockingPool>(0)) {}

Loop::~Loop() {
  pool_.reset();  // its threads post here
  io_.stop();
}

void Loop::Run() {
  auto work = asio::make_work_guard(io_);
  io_.run();
}

void Loop::Stop() { io_.stop(); }

void Loop::Post(absl::AnyInvocable<void()> fn) { asio::post(io_, std::move(fn)); }

void Loop::RunReady() {
  io_.restart();
  io_.poll();
}

void RunFor(Loop& loop, VirtualClock& clock, Nanos limit) {
  MonoTime end = clock.Monotonic() + limit;
  do loop.RunReady();
  while (clock.AdvanceToNext(end));
}

namespace {

// A stream_descriptor closes what it holds; this one gives it back, also when a wait throws.
struct BorrowedFd {
  asio::posix::stream_descriptor stream;
  ~BorrowedFd() {
    if (stream.is_open()) stream.release();
  }
};

Task<absl::Status> WaitFor(Loop& loop, int fd, asio::posix::stream_descriptor::wait_type what) {
  BorrowedFd borrowed{asio::posix::stream_descriptor(loop.io())};
  boost::system::error_code ec;
  borrowed.stream.assign(fd, ec);
  if (ec) co_return absl::InternalError(StrCat("watch fd ", fd, ": ", ec.message()));
  co_await borrowed.stream.async_wait(what, asio::redirect_error(asio::use_awaitable, ec));
  // Nobody else ends this wait: the task was cancelled.
  if (ec == asio::error::operation_aborted) throw boost::system::system_error(ec);
  if (ec) co_return absl::InternalError(StrCat("wait for fd ", fd, ": ", ec.message()));
  co_return absl::OkStatus();
}

}  // namespace

Task<absl::Status> WaitReadable(Loop& loop, int fd) {
  return WaitFor(loop, fd, asio::posix::stream_descriptor::wait_read);
}

Task<absl::Status> WaitWritable(Loop& loop, int fd) {
  return WaitFor(loop, fd, asio::posix::stream_descriptor::wait_write);
}

}  // namespace keelson::base
