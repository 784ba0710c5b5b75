// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace keelson::base {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string Mapping(const std::string& head, const std::string& anonymous) {
  return head + "\nSize:  4 kB\nRss:  4 kB\nAnonymous:  " + anonymous + " kB\nVmFlags: rd mr mw me\n";
}

TEST(DroppableRangesTest, CodeAndConstantsOfFilesOnly) {
  const std::string smaps =
      Mapping("1000-2000 r--p 00000000 fe:00 7   /usr/bin/kubelet", "0") +
      Mapping("2000-5000 r-xp 00001000 fe:00 7   /usr/bin/kubelet", "0") +
      Mapping("5000-6000 r--p 00004000 fe:00 7   /usr/bin/kubelet", "4") +  // relocated
      Mapping("6000-7000 rw-p 00005000 fe:00 7   /usr/bin/kubelet", "0") +
      Mapping("7000-8000 r--s 00000000 fe:00 8   /shared", "0") +
      Mapping("8000-9000 r-xp 00000000 00:00 0   [vdso]", "0") +
      Mapping("9000-a000 r--p 00000000 00:00 0", "0");
  EXPECT_THAT(DroppableRanges(smaps),
              ElementsAre(MemoryRange{0x1000, 0x2000}, MemoryRange{0x2000, 0x5000}));
}

TEST(DroppableRangesTest, NonsenseIsNoRange) {
  EXPECT_THAT(DroppableRanges(""), IsEmpty());
  EXPECT_THAT(DroppableRanges("Anonymous: 0 kB\n-\n \nxx-yy r-xp 0 /f\nAnonymous: 0 kB"), IsEmpty());
}

TEST(ReleaseUnusedMemoryTest, WhatWasReleasedStillWorks) {
  ASSERT_TRUE(ReleaseUnusedMemory().ok());
  EXPECT_EQ(std::string("constants ") + "and code", "constants and code");
}

}  // namespace
}  // namespace keelson::base
