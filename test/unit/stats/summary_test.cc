// SPDX-License-Identifier: Apache-2.0
// From a node's files to what clients read: a small tree of /proc and cgroups made by hand.
#include "kubelet/stats/summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/files.h"
#include "base/strings.h"
#include "kubelet/stats/collector.h"
#include "kubelet/stats/container_metrics.h"
#include "proto/codec/codec.h"
#include "test/lib/metrics_lint.h"

namespace keelson::kubelet {
namespace {

using base::StrCat;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kPod[] = "/kubepods/burstable/podu1";

// 2023-11-14T22:13:20Z
const base::WallTime kNow = base::FromUnixNanos(1'700'000'000'000'000'000);

class SummaryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/klsummary.XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
    o_.node_name = "n1";
    o_.root_dir = dir_;
    o_.hierarchies.v2 = dir_ + "/cg";
    o_.pods_group = "/kubepods";
    o_.paths = {dir_ + "/proc", dir_ + "/sys", dir_ + "/etc"};
    Put("/proc/meminfo", "MemTotal: 4096 kB\nMemFree: 1024 kB\nInactive(file): 512 kB\n"
                         "SwapTotal: 100 kB\nSwapFree: 60 kB\n");
    Put("/proc/stat", "btime 1690000000\n");
    Put("/proc/loadavg", "0 0 0 1/77 9\n");
    Put("/proc/net/dev", "eth0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n");
    Put("/proc/sys/kernel/pid_max", "32768\n");
    Put("/proc/sys/kernel/threads-max", "1000\n");
    Put("/proc/self/cgroup", "0::/\n");
    Put("/cg/cpu.stat", "usage_usec 5000000\n");
    Group("/kubepods", 3'000'000, 3000);
    Group(kPod, 2'000'000, 2000);
    Group(StrCat(kPod, "/c1"), 1'500'000, 1500);
    Put(StrCat("/cg", kPod, "/c1/memory.max"), "4000\n");
    Put(StrCat("/cg", kPod, "/c1/cgroup.procs"), "41\n42\n");
    Put(StrCat("/cg", kPod, "/c1/cpu.pressure"),
        "some avg10=1.50 avg60=0.00 avg300=0.00 total=9\n"
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
    Group(StrCat(kPod, "/s1"), 100, 10);
    Put(StrCat("/cg", kPod, "/s1/cgroup.procs"), "40\n");
    Put("/proc/40/net/dev", "lo: 9 9 9 9 0 0 0 0 9 9 9 9 0 0 0 0\n"
                            "eth0: 100 2 1 0 0 0 0 0 200 3 0 0 0 0 0 0\n");
  }
  void TearDown() override { EXPECT_TRUE(base::RemoveTree(dir_).ok()); }

  void Put(const std::string& path, const std::string& text) {
    const std::string whole = dir_ + path;
    ASSERT_TRUE(base::MakeDirs(whole.substr(0, whole.rfind('/')), 0755).ok());
    ASSERT_TRUE(base::WriteFileAtomic(whole, text, 0644, false).ok());
  }
  void Group(const std::string& path, int cpu_us, int memory) {
    Put(StrCat("/cg", path, "/cpu.stat"), StrCat("usage_usec ", cpu_us, "\n"));
    Put(StrCat("/cg", path, "/memory.current"), StrCat(memory, "\n"));
    Put(StrCat("/cg", path, "/memory.stat"), "anon 400\ninactive_file 500\npgfault 7\n");
  }
  static StatsPod Pod() {
    StatsPod pod;
    pod.group = kPod;
    pod.seen.uid = "u1";
    pod.seen.name = "web";
    pod.seen.ns = "default";
    ObservedSandbox sandbox;
    sandbox.id = "s1";
    sandbox.ready = true;
    sandbox.created_at = 1'699'999'000'000'000'000;
    pod.seen.sandboxes.push_back(sandbox);
    ObservedContainer container;
    container.id = "c1";
    container.name = "app";
    container.image = "busybox";
    container.state = ContainerState::kRunning;
    container.created_at = 1'699'999'001'000'000'000;
    pod.seen.containers.push_back(container);
    container.id = "c0";
    container.name = "init";
    container.state = ContainerState::kExited;
    pod.seen.containers.push_back(container);
    return pod;
  }
  Snapshot Take(StatsDepth depth) { return ReadFiles(o_, {Pod()}, depth, kNow); }
  static std::string Json(const Snapshot& snapshot, SummaryOptions options) {
    auto json = proto::EncodeJson(MakeSummary(snapshot, options).pods(0));
    EXPECT_TRUE(json.ok()) << json.status();
    return json.value_or("");
  }

  std::string dir_;
  StatsOptions o_;
};

TEST_F(SummaryTest, APodIsToldAsTheStatsApiHasIt) {
  Snapshot snapshot = Take(StatsDepth::kFull);
  ASSERT_EQ(snapshot.pods.size(), 1u);
  snapshot.pods[0].containers[0].group->nano_cores = 250'000'000;
  EXPECT_EQ(
      Json(snapshot, {}),
      R"({"podRef":{"name":"web","namespace":"default","uid":"u1"},"startTime":"2023-11-14T21:56:40Z",)"
      R"("containers":[{"name":"app","startTime":"2023-11-14T21:56:41Z",)"
      R"("cpu":{"time":"2023-11-14T22:13:20Z","usageNanoCores":250000000,"usageCoreNanoSeconds":1500000000,)"
      R"("psi":{"full":{"total":0,"avg10":0,"avg60":0,"avg300":0},"some":{"total":9,"avg10":1.5,"avg60":0,"avg300":0}}},)"
      R"("memory":{"time":"2023-11-14T22:13:20Z","availableBytes":3000,"usageBytes":1500,"workingSetBytes":1000,"rssBytes":400,"pageFaults":7}}],)"
      R"("cpu":{"time":"2023-11-14T22:13:20Z","usageCoreNanoSeconds":2000000000},)"
      R"("memory":{"time":"2023-11-14T22:13:20Z","usageBytes":2000,"workingSetBytes":1500,"rssBytes":400,"pageFaults":7},)"
      R"("network":{"time":"2023-11-14T22:13:20Z","name":"eth0","rxBytes":100,"rxErrors":1,"txBytes":200,"txErrors":0,)"
      R"("interfaces":[{"name":"eth0","rxBytes":100,"rxErrors":1,"txBytes":200,"txErrors":0}]},)"
      R"("process_stats":{"process_count":2}})");
}

TEST_F(SummaryTest, OnlyCpuAndMemoryHasNothingElse) {
  const std::string json = Json(Take(StatsDepth::kFull), {.only_cpu_and_memory = true});
  EXPECT_THAT(json, HasSubstr("workingSetBytes"));
  for (const char* member : {"network", "process_stats", "volume", "rootfs", "ephemeral"})
    EXPECT_THAT(json, Not(HasSubstr(member)));
}

TEST_F(SummaryTest, PressureIsLeftOutWithoutItsGate) {
  EXPECT_THAT(Json(Take(StatsDepth::kFull), {.pressure = false}), Not(HasSubstr("psi")));
}

TEST_F(SummaryTest, TheNodeHasItsMachinesMemoryAndFileSystem) {
  const auto node = MakeSummary(Take(StatsDepth::kFull), {}).node();
  EXPECT_EQ(node.nodename(), "n1");
  EXPECT_EQ(node.starttime().seconds(), 1690000000);
  EXPECT_EQ(node.cpu().usagecorenanoseconds(), 5'000'000'000u);
  EXPECT_EQ(node.memory().usagebytes(), 3072u * 1024);
  EXPECT_EQ(node.memory().workingsetbytes(), 2560u * 1024);
  EXPECT_EQ(node.memory().availablebytes(), 1536u * 1024);
  EXPECT_EQ(node.swap().swapusagebytes(), 40u * 1024);
  EXPECT_EQ(node.swap().swapavailablebytes(), 60u * 1024);
  EXPECT_EQ(node.rlimit().maxpid(), 1000);
  EXPECT_EQ(node.rlimit().curproc(), 77);
  EXPECT_EQ(node.network().interface().txbytes(), 5u);
  EXPECT_GT(node.fs().capacitybytes(), node.fs().availablebytes());
  ASSERT_EQ(node.systemcontainers_size(), 1);  // the kubelet is in the root: no group of its own
  EXPECT_EQ(node.systemcontainers(0).name(), "pods");
  EXPECT_EQ(node.systemcontainers(0).cpu().usagecorenanoseconds(), 3'000'000'000u);
}

TEST_F(SummaryTest, APodWithoutSandboxOrContainersIsNotTold) {
  StatsPod ended = Pod();
  ended.seen.sandboxes[0].ready = false;
  StatsPod empty = Pod();
  empty.seen.containers.clear();
  const Snapshot snapshot = ReadFiles(o_, {ended, empty}, StatsDepth::kFull, kNow);
  EXPECT_EQ(MakeSummary(snapshot, {}).pods_size(), 0);
}

TEST_F(SummaryTest, FiguresThatTheKernelLacksComeFromTheRuntime) {
  StatsPod elsewhere = Pod();
  elsewhere.group = "/nope";
  Snapshot snapshot = ReadFiles(o_, {elsewhere}, StatsDepth::kFull, kNow);
  auto& group = snapshot.pods[0].containers[0].group;
  EXPECT_FALSE(group);
  cri::rt::CpuUsage cpu;
  cpu.set_timestamp(base::ToUnixNanos(kNow));
  cpu.mutable_usage_core_nano_seconds()->set_value(42);
  cri::rt::MemoryUsage memory;
  memory.mutable_working_set_bytes()->set_value(7);
  memory.mutable_available_bytes()->set_value(3);
  MergeFromCri(&cpu, &memory, false, &group);
  EXPECT_EQ(group->usage.cpu->total_ns, 42u);
  EXPECT_EQ(group->usage.memory->working_set, 7u);
  EXPECT_EQ(group->usage.limits.memory, 10u);
  EXPECT_EQ(group->at, kNow);
}

TEST_F(SummaryTest, ResourceMetricsAreThoseOfMetricsServer) {
  MetricsText text;
  WriteResourceMetrics(MakeSummary(Take(StatsDepth::kCpuAndMemory), {}), false, text);
  const std::string written = text.Take();
  std::vector<test::MetricSample> samples;
  EXPECT_THAT(test::LintMetrics(written, &samples), IsEmpty()) << written;
  const std::map<std::string, std::string> app = {
      {"container", "app"}, {"pod", "web"}, {"namespace", "default"}};
  EXPECT_EQ(test::ValueOf(samples, "container_cpu_usage_seconds_total", app), 1.5);
  EXPECT_EQ(test::ValueOf(samples, "container_memory_working_set_bytes", app), 1000);
  EXPECT_EQ(test::ValueOf(samples, "container_start_time_seconds", app), 1699999001);
  EXPECT_EQ(test::ValueOf(samples, "pod_cpu_usage_seconds_total", {{"pod", "web"}}), 2);
  EXPECT_EQ(test::ValueOf(samples, "node_cpu_usage_seconds_total"), 5);
  EXPECT_EQ(test::ValueOf(samples, "node_swap_usage_bytes"), 40 * 1024);
  EXPECT_EQ(test::ValueOf(samples, "resource_scrape_error"), 0);
  EXPECT_THAT(written, HasSubstr("node_cpu_usage_seconds_total 5 1700000000000\n"));
}

TEST_F(SummaryTest, AContainerHasBytesOfItsLayerAndNoInodesOfTheFileSystem) {
  Snapshot snapshot = Take(StatsDepth::kProcesses);
  FsFigures layer;
  layer.used = 5;
  layer.capacity = 100;
  layer.inodes = layer.inodes_free = 7;
  snapshot.pods[0].containers[0].rootfs = layer;
  MetricsText text;
  WriteContainerMetrics(snapshot, {}, text);
  std::vector<test::MetricSample> samples;
  EXPECT_THAT(test::LintMetrics(text.Take(), &samples), IsEmpty());
  EXPECT_EQ(test::ValueOf(samples, "container_fs_usage_bytes", {{"container", "app"}}), 5);
  EXPECT_EQ(test::ValueOf(samples, "container_fs_limit_bytes", {{"container", "app"}}), 100);
  EXPECT_TRUE(std::isnan(test::ValueOf(samples, "container_fs_inodes_total", {{"container", "app"}})));
  EXPECT_GT(test::ValueOf(samples, "container_fs_inodes_total", {{"id", "/"}}), 0);
}

TEST_F(SummaryTest, ContainerMetricsGoByGroup) {
  Put(StrCat("/cg", kPod, "/c1/io.stat"), "254:0 rbytes=10 wbytes=20 rios=1 wios=2\n");
  Put(StrCat("/cg", kPod, "/c1/cpu.max"), "50000 100000\n");
  Put("/sys/dev/block/254:0/uevent", "DEVNAME=vda\n");
  Put("/proc/41/limits", "Max open files            1024                 4096                 files\n");
  Put("/proc/41/fd/0", "");
  Put("/proc/cpuinfo", "processor : 0\nprocessor : 1\n");
  Put("/proc/diskstats", " 254 0 vda 10 1 200 30 40 2 500 60 3 70 80\n");
  Snapshot snapshot = Take(StatsDepth::kProcesses);
  // The file system is this machine's, whatever it is on.
  snapshot.node.disks[snapshot.node.fs->device] = snapshot.node.disks.at("/dev/vda");
  MetricsText text;
  WriteContainerMetrics(snapshot, {}, text);
  const std::string written = text.Take();
  std::vector<test::MetricSample> samples;
  EXPECT_THAT(test::LintMetrics(written, &samples), IsEmpty()) << written;
  const std::map<std::string, std::string> app = {{"container", "app"}, {"pod", "web"},
                                                  {"namespace", "default"}, {"name", "c1"},
                                                  {"image", "busybox"}, {"id", StrCat(kPod, "/c1")}};
  auto value = [&](const char* name, std::map<std::string, std::string> more = {}) {
    more.insert(app.begin(), app.end());
    return test::ValueOf(samples, name, more);
  };
  EXPECT_EQ(value("container_cpu_usage_seconds_total", {{"cpu", "total"}}), 1.5);
  EXPECT_EQ(value("container_memory_working_set_bytes"), 1000);
  EXPECT_EQ(value("container_spec_memory_limit_bytes"), 4000);
  EXPECT_EQ(value("container_spec_cpu_quota"), 50000);
  EXPECT_EQ(value("container_fs_writes_bytes_total", {{"device", "/dev/vda"}}), 20);
  EXPECT_EQ(value("container_blkio_device_usage_total", {{"operation", "Read"}, {"major", "254"}}), 10);
  EXPECT_EQ(value("container_processes"), 2);
  EXPECT_EQ(value("container_file_descriptors"), 1);
  EXPECT_EQ(value("container_ulimits_soft", {{"ulimit", "max_open_files"}}), 1024);
  EXPECT_EQ(value("container_pressure_cpu_waiting_seconds_total"), 9e-6);
  EXPECT_EQ(value("container_memory_failures_total", {{"scope", "container"}}), 7);
  EXPECT_EQ(value("container_start_time_seconds"), 1699999001);
  EXPECT_EQ(test::ValueOf(samples, "container_network_receive_bytes_total",
                          {{"name", "s1"}, {"pod", "web"}, {"interface", "eth0"}}),
            100);
  EXPECT_EQ(test::ValueOf(samples, "container_cpu_usage_seconds_total",
                          {{"id", kPod}, {"pod", "web"}, {"container", ""}}),
            2);
  EXPECT_EQ(test::ValueOf(samples, "container_cpu_usage_seconds_total", {{"id", "/"}}), 5);
  EXPECT_GT(test::ValueOf(samples, "container_fs_limit_bytes", {{"id", "/"}}), 0);
  EXPECT_EQ(test::ValueOf(samples, "container_fs_sector_reads_total", {{"id", "/"}}), 200);
  EXPECT_EQ(test::ValueOf(samples, "container_fs_io_time_seconds_total", {{"id", "/"}}), 0.07);
  EXPECT_EQ(value("container_spec_memory_reservation_limit_bytes"), 0);
  EXPECT_EQ(test::ValueOf(samples, "machine_cpu_cores"), 2);
  EXPECT_EQ(test::ValueOf(samples, "machine_memory_bytes"), 4096 * 1024);
  EXPECT_THAT(written, Not(HasSubstr("container_oom_events_total")));  // no file told of any
}

TEST_F(SummaryTest, OneGroupOfTwoSystemPartsIsOneInMetrics) {
  Group("/system", 1000, 100);
  o_.kubelet_group = o_.runtime_group = "/system";
  EXPECT_EQ(MakeSummary(Take(StatsDepth::kFull), {}).node().systemcontainers_size(), 3);
  MetricsText text;
  WriteContainerMetrics(Take(StatsDepth::kFull), {}, text);
  EXPECT_THAT(test::LintMetrics(text.Take()), IsEmpty());
}

TEST_F(SummaryTest, AScrapeThatLacksSomethingSaysSo) {
  MetricsText text;
  WriteResourceMetrics({}, true, text);
  EXPECT_THAT(text.Take(), HasSubstr("\nresource_scrape_error 1\n"));
}

}  // namespace
}  // namespace keelson::kubelet
