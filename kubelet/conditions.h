// SPDX-License-Identifier: Apache-2.0
// Conditions of a pod that the kubelet owns. Pure.
#pragma once

#include "kubelet/status.h"

namespace keelson::kubelet {

// Adds PodReadyToStartContainers, Initialized, Ready, ContainersReady, PodScheduled and, for a pod with
// such a rule, AllContainersRestarting to `status`, whose container statuses and phase are set. A condition whose status did not change since
// `in.previous` keeps its lastTransitionTime; conditions of others are carried on.
void AddConditions(const StatusInput& in, v1::PodStatus& status);

}  // namespace keelson::kubelet
