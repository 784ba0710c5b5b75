// SPDX-License-Identifier: Apache-2.0
// What the operator's options mean for each part of the agent. No state; some look at the machine
// where their comment says so.
#pragma once

#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "cri/grpc_runtime.h"
#include "kubelet/admission.h"
#include "kubelet/node/node_object.h"
#include "kubelet/node_config.h"
#include "kubelet/node_images.h"
#include "kubelet/options/options.h"
#include "kubelet/pod_files.h"
#include "kubelet/pod_services.h"
#include "kubelet/pull_records.h"
#include "kubelet/server/kubelet_server.h"
#include "kubelet/server/local_api.h"

namespace keelson::kubelet {

base::Nanos DurationOf(const k8s::meta::v1::Duration& duration);
// Of the operating system or --hostname-override, lower-case.
std::string NodeName(const KubeletOptions& options);

cri::GrpcRuntimeOptions RuntimeOf(const KubeletOptions& o);
cri::ImagePullOptions PullOf(const KubeletOptions& o);
PullPolicy PullPolicyOf(const KubeletOptions& o);
PodPaths PathsOf(const KubeletOptions& o);
KubeletServerOptions ServerOf(const KubeletOptions& o, const std::string& node);
LocalApiOptions LocalApiOf(const KubeletOptions& o);
WorkerOptions WorkerOf(const KubeletOptions& o);
std::set<PodSource> StaticSourcesOf(const KubeletOptions& o);
std::set<PodSource> SourcesOf(const KubeletOptions& o);
// Of the working directory and HOME too.
cri::NodeKeyring::Places KeyringPlaces(const KubeletOptions& o);
// InvalidArgument: the reservations leave nothing for pods.
absl::StatusOr<NodeAllocatable> AllocatableOf(const KubeletOptions& o,
                                              const NodeCapacity& capacity);
// `v2`: the machine's cgroups. Reads the node's addresses, huge pages and masked paths.
NodeConfigOptions NodeConfigOf(const KubeletOptions& o, const NodeCapacity& capacity,
                               const NodeAllocatable& allocatable, bool v2);
// What the Node object says that does not change while the agent runs. Reads /proc, /sys, /etc.
NodeSettings NodeSettingsOf(const KubeletOptions& o, const std::string& node,
                            const NodeCapacity& capacity, const std::string& runtime_version);

}  // namespace keelson::kubelet
