// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace keelson::base {

void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "F %s:%d] internal invariant broken: %s\n", file, line, condition);
  std::abort();
}

}  // namespace keelson::base
