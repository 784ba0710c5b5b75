// SPDX-License-Identifier: Apache-2.0
// process_*: what this process uses, as every Prometheus client tells. Reads <proc>/self: small
// files, on the loop. What cannot be read is absent.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "kubelet/stats/metrics.h"

namespace keelson::kubelet {

void WriteProcessMetrics(MetricsText& text, const std::string& proc = "/proc");
// Only process_start_time_seconds.
void WriteProcessStart(MetricsText& text, const std::string& proc = "/proc");

// Fields of /proc/<pid>/stat (proc_pid_stat(5)); nullopt when it is not one. The name in it may
// hold anything, spaces and brackets included.
struct ProcessStat {
  uint64_t cpu_ticks = 0;  // user and system
  uint64_t start_ticks = 0;
  uint64_t virtual_bytes = 0;
  uint64_t resident_pages = 0;
};
std::optional<ProcessStat> ParseProcessStat(std::string_view text);

}  // namespace keelson::kubelet
