// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/lib/device.h"

#include <sys/socket.h>

#include <algorithm>

#include "cni-plugins/lib/configure.h"
#include "cni-plugins/lib/ipam.h"
#include "cni-plugins/lib/undo.h"

namespace keelson::cni {

Or<Ends> Ends::Open(const std::string& netns) {
  CNI_LET(NetNs ns, NetNs::Open(netns));
  CNI_LET(Rtnl host, Rtnl::Open());
  CNI_LET(Rtnl container, Rtnl::OpenIn(ns));
  return Ends{std::move(ns), std::move(host), std::move(container)};
}

void OwnAllAddresses(Result* result, int interface) {
  for (IpConfig& ip : result->ips) ip.interface = interface;
}

Or<Link> CheckPrevInterface(const Request& request, Rtnl& container, const std::string& kind) {
  CNI_LET(const Interface want, ContainerInterface(request));
  return CheckContainerLink(container, want, kind);
}

bool DevicePlugin::Chained(const Request& request) const {
  return ipam_ == Ipam::kRequiredUnlessChained && request.conf.ipam_type.empty() &&
         request.conf.prev_result && !request.conf.prev_result->ips.empty();
}

Status DevicePlugin::Validate(const Request& request) {
  CNI_TRY(CheckConf(request));
  if (!request.conf.ipam_type.empty()) return IpamValidate(request);
  // The rest of a request is the runtime's: only ADD needs the addresses.
  const bool adding = request.args.command == "ADD" || request.args.command.empty();
  if (!adding || ipam_ == Ipam::kOptional || Chained(request)) return {};
  return Status::Invalid("ipam: " + kind_ + " requires an IPAM configuration");
}

void DevicePlugin::Tune(const std::string& ifname) {
  // Neighbours learn that an address has moved here. Missing without IPv6, which is fine.
  Status ignored = WriteSysctl("net/ipv4/conf/" + ifname + "/arp_notify", "1");
  ignored = WriteSysctl("net/ipv6/conf/" + ifname + "/ndisc_notify", "1");
}

Dns DevicePlugin::ResultDns(const Request& request, const Result&) { return request.conf.dns; }

Or<Result> DevicePlugin::Add(const Request& request) {
  const std::string& ifname = request.args.ifname;
  CNI_TRY(CheckConf(request));
  CNI_LET(Ends ends, Ends::Open(request.args.netns));
  CNI_TRY(CheckNameIsFree(ends.container, ifname));
  const bool ask = !request.conf.ipam_type.empty();
  Undo undo;
  Result result;
  const auto ask_ipam = [&]() -> Status {
    CNI_LET(result, IpamAdd(request));
    undo.Push("release address", [&] { return IpamDel(request); });
    return result.ips.empty() ? Status::Internal("IPAM plugin returned missing IP config")
                              : Status();
  };
  if (ask && !IpamNeedsLink(request)) CNI_TRY(ask_ipam());
  CNI_TRY(Make(request, ends));
  CNI_LET(const Link link, ends.container.ByName(ifname));
  undo.Push("delete " + ifname, [&] { return ends.container.Delete(link.index); });
  if (ask && IpamNeedsLink(request)) CNI_TRY(ask_ipam());
  if (Chained(request)) result = *request.conf.prev_result;
  result.interfaces = {{ifname, link.mac.ToString(), 0, request.args.netns, "", ""}};
  OwnAllAddresses(&result, 0);
  CNI_TRY(ends.ns.Run([&] {
    if (!result.ips.empty()) Tune(ifname);
    return ConfigureInterface(ends.container, ifname, result);
  }));
  result.dns = ResultDns(request, result);
  undo.Keep();
  return result;
}

Status DevicePlugin::Del(const Request& request) {
  Status ipam = request.conf.ipam_type.empty() ? Status() : IpamDel(request);
  Status link = DeleteContainerLink(request.args.netns, request.args.ifname);
  return ipam.ok() ? link : ipam;
}

Status DevicePlugin::Check(const Request& request) {
  CNI_TRY(CheckConf(request));
  if (!request.conf.ipam_type.empty()) CNI_TRY(IpamCheck(request));
  CNI_LET(Ends ends, Ends::Open(request.args.netns));
  CNI_LET(const Link link, CheckPrevInterface(request, ends.container, kind_));
  CNI_TRY(CheckDevice(request, ends, link));
  return CheckAddressesAndRoutes(ends.container, request.args.ifname, *request.conf.prev_result);
}

Status DevicePlugin::Ready(const Request& request) {
  return request.conf.ipam_type.empty() ? Status() : IpamReady(request);
}

Status DevicePlugin::Gc(const Request& request, const std::vector<Attachment>& valid) {
  return request.conf.ipam_type.empty() ? Status() : IpamGc(request, valid);
}

namespace {

Or<std::string> DefaultRouteDevice(Rtnl& rtnl) {
  CNI_LET(const std::vector<RouteSpec> routes, rtnl.Routes(AF_UNSPEC));
  for (const RouteSpec& r : routes) {
    if (r.dst.prefix != 0 || r.link == 0) continue;
    CNI_LET(const Link link, rtnl.ByIndex(r.link));
    return link.name;
  }
  return Status::Invalid("master: not given, and there is no default route to take it from");
}

}  // namespace

Or<Master> FindMaster(Ends& ends, const std::string& name, bool in_container, int mtu) {
  Rtnl& rtnl = in_container ? ends.container : ends.host;
  std::string wanted = name;
  if (wanted.empty()) {
    CNI_LET(wanted, DefaultRouteDevice(rtnl));
  }
  Or<Link> link = rtnl.ByName(wanted);
  if (!link.ok()) {
    return Status::Invalid("master: failed to lookup \"" + wanted +
                           "\": " + link.status().message());
  }
  if (mtu > link->mtu) {
    return Status::Invalid("mtu: invalid MTU " + std::to_string(mtu) + ", must be [0, master MTU(" +
                           std::to_string(link->mtu) + ")]");
  }
  return Master{*link, in_container};
}

Status MakeOnMaster(Ends& ends, const Master& master, const std::string& ifname, LinkSpec spec) {
  spec.parent = master.link.index;
  if (master.in_container) {
    spec.name = ifname;
    return ends.container.Make(spec);
  }
  spec.name = RandomVethName();
  spec.netns = &ends.ns;
  CNI_TRY(ends.host.Make(spec));
  CNI_LET(const Link made, ends.container.ByName(spec.name));
  Status renamed = ends.container.Change(made.index, {.name = ifname});
  if (renamed.ok()) return {};
  Undo undo;
  undo.Push("delete " + spec.name, [&] { return ends.container.Delete(made.index); });
  return renamed.Within("rename to " + ifname);
}

}  // namespace keelson::cni
