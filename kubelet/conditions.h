// SPDX-License-Identifier: Apache-2.0
// Conditions of a pod that the kubelet owns. Pure.
#pragma once

#include <string>

#include "kubelet/status.h"

namespace keelson::kubelet {

// Whether only the kubelet writes conditions of that type.
bool IsOurCondition(const std::string& type);

// Adds PodReadyToStartContainers, Initialized, Ready, ContainersReady, PodScheduled, for a pod with
// such a rule AllContainersRestarting, and for one whose verdict says so DisruptionTarget to
// `status`, whose container statuses and phase are set.
// A condition whose status did not change since `in.previous` keeps its lastTransitionTime;
// conditions of others, which readiness gates look at, are the object's.
void AddConditions(const StatusInput& in, v1::PodStatus& status);

}  // namespace keelson::kubelet
