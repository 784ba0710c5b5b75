// SPDX-License-Identifier: Apache-2.0
// Samples where this process spends CPU time: SIGPROF after every period of it, on the thread that
// spends it (setitimer(2), ITIMER_PROF). A process at rest costs nothing and has no samples.
//
// One at a time in a process, because the timer and the signal's handler are the process's. Any
// thread. The handler only walks the stack and writes into memory that was set aside before.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "base/time.h"

namespace keelson::base {

class CpuProfiler {
 public:
  // Begins. FailedPrecondition: there is one already.
  static absl::StatusOr<std::unique_ptr<CpuProfiler>> Start(Nanos period);
  ~CpuProfiler();  // ends it

  // Ends it. Stacks of return addresses, innermost first; at most 20,000, later ones are lost.
  std::vector<std::vector<uintptr_t>> Stop();
  Nanos period() const { return period_; }

 private:
  struct Buffer;
  CpuProfiler(Nanos period, std::unique_ptr<Buffer> buffer);
  static void OnSignal(int);
  void Disarm();

  const Nanos period_;
  std::unique_ptr<Buffer> buffer_;
};

}  // namespace keelson::base
