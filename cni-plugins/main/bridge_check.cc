// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/main/bridge_check.h"

#include <linux/if.h>
#include <sys/socket.h>

#include <algorithm>

#include "cni-plugins/lib/configure.h"
#include "cni-plugins/lib/device.h"

namespace keelson::cni {

namespace {

Status CheckBridgeDevice(Rtnl& host, const BridgeConf& conf, const Result& previous, Link* out) {
  const auto want = std::ranges::find(previous.interfaces, conf.bridge, &Interface::name);
  if (want == previous.interfaces.end()) {
    return Status::Invalid("prevResult.interfaces: bridge " + conf.bridge + " missing");
  }
  CNI_LET(*out, host.ByName(conf.bridge));
  if (out->kind != "bridge") return Status::Internal(conf.bridge + " is not a bridge");
  if (!want->mac.empty() && want->mac != out->mac.ToString()) {
    return Status::Internal("bridge " + conf.bridge + " has address " + out->mac.ToString() +
                            ", not " + want->mac);
  }
  const bool promisc = (out->flags & IFF_PROMISC) != 0 || out->promiscuity > 0;
  if (promisc == conf.promisc) return {};
  return Status::Internal("bridge " + conf.bridge + ": promiscuous mode is " +
                          (promisc ? "on" : "off") + ", not as configured");
}

// The port is whatever host device of prevResult pairs with the container's end and is on the
// bridge.
Or<Link> FindPort(Rtnl& host, const Link& bridge, const Link& inside, const Result& previous) {
  for (const Interface& i : previous.interfaces) {
    if (!i.sandbox.empty() || i.name == bridge.name) continue;
    Or<Link> port = host.ByName(i.name);
    if (!port.ok() || port->index != inside.parent || port->parent != inside.index) continue;
    if (port->master != bridge.index) {
      return Status::Internal("interface " + i.name + " is not a port of bridge " + bridge.name);
    }
    if (!i.mac.empty() && i.mac != port->mac.ToString()) {
      return Status::Internal("interface " + i.name + " has address " + port->mac.ToString() +
                              ", not " + i.mac);
    }
    return port;
  }
  return Status::Internal("no interface of prevResult connects the container to bridge " +
                          bridge.name);
}

Status CheckPortOptions(Rtnl& host, const Link& port, const BridgeConf& conf) {
  const auto differs = [&](const char* option, std::optional<bool> now, bool want) {
    if (now.value_or(want) == want) return Status();
    return Status::Internal("port " + port.name + ": " + option + " is " + (want ? "off" : "on") +
                            ", not as configured");
  };
  CNI_TRY(differs("hairpinMode", port.port_hairpin, conf.hairpin));
  CNI_TRY(differs("portIsolation", port.port_isolated, conf.port_isolation));
  std::vector<int> want = conf.trunk;
  if (conf.vlan != 0) want.push_back(conf.vlan);
  if (want.empty()) return {};
  CNI_LET(const std::vector<int> now, host.PortVlans(port.index));
  for (const int vlan : want) {
    if (std::ranges::find(now, vlan) == now.end()) {
      return Status::Internal("port " + port.name + " is not in VLAN " + std::to_string(vlan));
    }
  }
  return {};
}

Status CheckGateways(Rtnl& host, const BridgeConf& conf, const Result& previous) {
  if (!conf.is_gateway || previous.ips.empty()) return {};
  CNI_LET(const Link device, host.ByName(conf.vlan != 0 ? VlanDeviceName(conf) : conf.bridge));
  CNI_LET(const std::vector<Address> addresses, host.Addresses(device.index, AF_UNSPEC));
  for (const IpConfig& ip : previous.ips) {
    if (!ip.gateway) continue;
    const Cidr want{*ip.gateway, ip.address.prefix};
    if (std::ranges::find(addresses, want, &Address::cidr) == addresses.end()) {
      return Status::Internal("gateway " + want.ToString() + " is not on " + device.name);
    }
  }
  return {};
}

}  // namespace

Status CheckBridge(const Request& request, const BridgeConf& conf) {
  const Result& previous = *request.conf.prev_result;
  CNI_LET(Ends ends, Ends::Open(request.args.netns));
  Link bridge;
  CNI_TRY(CheckBridgeDevice(ends.host, conf, previous, &bridge));
  CNI_LET(const Link inside, CheckPrevInterface(request, ends.container, "veth"));
  CNI_LET(const Link port, FindPort(ends.host, bridge, inside, previous));
  CNI_TRY(CheckPortOptions(ends.host, port, conf));
  CNI_TRY(CheckGateways(ends.host, conf, previous));
  if (conf.disable_container_interface) return {};
  return CheckAddressesAndRoutes(ends.container, request.args.ifname, previous);
}

}  // namespace keelson::cni
