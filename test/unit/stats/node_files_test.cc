// SPDX-License-Identifier: Apache-2.0
#include "kubelet/stats/node_files.h"

#include <gtest/gtest.h>

namespace keelson::kubelet {
namespace {

TEST(ParseDiskStats, NamesWhatADeviceDid) {
  const auto disks = ParseDiskStats(
      " 254       0 vda 10 1 200 30 40 2 500 60 3 70 80 0 0 0 0 5 6\n"
      " 254       1 vda1 1 2 3 4 5 6 7 8 9 10 11\nnot a line\n");
  ASSERT_EQ(disks.size(), 2u);
  EXPECT_EQ(disks.at("/dev/vda"), (DiskFigures{10, 1, 200, 30, 40, 2, 500, 60, 3, 70, 80}));
  EXPECT_EQ(disks.at("/dev/vda1").weighted_ms, 11u);
}

TEST(NodeFiles, InterfacesOfTheNodeAreReadAndContainersEndsLeftOut) {
  const auto links = ParseNetDev(
      "Inter-|   Receive                                                |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop "
      "fifo colls carrier compressed\n"
      "    lo: 100 1 0 0 0 0 0 0 100 1 0 0 0 0 0 0\n"
      "  eth0: 1234567 890 1 2 0 0 0 3 7654321 987 4 5 0 0 0 0\n"
      "vethabc: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"
      " cni0:12 1 0 0 0 0 0 0 34 2 0 0 0 0 0 0\n");
  ASSERT_EQ(links.size(), 2u);
  EXPECT_EQ(links[0], (InterfaceFigures{"eth0", 1234567, 890, 1, 2, 7654321, 987, 4, 5}));
  EXPECT_EQ(links[1].name, "cni0");
  EXPECT_EQ(links[1].tx_bytes, 34u);
}

TEST(NodeFiles, BrokenLinesOfInterfacesAreNone) {
  EXPECT_TRUE(ParseNetDev("eth0: 1 2 3\nnonsense\n:\n").empty());
}

TEST(NodeFiles, MemoryIsInBytes) {
  const char* text = "MemTotal:       24684084 kB\nMemFree:         1000 kB\nSwapTotal:  0 kB\nX:\n";
  EXPECT_EQ(MemInfoBytes(text, "MemTotal"), 24684084ull * 1024);
  EXPECT_EQ(MemInfoBytes(text, "SwapTotal"), 0u);
  EXPECT_EQ(MemInfoBytes(text, "Mem"), std::nullopt);
  EXPECT_EQ(MemInfoBytes(text, "X"), std::nullopt);
}

TEST(NodeFiles, BootTimeAndTasks) {
  EXPECT_EQ(BootTime("cpu 1 2 3\nbtime 1700000000\nprocesses 5\n"),
            base::FromUnixNanos(1'700'000'000'000'000'000));
  EXPECT_EQ(BootTime("cpu 1 2 3\n"), std::nullopt);
  EXPECT_EQ(TasksOf("0.10 0.20 0.30 2/345 6789\n"), 345);
  EXPECT_EQ(TasksOf("0.10 0.20\n"), std::nullopt);
}

TEST(NodeFiles, CoresAndSocketsAreCounted) {
  MachineFigures machine;
  CountCpus(
      "processor\t: 0\nphysical id\t: 0\ncore id\t\t: 0\n\n"
      "processor\t: 1\nphysical id\t: 0\ncore id\t\t: 0\n\n"
      "processor\t: 2\nphysical id\t: 1\ncore id\t\t: 0\n\n"
      "processor\t: 3\nphysical id\t: 1\ncore id\t\t: 0\n",
      &machine);
  EXPECT_EQ(machine.cores, 4u);
  EXPECT_EQ(machine.physical_cores, 2u);
  EXPECT_EQ(machine.sockets, 2u);
  CountCpus("processor\t: 0\nBogoMIPS\t: 100\nprocessor\t: 1\n", &machine);  // arm64
  EXPECT_EQ(machine.cores, 2u);
  EXPECT_EQ(machine.physical_cores, 2u);
  EXPECT_EQ(machine.sockets, 1u);
}

TEST(NodeFiles, ADeviceHasTheNameItsDriverGave) {
  EXPECT_EQ(DeviceOf("MAJOR=254\nMINOR=0\nDEVNAME=vda\nDEVTYPE=disk\n"), "/dev/vda");
  EXPECT_EQ(DeviceOf("MAJOR=254\n"), "");
}

TEST(NodeFiles, LimitsOfOpenFiles) {
  const char* head = "Limit                     Soft Limit           Hard Limit           Units\n";
  EXPECT_EQ(MaxOpenFiles(std::string(head) +
                         "Max open files            1024                 4096                 files\n"),
            1024u);
  EXPECT_EQ(MaxOpenFiles(std::string(head) +
                         "Max open files            unlimited            unlimited            files\n"),
            std::nullopt);
}

TEST(NodeFiles, AFileSystemKnowsItsSizeAndDevice) {
  const base::WallTime now = base::FromUnixNanos(1'700'000'000'000'000'000);
  auto fs = ReadFileSystem("/proc", now, "");
  ASSERT_TRUE(fs.ok()) << fs.status();
  EXPECT_EQ(fs->device, "");
  EXPECT_EQ(fs->at, now);
  EXPECT_FALSE(ReadFileSystem("/nope/at/all", now, "").ok());
}

}  // namespace
}  // namespace keelson::kubelet
