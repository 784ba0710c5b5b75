// SPDX-License-Identifier: Apache-2.0
// Which instance of a container a request for logs means. Pure.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "proto/k8s/pod.pb.h"

namespace keelson::kubelet {

// The id (without `containerd://`) of the instance: with `previous` the one before the present,
// else the running one, else the last that ended. NotFound: the spec has no such container.
// FailedPrecondition: there is no such instance; the texts are upstream's, shown by kubectl.
absl::StatusOr<std::string> ChooseLogInstance(const k8s::v1::Pod& pod, const std::string& container,
                                              bool previous);

}  // namespace keelson::kubelet
