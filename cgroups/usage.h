// SPDX-License-Identifier: Apache-2.0
// What a cgroup uses and may use, from the kernel's files: cgroups(7), the kernel's
// admin-guide/cgroup-v1 and cgroup-v2. Figures that a kernel does not keep are absent, never zero.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cgroups/hierarchy.h"

namespace keelson::cgroups {

// Pressure stall information: shares of time (percent) and the total in microseconds.
struct PressureLine {
  double avg10 = 0, avg60 = 0, avg300 = 0;
  uint64_t total_us = 0;
  bool operator==(const PressureLine&) const = default;
};
struct Pressure {
  std::optional<PressureLine> some, full;
};
// InvalidArgument when a line is not as the kernel writes it.
absl::StatusOr<Pressure> ParsePressure(std::string_view text);

struct CpuUsage {
  uint64_t total_ns = 0;
  std::optional<uint64_t> user_ns, system_ns;
  // CFS bandwidth control; absent for a group that has none to enforce.
  std::optional<uint64_t> periods, throttled_periods, throttled_ns, burst_periods, burst_ns;
  std::optional<Pressure> pressure;
};

struct MemoryUsage {
  uint64_t usage = 0;        // bytes, as all below unless said otherwise
  uint64_t working_set = 0;  // usage without inactive file pages, never below 0
  std::optional<uint64_t> rss, cache, mapped_file, active_file, inactive_file, kernel;
  std::optional<uint64_t> max_usage, failcnt;
  std::optional<uint64_t> swap;
  std::optional<uint64_t> page_faults, major_page_faults;
  std::optional<uint64_t> tree_page_faults, tree_major_page_faults;  // with groups below (v1)
  std::optional<uint64_t> oom_kills;
  std::optional<Pressure> pressure;
};

// Transfers of one block device.
struct BlockUsage {
  uint32_t major = 0, minor = 0;
  std::optional<uint64_t> read_bytes, write_bytes, reads, writes;
};

// Limits in force; absent: unlimited or not there.
struct GroupLimits {
  std::optional<uint64_t> cpu_shares;  // v1 scale
  std::optional<uint64_t> cpu_quota_us, cpu_period_us;
  std::optional<uint64_t> memory;
  std::optional<uint64_t> memory_reservation;  // soft_limit_in_bytes; v2: memory.min
  std::optional<uint64_t> memory_and_swap;  // v1: both together
  std::optional<uint64_t> swap;             // v2: swap alone
  std::optional<uint64_t> pids;
};

struct GroupUsage {
  std::optional<CpuUsage> cpu;
  std::optional<MemoryUsage> memory;
  std::optional<uint64_t> tasks;         // threads, in the whole subtree
  std::vector<int> processes;            // directly in the group
  std::vector<BlockUsage> block;         // by device
  std::optional<Pressure> io_pressure;
  GroupLimits limits;
};

// Text of a group's files by name; a file that is not there is absent.
using GroupTexts = std::map<std::string, std::string, std::less<>>;
GroupUsage UsageFromV1(const GroupTexts& files);
GroupUsage UsageFromV2(const GroupTexts& files);

// Blocking. The figures of `group` ("/" for the root). NotFound: there is no such group.
absl::StatusOr<GroupUsage> ReadUsage(const Hierarchies& hierarchies, const std::string& group);

// Path of a cgroup named in a driver's syntax: a slice's parents stand in its own name
// (systemd.slice(5)): a-b.slice is /a.slice/a-b.slice.
std::string GroupPath(std::string_view name);

// The group of container `id` among the names of a pod's children: the id itself, or the scope a
// runtime made for it (cri-containerd-<id>.scope, crio-<id>.scope). Empty when there is none.
std::string ContainerChild(const std::vector<std::string>& children, std::string_view id);

// The group a process is in, from /proc/<pid>/cgroup: v2's path, or the memory controller's.
// Empty when it cannot be told.
std::string GroupOfProcess(std::string_view proc_cgroup);

}  // namespace keelson::cgroups
