// SPDX-License-Identifier: Apache-2.0
// What pods and containers are called in the runtime and on disk: labels, annotations, the
// definition hash, log files. A Go kubelet's containers carry the same, so either agent adopts the
// other's. Pure; any thread.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "proto/k8s/pod.pb.h"

namespace keelson::cri {

namespace v1 = ::k8s::v1;

inline constexpr char kPodNameLabel[] = "io.kubernetes.pod.name";
inline constexpr char kPodNamespaceLabel[] = "io.kubernetes.pod.namespace";
inline constexpr char kPodUidLabel[] = "io.kubernetes.pod.uid";
inline constexpr char kContainerNameLabel[] = "io.kubernetes.container.name";

inline constexpr char kHashAnnotation[] = "io.kubernetes.container.hash";
inline constexpr char kRestartCountAnnotation[] = "io.kubernetes.container.restartCount";
inline constexpr char kTerminationPathAnnotation[] =
    "io.kubernetes.container.terminationMessagePath";
inline constexpr char kTerminationPolicyAnnotation[] =
    "io.kubernetes.container.terminationMessagePolicy";
inline constexpr char kPreStopAnnotation[] = "io.kubernetes.container.preStopHandler";
inline constexpr char kPortsAnnotation[] = "io.kubernetes.container.ports";
inline constexpr char kDeletionGraceAnnotation[] = "io.kubernetes.pod.deletionGracePeriod";
inline constexpr char kTerminationGraceAnnotation[] = "io.kubernetes.pod.terminationGracePeriod";

// name_namespace(uid), as messages name pods.
std::string PodDescription(const v1::Pod& pod);

// Lower hex of upstream's hash over {image, name}: another value means another definition.
std::string ContainerHash(const v1::Container& container);

using StringMap = std::map<std::string, std::string>;
StringMap PodLabels(const v1::Pod& pod);
StringMap ContainerLabels(const v1::Pod& pod, const v1::Container& container);
// InvalidArgument when a hook or port cannot be written as JSON.
absl::StatusOr<StringMap> ContainerAnnotations(const v1::Pod& pod, const v1::Container& container,
                                               uint32_t restart_count);

// <root>/<namespace>_<name>_<uid>
std::string PodLogDirectory(std::string_view root, const v1::Pod& pod);
// <container>/<restart count>.log, below the pod's log directory.
std::string ContainerLogPath(std::string_view container, uint32_t restart_count);
// The name of a container's link in /var/log/containers; cut to the 255 bytes a name may have.
std::string ContainerLogLink(std::string_view pod, std::string_view ns, std::string_view container,
                             std::string_view id);

// An ephemeral container's definition as that of a container (the fields are the same).
v1::Container AsContainer(const v1::EphemeralContainerCommon& common);

}  // namespace keelson::cri
