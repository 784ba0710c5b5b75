// SPDX-License-Identifier: Apache-2.0
#include "base/cpu_profiler.h"

#include <errno.h>
#include <execinfo.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>

#include <algorithm>
#include <atomic>

#include "base/errno_status.h"

namespace keelson::base {
namespace {

constexpr size_t kStacks = 20'000;
constexpr int kDepth = 48;
constexpr int kOwnFrames = 2;  // the handler's and the kernel's way into it

struct Stack {
  std::atomic<int> depth{0};  // set last
  void* frames[kDepth];
};

}  // namespace

struct CpuProfiler::Buffer {
  std::atomic<size_t> next{0};
  std::vector<Stack> stacks = std::vector<Stack>(kStacks);
};

namespace {

// What the handler finds: there is no other way to hand it something.
std::atomic<void*> active{nullptr};
std::atomic<int> inside{0};  // handlers at work
std::atomic<bool> taken{false};

}  // namespace

void CpuProfiler::OnSignal(int) {
  const int saved = errno;
  inside.fetch_add(1);
  if (auto* buffer = static_cast<Buffer*>(active.load())) {
    const size_t slot = buffer->next.fetch_add(1);
    if (slot < kStacks) {
      Stack& stack = buffer->stacks[slot];
      stack.depth.store(::backtrace(stack.frames, kDepth), std::memory_order_release);
    }
  }
  inside.fetch_sub(1);
  errno = saved;
}

absl::StatusOr<std::unique_ptr<CpuProfiler>> CpuProfiler::Start(Nanos period) {
  if (taken.exchange(true)) return absl::FailedPreconditionError("cpu profiling already in use");
  auto buffer = std::make_unique<Buffer>();
  // The first call loads the unwinder, which must not happen in a handler.
  void* warm_up[2];
  static_cast<void>(::backtrace(warm_up, 2));
  std::unique_ptr<CpuProfiler> profiler(new CpuProfiler(period, std::move(buffer)));
  active.store(profiler->buffer_.get());
  struct sigaction action = {};
  action.sa_handler = &CpuProfiler::OnSignal;
  action.sa_flags = SA_RESTART;
  itimerval timer = {};
  timer.it_interval.tv_usec = std::chrono::duration_cast<std::chrono::microseconds>(period).count();
  timer.it_value = timer.it_interval;
  if (::sigaction(SIGPROF, &action, nullptr) < 0 || ::setitimer(ITIMER_PROF, &timer, nullptr) < 0)
    return ErrnoStatus("setitimer", "ITIMER_PROF");
  return profiler;
}

CpuProfiler::CpuProfiler(Nanos period, std::unique_ptr<Buffer> buffer)
    : period_(period), buffer_(std::move(buffer)) {}

CpuProfiler::~CpuProfiler() {
  if (buffer_) Disarm();
}

void CpuProfiler::Disarm() {
  const itimerval off = {};
  ::setitimer(ITIMER_PROF, &off, nullptr);
  active.store(nullptr);
  while (inside.load() > 0) ::sched_yield();  // microseconds
  // The handler stays: a signal that is still on its way must find one.
  taken.store(false);
}

std::vector<std::vector<uintptr_t>> CpuProfiler::Stop() {
  Disarm();
  std::vector<std::vector<uintptr_t>> result;
  const size_t count = std::min(buffer_->next.load(), kStacks);
  for (size_t i = 0; i < count; ++i) {
    const Stack& stack = buffer_->stacks[i];
    const int depth = stack.depth.load(std::memory_order_acquire);
    if (depth <= kOwnFrames) continue;
    std::vector<uintptr_t>& frames = result.emplace_back();
    for (int f = kOwnFrames; f < depth; ++f)
      frames.push_back(reinterpret_cast<uintptr_t>(stack.frames[f]));
  }
  buffer_.reset();
  return result;
}

}  // namespace keelson::base
