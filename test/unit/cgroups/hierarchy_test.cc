// SPDX-License-Identifier: Apache-2.0
#include "cgroups/hierarchy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"
#include "cgroups/group_files.h"

namespace keelson::cgroups {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::string_view kV1 =
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
    "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
    "99 31 0:99 / /proc rw - proc proc rw\n";

TEST(Hierarchies, V1ControllersMayShareAMountAndTheHybridV2HasNone) {
  Hierarchies h = ParseHierarchies(kV1);
  EXPECT_EQ(h.v1.at("cpu"), "/sys/fs/cgroup/cpu,cpuacct");
  EXPECT_EQ(h.v1.at("cpuacct"), "/sys/fs/cgroup/cpu,cpuacct");
  EXPECT_EQ(h.v1.at("systemd"), "/sys/fs/cgroup/systemd");
  EXPECT_EQ(h.v1.at("unified"), "/sys/fs/cgroup/unified") << "the runtime leaves groups there";
  EXPECT_EQ(h.v1.size(), 5u);
  EXPECT_FALSE(h.is_v2());
}

TEST(Hierarchies, UnifiedIsV2) {
  Hierarchies h = ParseHierarchies("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n");
  EXPECT_TRUE(h.is_v2());
  EXPECT_EQ(h.v2, "/sys/fs/cgroup");
}

TEST(Hierarchies, TornLinesAreSkipped) {
  EXPECT_TRUE(ParseHierarchies("x - cgroup\n1 2 3 - \n\n - ").v1.empty());
}

TEST(StartCheck, CgroupV1IsRefusedUnlessAllowed) {
  Hierarchies v1 = ParseHierarchies(kV1);
  EXPECT_THAT(std::string(base::Message(CheckCgroupVersion(v1, true))), HasSubstr("failCgroupV1"));
  EXPECT_TRUE(CheckCgroupVersion(v1, false).ok());
  EXPECT_FALSE(CheckCgroupVersion({}, false).ok());
}

TEST(StartCheck, SwapIsRefusedByName) {
  EXPECT_TRUE(CheckSwapOff("Filename Type Size Used Priority\n").ok());
  EXPECT_THAT(std::string(base::Message(CheckSwapOff("Filename Type\n/dev/sda2 partition 1 0 -2\n"))),
              HasSubstr("/dev/sda2"));
}

TEST(Conversions, SharesAndWeights) {
  const uint64_t rows[][2] = {{0, 1}, {2, 1}, {1024, 39}, {262144, 10000}, {999999, 10000}};
  for (auto& [shares, weight] : rows) EXPECT_EQ(WeightFromShares(shares), weight) << shares;
  EXPECT_EQ(SharesFromWeight(1), 2u);
  EXPECT_EQ(SharesFromWeight(10000), 262144u);
}

Limits All() {
  Limits limits;
  limits.cpu_shares = 1024;
  limits.cpu_quota_us = 50'000;
  limits.cpu_period_us = 100'000;
  limits.memory_bytes = -1;
  limits.pids_max = -1;
  limits.hugetlb_bytes["2MB"] = 0;
  return limits;
}

TEST(LimitFiles, OfV1) {
  using F = LimitFile;
  EXPECT_THAT(LimitFilesV1(All()),
              ElementsAre(F{"cpu", "cpu.shares", "1024"}, F{"cpu", "cpu.cfs_period_us", "100000"},
                          F{"cpu", "cpu.cfs_quota_us", "50000"},
                          F{"memory", "memory.limit_in_bytes", "-1"}, F{"pids", "pids.max", "max"},
                          F{"hugetlb", "hugetlb.2MB.limit_in_bytes", "0"}));
}

TEST(LimitFiles, OfV2) {
  using F = LimitFile;
  EXPECT_THAT(LimitFilesV2(All()),
              ElementsAre(F{"cpu", "cpu.weight", "39"}, F{"cpu", "cpu.max", "50000 100000"},
                          F{"memory", "memory.max", "max"}, F{"pids", "pids.max", "max"},
                          F{"hugetlb", "hugetlb.2MB.max", "0"}));
}

}  // namespace
}  // namespace keelson::cgroups
