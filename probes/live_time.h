// SPDX-License-Identifier: Apache-2.0
// Time limits that do not blame others for our own lateness. Loop only.
#pragma once

#include "base/task.h"
#include "base/time.h"

namespace keelson::probes {

// Runs `work` and returns true when it ended by itself; false when it was cancelled because `limit`
// had passed. The limit counts only the time our loop was there to listen: it is waited for in
// slices, and by how much a slice's timer fired late is given back. A stall shorter than a slice that
// ends within it is not seen. `work` leaves its result in something it owns together with the caller.
base::Task<bool> RunWithin(base::Loop& loop, base::Nanos limit, base::Task<void> work);

}  // namespace keelson::probes
