// SPDX-License-Identifier: Apache-2.0
// The environment of a container: envFrom, env, the downward API, services. Pure; any thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cri/expand.h"
#include "cri/identity.h"
#include "proto/k8s/pod.pb.h"

namespace keelson::cri {

// What an environment may refer to. An unset function is an object this node has no way to get,
// which is an error where it is referred to.
struct EnvironmentContext {
  std::vector<std::string> pod_ips;   // the one of the node's family first
  std::vector<std::string> host_ips;  // likewise
  StringMap
      allocatable;  // of the node: cpu, memory, ephemeral-storage as quantities; limits' defaults
  StringMap service_env;  // KUBERNETES_SERVICE_HOST and the like
  // Data of an object in the pod's namespace; NotFound when it does not exist.
  std::function<absl::StatusOr<StringMap>(const std::string& name)> config_map;
  std::function<absl::StatusOr<StringMap>(const std::string& name)> secret;
  // The value of a key in a file of an emptyDir (KEP-3721); NotFound when the file has no such key.
  std::function<absl::StatusOr<std::string>(const v1::FileKeySelector& selector)> file_key;
};

// In order of declaration; of equal names the last value in the place of the first. Errors become
// CreateContainerConfigError and name the object.
absl::StatusOr<std::vector<EnvVar>> MakeEnvironment(const v1::Pod& pod,
                                                    const v1::Container& container,
                                                    const EnvironmentContext& context);

// One fieldRef; of metadata.labels and .annotations only members, and everything else a container
// may know before it runs. InvalidArgument for other paths.
absl::StatusOr<std::string> FieldRefValue(const v1::Pod& pod, const v1::ObjectFieldSelector& field,
                                          const EnvironmentContext& context);

// One resourceFieldRef, divided and rounded up; limits that are not set are the pod's, else the
// node's allocatable. `container` is used unless the selector names another one of the pod.
absl::StatusOr<std::string> ResourceFieldValue(const v1::Pod& pod, const v1::Container& container,
                                               const v1::ResourceFieldSelector& field,
                                               const StringMap& allocatable);

// key="escaped value" lines in order of keys, as downward API volumes show labels and annotations.
std::string FormatMap(const StringMap& map);

}  // namespace keelson::cri
