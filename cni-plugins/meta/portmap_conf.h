// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cni-plugins/lib/types.h"
#include "cni-plugins/meta/conditions.h"

namespace keelson::cni {

// One entry of runtimeConfig.portMappings.
struct PortMapping {
  uint8_t protocol;  // IPPROTO_TCP, _UDP or _SCTP
  uint16_t host_port;
  uint16_t container_port;
  std::optional<Ip> host_ip;  // only traffic to this address, and so only of its family
  bool any_v4 = true;         // without an address: which families ("0.0.0.0" and "::" name one)
  bool any_v6 = true;
};

struct PortmapConf {
  std::vector<PortMapping> mappings;
  bool snat = true;             // container to itself and its network, and localhost, work
  bool masq_all = false;        // hide everybody's address from the container
  std::optional<int> mark_bit;  // also mark what will be masqueraded; only if asked for
  std::vector<Condition> conditions_v4;
  std::vector<Condition> conditions_v6;
};

// The plugin's configuration; an error names the field.
Or<PortmapConf> ParsePortmapConf(const NetConf& net);

// The container's addresses in prevResult: of each family the first that is on `ifname` inside.
std::vector<IpConfig> ContainerAddresses(const Result& result, const std::string& ifname);

}  // namespace keelson::cni
