// SPDX-License-Identifier: Apache-2.0
#pragma once

// Port mappings as nftables objects. Pure: the kernel is portmap.cc's business.
//
// Table inet keelson_hostport:
//   prerouting, output (nat)   destination is this node -> chain hostports
//   hostports                  (protocol, port) and (address, protocol, port) -> container: two
//   maps postrouting (nat)          connections that must come back through this node are
//   masqueraded guard (before everything)  127.0.0.0/8 and ::1 from outside are dropped local_out,
//   local_in        127.0.0.1:port of the node itself, without route_localnet
//
// localhost. A packet from 127.0.0.1 to 127.0.0.1:port becomes one to the container; the kernel
// refuses to route it, a loopback source does not leave the node. Upstream switches that check off
// for the bridge (route_localnet), which opens the node's loopback services to every neighbour on
// the link (CVE-2020-8558). Here the source is replaced by the node's address towards the container
// before connection tracking sees the packet, and put back after it has seen the answer.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cni-plugins/lib/conntrack.h"
#include "cni-plugins/lib/owned_table.h"
#include "cni-plugins/meta/portmap_conf.h"

namespace keelson::cni {

const TableLayout& HostportTable();

// Where mappings lead: one address of the container and the node's own address on the way there
// (nullopt: no such address, so localhost is not served).
struct MappingTarget {
  Cidr address;
  std::optional<Ip> node_address;
};

// Everything `conf` asks for towards `targets` (at most one of each family).
OwnedElements HostportElements(const PortmapConf& conf, std::span<const MappingTarget> targets);

// The UDP ports among elements of the table.
std::vector<UdpService> UdpServices(std::span<const nft::Element> elements);

}  // namespace keelson::cni
