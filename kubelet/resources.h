// SPDX-License-Identifier: Apache-2.0
// What pods ask for, what the node has, and the kernel's numbers made of both. Pure, but for reading
// /proc where the name says so.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cgroups/pod_cgroups.h"
#include "kubelet/pod.h"

namespace keelson::kubelet {

// Guaranteed: every container limits cpu and memory and requests the same; BestEffort: nobody asks for
// anything; Burstable: the rest. Pod-level resources win (KEP-2837). Only cpu and memory count.
cgroups::QosClass QosOf(const v1::Pod& pod);

struct PodResources {
  int64_t milli_cpu = 0;
  int64_t memory_bytes = 0;
  std::map<std::string, int64_t> hugepages;  // "2MB" -> bytes
  // All but cpu and memory by their names in the API: ephemeral-storage, hugepages-2Mi, a.b/device.
  std::map<std::string, int64_t> other;
  // For limits: whether every container has one.
  bool cpu_bounded = true;
  bool memory_bounded = true;
};

// max(largest moment of the init containers, all that run together) + overhead, where sidecars run
// beside every init container after them (KEP-753).
PodResources RequestsOf(const v1::Pod& pod);
PodResources LimitsOf(const v1::Pod& pod);

struct CfsOptions {
  bool enforce_quota = true;
  int64_t period_us = 100'000;
  int64_t pod_pids = -1;  // podPidsLimit
};

// The limits of a pod's cgroup by its QoS class.
cgroups::Limits PodCgroupLimits(const v1::Pod& pod, const CfsOptions& options);
// The burstable level: shares of all burstable pods together.
cgroups::Limits BurstableLimits(const std::vector<const v1::Pod*>& pods);

struct NodeCapacity {
  int64_t milli_cpu = 0;
  int64_t memory_bytes = 0;
  int64_t pids = 0;
};
// From <proc>/cpuinfo or the online CPUs, <proc>/meminfo and <proc>/sys/kernel/pid_max.
absl::StatusOr<NodeCapacity> ReadNodeCapacity(const std::string& proc = "/proc");
// Whether the kernel enforces AppArmor: its module is there and says Y.
bool HasAppArmor(const std::string& sys = "/sys");

}  // namespace keelson::kubelet
