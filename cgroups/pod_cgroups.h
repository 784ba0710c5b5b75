// SPDX-License-Identifier: Apache-2.0
// The cgroups of pods: kubepods, its QoS levels and one cgroup a pod. Containers' cgroups below are
// the runtime's. One interface for v1 and v2, cgroupfs and systemd.
//
// Loop only. What may block (writing limits in a busy hierarchy, killing leftovers) runs on the pool.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/task.h"

namespace keelson::cgroups {

enum class QosClass { kGuaranteed, kBurstable, kBestEffort };

// What the kernel shall hold for a cgroup; unset fields are left alone.
struct Limits {
  std::optional<uint64_t> cpu_shares;        // cgroup v1 scale, 2..262144
  std::optional<int64_t> cpu_quota_us;       // -1: none
  std::optional<uint64_t> cpu_period_us;
  std::optional<int64_t> memory_bytes;       // -1: none
  std::optional<int64_t> pids_max;           // -1: none
  std::map<std::string, int64_t> hugetlb_bytes;  // page size name ("2MB") to bytes
  bool operator==(const Limits&) const = default;
};

class PodCgroups {
 public:
  virtual ~PodCgroups() = default;

  // Afterwards kubepods and the QoS cgroups exist with these limits. Called once before any pod, and
  // again whenever the values change.
  virtual base::Task<absl::Status> EnsureRoot(Limits kubepods, Limits burstable,
                                              Limits besteffort) = 0;
  // Afterwards the pod's cgroup exists with `limits`. The same call again changes them.
  virtual base::Task<absl::Status> Ensure(std::string pod_uid, QosClass qos, Limits limits) = 0;
  virtual base::Task<absl::StatusOr<bool>> Exists(std::string pod_uid, QosClass qos) = 0;
  // Kills what is left inside and removes the pod's cgroup wherever it is; OK if there is none.
  virtual base::Task<absl::Status> Destroy(std::string pod_uid) = 0;
  // UIDs of all pods that have a cgroup below ours (for orphans).
  virtual base::Task<absl::StatusOr<std::vector<std::string>>> ListPods() = 0;
  // The value of PodSandboxConfig.linux.cgroup_parent, in the driver's syntax.
  virtual std::string CgroupParent(const std::string& pod_uid, QosClass qos) const = 0;
};

}  // namespace keelson::cgroups
