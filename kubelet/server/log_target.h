// SPDX-License-Identifier: Apache-2.0
// Which container of a pod a request means, and which instance of it one for logs. Pure.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "proto/k8s/pod.pb.h"

namespace keelson::kubelet {

// Among those of any kind.
bool HasContainer(const k8s::v1::PodSpec& spec, const std::string& name);
// Null when nothing is said of it.
const k8s::v1::ContainerStatus* FindContainerStatus(const k8s::v1::PodStatus& status,
                                                    const std::string& name);

// The id (without `containerd://`) of the instance: with `previous` the one before the present,
// else the running one, else the last that ended. NotFound: the spec has no such container.
// FailedPrecondition: there is no such instance; the texts are upstream's, shown by kubectl.
absl::StatusOr<std::string> ChooseLogInstance(const k8s::v1::Pod& pod, const std::string& container,
                                              bool previous);

}  // namespace keelson::kubelet
