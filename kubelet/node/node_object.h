// SPDX-License-Identifier: Apache-2.0
// The Node object as this node writes it: what is said once at registration, and the status that is
// said again and again. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "kubelet/node/node_facts.h"
#include "proto/k8s/node.pb.h"

namespace keelson::kubelet {

// Conditions and other facts of one moment.
struct NodeState {
  std::vector<std::string> problems;  // empty: Ready. In the order of upstream's checks
  std::string soft_problem;           // does not make the node unready
  bool memory_pressure = false;
  bool disk_pressure = false;
  bool pid_pressure = false;
  std::vector<k8s::v1::ContainerImage> images;
  std::vector<k8s::v1::NodeRuntimeHandler> runtime_handlers;
  bool has_features = false;  // the runtime said which it has (CRI StatusResponse.features)
  bool supplemental_groups_policy = false;
  std::vector<std::string> volumes_in_use;
  std::vector<std::string> node_ips;  // as they are now; empty: as in the settings
};

struct NodeSettings {
  std::string name;      // metadata.name
  std::string hostname;  // label kubernetes.io/hostname
  std::map<std::string, std::string> labels;  // --node-labels
  std::vector<k8s::v1::Taint> taints;         // registerWithTaints
  std::string provider_id;
  bool external_cloud = false;
  bool controller_attach_detach = true;
  std::vector<std::string> node_ips;  // one, or one per family
  bool node_ip_given = false;         // --node-ip was set
  int32_t port = 10250;
  NodeResources capacity;
  std::map<std::string, std::string> kube_reserved;    // resource -> quantity
  std::map<std::string, std::string> system_reserved;
  std::map<std::string, std::string> eviction_hard;    // signal -> quantity or percent
  k8s::v1::NodeSystemInfo info;  // with containerRuntimeVersion and kubeletVersion
  int max_images = 50;           // nodeStatusMaxImages; negative: all
};

// capacity - kubeReserved - systemReserved - evictionHard (memory.available and nodefs.available),
// never below zero; memory also without all huge pages. InvalidArgument names a quantity that is
// none.
absl::StatusOr<std::map<std::string, std::string>> Allocatable(const NodeSettings& settings);
std::map<std::string, std::string> CapacityOf(const NodeResources& resources);

// For POST: name, labels, taints, annotations, spec and a first status.
absl::StatusOr<k8s::v1::Node> NewNode(const NodeSettings& settings, const NodeState& state,
                                      base::WallTime now);
// What a node that was registered before gets: default labels, the annotation, our resources.
// `existing` comes from the server; what others wrote stays.
k8s::v1::Node Reconciled(const NodeSettings& settings, const k8s::v1::Node& existing);

// `previous` is the status on the server: conditions of others, volumesAttached and, with an
// external cloud provider, addresses are carried on; a condition whose status is unchanged keeps
// its lastTransitionTime.
absl::StatusOr<k8s::v1::NodeStatus> MakeNodeStatus(const NodeSettings& settings,
                                                   const NodeState& state, base::WallTime now,
                                                   const k8s::v1::NodeStatus& previous);
// Whether anything but heartbeat times differs.
bool NodeStatusDiffers(const k8s::v1::NodeStatus& a, const k8s::v1::NodeStatus& b);

// Largest first, at most `max`; up to five names each, digests before tags.
std::vector<k8s::v1::ContainerImage> ImagesToReport(std::vector<k8s::v1::ContainerImage> images,
                                                    int max);

}  // namespace keelson::kubelet
