// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cni-plugins/lib/types.h"

namespace keelson::cni {

// The bridge plugin's configuration; names and meaning are those of the Go plugin.
struct BridgeConf {
  std::string bridge = "cni0";
  bool is_gateway = false;  // also when is_default_gateway
  bool is_default_gateway = false;
  bool force_address = false;
  bool ip_masq = false;
  int mtu = 0;  // 0: the kernel's choice
  bool hairpin = false;
  bool promisc = false;
  int vlan = 0;                 // 0: none
  std::vector<int> trunk;       // sorted, each once
  bool vlan_filtering = false;  // vlan or vlanTrunk was given
  bool preserve_default_vlan = false;
  bool mac_spoof_check = false;
  bool port_isolation = false;
  bool disable_container_interface = false;
  bool enable_dad = false;
  std::optional<Mac> mac;  // for the container's end
};

// Decodes and checks. Pure. kInvalidConfig names the field.
Or<BridgeConf> ParseBridgeConf(const Request& request);

// <bridge>.<vlan>: the host's own leg in the containers' VLAN.
std::string VlanDeviceName(const BridgeConf& conf);

// An address the bridge (or its VLAN device) needs as gateway of a container's network.
struct BridgePlan {
  Result result;               // with gateways and default routes filled in
  std::vector<Cidr> gateways;  // IPv4 before IPv6; empty unless is_gateway
};

// Completes what IPAM answered: each address belongs to interface `container_index`; a missing
// gateway is the network's first address; isDefaultGateway adds one default route for each family
// that has none. Pure.
BridgePlan PlanGateways(const BridgeConf& conf, const Result& ipam, int container_index);

// What to do with the addresses a bridge has so that it has `want`, too (pure).
struct AddressPlan {
  bool present = false;          // nothing to do
  std::vector<Cidr> remove;      // first, with forceAddress
  std::optional<Cidr> conflict;  // without forceAddress: an error
};
AddressPlan PlanAddress(const std::vector<Cidr>& now, const Cidr& want, bool force);

}  // namespace keelson::cni
