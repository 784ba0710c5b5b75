// SPDX-License-Identifier: Apache-2.0
// Whether a pod may run beside the others on this node: upstream's checks, in their order and words
// (pkg/kubelet/lifecycle). Loop only; pure but for what it was told of the node.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kubelet/node_match.h"
#include "kubelet/pod.h"
#include "kubelet/sysctl_policy.h"

namespace keelson::kubelet {

struct Rejection {
  std::string reason;   // OutOfcpu, OutOfpods, NodePorts, ...
  std::string message;
};

// What the node offers to pods.
struct NodeAllocatable {
  int64_t milli_cpu = 0;
  int64_t memory_bytes = 0;
  int64_t pods = 110;
  // ephemeral-storage, hugepages-2Mi, a.b/device, ... Empty: not known, none of it is checked.
  std::map<std::string, int64_t> other = {};
};

// From the quantities of a node's status.allocatable; what does not parse counts for nothing.
NodeAllocatable ToAllocatable(const std::map<std::string, std::string>& quantities);

struct AdmissionVerdict {
  std::optional<Rejection> rejection;  // nullopt: admitted
  // For a critical pod: it is admitted once these have ended, and `rejection` says why not before.
  std::vector<const v1::Pod*> preempt = {};
};

class Admission {
 public:
  explicit Admission(NodeAllocatable node, SysctlPolicy sysctls = {})
      : allocatable_(std::move(node)), sysctls_(std::move(sysctls)) {}

  // `others` are the pods that run or are about to; what the verdict names is of them.
  AdmissionVerdict Consider(const v1::Pod& pod, const std::vector<const v1::Pod*>& others) const;
  // The same where nobody is to end for the pod; nullopt admits.
  std::optional<Rejection> Decide(const v1::Pod& pod,
                                  const std::vector<const v1::Pod*>& others) const {
    return Consider(pod, others).rejection;
  }

  void SetAllocatable(NodeAllocatable node) { allocatable_ = std::move(node); }
  // Name, labels and taints. Until it is told, none of them is checked.
  void SetNode(NodeTerms node) { node_ = std::move(node); }
  // Whether the runtime has supplementalGroupsPolicy. Until it is told, that is not checked.
  void SetSupplementalGroupsPolicy(bool supported) { supplemental_groups_policy_ = supported; }
  // Whether the kernel has AppArmor. Until it is told, that is not checked.
  void SetAppArmor(bool enabled) { apparmor_ = enabled; }
  // The node's pressure conditions: MemoryPressure, DiskPressure, PIDPressure.
  void SetPressure(std::vector<std::string> conditions) { pressure_ = std::move(conditions); }
  // Asked when nothing else objects: NodeShutdown::Admit.
  void SetLastCheck(std::function<std::optional<Rejection>()> check) {
    last_check_ = std::move(check);
  }

 private:
  struct Shortfall;  // a resource that does not suffice
  std::optional<Rejection> CheckPressure(const v1::Pod& pod) const;
  std::optional<Rejection> CheckSystem(const v1::Pod& pod) const;
  std::optional<Rejection> CheckPlace(const v1::Pod& pod,
                                      const std::vector<const v1::Pod*>& others) const;
  std::vector<Shortfall> Shortfalls(const v1::Pod& pod,
                                    const std::vector<const v1::Pod*>& others) const;
  AdmissionVerdict MakeRoom(const v1::Pod& pod, const std::vector<const v1::Pod*>& others,
                            const std::vector<Shortfall>& shortfalls) const;

  NodeAllocatable allocatable_;
  SysctlPolicy sysctls_;
  std::optional<NodeTerms> node_;
  std::optional<bool> supplemental_groups_policy_, apparmor_;
  std::vector<std::string> pressure_;
  std::function<std::optional<Rejection>()> last_check_;
};

}  // namespace keelson::kubelet
