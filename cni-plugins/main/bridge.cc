// SPDX-License-Identifier: Apache-2.0
// bridge: a veth pair between the container and a Linux bridge on the host.

#include <linux/if.h>
#include <linux/if_link.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "cni-plugins/lib/configure.h"
#include "cni-plugins/lib/ipam.h"
#include "cni-plugins/lib/masq.h"
#include "cni-plugins/lib/undo.h"
#include "cni-plugins/main/bridge_check.h"
#include "cni-plugins/main/bridge_conf.h"
#include "cni-plugins/registry.h"

namespace keelson::cni {

namespace {

constexpr int kPortUpTimeoutMs = 2550;  // what the Go plugin's ladder of retries adds up to
constexpr int kContainerIndex = 2;      // in the result: bridge, host end, container end

// A locally administered unicast address.
Mac RandomMac() {
  Mac mac;
  while (::getrandom(mac.bytes.data(), mac.bytes.size(), 0) != 6) {
  }
  mac.bytes[0] = static_cast<uint8_t>((mac.bytes[0] & 0xfe) | 0x02);
  return mac;
}

// One ADD in the making. Host and container are reached through a socket each.
class Attach {
 public:
  Attach(const Request& request, BridgeConf conf, const NetNs& ns, Rtnl host, Rtnl container)
      : request_(request),
        conf_(std::move(conf)),
        ns_(ns),
        host_(std::move(host)),
        container_(std::move(container)) {}

  Or<Result> Run() {
    const bool layer3 = !request_.conf.ipam_type.empty();
    CNI_TRY(CheckNameIsFree(container_, request_.args.ifname));
    const bool ask_first = layer3 && !IpamNeedsLink(request_);
    if (ask_first) CNI_TRY(AskIpam());
    CNI_TRY(EnsureBridge());
    CNI_TRY(MakePort());
    if (layer3 && !ask_first) CNI_TRY(AskIpam());
    if (layer3)
      CNI_TRY(ConfigureLayer3());
    else if (!conf_.disable_container_interface)
      CNI_TRY(BringContainerUp());
    CNI_TRY(Finish());
    undo_.Keep();
    return result_;
  }

 private:
  Status AskIpam() {
    CNI_LET(Result ipam, IpamAdd(request_));
    undo_.Push("release address", [this] { return IpamDel(request_); });
    if (ipam.ips.empty()) return Status::Internal("IPAM plugin returned missing IP config");
    plan_ = PlanGateways(conf_, ipam, kContainerIndex);
    return {};
  }

  Status EnsureBridge() {
    const std::string what = "failed to create bridge \"" + conf_.bridge + "\"";
    Or<Link> found = host_.ByName(conf_.bridge);
    if (!found.ok() && Rtnl::IsMissing(found.status())) {
      CNI_TRY(MakeBridge().Within(what));
      found = host_.ByName(conf_.bridge);
    }
    if (!found.ok()) return found.status().Within(what);
    if (found->kind != "bridge") {
      return Status::Invalid("bridge: \"" + conf_.bridge + "\" already exists but is not a bridge");
    }
    bridge_ = *found;
    LinkChange change;
    if (!bridge_.up()) change.up = true;
    if (conf_.promisc && !(bridge_.flags & IFF_PROMISC)) change.promisc = true;
    if (change.up) RefuseRouterAdvertisements(conf_.bridge);
    if (!change.up && !change.promisc) return {};
    return host_.Change(bridge_.index, change).Within(what);
  }

  // With an address of its own choice: a bridge without one takes the lowest of its ports', and the
  // containers' neighbour tables would go stale whenever ports come and go.
  Status MakeBridge() {
    LinkSpec spec;
    spec.name = conf_.bridge;
    spec.kind = "bridge";
    spec.mtu = conf_.mtu;
    spec.mac = RandomMac();
    if (conf_.vlan_filtering) {
      spec.info = [](Message& m) { m.U8(IFLA_BR_VLAN_FILTERING, 1); };
    }
    Status s = host_.Make(spec);
    return s.sys_errno() == EEXIST ? Status() : s;  // somebody was faster
  }

  Status MakePort() {
    LinkSpec peer;
    peer.name = request_.args.ifname;
    peer.mac = conf_.mac;
    peer.mtu = conf_.mtu;
    peer.netns = &ns_;
    CNI_LET(port_, MakePortTo(peer));
    result_.interfaces.push_back({conf_.bridge, bridge_.mac.ToString(), 0, "", "", ""});
    result_.interfaces.push_back({port_.name, port_.mac.ToString(), 0, "", "", ""});
    CNI_LET(const Link inside, container_.ByName(request_.args.ifname));
    result_.interfaces.push_back(
        {inside.name, inside.mac.ToString(), 0, request_.args.netns, "", ""});
    inside_ = inside;
    if (conf_.hairpin || conf_.port_isolation) {
      CNI_TRY(host_.SetPort(port_.index, conf_.hairpin, conf_.port_isolation));
    }
    CNI_TRY(TagPort(port_.index, conf_.trunk));
    if (!conf_.mac_spoof_check) return {};
    const Args& a = request_.args;
    undo_.Push("remove MAC spoof check", [this] {
      const Args& a = request_.args;
      return SpoofCheckDel(request_.conf.name, a.container_id, a.ifname);
    });
    return SpoofCheckAdd(request_.conf.name, port_.name, inside.mac, a.container_id, a.ifname);
  }

  // A veth whose near end is an enabled port of the bridge.
  Or<Link> MakePortTo(const LinkSpec& far) {
    LinkSpec near;
    near.mtu = far.mtu;
    near.master = bridge_.index;
    near.up = true;
    CNI_LET(const Link port, MakeVethPair(host_, near, far));
    undo_.Push("delete " + port.name, [this, index = port.index] { return host_.Delete(index); });
    return port;
  }

  Status TagPort(int port, const std::vector<int>& trunk) {
    if (conf_.vlan == 0 && trunk.empty()) return {};
    if (!conf_.preserve_default_vlan) {
      CNI_LET(const std::vector<int> old, host_.PortVlans(port));
      for (const int v : old) CNI_TRY(host_.PortVlan(port, false, v, v, false, false, false));
    }
    if (conf_.vlan != 0) {
      CNI_TRY(host_.PortVlan(port, true, conf_.vlan, conf_.vlan, true, true, false));
    }
    for (size_t i = 0; i < trunk.size();) {  // one request for each run of neighbours
      size_t end = i + 1;
      while (end < trunk.size() && trunk[end] == trunk[end - 1] + 1) ++end;
      CNI_TRY(host_.PortVlan(port, true, trunk[i], trunk[end - 1], false, false, false));
      i = end;
    }
    // Older configurations name no vlan; untagged frames of a trunk then belong to VLAN 1.
    if (conf_.vlan == 0) CNI_TRY(host_.PortVlan(port, true, 1, 1, true, true, false));
    return {};
  }

  Status ConfigureLayer3() {
    result_.ips = plan_.result.ips;
    result_.routes = plan_.result.routes;
    result_.dns = plan_.result.dns;
    CNI_TRY(ns_.Run([this] {
      TuneContainer();
      return ConfigureInterface(container_, request_.args.ifname, result_);
    }));
    CNI_TRY(ServeAsGateway());
    if (!conf_.ip_masq) return {};
    undo_.Push("remove masquerading", [this] {
      const Args& a = request_.args;
      return MasqueradeDel(request_.conf.name, a.container_id, a.ifname);
    });
    const Args& a = request_.args;
    return MasqueradeAdd(request_.conf.name, a.container_id, a.ifname, AddressesOf(result_));
  }

  // Addresses are handed out by IPAM, so nobody else has them: duplicate detection only delays. A
  // kernel without IPv6 lacks the first two, which is fine.
  void TuneContainer() {
    const std::string v6 = "net/ipv6/conf/" + request_.args.ifname + "/";
    Status ignored;
    if (conf_.enable_dad) ignored = WriteSysctl(v6 + "enhanced_dad", "1");
    ignored = WriteSysctl(v6 + "accept_dad", conf_.enable_dad ? "1" : "0");
    ignored = WriteSysctl("net/ipv4/conf/" + request_.args.ifname + "/arp_notify", "1");
  }

  Status ServeAsGateway() {
    if (plan_.gateways.empty()) return {};
    Link device = bridge_;
    if (conf_.vlan != 0) {
      CNI_LET(device, EnsureVlanDevice());
      result_.interfaces.push_back({device.name, device.mac.ToString(), 0, "", "", ""});
    }
    for (const Cidr& gateway : plan_.gateways) {
      CNI_TRY(EnsureAddress(device, gateway).Within("failed to set bridge addr"));
      CNI_TRY(EnableForwarding(gateway.ip).Within("failed to enable forwarding"));
    }
    return {};
  }

  // <bridge>.<vlan>: the host's own leg in the VLAN, a veth whose far end is a port tagged like the
  // containers'. Stays when the container goes, as the bridge does.
  Or<Link> EnsureVlanDevice() {
    const std::string name = VlanDeviceName(conf_);
    Or<Link> found = host_.ByName(name);
    if (!found.ok() && !Rtnl::IsMissing(found.status())) return found.status();
    if (!found.ok()) {
      LinkSpec leg;
      leg.name = name;
      leg.mtu = bridge_.mtu;
      Or<Link> port = MakePortTo(leg);
      Status made = port.ok() ? TagPort(port->index, {}) : port.status();
      if (made.sys_errno() != EEXIST) CNI_TRY(made.Within("vlan gateway " + name));
      found = host_.ByName(name);  // ours, or that of somebody who was faster
    }
    if (found.ok() && !found->up()) CNI_TRY(host_.Change(found->index, {.up = true}));
    return found;
  }

  Status EnsureAddress(const Link& device, const Cidr& want) {
    CNI_LET(const std::vector<Address> addresses, host_.Addresses(device.index, want.ip.family()));
    std::vector<Cidr> now;
    for (const Address& a : addresses) now.push_back(a.cidr);
    const AddressPlan plan = PlanAddress(now, want, conf_.force_address);
    if (plan.present) return {};
    if (plan.conflict) {
      return Status::Internal("\"" + device.name + "\" already has an IP address different from " +
                              want.ToString() + ": " + plan.conflict->ToString());
    }
    for (const Cidr& old : plan.remove) CNI_TRY(host_.DeleteAddress(device.index, old));
    Status s = host_.AddAddress(device.index, want);
    if (!s.ok() && s.sys_errno() != EEXIST) return s;
    // Pins the address of a bridge that somebody else made without choosing one.
    return host_.Change(device.index, {.mac = device.mac});
  }

  Status BringContainerUp() { return container_.Change(inside_.index, {.up = true}); }

  Status Finish() {
    if (!conf_.disable_container_interface) {
      CNI_TRY(host_.WaitForUp(port_.index, kPortUpTimeoutMs).Within("bridge port in error state"));
    }
    // Addresses may have changed since: the first port of a foreign bridge names it.
    CNI_LET(const Link port, host_.ByIndex(port_.index));
    CNI_LET(const Link bridge, host_.ByName(conf_.bridge));
    if (port.master != bridge.index) {
      return Status(Code::kTryAgainLater, "bridge " + conf_.bridge + " was replaced meanwhile");
    }
    result_.interfaces[0].mac = bridge.mac.ToString();
    result_.interfaces[1].mac = port.mac.ToString();
    if (!request_.conf.dns.empty()) result_.dns = request_.conf.dns;
    return {};
  }

  const Request& request_;
  const BridgeConf conf_;
  const NetNs& ns_;
  Rtnl host_;
  Rtnl container_;
  Link bridge_;  // once EnsureBridge() is through
  Link port_;    // the container's port, once MakePort() is through
  Link inside_;
  BridgePlan plan_;
  Result result_;
  Undo undo_;  // last: its steps use the members above
};

class Bridge final : public Plugin {
 public:
  Status Validate(const Request& request) override {
    CNI_TRY(ParseBridgeConf(request).status());
    return request.conf.ipam_type.empty() ? Status() : IpamValidate(request);
  }

  Or<Result> Add(const Request& request) override {
    CNI_LET(const BridgeConf conf, ParseBridgeConf(request));
    CNI_LET(const NetNs ns, NetNs::Open(request.args.netns));
    CNI_LET(Rtnl host, Rtnl::Open());
    CNI_LET(Rtnl container, Rtnl::OpenIn(ns));
    return Attach(request, conf, ns, std::move(host), std::move(container)).Run();
  }

  // Every step is tried; the first error is told.
  Status Del(const Request& request) override {
    CNI_LET(const BridgeConf conf, ParseBridgeConf(request));
    const Args& a = request.args;
    Status first = DeleteContainerLink(a.netns, a.ifname);
    const auto also = [&](Status s) {
      if (first.ok()) first = std::move(s);
    };
    if (!request.conf.ipam_type.empty()) also(IpamDel(request));
    if (conf.mac_spoof_check) also(SpoofCheckDel(request.conf.name, a.container_id, a.ifname));
    if (conf.ip_masq) also(MasqueradeDel(request.conf.name, a.container_id, a.ifname));
    return first;
  }

  Status Check(const Request& request) override {
    CNI_LET(const BridgeConf conf, ParseBridgeConf(request));
    if (!request.conf.ipam_type.empty()) CNI_TRY(IpamCheck(request));
    return CheckBridge(request, conf);
  }

  Status Ready(const Request& request) override {
    return request.conf.ipam_type.empty() ? Status() : IpamReady(request);
  }

  Status Gc(const Request& request, const std::vector<Attachment>& valid) override {
    CNI_LET(const BridgeConf conf, ParseBridgeConf(request));
    Status first;
    if (!request.conf.ipam_type.empty()) first = IpamGc(request, valid);
    Status masq = MasqueradeGc(request.conf.name, valid);
    if (first.ok()) first = masq;
    Status spoof = conf.mac_spoof_check ? SpoofCheckGc(request.conf.name, valid) : Status();
    return first.ok() ? spoof : first;
  }
};

}  // namespace

std::unique_ptr<Plugin> MakeBridge() { return std::make_unique<Bridge>(); }

}  // namespace keelson::cni
