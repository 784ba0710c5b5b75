// SPDX-License-Identifier: Apache-2.0
// All chance of a simulation, from one printed seed.
#pragma once

#include <cstdint>
#include <random>

#include "base/time.h"

namespace keelson::simulation {

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  // 0..n-1. REQUIRES: n > 0.
  uint64_t Below(uint64_t n) { return engine_() % n; }
  bool Chance(double p) { return static_cast<double>(Below(1'000'000)) < p * 1e6; }
  base::Nanos Between(base::Nanos low, base::Nanos high) {
    return low + base::Nanos(Below(static_cast<uint64_t>((high - low).count()) + 1));
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace keelson::simulation
