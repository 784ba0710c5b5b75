// SPDX-License-Identifier: Apache-2.0
// CPU, memory and huge pages of containers and sandboxes as cgroup values. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cgroups/pod_cgroups.h"
#include "proto/cri/api.pb.h"
#include "proto/k8s/pod.pb.h"

namespace keelson::cri {

namespace rt = ::runtime::v1;
namespace v1 = ::k8s::v1;

// Facts and settings of the node. Bytes unless said otherwise.
struct NodeResources {
  bool cgroup_v2 = false;
  bool cpu_cfs_quota = true;            // cpuCFSQuota
  int64_t cpu_cfs_period_us = 100'000;  // cpuCFSQuotaPeriod
  bool single_process_oom_kill = true;  // singleProcessOOMKill; matters on v2 only
  std::vector<std::string> huge_pages;  // sizes the kernel has: "2MB", "1GB"
  bool swap_controller = false;         // memory.swap.max or memory.memsw exists
  bool limited_swap = false;            // memorySwap.swapBehavior LimitedSwap
  int64_t swap = 0;
  int64_t memory = 0;
  bool memory_qos = false;  // feature MemoryQoS; matters on v2 only
  double memory_throttling_factor = 0.9;
  bool tiered_reservation = false;  // memoryReservationPolicy TieredReservation
  int64_t allocatable_memory = 0;
  int64_t page_size = 4096;
};

// What is decided elsewhere about one container.
struct ContainerResourceInputs {
  cgroups::QosClass qos = cgroups::QosClass::kBestEffort;  // of its pod
  bool critical_pod = false;
  bool exclusive_cpus = false;  // CPU manager gave it whole CPUs: no quota
  int64_t oom_score_adj = 0;    // see OomScoreAdj
};

// Thousandths of a CPU as v1 shares, 2..262144.
int64_t CpuShares(int64_t milli_cpu);
// Thousandths of a CPU as quota per period, at least 1000 us; 0 (no limit) for 0.
int64_t CpuQuota(int64_t milli_cpu, int64_t period_us);

// InvalidArgument names a quantity that is none.
absl::StatusOr<rt::LinuxContainerResources> ContainerResources(
    const v1::Pod& pod, const v1::Container& container, const ContainerResourceInputs& inputs,
    const NodeResources& node);

struct SandboxResources {
  rt::LinuxContainerResources resources;  // sum of the containers
  rt::LinuxContainerResources overhead;   // of the runtime class
};
absl::StatusOr<SandboxResources> PodSandboxResources(const v1::Pod& pod, const NodeResources& node);

// Total of one resource over a pod's containers in the unit asked for: init containers one after
// the other, sidecars beside everything after them (KEP-753); pod-level amounts replace the sum
// (KEP-2837). Without overhead. nullopt when nobody names the resource.
struct PodTotal {
  int64_t value = 0;  // thousandths for "cpu", units (bytes) else
  bool named = false;
};
absl::StatusOr<PodTotal> PodRequest(const v1::Pod& pod, const std::string& resource);
absl::StatusOr<PodTotal> PodLimit(const v1::Pod& pod, const std::string& resource);

// oom_score_adj of a container (Guaranteed and node-critical -997, BestEffort
// 1000, Burstable by its memory request).
absl::StatusOr<int64_t> OomScoreAdj(const v1::Pod& pod, const v1::Container& container,
                                    cgroups::QosClass qos, bool node_critical, int64_t node_memory);

}  // namespace keelson::cri
