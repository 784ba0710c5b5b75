// SPDX-License-Identifier: Apache-2.0
// The real PodConfigurator: cri/'s mapping with this node's facts and settings. Loop only; reads
// resolv.conf and the node's hosts file when a pod needs them, so that changes there are followed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cri/pod_config.h"
#include "kubelet/event_recorder.h"
#include "kubelet/pod_config.h"
#include "kubelet/pod_files.h"
#include "kubelet/resources.h"

namespace keelson::kubelet {

struct NodeConfigOptions {
  PodPaths paths;
  std::string resolv_conf = "/etc/resolv.conf";  // empty: the host's is not used
  std::vector<std::string> cluster_dns;
  std::string cluster_domain;
  std::vector<std::string> node_ips;
  cri::NodeResources resources;
  cri::SecurityContext security;
  CfsOptions cfs;
  std::map<std::string, std::string> allocatable;  // quantities, for resourceFieldRef
};

std::unique_ptr<PodConfigurator> MakeNodeConfig(cgroups::PodCgroups& cgroups,
                                                EventRecorder& events, NodeConfigOptions options);

}  // namespace keelson::kubelet
