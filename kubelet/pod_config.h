// SPDX-License-Identifier: Apache-2.0
// A pod's messages to the runtime, with what this node adds: its DNS, addresses, capacity. Loop only.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/task.h"
#include "cgroups/pod_cgroups.h"
#include "csi/volumes.h"
#include "kubelet/environment_facts.h"
#include "kubelet/plan.h"
#include "kubelet/pod.h"
#include "kubelet/pod_files.h"
#include "kubelet/pod_images.h"
#include "proto/cri/api.pb.h"

namespace keelson::kubelet {

// Everything CreateContainer depends on that is not in the spec.
struct ContainerInputs {
  uint32_t restart_count = 0;
  ImageState image;
  std::map<std::string, csi::MountedVolume> volumes;
  std::map<int, std::string> sub_paths;  // index in volumeMounts -> host path
  std::vector<std::string> pod_ips;
  EnvironmentFacts environment;
  std::string termination_log;  // host path
  std::string etc_hosts;        // host path, empty when it is not to be mounted
  bool recursive_read_only = false;  // the runtime handler can
  std::string target_container;  // runtime id: an ephemeral container shares its processes
};

class PodConfigurator {
 public:
  virtual ~PodConfigurator() = default;

  virtual absl::StatusOr<runtime::v1::PodSandboxConfig> Sandbox(const v1::Pod& pod,
                                                                uint32_t attempt) = 0;
  // FailedPrecondition and InvalidArgument become CreateContainerConfigError.
  virtual absl::StatusOr<runtime::v1::ContainerConfig> Container(const v1::Pod& pod,
                                                                 const v1::Container& container,
                                                                 const ContainerInputs& inputs) = 0;
  // The hash of a container's definition, as its annotation carries it.
  virtual std::string Hash(const v1::Container& container) const = 0;
  // Content of the managed /etc/hosts; empty when none is managed (no address yet).
  virtual std::string EtcHosts(const v1::Pod& pod, const std::vector<std::string>& pod_ips) = 0;
  // The value of subPathExpr or subPath of a mount with its variables replaced. Of the inputs only
  // addresses and environment count.
  virtual absl::StatusOr<std::string> SubPath(const v1::Pod& pod, const v1::Container& container,
                                              const v1::VolumeMount& mount,
                                              const ContainerInputs& inputs) = 0;
  virtual cgroups::QosClass Qos(const v1::Pod& pod) const = 0;
  virtual cgroups::Limits PodLimits(const v1::Pod& pod) const = 0;
  virtual std::vector<std::string> NodeIps() const = 0;
};

std::string_view QosName(cgroups::QosClass qos);

}  // namespace keelson::kubelet
