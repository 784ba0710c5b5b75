// SPDX-License-Identifier: Apache-2.0
// Is this pod one that the API would have taken? The rules and the words are those of Kubernetes
// 1.36 (core validation of a pod's creation, default feature gates). Pure; any thread.
#pragma once

#include <optional>
#include <string>

#include "kubelet/pod.h"
#include "kubelet/sources/field_errors.h"

namespace keelson::kubelet::sources {

// REQUIRES: `pod` has its defaults and the name it will run under. Returns every complaint, in the
// order of the API; none means fit to run.
FieldErrors ValidatePodCreate(const v1::Pod& pod);

struct ApiObjectReference {
  std::string path;      // the field that refers
  std::string resource;  // secrets, configmaps (via projected volumes), ...
};
// The first reference to an object of the API: a static pod must run without an API server.
std::optional<ApiObjectReference> ApiReference(const v1::Pod& pod);

}  // namespace keelson::kubelet::sources
