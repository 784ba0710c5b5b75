// SPDX-License-Identifier: Apache-2.0
// The node's own figures from /proc, /sys and statvfs(3). Parsing is pure; what reads files blocks
// and is told where they are, so that a test can bring its own.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "kubelet/stats/figures.h"

namespace keelson::kubelet {

// /proc/<pid>/net/dev. Loopback and the host's ends of containers' links (lo, veth*, docker*,
// nerdctl*) are left out, as upstream.
std::vector<InterfaceFigures> ParseNetDev(std::string_view text);
// One member of /proc/meminfo in bytes.
std::optional<uint64_t> MemInfoBytes(std::string_view meminfo, std::string_view name);
// btime of /proc/stat.
std::optional<base::WallTime> BootTime(std::string_view stat);
// All tasks: the second half of the fourth field of /proc/loadavg.
std::optional<int64_t> TasksOf(std::string_view loadavg);
// Logical CPUs, physical cores and sockets that /proc/cpuinfo tells of. A machine that says nothing
// of cores has as many as CPUs, in one socket.
void CountCpus(std::string_view cpuinfo, MachineFigures* machine);
// The soft limit of open files in /proc/<pid>/limits; absent when unlimited.
std::optional<uint64_t> MaxOpenFiles(std::string_view limits);

// /proc/diskstats (proc_diskstats(5)) by device: /dev/vda. Lines that are none are left out.
std::map<std::string, DiskFigures> ParseDiskStats(std::string_view text);

// DEVNAME of /sys/dev/block/<major>:<minor>/uevent, as a path; empty when it has none.
std::string DeviceOf(std::string_view uevent);

struct NodePaths {
  std::string proc = "/proc";
  std::string sys = "/sys";
  std::string etc = "/etc";
};

MachineFigures ReadMachine(const NodePaths& paths);
// Of the file system that `path` is on; `device` from /proc/self/mountinfo by its number.
absl::StatusOr<FsFigures> ReadFileSystem(const std::string& path, base::WallTime at,
                                         std::string_view mountinfo);
// Descriptors of the processes; who ends meanwhile does not count.
ProcessFigures ReadProcesses(const std::string& proc, const std::vector<int>& pids);

// The cgroup of the process that listens at a unix socket (SO_PEERCRED, unix(7)). Empty when it
// cannot be told: nobody is there, or init holds the socket for somebody.
std::string GroupOfListener(const std::string& proc, const std::string& socket);

struct FolderUse {
  uint64_t bytes = 0;   // allocated on disk
  uint64_t inodes = 0;  // the folder itself counts; hard links once
};
// Walks `path` without following links or crossing into another file system. ResourceExhausted
// beyond `max_entries` or 256 levels; NotFound when it is not there.
absl::StatusOr<FolderUse> MeasureFolder(const std::string& path, size_t max_entries = 2'000'000);

}  // namespace keelson::kubelet
