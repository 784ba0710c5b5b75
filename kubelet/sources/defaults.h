// SPDX-License-Identifier: Apache-2.0
// What the API server would have filled in (Kubernetes 1.36, core/v1 defaulting of a Pod). Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "kubelet/pod.h"
#include "proto/codec/quantity.h"

namespace keelson::kubelet::sources {

// Afterwards every optional field with an API default is set. Idempotent.
void ApplyDefaults(v1::Pod* pod);

// Always for the tag "latest" or none at all, else IfNotPresent.
std::string_view DefaultPullPolicy(std::string_view image);

using ResourceSums = std::map<std::string, proto::Quantity>;
// What the containers ask for together: the larger of the regular ones plus sidecars, and the worst
// moment of initialisation (KEP-753). Quantities that do not parse count as zero.
ResourceSums SumRequests(const v1::PodSpec& spec);
ResourceSums SumLimits(const v1::PodSpec& spec);

// cpu, memory and hugepages-*: what spec.resources may hold (KEP-2837).
bool IsPodLevelResource(std::string_view name);
bool IsHugePages(std::string_view name);

}  // namespace keelson::kubelet::sources
