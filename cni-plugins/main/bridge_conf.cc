// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/main/bridge_conf.h"

#include <algorithm>
#include <set>

#include "cni-plugins/lib/configure.h"
#include "cni-plugins/lib/skel.h"

namespace keelson::cni {

namespace {

constexpr int kMaxVlan = 4094;

// vlanTrunk: a list of {"id": n} and {"minID": a, "maxID": b}, which may overlap.
std::vector<int> ReadTrunk(const Reader& trunk) {
  std::set<int> vlans;
  for (const Reader& item : trunk.Items()) {
    const Reader min = item["minID"], max = item["maxID"], id = item["id"];
    if (min.given() != max.given()) {
      item.Fail("minID and maxID should be configured simultaneously");
    }
    if (min.given() && max.given()) {
      const int64_t first = min.Int(1, 1, kMaxVlan), last = max.Int(1, 1, kMaxVlan);
      if (last < first) item.Fail("minID is greater than maxID");
      for (int64_t v = first; v <= last; ++v) vlans.insert(static_cast<int>(v));
    }
    if (id.given()) vlans.insert(static_cast<int>(id.Int(1, 1, kMaxVlan)));
  }
  return {vlans.begin(), vlans.end()};
}

void CheckCombination(const BridgeConf& conf, const Request& request, const Reader& r) {
  if (!request.conf.ipam_type.empty() && conf.disable_container_interface) {
    r["disableContainerInterface"].Fail("cannot be used together with IPAM");
  }
  if (conf.hairpin && conf.promisc) {
    r["hairpinMode"].Fail("cannot be set together with promiscMode");
  }
  if (Status s = CheckIfName(conf.bridge); !s.ok()) r["bridge"].Fail(s.message());
  if (conf.vlan != 0 && conf.is_gateway && !CheckIfName(VlanDeviceName(conf)).ok()) {
    r["bridge"].Fail("the VLAN's device would be called \"" + VlanDeviceName(conf) +
                     "\", which is longer than 15 characters");
  }
  CheckMasqBackend(r["ipMasqBackend"]);
}

}  // namespace

std::string VlanDeviceName(const BridgeConf& conf) {
  return conf.bridge + "." + std::to_string(conf.vlan);
}

Or<BridgeConf> ParseBridgeConf(const Request& request) {
  Status error;
  const Reader r = request.conf.Read(&error);
  BridgeConf c;
  c.bridge = r["bridge"].String(c.bridge);
  c.is_default_gateway = r["isDefaultGateway"].Bool();
  c.is_gateway = r["isGateway"].Bool() || c.is_default_gateway;
  c.force_address = r["forceAddress"].Bool();
  c.ip_masq = r["ipMasq"].Bool();
  c.mtu = static_cast<int>(r["mtu"].Int(0, 0, 65535));
  c.hairpin = r["hairpinMode"].Bool();
  c.promisc = r["promiscMode"].Bool();
  c.vlan = static_cast<int>(r["vlan"].Int(0, 0, kMaxVlan));
  c.trunk = ReadTrunk(r["vlanTrunk"]);
  c.vlan_filtering = c.vlan != 0 || r["vlanTrunk"].given();
  c.preserve_default_vlan = r["preserveDefaultVlan"].Bool();
  c.mac_spoof_check = r["macspoofchk"].Bool();
  c.port_isolation = r["portIsolation"].Bool();
  c.disable_container_interface = r["disableContainerInterface"].Bool();
  c.enable_dad = r["enabledad"].Bool();
  CheckCombination(c, request, r);
  CNI_TRY(error);
  CNI_LET(c.mac, RequestedMac(request));
  return c;
}

namespace {

bool IsDefault(const Cidr& dst) { return dst.prefix == 0 && dst.ip.IsZero(); }

}  // namespace

BridgePlan PlanGateways(const BridgeConf& conf, const Result& ipam, int container_index) {
  BridgePlan plan;
  plan.result.ips = ipam.ips;
  plan.result.routes = ipam.routes;
  plan.result.dns = ipam.dns;
  bool has_default[2] = {false, false};
  for (IpConfig& ip : plan.result.ips) {
    ip.interface = container_index;
    const bool v4 = ip.address.ip.v4();
    if (!ip.gateway && conf.is_gateway) ip.gateway = ip.address.Network().Next();
    bool& found = has_default[v4];
    if (conf.is_default_gateway && !found) {
      found = std::ranges::any_of(plan.result.routes, [&](const Route& r) {
        return r.gw && r.dst.ip.v4() == v4 && IsDefault(r.dst);
      });
      if (!found) {
        Route route;
        route.dst = {v4 ? Ip() : ip.address.ip.Masked(0), 0};
        route.gw = ip.gateway;
        plan.result.routes.push_back(route);
        found = true;
      }
    }
    if (conf.is_gateway) plan.gateways.push_back({*ip.gateway, ip.address.prefix});
  }
  std::ranges::stable_partition(plan.gateways, [](const Cidr& c) { return c.ip.v4(); });
  return plan;
}

AddressPlan PlanAddress(const std::vector<Cidr>& now, const Cidr& want, bool force) {
  AddressPlan plan;
  for (const Cidr& have : now) {
    if (have.ip.v4() != want.ip.v4()) continue;
    if (have == want) {
      plan = {};
      plan.present = true;
      return plan;
    }
    // IPv6 networks that do not overlap can live on one bridge; IPv4 has one address.
    if (!have.ip.v4() && !have.Contains(want.ip) && !want.Contains(have.ip)) continue;
    if (force)
      plan.remove.push_back(have);
    else if (!plan.conflict)
      plan.conflict = have;
  }
  return plan;
}

}  // namespace keelson::cni
