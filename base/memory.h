// SPDX-License-Identifier: Apache-2.0
// Giving memory back to the kernel once it is not used. Any thread; blocks for a millisecond or so.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace keelson::base {

struct MemoryRange {
  uintptr_t begin = 0;
  uintptr_t end = 0;
  bool operator==(const MemoryRange&) const = default;
};

// Of /proc/PID/smaps: mappings of files that cannot be written and hold no page of their own, that
// is code and constants. Dropping their pages loses nothing: they are read again when touched.
std::vector<MemoryRange> DroppableRanges(std::string_view smaps);

// Returns free heap and the pages of code and constants that ran once, at the start or in a burst.
// What is used comes back by minor faults from the page cache (madvise(2), MADV_DONTNEED).
// An error says that only the heap was returned.
absl::Status ReleaseUnusedMemory();

}  // namespace keelson::base
