// SPDX-License-Identifier: Apache-2.0
// kubeAPIQPS and kubeAPIBurst: a bucket of `burst` requests that fills at `qps` a second. Pure.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/time.h"

namespace keelson::kubelet::client {

class TokenBucket {
 public:
  // `qps` of 0 or less: no limit.
  TokenBucket(double qps, int burst) : qps_(qps), burst_(std::max(burst, 1)), tokens_(burst_) {}

  // Takes a place in the queue and says how long to wait for it.
  base::Nanos Reserve(base::MonoTime now) {
    if (qps_ <= 0) return base::Nanos(0);
    if (filled_) {
      const double seconds = std::chrono::duration<double>(now - *filled_).count();
      tokens_ = std::min(burst_, tokens_ + seconds * qps_);
    }
    filled_ = now;
    tokens_ -= 1;
    if (tokens_ >= 0) return base::Nanos(0);
    return base::Nanos(static_cast<int64_t>(std::ceil(-tokens_ / qps_ * 1e9)));
  }
  // Gives back a place that was never used.
  void Return() { tokens_ = std::min(burst_, tokens_ + 1); }

 private:
  const double qps_, burst_;
  double tokens_;  // below zero: so many wait
  std::optional<base::MonoTime> filled_;
};

}  // namespace keelson::kubelet::client
