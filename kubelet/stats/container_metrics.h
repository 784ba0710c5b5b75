// SPDX-License-Identifier: Apache-2.0
// /metrics/cadvisor: what every group, pod and container uses, under the names, labels and types
// that cAdvisor made known. Pure. What is not measured here is absent: loads, per-CPU times, NUMA.
#pragma once

#include "kubelet/stats/figures.h"
#include "kubelet/stats/metrics.h"

namespace keelson::kubelet {

struct ContainerMetricsOptions {
  bool pressure = true;  // gate KubeletPSI
};

void WriteContainerMetrics(const Snapshot& snapshot, const ContainerMetricsOptions& options,
                           MetricsText& text);

}  // namespace keelson::kubelet
