// SPDX-License-Identifier: Apache-2.0
// A thread of its own for a library that must be waited on (a gRPC completion queue). For calls that
// merely block there is the BlockingPool.
#pragma once

#include <thread>

#include "absl/functional/any_invocable.h"

namespace keelson::base {

class Thread {
 public:
  // Runs `fn` at once. `name` shows in ps and has at most 15 bytes. No signal is delivered here.
  Thread(const char* name, absl::AnyInvocable<void()> fn);
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  // Waits for `fn` to return.
  ~Thread();

 private:
  std::thread thread_;
};

}  // namespace keelson::base
