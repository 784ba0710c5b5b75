// SPDX-License-Identifier: Apache-2.0
// The log's verbosity, which may change while the program runs.
#pragma once

namespace keelson::base {

// From now on V(n) entries up to this level are written. Any thread.
void SetLogVerbosity(int verbosity);

}  // namespace keelson::base
