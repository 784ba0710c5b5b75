// SPDX-License-Identifier: Apache-2.0
// Keeps the records of pulls true to the images that the runtime has. Loop only.
#pragma once

#include "base/loop.h"
#include "base/task.h"
#include "cri/runtime.h"
#include "kubelet/pull_records.h"

namespace keelson::kubelet {

// Upstream prunes with each turn of its image garbage collection.
inline constexpr base::Nanos kPrunePullRecords = std::chrono::minutes(5);

// Settles what an earlier agent left; before the first pull. A runtime that does not answer leaves
// it as it is: those images stay nobody's.
base::Task<void> RecoverPullRecords(cri::Runtime& runtime, PullRecords& records);
// Until cancelled. Images go by many hands: the runtime's list says which are gone.
base::Task<void> PrunePullRecords(base::Loop& loop, cri::Runtime& runtime, PullRecords& records);

}  // namespace keelson::kubelet
