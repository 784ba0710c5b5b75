// SPDX-License-Identifier: Apache-2.0
// What a container's environment needs from outside its pod: fetched before the container is made,
// so that making its configuration decides only. Loop only.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "base/loop.h"
#include "base/task.h"
#include "cri/environment.h"
#include "csi/objects.h"
#include "csi/volumes.h"
#include "kubelet/pod.h"

namespace keelson::kubelet {

struct EnvironmentFacts {
  using Objects = std::map<std::string, absl::StatusOr<cri::StringMap>>;  // data by name
  bool has_api = false;  // there is an API server to have objects
  Objects config_maps, secrets;
  cri::StringMap service_env;
  std::map<std::string, absl::StatusOr<std::string>> file_keys;  // by FileKeyId
};

// Tells the file keys of one container apart.
std::string FileKeyId(const v1::FileKeySelector& selector);

// The facts as MakeEnvironment takes them; they outlive the context.
cri::EnvironmentContext ContextOf(const EnvironmentFacts& facts);

// Everything that `container` of the pod names. What is missing is among the facts: only the
// environment knows whether it is optional. Fails when services are not known yet, and the pod is no
// static one. `objects` is null without an API server; `container` lives as long as the pod.
base::Task<absl::StatusOr<EnvironmentFacts>> FetchEnvironment(
    base::Loop& loop, csi::ObjectSource* objects, PodPtr pod, const v1::Container* container,
    std::map<std::string, csi::MountedVolume> volumes);

}  // namespace keelson::kubelet
