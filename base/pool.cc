// SPDX-License-Identifier: Apache-2.0
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "base/loop.h"

namespace keelson::base {

struct BlockingPool::State {
  std::mutex mutex;
  std::condition_variable work_ready;
  std::condition_variable thread_gone;
  std::deque<absl::AnyInvocable<void()>> queue;
  int threads = 0;
  int idle = 0;
  bool closing = false;

  void Serve() {
    std::unique_lock lock(mutex);
    while (!closing) {
      ++idle;
      bool woken = work_ready.wait_for(lock, std::chrono::minutes(1),
                                       [this] { return closing || !queue.empty(); });
      --idle;
      if (!woken || closing) break;
      auto work = std::move(queue.front());
      queue.pop_front();
      lock.unlock();
      work();
      work = nullptr;  // destroyed without the lock
      lock.lock();
    }
    --threads;
    thread_gone.notify_all();
  }
};

BlockingPool::BlockingPool(int max_threads)
    : max_threads_(max_threads), state_(std::make_shared<State>()) {}

BlockingPool::~BlockingPool() {
  std::unique_lock lock(state_->mutex);
  state_->closing = true;
  state_->work_ready.notify_all();
  state_->thread_gone.wait(lock, [this] { return state_->threads == 0; });
}

void BlockingPool::Submit(absl::AnyInvocable<void()> work) {
  if (inline_mode()) return work();
  std::lock_guard lock(state_->mutex);
  state_->queue.push_back(std::move(work));
  if (state_->idle < static_cast<int>(state_->queue.size()) && state_->threads < max_threads_) {
    ++state_->threads;
    std::thread([state = state_] { state->Serve(); }).detach();
  }
  state_->work_ready.notify_one();
}

}  // namespace keelson::base
