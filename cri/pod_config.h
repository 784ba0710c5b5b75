// SPDX-License-Identifier: Apache-2.0
// A pod and its containers as the runtime is asked for them (docs/cri.md). What is not in the spec
// (addresses, paths on this host, what volumes and managers decided) comes as plain values.
// Pure; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cri/expand.h"
#include "cri/identity.h"
#include "cri/resources.h"
#include "cri/security.h"
#include "proto/cri/api.pb.h"
#include "proto/k8s/pod.pb.h"

namespace keelson::cri {

struct SandboxInputs {
  uint32_t attempt = 0;
  std::string hostname;       // KernelHostname()
  std::string log_directory;  // PodLogDirectory()
  std::string cgroup_parent;  // in the driver's syntax
  rt::DNSConfig dns;          // MakePodDns()
};

absl::StatusOr<rt::PodSandboxConfig> MakeSandboxConfig(const v1::Pod& pod,
                                                       const SandboxInputs& inputs,
                                                       const SecurityContext& security,
                                                       const NodeResources& node);

// One volume of the pod, ready on this host.
struct HostVolume {
  std::string host_path{};  // unused for images
  bool read_only = false;   // whatever the mount says
  bool selinux_relabel = false;
  std::optional<rt::ImageSpec> image{};  // an image volume: the runtime mounts it
};

// What device managers add to a container.
struct ExtraDevices {
  std::vector<rt::Mount> mounts;
  std::vector<rt::Device> devices;
  std::vector<std::string> cdi_devices;
  StringMap annotations;  // ours win over theirs
};

struct ContainerInputs {
  uint32_t restart_count = 0;
  std::string image_ref;  // what the image's presence check or pull returned
  ImageUser image_user;
  std::vector<EnvVar> env;                    // MakeEnvironment()
  std::map<std::string, HostVolume> volumes;  // by volume name
  std::map<int, std::string> sub_paths;       // index in volumeMounts -> host path, for those that
                                              // have a sub path and are not images
  std::string etc_hosts;                      // host path of the managed file; empty: not mounted
  std::string termination_log;                // host path; empty: not mounted
  bool recursive_read_only = false;           // the runtime handler can
  std::string target_container;               // of an ephemeral container: runtime id
  ContainerResourceInputs resources;
  ExtraDevices extra;
};

// Errors are those of a spec that cannot be carried out: CreateContainerConfigError.
absl::StatusOr<rt::ContainerConfig> MakeContainerConfig(const v1::Pod& pod,
                                                        const v1::Container& container,
                                                        const ContainerInputs& inputs,
                                                        const SecurityContext& security,
                                                        const NodeResources& node);

// A mount's subPath or subPathExpr with variables replaced; empty when it has none. InvalidArgument
// when it is absolute or has a "..".
absl::StatusOr<std::string> SubPathOf(const v1::VolumeMount& mount, const std::vector<EnvVar>& env);

}  // namespace keelson::cri
