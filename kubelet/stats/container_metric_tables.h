// SPDX-License-Identifier: Apache-2.0
// The metrics of /metrics/cadvisor that are one figure each: name, meaning, type and where the
// figure stands. For container_metrics.cc only.
#pragma once

#include <cstdint>
#include <optional>

#include "kubelet/stats/figures.h"
#include "kubelet/stats/metrics.h"

namespace keelson::kubelet::container_metrics {

using Value = std::optional<double>;

inline constexpr MetricType kCounter = MetricType::kCounter;
inline constexpr MetricType kGauge = MetricType::kGauge;

inline Value Count(const std::optional<uint64_t>& value) {
  return value ? Value(static_cast<double>(*value)) : std::nullopt;
}
inline Value FromNanos(const std::optional<uint64_t>& value) {
  return value ? Value(static_cast<double>(*value) / 1e9) : std::nullopt;
}
inline Value FromMicros(const std::optional<cgroups::PressureLine>& line) {
  return line ? Value(static_cast<double>(line->total_us) / 1e6) : std::nullopt;
}

// A metric with one value for a group.
template <typename Part>
struct Plain {
  const char* name;
  const char* help;
  MetricType type;
  Value (*value)(const Part&);
};

using cgroups::CpuUsage;
using cgroups::GroupUsage;
using cgroups::MemoryUsage;

inline constexpr Plain<CpuUsage> kCpu[] = {
    {"container_cpu_user_seconds_total", "CPU time in user mode", kCounter,
     [](const CpuUsage& c) { return FromNanos(c.user_ns); }},
    {"container_cpu_system_seconds_total", "CPU time in the kernel", kCounter,
     [](const CpuUsage& c) { return FromNanos(c.system_ns); }},
};
// Only of groups that have a quota.
inline constexpr Plain<CpuUsage> kCfs[] = {
    {"container_cpu_cfs_periods_total", "Enforcement periods that passed", kCounter,
     [](const CpuUsage& c) { return Count(c.periods); }},
    {"container_cpu_cfs_throttled_periods_total", "Periods in which the quota ran out", kCounter,
     [](const CpuUsage& c) { return Count(c.throttled_periods); }},
    {"container_cpu_cfs_throttled_seconds_total", "Time spent throttled", kCounter,
     [](const CpuUsage& c) { return FromNanos(c.throttled_ns); }},
    {"container_cpu_cfs_burst_periods_total", "Periods in which burst was used", kCounter,
     [](const CpuUsage& c) { return Count(c.burst_periods); }},
    {"container_cpu_cfs_burst_seconds_total", "Time spent in burst", kCounter,
     [](const CpuUsage& c) { return FromNanos(c.burst_ns); }},
};
inline constexpr Plain<MemoryUsage> kMemory[] = {
    {"container_memory_cache", "Page cache in bytes", kGauge,
     [](const MemoryUsage& m) { return Count(m.cache); }},
    {"container_memory_rss", "Anonymous memory in bytes", kGauge,
     [](const MemoryUsage& m) { return Count(m.rss); }},
    {"container_memory_kernel_usage", "Kernel memory in bytes", kGauge,
     [](const MemoryUsage& m) { return Count(m.kernel); }},
    {"container_memory_mapped_file", "Mapped files in bytes", kGauge,
     [](const MemoryUsage& m) { return Count(m.mapped_file); }},
    {"container_memory_swap", "Swap in use in bytes", kGauge,
     [](const MemoryUsage& m) { return Count(m.swap); }},
    {"container_memory_failcnt", "How often the memory limit was hit", kCounter,
     [](const MemoryUsage& m) { return Count(m.failcnt); }},
    {"container_memory_usage_bytes", "Memory in use, page cache included", kGauge,
     [](const MemoryUsage& m) { return Count(m.usage); }},
    {"container_memory_max_usage_bytes", "Most memory ever in use", kGauge,
     [](const MemoryUsage& m) { return Count(m.max_usage); }},
    {"container_memory_working_set_bytes", "Memory in use without inactive file pages", kGauge,
     [](const MemoryUsage& m) { return Count(m.working_set); }},
    {"container_memory_total_active_file_bytes", "File pages used lately", kGauge,
     [](const MemoryUsage& m) { return Count(m.active_file); }},
    {"container_memory_total_inactive_file_bytes", "File pages not used lately", kGauge,
     [](const MemoryUsage& m) { return Count(m.inactive_file); }},
    {"container_oom_events_total", "Processes the kernel killed for lack of memory", kCounter,
     [](const MemoryUsage& m) { return Count(m.oom_kills); }},
};
inline constexpr Plain<InterfaceFigures> kNetwork[] = {
    {"container_network_receive_bytes_total", "Bytes received", kCounter,
     [](const InterfaceFigures& i) { return Count(i.rx_bytes); }},
    {"container_network_receive_packets_total", "Packets received", kCounter,
     [](const InterfaceFigures& i) { return Count(i.rx_packets); }},
    {"container_network_receive_packets_dropped_total", "Received packets dropped", kCounter,
     [](const InterfaceFigures& i) { return Count(i.rx_dropped); }},
    {"container_network_receive_errors_total", "Errors while receiving", kCounter,
     [](const InterfaceFigures& i) { return Count(i.rx_errors); }},
    {"container_network_transmit_bytes_total", "Bytes sent", kCounter,
     [](const InterfaceFigures& i) { return Count(i.tx_bytes); }},
    {"container_network_transmit_packets_total", "Packets sent", kCounter,
     [](const InterfaceFigures& i) { return Count(i.tx_packets); }},
    {"container_network_transmit_packets_dropped_total", "Packets to send dropped", kCounter,
     [](const InterfaceFigures& i) { return Count(i.tx_dropped); }},
    {"container_network_transmit_errors_total", "Errors while sending", kCounter,
     [](const InterfaceFigures& i) { return Count(i.tx_errors); }},
};
inline constexpr Plain<cgroups::BlockUsage> kTransfers[] = {
    {"container_fs_reads_bytes_total", "Bytes read from block devices", kCounter,
     [](const cgroups::BlockUsage& b) { return Count(b.read_bytes); }},
    {"container_fs_reads_total", "Reads from block devices", kCounter,
     [](const cgroups::BlockUsage& b) { return Count(b.reads); }},
    {"container_fs_writes_bytes_total", "Bytes written to block devices", kCounter,
     [](const cgroups::BlockUsage& b) { return Count(b.write_bytes); }},
    {"container_fs_writes_total", "Writes to block devices", kCounter,
     [](const cgroups::BlockUsage& b) { return Count(b.writes); }},
};
inline constexpr Plain<FsFigures> kFileSystem[] = {
    {"container_fs_inodes_free", "Free inodes", kGauge,
     [](const FsFigures& f) { return Count(f.inodes_free); }},
    {"container_fs_inodes_total", "Inodes there are", kGauge,
     [](const FsFigures& f) { return Count(f.inodes); }},
    {"container_fs_limit_bytes", "Bytes that can be used on the file system", kGauge,
     [](const FsFigures& f) { return Count(f.capacity); }},
    {"container_fs_usage_bytes", "Bytes used on the file system", kGauge,
     [](const FsFigures& f) { return Count(f.used); }},
};
// Of the devices of the node's file systems.
inline Value FromMillis(uint64_t value) { return static_cast<double>(value) / 1e3; }
inline constexpr Plain<DiskFigures> kDisk[] = {
    {"container_fs_sector_reads_total", "Sectors read", kCounter,
     [](const DiskFigures& d) { return Count(d.sectors_read); }},
    {"container_fs_reads_merged_total", "Reads that were merged with others", kCounter,
     [](const DiskFigures& d) { return Count(d.reads_merged); }},
    {"container_fs_read_seconds_total", "Time spent reading", kCounter,
     [](const DiskFigures& d) { return FromMillis(d.read_ms); }},
    {"container_fs_sector_writes_total", "Sectors written", kCounter,
     [](const DiskFigures& d) { return Count(d.sectors_written); }},
    {"container_fs_writes_merged_total", "Writes that were merged with others", kCounter,
     [](const DiskFigures& d) { return Count(d.writes_merged); }},
    {"container_fs_write_seconds_total", "Time spent writing", kCounter,
     [](const DiskFigures& d) { return FromMillis(d.write_ms); }},
    {"container_fs_io_current", "Transfers in progress", kGauge,
     [](const DiskFigures& d) { return Count(d.in_progress); }},
    {"container_fs_io_time_seconds_total", "Time in which there were transfers", kCounter,
     [](const DiskFigures& d) { return FromMillis(d.busy_ms); }},
    {"container_fs_io_time_weighted_seconds_total", "Time of all transfers together", kCounter,
     [](const DiskFigures& d) { return FromMillis(d.weighted_ms); }},
};
inline constexpr Plain<GroupUsage> kProcesses[] = {
    {"container_threads", "Threads", kGauge, [](const GroupUsage& u) { return Count(u.tasks); }},
    {"container_threads_max", "Threads there may be; 0 when there is no limit", kGauge,
     [](const GroupUsage& u) {
       return u.tasks ? Value(static_cast<double>(u.limits.pids.value_or(0))) : std::nullopt;
     }},
};
inline constexpr Plain<GroupUsage> kPressure[] = {
    {"container_pressure_cpu_stalled_seconds_total", "Time in which nobody got the CPU", kCounter,
     [](const GroupUsage& u) {
       return u.cpu && u.cpu->pressure ? FromMicros(u.cpu->pressure->full) : std::nullopt;
     }},
    {"container_pressure_cpu_waiting_seconds_total", "Time in which some waited for the CPU",
     kCounter,
     [](const GroupUsage& u) {
       return u.cpu && u.cpu->pressure ? FromMicros(u.cpu->pressure->some) : std::nullopt;
     }},
    {"container_pressure_memory_stalled_seconds_total", "Time in which all waited for memory",
     kCounter,
     [](const GroupUsage& u) {
       return u.memory && u.memory->pressure ? FromMicros(u.memory->pressure->full) : std::nullopt;
     }},
    {"container_pressure_memory_waiting_seconds_total", "Time in which some waited for memory",
     kCounter,
     [](const GroupUsage& u) {
       return u.memory && u.memory->pressure ? FromMicros(u.memory->pressure->some) : std::nullopt;
     }},
    {"container_pressure_io_stalled_seconds_total", "Time in which all waited for transfers",
     kCounter,
     [](const GroupUsage& u) {
       return u.io_pressure ? FromMicros(u.io_pressure->full) : std::nullopt;
     }},
    {"container_pressure_io_waiting_seconds_total", "Time in which some waited for transfers",
     kCounter,
     [](const GroupUsage& u) {
       return u.io_pressure ? FromMicros(u.io_pressure->some) : std::nullopt;
     }},
};
// Limits: 0 stands for none, as dashboards expect.
inline constexpr Plain<GroupUsage> kSpec[] = {
    {"container_spec_cpu_period", "Enforcement period in microseconds", kGauge,
     [](const GroupUsage& u) { return Count(u.limits.cpu_period_us); }},
    {"container_spec_cpu_quota", "CPU time for each period in microseconds", kGauge,
     [](const GroupUsage& u) { return Count(u.limits.cpu_quota_us); }},
    {"container_spec_cpu_shares", "Weight among its neighbours", kGauge,
     [](const GroupUsage& u) { return Count(u.limits.cpu_shares); }},
    {"container_spec_memory_limit_bytes", "Memory limit; 0 when there is none", kGauge,
     [](const GroupUsage& u) {
       return u.memory ? Value(static_cast<double>(u.limits.memory.value_or(0))) : std::nullopt;
     }},
    {"container_spec_memory_reservation_limit_bytes", "Memory above which it is taken back first",
     kGauge,
     [](const GroupUsage& u) {
       return u.memory ? Value(static_cast<double>(u.limits.memory_reservation.value_or(0)))
                       : std::nullopt;
     }},
    {"container_spec_memory_swap_limit_bytes", "Swap limit; 0 when there is none", kGauge,
     [](const GroupUsage& u) {
       const auto limit = u.limits.swap ? u.limits.swap : u.limits.memory_and_swap;
       return u.memory ? Value(static_cast<double>(limit.value_or(0))) : std::nullopt;
     }},
};

}  // namespace keelson::kubelet::container_metrics
