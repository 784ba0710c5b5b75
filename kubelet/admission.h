// SPDX-License-Identifier: Apache-2.0
// Whether a pod may run beside the others on this node. Pure but for the node's numbers.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kubelet/pod.h"

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
};

class Admission {
 public:
  explicit Admission(NodeAllocatable node) : node_(node) {}
  // `others` are the pods that run or are about to; nullopt admits.
  std::optional<Rejection> Decide(const v1::Pod& pod,
                                  const std::vector<const v1::Pod*>& others) const;

 private:
  std::optional<Rejection> CheckResources(const v1::Pod& pod,
                                          const std::vector<const v1::Pod*>& others) const;
  NodeAllocatable node_;
};

}  // namespace keelson::kubelet
