// SPDX-License-Identifier: Apache-2.0
#include "kubelet/stats/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <sstream>

#include "base/files.h"
#include "base/strings.h"
#include "kubelet/stats/node_files.h"

namespace keelson::kubelet {
namespace {

std::optional<ProcessStat> OwnStat(const std::string& proc) {
  auto text = base::ReadFile(proc + "/self/stat");
  return text.ok() ? ParseProcessStat(*text) : std::nullopt;
}

void WriteStart(const ProcessStat& stat, const std::string& proc, MetricsText& text) {
  auto system = base::ReadFile(proc + "/stat", 16 << 20);
  const auto booted = system.ok() ? BootTime(*system) : std::nullopt;
  if (!booted) return;
  text.Family("process_start_time_seconds", "When this process began, in Unix time",
              MetricType::kGauge);
  text.Sample(
      {}, Seconds(booted->time_since_epoch()) +
              static_cast<double>(stat.start_ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK)));
}

void Write(MetricsText& text, const char* name, const char* help, MetricType type, double value) {
  text.Family(name, help, type);
  text.Sample({}, value);
}

}  // namespace

std::optional<ProcessStat> ParseProcessStat(std::string_view text) {
  const size_t name_end = text.rfind(')');
  if (name_end == text.npos) return std::nullopt;
  std::istringstream rest{std::string(text.substr(name_end + 1))};
  ProcessStat stat;
  std::string word;
  // Fields count from 1; the name is the second.
  for (int field = 3; rest >> word; ++field) {
    const uint64_t value = std::strtoull(word.c_str(), nullptr, 10);
    if (field == 14 || field == 15) stat.cpu_ticks += value;
    if (field == 22) stat.start_ticks = value;
    if (field == 23) stat.virtual_bytes = value;
    if (field != 24) continue;
    stat.resident_pages = value;
    return stat;
  }
  return std::nullopt;
}

void WriteProcessStart(MetricsText& text, const std::string& proc) {
  if (auto stat = OwnStat(proc)) WriteStart(*stat, proc, text);
}

void WriteProcessMetrics(MetricsText& text, const std::string& proc) {
  if (auto stat = OwnStat(proc)) {
    Write(text, "process_cpu_seconds_total", "CPU time of this process", MetricType::kCounter,
          static_cast<double>(stat->cpu_ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK)));
    Write(text, "process_resident_memory_bytes", "Resident memory", MetricType::kGauge,
          static_cast<double>(stat->resident_pages) * static_cast<double>(::sysconf(_SC_PAGESIZE)));
    Write(text, "process_virtual_memory_bytes", "Virtual memory", MetricType::kGauge,
          static_cast<double>(stat->virtual_bytes));
    WriteStart(*stat, proc, text);
  }
  if (auto fds = base::ListDir(proc + "/self/fd"); fds.ok())
    Write(text, "process_open_fds", "Open file descriptors", MetricType::kGauge,
          static_cast<double>(fds->size() - 1));  // less the one that lists them
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
    Write(text, "process_max_fds", "File descriptors there may be", MetricType::kGauge,
          static_cast<double>(limit.rlim_cur));
}

}  // namespace keelson::kubelet
