// SPDX-License-Identifier: Apache-2.0
// Runs a simulation with many seeds. KEELSON_SEED=n tries one alone, KEELSON_V=n sets the verbosity.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>

#include "base/log.h"

namespace keelson::simulation {

inline uint64_t Setting(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

// `simulate` returns what is wrong in the end; the first seed of which something is fails the test.
// The environment's `count_name` may say another count.
inline void TrySeeds(const char* count_name, uint64_t count,
                     const std::function<std::string(uint64_t seed)>& simulate) {
  base::InitLogging({.verbosity = static_cast<int>(Setting("KEELSON_V", 0))});
  const uint64_t first = Setting("KEELSON_SEED", 1);
  if (std::getenv("KEELSON_SEED")) count = 1;
  else count = Setting(count_name, count);
  for (uint64_t seed = first; seed < first + count; ++seed)
    ASSERT_EQ(simulate(seed), "") << "replay with KEELSON_SEED=" << seed;
}

}  // namespace keelson::simulation
