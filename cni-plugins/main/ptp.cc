// SPDX-License-Identifier: Apache-2.0
// ptp: a veth pair with the host as the container's only neighbour.

#include <linux/rtnetlink.h>

#include "cni-plugins/lib/configure.h"
#include "cni-plugins/lib/device.h"
#include "cni-plugins/lib/ipam.h"
#include "cni-plugins/lib/masq.h"
#include "cni-plugins/lib/undo.h"
#include "cni-plugins/registry.h"

namespace keelson::cni {

namespace {

struct PtpConf {
  bool ip_masq = false;
  int mtu = 0;
};

Or<PtpConf> Parse(const Request& request) {
  Status error;
  const Reader r = request.conf.Read(&error);
  PtpConf c;
  c.ip_masq = r["ipMasq"].Bool();
  c.mtu = static_cast<int>(r["mtu"].Int(0, 0, 65535));
  CheckMasqBackend(r["ipMasqBackend"]);
  if (request.args.command == "ADD" && request.conf.ipam_type.empty()) {
    r["ipam"].Fail("ptp requires an IPAM configuration");
  }
  CNI_TRY(error);
  return c;
}

// veth has no point-to-point mode. So everything but the gateway itself, the container's own
// network included, is routed through the gateway: the route that came with the address is replaced
// by one to the gateway alone and one through it.
Status RouteThroughGateway(Rtnl& container, int link, const IpConfig& ip) {
  RouteSpec automatic;
  automatic.dst = {ip.address.Network(), ip.address.prefix};
  automatic.link = link;
  automatic.scope = RT_SCOPE_NOWHERE;  // whatever its scope
  CNI_TRY(container.DeleteRoute(automatic));
  RouteSpec gateway;
  gateway.dst = {*ip.gateway, ip.gateway->bits()};
  gateway.link = link;
  gateway.scope = RT_SCOPE_LINK;
  gateway.source = ip.address.ip;
  CNI_TRY(container.AddRoute(gateway));
  RouteSpec network;
  network.dst = automatic.dst;
  network.link = link;
  network.gw = ip.gateway;
  network.source = ip.address.ip;
  return container.AddRoute(network);
}

// Nobody else can have an address on a link of two: detection would only delay. Before the device
// of the current namespace is up; fails harmlessly where IPv6 is off.
void SkipDad(const std::string& ifname) {
  Status ignored = WriteSysctl("net/ipv6/conf/" + ifname + "/accept_dad", "0");
}

// The host answers for the gateway on this link and knows the way to the container.
Status ServeAsGateway(Rtnl& host, int link, const IpConfig& ip) {
  const int bits = ip.address.ip.bits();
  CNI_TRY(host.AddAddress(link, {*ip.gateway, bits}));
  RouteSpec to_container;
  to_container.dst = {ip.address.ip, bits};
  to_container.link = link;
  to_container.scope = RT_SCOPE_HOST;
  Status s = host.AddRoute(to_container);
  return s.sys_errno() == EEXIST ? Status() : s;
}

Status SetUpContainer(Ends& ends, const std::string& ifname, const Link& inside,
                      const Result& result) {
  SkipDad(ifname);
  CNI_TRY(ConfigureInterface(ends.container, ifname, result));
  for (const IpConfig& ip : result.ips) {
    CNI_TRY(RouteThroughGateway(ends.container, inside.index, ip));
  }
  return {};
}

Status CheckIpam(const Result& result) {
  if (result.ips.empty()) return Status::Internal("IPAM plugin returned missing IP config");
  for (const IpConfig& ip : result.ips) {
    if (!ip.gateway) {
      return Status::Invalid("ipam: no gateway for " + ip.address.ToString() + ", ptp needs one");
    }
  }
  return {};
}

class Ptp final : public Plugin {
 public:
  Status Validate(const Request& request) override {
    CNI_TRY(Parse(request).status());
    return request.conf.ipam_type.empty() ? Status() : IpamValidate(request);
  }

  Or<Result> Add(const Request& request) override {
    CNI_LET(const PtpConf conf, Parse(request));
    const Args& a = request.args;
    CNI_LET(Ends ends, Ends::Open(a.netns));
    CNI_TRY(CheckNameIsFree(ends.container, a.ifname));
    Undo undo;
    CNI_LET(Result result, IpamAdd(request));
    undo.Push("release address", [&] { return IpamDel(request); });
    CNI_TRY(CheckIpam(result));
    for (const IpConfig& ip : result.ips) {
      CNI_TRY(EnableForwarding(ip.address.ip).Within("could not enable IP forwarding"));
    }
    LinkSpec near, far;
    near.mtu = far.mtu = conf.mtu;
    far.name = a.ifname;
    far.netns = &ends.ns;
    CNI_LET(const Link port, MakeVethPair(ends.host, near, far));
    undo.Push("delete " + port.name, [&] { return ends.host.Delete(port.index); });
    SkipDad(port.name);
    CNI_TRY(ends.host.Change(port.index, {.up = true}));
    CNI_LET(const Link inside, ends.container.ByName(a.ifname));
    result.interfaces = {{port.name, port.mac.ToString(), 0, "", "", ""},
                         {inside.name, inside.mac.ToString(), 0, a.netns, "", ""}};
    OwnAllAddresses(&result, 1);
    CNI_TRY(ends.ns.Run([&] { return SetUpContainer(ends, a.ifname, inside, result); }));
    for (const IpConfig& ip : result.ips) CNI_TRY(ServeAsGateway(ends.host, port.index, ip));
    if (conf.ip_masq) {
      undo.Push("remove masquerading",
                [&] { return MasqueradeDel(request.conf.name, a.container_id, a.ifname); });
      CNI_TRY(MasqueradeAdd(request.conf.name, a.container_id, a.ifname, AddressesOf(result)));
    }
    if (!request.conf.dns.empty()) result.dns = request.conf.dns;
    undo.Keep();
    return result;
  }

  Status Del(const Request& request) override {
    CNI_LET(const PtpConf conf, Parse(request));
    const Args& a = request.args;
    Status first = request.conf.ipam_type.empty() ? Status() : IpamDel(request);
    Status link = DeleteContainerLink(a.netns, a.ifname);
    if (first.ok()) first = link;
    Status masq =
        conf.ip_masq ? MasqueradeDel(request.conf.name, a.container_id, a.ifname) : Status();
    return first.ok() ? masq : first;
  }

  Status Check(const Request& request) override {
    if (!request.conf.ipam_type.empty()) CNI_TRY(IpamCheck(request));
    CNI_LET(Ends ends, Ends::Open(request.args.netns));
    CNI_TRY(CheckPrevInterface(request, ends.container, "veth").status());
    return CheckAddressesAndRoutes(ends.container, request.args.ifname, *request.conf.prev_result);
  }

  Status Ready(const Request& request) override {
    return request.conf.ipam_type.empty() ? Status() : IpamReady(request);
  }

  Status Gc(const Request& request, const std::vector<Attachment>& valid) override {
    Status ipam = request.conf.ipam_type.empty() ? Status() : IpamGc(request, valid);
    Status masq = MasqueradeGc(request.conf.name, valid);
    return ipam.ok() ? masq : ipam;
  }
};

}  // namespace

std::unique_ptr<Plugin> MakePtp() { return std::make_unique<Ptp>(); }

}  // namespace keelson::cni
