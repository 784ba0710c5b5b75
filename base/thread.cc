// SPDX-License-Identifier: Apache-2.0
#include "base/thread.h"

#include <pthread.h>
#include <signal.h>

#include <utility>

namespace keelson::base {

Thread::Thread(const char* name, absl::AnyInvocable<void()> fn) {
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);  // inherited by the new thread
  thread_ = std::thread(std::move(fn));
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  pthread_setname_np(thread_.native_handle(), name);
}

Thread::~Thread() { thread_.join(); }

}  // namespace keelson::base
