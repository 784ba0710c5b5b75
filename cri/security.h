// SPDX-License-Identifier: Apache-2.0
// Security contexts: whose ids, namespaces, profiles and capabilities a pod and its containers get.
// Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cri/identity.h"
#include "proto/cri/api.pb.h"
#include "proto/k8s/pod.pb.h"

namespace keelson::cri {

namespace rt = ::runtime::v1;

// Host ids of a pod with hostUsers false; container id 0 is `first`.
struct UserNamespaceIds {
  uint32_t first = 0;
  uint32_t length = 0;
};

struct SecurityContext {
  std::string seccomp_root = "/var/lib/kubelet/seccomp";
  bool seccomp_default = false;                    // RuntimeDefault instead of Unconfined
  std::vector<int64_t> volume_groups;              // pv.beta.kubernetes.io/gid of the pod's volumes
  std::optional<UserNamespaceIds> user_namespace;  // of a pod with hostUsers false
  std::vector<std::string>
      masked_cpu_paths;  // existing /sys/devices/system/cpu/cpuN/thermal_throttle
};

// The user an image asks for.
struct ImageUser {
  std::optional<int64_t> uid;
  std::string name;  // when it is not a number
};
// Of an image that names none: root.
ImageUser ImageUserOf(const rt::Image& image);

// FailedPrecondition when hostUsers is false and no ids are given: such a pod never runs as the
// host's users.
absl::StatusOr<rt::NamespaceOption> PodNamespaces(const v1::Pod& pod,
                                                  const SecurityContext& context);

absl::StatusOr<rt::LinuxSandboxSecurityContext> SandboxSecurity(const v1::Pod& pod,
                                                                const SecurityContext& context);

// `target_container` is the runtime's id of the container whose processes an ephemeral container
// sees; empty for none. FailedPrecondition: runAsNonRoot does not hold. InvalidArgument: a profile
// or policy that does not exist.
absl::StatusOr<rt::LinuxContainerSecurityContext> ContainerSecurity(
    const v1::Pod& pod, const v1::Container& container, const ImageUser& image_user,
    const std::string& target_container, const SecurityContext& context);

}  // namespace keelson::cri
