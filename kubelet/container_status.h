// SPDX-License-Identifier: Apache-2.0
// One container's status, made of its instances, of what was said before and of its probes. Pure.
#pragma once

#include "kubelet/status.h"

namespace keelson::kubelet {

// Reason of containers that were ended to begin anew with all others (KEP-5532).
inline constexpr char kRestartingAll[] = "RestartingAllContainers";

// `kind`: which of the pod's lists `spec` is from.
v1::ContainerStatus MakeContainerStatus(const StatusInput& in, const v1::Container& spec,
                                        ContainerKind kind);

}  // namespace keelson::kubelet
