// SPDX-License-Identifier: Apache-2.0
// Conditions of a node: MemoryPressure, DiskPressure, PIDPressure, Ready. Pure.
#pragma once

#include "kubelet/node/node_object.h"

namespace keelson::kubelet {

// Puts ours into `status` at their old places, or after those of others, in upstream's words.
void SetConditions(const NodeState& state, base::WallTime now,
                   const k8s::v1::NodeStatus& previous, k8s::v1::NodeStatus* status);

// What a runtime's Status call means for readiness. `ready` words as in the CRI: RuntimeReady,
// NetworkReady; empty when the node may be ready.
std::vector<std::string> RuntimeProblems(bool runtime_ready, const std::string& runtime_reason,
                                         const std::string& runtime_message, bool network_ready,
                                         const std::string& network_reason,
                                         const std::string& network_message);

}  // namespace keelson::kubelet
