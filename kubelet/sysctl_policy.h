// SPDX-License-Identifier: Apache-2.0
// Which sysctls pods may set: those that reach nobody else, and what allowedUnsafeSysctls adds.
// Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kubelet/pod.h"

namespace keelson::kubelet {

class SysctlPolicy {
 public:
  // The safe ones alone.
  SysctlPolicy();
  // With allowedUnsafeSysctls: names, or prefixes that end in '*'. InvalidArgument for one the
  // kernel does not keep per namespace.
  static absl::StatusOr<SysctlPolicy> Make(const std::vector<std::string>& unsafe);

  // Why the pod is forbidden what it sets; empty when it is not.
  std::string Objection(const v1::Pod& pod) const;

 private:
  struct Rule {
    std::string name;  // with dots; a prefix when `prefix`
    bool prefix = false;
    bool ipc = false;  // else of the network namespace
  };
  std::string Objection(const std::string& sysctl, bool host_network, bool host_ipc) const;

  std::vector<Rule> rules_;  // exact names first
};

}  // namespace keelson::kubelet
