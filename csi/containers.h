// SPDX-License-Identifier: Apache-2.0
// Walks over the containers of a pod. Pure; any thread.
#pragma once

#include "proto/k8s/pod.pb.h"

namespace keelson::csi {

// Calls fn for each init, regular and ephemeral container; the latter are another type with the
// same fields.
template <typename F>
void ForEachContainer(const k8s::v1::Pod& pod, F fn) {
  for (const auto& c : pod.spec().initcontainers()) fn(c);
  for (const auto& c : pod.spec().containers()) fn(c);
  for (const auto& c : pod.spec().ephemeralcontainers()) fn(c.ephemeralcontainercommon());
}

}  // namespace keelson::csi
