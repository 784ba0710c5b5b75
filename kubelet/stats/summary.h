// SPDX-License-Identifier: Apache-2.0
// A snapshot as the stats API's Summary, and as the text of /metrics/resource. Pure.
#pragma once

#include <string>

#include "kubelet/stats/figures.h"
#include "kubelet/stats/metrics.h"
#include "proto/k8s/stats.pb.h"

namespace keelson::kubelet {

struct SummaryOptions {
  bool only_cpu_and_memory = false;
  bool pressure = true;  // gate KubeletPSI
};

k8s::stats::v1alpha1::Summary MakeSummary(const Snapshot& snapshot, const SummaryOptions& options);

// What metrics-server scrapes. `incomplete`: something could not be measured and is left out.
void WriteResourceMetrics(const k8s::stats::v1alpha1::Summary& summary, bool incomplete,
                          MetricsText& text);

}  // namespace keelson::kubelet
