// SPDX-License-Identifier: Apache-2.0
// For tests whose own thread blocks: in a socket, in a child process.
#pragma once

#include <functional>
#include <future>
#include <memory>

#include "absl/status/status.h"
#include "base/loop.h"
#include "base/thread.h"

namespace keelson::test {

// Runs a loop on a thread of its own. Stop() first lets `close` run there to its end.
class LoopThread {
 public:
  LoopThread() : tasks_(loop_) {}
  base::Loop& loop() { return loop_; }
  void Start() {
    thread_ = std::make_unique<base::Thread>("test loop", [this] { loop_.Run(); });
  }
  // REQUIRES: started. Runs `fn` on the loop and waits for it.
  void Do(std::function<void()> fn) {
    std::promise<void> done;
    loop_.Post([&] {
      fn();
      done.set_value();
    });
    done.get_future().wait();
  }
  // REQUIRES: started. Runs a task on the loop and waits for its result.
  absl::Status Await(std::function<base::Task<absl::Status>()> work) {
    std::promise<absl::Status> done;
    loop_.Post([&] { tasks_.Spawn("await", Deliver(work, &done)); });
    return done.get_future().get();
  }
  void Stop(std::function<base::Task<void>()> close) {
    loop_.Post([this, close = std::move(close)] { tasks_.Spawn("close", CloseAll(close)); });
    thread_.reset();
  }

 private:
  static base::Task<void> Deliver(std::function<base::Task<absl::Status>()> work,
                                  std::promise<absl::Status>* done) {
    absl::Status status = co_await work();
    done->set_value(std::move(status));
  }
  base::Task<void> CloseAll(std::function<base::Task<void>()> close) {
    co_await close();
    loop_.Stop();
  }
  base::Loop loop_;
  base::TaskGroup tasks_;
  std::unique_ptr<base::Thread> thread_;
};

}  // namespace keelson::test
