// SPDX-License-Identifier: Apache-2.0
// What a cgroup uses, from files as kernels wrote them.
#include "cgroups/usage.h"

#include <gtest/gtest.h>

namespace keelson::cgroups {
namespace {

// Of a container on a kernel 6.18 with cgroup v1.
GroupTexts BusyV1() {
  return {
      {"cpuacct.usage", "2412345678\n"},
      {"cpuacct.stat", "user 180\nsystem 61\n"},
      {"cpu.stat", "nr_periods 120\nnr_throttled 7\nthrottled_time 345000000\nnr_bursts 0\n"
                   "burst_time 0\n"},
      {"cpu.shares", "102\n"},
      {"cpu.cfs_quota_us", "50000\n"},
      {"cpu.cfs_period_us", "100000\n"},
      {"memory.usage_in_bytes", "10485760\n"},
      {"memory.max_usage_in_bytes", "12582912\n"},
      {"memory.limit_in_bytes", "67108864\n"},
      {"memory.soft_limit_in_bytes", "33554432\n"},
      {"memory.memsw.limit_in_bytes", "9223372036854771712\n"},
      {"memory.failcnt", "3\n"},
      {"memory.kmem.usage_in_bytes", "262144\n"},
      {"memory.stat", "cache 0\nrss 4096\npgfault 11\npgmajfault 2\ntotal_cache 6291456\n"
                      "total_rss 4194304\ntotal_mapped_file 1048576\ntotal_swap 0\n"
                      "total_pgfault 1100\ntotal_pgmajfault 20\ntotal_inactive_file 2097152\n"
                      "total_active_file 4194304\n"},
      {"memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"},
      {"cgroup.procs", "41\n42\n"},
      {"pids.current", "5\n"},
      {"pids.max", "max\n"},
      {"blkio.throttle.io_service_bytes_recursive",
       "254:0 Read 8192\n254:0 Write 4096\n254:0 Sync 12288\n254:0 Async 0\n254:0 Discard 0\n"
       "254:0 Total 12288\nTotal 12288\n"},
      {"blkio.throttle.io_serviced_recursive",
       "254:0 Read 2\n254:0 Write 1\n254:0 Sync 3\n254:0 Async 0\n254:0 Total 3\nTotal 3\n"},
  };
}

TEST(Usage, VersionOneIsReadFromItsControllers) {
  const GroupUsage usage = UsageFromV1(BusyV1());
  ASSERT_TRUE(usage.cpu && usage.memory);
  EXPECT_EQ(usage.cpu->total_ns, 2412345678u);
  EXPECT_EQ(usage.cpu->user_ns, 1800000000u);
  EXPECT_EQ(usage.cpu->system_ns, 610000000u);
  EXPECT_EQ(usage.cpu->periods, 120u);
  EXPECT_EQ(usage.cpu->throttled_periods, 7u);
  EXPECT_EQ(usage.cpu->throttled_ns, 345000000u);
  EXPECT_EQ(usage.memory->usage, 10485760u);
  EXPECT_EQ(usage.memory->working_set, 10485760u - 2097152u);
  EXPECT_EQ(usage.memory->rss, 4194304u);
  EXPECT_EQ(usage.memory->cache, 6291456u);
  EXPECT_EQ(usage.memory->page_faults, 11u);
  EXPECT_EQ(usage.memory->tree_page_faults, 1100u);
  EXPECT_EQ(usage.memory->oom_kills, 1u);
  EXPECT_EQ(usage.memory->failcnt, 3u);
  EXPECT_EQ(usage.tasks, 5u);
  EXPECT_EQ(usage.processes, (std::vector<int>{41, 42}));
  ASSERT_EQ(usage.block.size(), 1u);
  EXPECT_EQ(usage.block[0].major, 254u);
  EXPECT_EQ(usage.block[0].read_bytes, 8192u);
  EXPECT_EQ(usage.block[0].write_bytes, 4096u);
  EXPECT_EQ(usage.block[0].reads, 2u);
  EXPECT_EQ(usage.limits.cpu_shares, 102u);
  EXPECT_EQ(usage.limits.cpu_quota_us, 50000u);
  EXPECT_EQ(usage.limits.memory, 67108864u);
  EXPECT_EQ(usage.limits.memory_reservation, 33554432u);
  EXPECT_EQ(usage.limits.memory_and_swap, std::nullopt);  // as good as none
  EXPECT_EQ(usage.limits.pids, std::nullopt);
}

// Of a container on a kernel 6.1 with cgroup v2.
GroupTexts BusyV2() {
  return {
      {"cpu.stat", "usage_usec 2412345\nuser_usec 1800000\nsystem_usec 612345\nnr_periods 120\n"
                   "nr_throttled 7\nthrottled_usec 345000\nnr_bursts 0\nburst_usec 0\n"},
      {"cpu.weight", "4\n"},
      {"cpu.max", "50000 100000\n"},
      {"cpu.pressure", "some avg10=1.50 avg60=0.75 avg300=0.10 total=987654\n"
                       "full avg10=0.00 avg60=0.00 avg300=0.00 total=12\n"},
      {"memory.current", "10485760\n"},
      {"memory.stat", "anon 4194304\nfile 6291456\nkernel 262144\nfile_mapped 1048576\n"
                      "inactive_file 2097152\nactive_file 4194304\npgfault 1100\npgmajfault 20\n"},
      {"memory.max", "67108864\n"},
      {"memory.peak", "12582912\n"},
      {"memory.swap.max", "0\n"},
      {"memory.swap.current", "0\n"},
      {"memory.events", "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n"},
      {"memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n"
                          "full avg10=0.00 avg60=0.00 avg300=0.00 total=4\n"},
      {"io.stat", "254:0 rbytes=8192 wbytes=4096 rios=2 wios=1 dbytes=0 dios=0\n7:0 \n"},
      {"io.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=3\n"
                      "full avg10=0.00 avg60=0.00 avg300=0.00 total=2\n"},
      {"pids.current", "5\n"},
      {"pids.max", "100\n"},
      {"cgroup.procs", "41\n42\n"},
  };
}

TEST(Usage, VersionTwoTellsTheSameAndPressure) {
  const GroupUsage usage = UsageFromV2(BusyV2());
  ASSERT_TRUE(usage.cpu && usage.memory && usage.cpu->pressure && usage.io_pressure);
  EXPECT_EQ(usage.cpu->total_ns, 2412345000u);
  EXPECT_EQ(usage.cpu->system_ns, 612345000u);
  EXPECT_EQ(usage.cpu->throttled_ns, 345000000u);
  EXPECT_EQ(usage.cpu->pressure->some, (PressureLine{1.5, 0.75, 0.1, 987654}));
  EXPECT_EQ(usage.cpu->pressure->full->total_us, 12u);
  EXPECT_EQ(usage.memory->working_set, 10485760u - 2097152u);
  EXPECT_EQ(usage.memory->kernel, 262144u);
  EXPECT_EQ(usage.memory->max_usage, 12582912u);
  EXPECT_EQ(usage.memory->failcnt, 3u);
  EXPECT_EQ(usage.memory->oom_kills, 1u);
  EXPECT_EQ(usage.memory->pressure->some->total_us, 5u);
  EXPECT_EQ(usage.io_pressure->full->total_us, 2u);
  ASSERT_EQ(usage.block.size(), 1u);  // a device without figures is none
  EXPECT_EQ(usage.block[0].writes, 1u);
  EXPECT_EQ(usage.limits.cpu_shares, SharesFromWeight(4));
  EXPECT_EQ(usage.limits.cpu_quota_us, 50000u);
  EXPECT_EQ(usage.limits.swap, 0u);
  EXPECT_EQ(usage.limits.pids, 100u);
}

TEST(Usage, WhatIsNotThereIsAbsentAndNotZero) {
  const GroupUsage v1 = UsageFromV1({{"cpu.cfs_quota_us", "-1\n"}, {"memory.stat", "total_rss x\n"}});
  EXPECT_FALSE(v1.cpu);
  EXPECT_FALSE(v1.memory);
  EXPECT_FALSE(v1.limits.cpu_quota_us);
  const GroupUsage v2 = UsageFromV2({{"cpu.max", "max 100000\n"},
                                     {"memory.current", "1\n"},
                                     {"memory.max", "max\n"},
                                     {"memory.stat", "inactive_file 4096\n"}});
  EXPECT_FALSE(v2.cpu);
  EXPECT_FALSE(v2.limits.cpu_quota_us);
  EXPECT_FALSE(v2.limits.memory);
  ASSERT_TRUE(v2.memory);
  EXPECT_EQ(v2.memory->working_set, 0u);  // never below
  EXPECT_FALSE(v2.memory->rss);
  EXPECT_FALSE(v2.tasks);
}

TEST(Usage, APressureLineWithoutAllFiguresIsNone) {
  EXPECT_TRUE(ParsePressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n").ok());
  EXPECT_FALSE(ParsePressure("some avg10=0.00 avg60=0.00 total=0\n").ok());
  EXPECT_FALSE(ParsePressure("some avg10=x avg60=0.00 avg300=0.00 total=0\n").ok());
}

TEST(Usage, ASlicesParentsStandInItsName) {
  EXPECT_EQ(GroupPath("/kubepods/burstable/pod1"), "/kubepods/burstable/pod1");
  EXPECT_EQ(GroupPath("kubepods.slice"), "/kubepods.slice");
  EXPECT_EQ(GroupPath("kubepods-burstable-pod1_2.slice"),
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice");
}

TEST(Usage, AContainersGroupIsFoundByItsId) {
  const std::vector<std::string> children = {"cgroup.procs", "crio-conmon-abc.scope",
                                             "crio-abc.scope", "cri-containerd-def.scope", "012"};
  EXPECT_EQ(ContainerChild(children, "abc"), "crio-abc.scope");
  EXPECT_EQ(ContainerChild(children, "def"), "cri-containerd-def.scope");
  EXPECT_EQ(ContainerChild(children, "012"), "012");
  EXPECT_EQ(ContainerChild(children, "nope"), "");
}

TEST(Usage, AProcessSaysWhereItIs) {
  EXPECT_EQ(GroupOfProcess("0::/system.slice/kubelet.service\n"), "/system.slice/kubelet.service");
  EXPECT_EQ(GroupOfProcess("9:name=systemd:/\n4:memory:/mine\n2:cpu,cpuacct:/other\n0::/\n"), "/mine");
  EXPECT_EQ(GroupOfProcess("nonsense\n"), "");
}

}  // namespace
}  // namespace keelson::cgroups
