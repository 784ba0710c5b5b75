// SPDX-License-Identifier: Apache-2.0
#include "kubelet/idle_memory.h"

#include "base/log.h"
#include "base/memory.h"

namespace keelson::kubelet {

namespace {
constexpr std::chrono::seconds kRest(3);
}

base::Task<void> IdleMemory::Run() {
  while (true) {
    co_await changed_.Wait();
    bool busy = true;
    while (busy) busy = co_await changed_.WaitUntil(loop_.clock(), loop_.clock().Monotonic() + kRest);
    auto release = [] { return base::ReleaseUnusedMemory(); };
    absl::Status released = co_await base::RunBlocking(loop_, std::move(release));
    if (!released.ok()) KLOG_WARNING("Cannot give memory back", {"err", released});
  }
}

}  // namespace keelson::kubelet
