// SPDX-License-Identifier: Apache-2.0
// The node's own addresses. Blocking: getifaddrs(3), /proc.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace keelson::kubelet {

// One address, or one per family with the preferred first. `node_ip` is --node-ip: an address, "v4,v6",
// or 0.0.0.0 / :: to prefer a family. Otherwise the address of the interface with the default route,
// else the first that is neither loopback nor link-local. Empty when the node has none.
std::vector<std::string> NodeAddresses(const std::string& node_ip);

// Interface of the IPv4 default route in the text of /proc/net/route; empty when there is none. Pure.
std::string DefaultRouteInterface(std::string_view proc_net_route);

}  // namespace keelson::kubelet
