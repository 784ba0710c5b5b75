// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/lib/configure.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdio>

namespace keelson::cni {

namespace {

constexpr int kDadTimeoutMs = 5000;
constexpr int kNameAttempts = 10;

// IPv6 may be switched off by default in new namespaces; an address asked for switches it on.
Status EnableIpv6(const std::string& ifname) {
  for (const std::string& name : {std::string("lo"), ifname}) {
    const std::string key = "net/ipv6/conf/" + name + "/disable_ipv6";
    Or<std::string> value = ReadSysctl(key);
    if (!value.ok()) {
      std::fprintf(stderr, "%s\n", value.status().message().c_str());
      continue;
    }
    if (*value != "0") CNI_TRY(WriteSysctl(key, "0"));
  }
  return WriteSysctl("net/ipv6/conf/" + ifname + "/keep_addr_on_down", "1");
}

std::optional<Ip> GatewayOfFamily(const Result& result, bool v4) {
  for (const IpConfig& ip : result.ips) {
    if (ip.interface && ip.gateway && ip.gateway->v4() == v4) return ip.gateway;
  }
  return std::nullopt;
}

RouteSpec ToSpec(const Route& route, int link, const Result& result) {
  RouteSpec spec;
  spec.dst = route.dst;
  spec.gw = route.gw ? route.gw : GatewayOfFamily(result, route.dst.ip.v4());
  spec.link = link;
  spec.table = route.table.value_or(0);
  spec.scope = route.scope.value_or(0);
  spec.priority = route.priority;
  spec.mtu = route.mtu;
  spec.advmss = route.advmss;
  return spec;
}

bool SameNet(const Cidr& a, const Cidr& b) {
  return a.prefix == b.prefix && a.Network() == b.Network();
}

}  // namespace

Status ConfigureInterface(Rtnl& rtnl, const std::string& ifname, const Result& result) {
  CNI_LET(const Link link, rtnl.ByName(ifname));
  bool ipv6 = false;
  for (const IpConfig& ip : result.ips) {
    if (!ip.interface) continue;
    const auto i = static_cast<size_t>(*ip.interface);
    if (*ip.interface < 0 || i >= result.interfaces.size() || result.interfaces[i].name != ifname) {
      return Status::Internal("address " + ip.address.ToString() + " is not for " + ifname +
                              ": invalid interface index");
    }
    if (!ip.address.ip.v4() && !ipv6) {
      CNI_TRY(EnableIpv6(ifname));
      ipv6 = true;
    }
    CNI_TRY(rtnl.AddAddress(link.index, ip.address));
  }
  if (!link.up()) CNI_TRY(rtnl.Change(link.index, {.up = true}));
  if (GatewayOfFamily(result, false)) CNI_TRY(rtnl.WaitForDad(link.index, kDadTimeoutMs));
  for (const Route& route : result.routes) {
    CNI_TRY(rtnl.AddRoute(ToSpec(route, link.index, result)));
  }
  return {};
}

Status CheckAddressesAndRoutes(Rtnl& rtnl, const std::string& ifname, const Result& result) {
  CNI_LET(const Link link, rtnl.ByName(ifname));
  if (!link.up()) return Status::Internal("interface " + ifname + " is down");
  CNI_LET(const std::vector<Address> addresses, rtnl.Addresses(link.index, AF_UNSPEC));
  for (const IpConfig& ip : result.ips) {
    const bool other = ip.interface &&
                       static_cast<size_t>(*ip.interface) < result.interfaces.size() &&
                       result.interfaces[static_cast<size_t>(*ip.interface)].name != ifname;
    if (!other && std::ranges::find(addresses, ip.address, &Address::cidr) == addresses.end()) {
      return Status::Internal("address " + ip.address.ToString() + " is not on " + ifname);
    }
  }
  if (result.routes.empty()) return {};
  CNI_LET(const std::vector<RouteSpec> routes, rtnl.Routes(AF_UNSPEC));
  for (const Route& want : result.routes) {
    const bool found = std::ranges::any_of(routes, [&](const RouteSpec& r) {
      return r.dst.ip.v4() == want.dst.ip.v4() && SameNet(r.dst, want.dst) &&
             (!want.gw || r.gw == want.gw) &&
             (want.table.value_or(RT_TABLE_UNSPEC) == RT_TABLE_UNSPEC || r.table == *want.table);
    });
    if (!found) {
      return Status::Internal("route " + want.dst.ToString() + " not found in the routing table");
    }
  }
  return {};
}

Status EnableForwarding(const Ip& ip) {
  const std::string key = ip.v4() ? "net/ipv4/ip_forward" : "net/ipv6/conf/all/forwarding";
  Or<std::string> value = ReadSysctl(key);
  if (!value.ok()) return value.status();
  return *value == "1" ? Status() : WriteSysctl(key, "1");
}

std::string RandomVethName() { return "veth" + RandomHex(8); }

Or<std::optional<Mac>> RequestedMac(const Request& request, MacField field) {
  if (!request.args.WishesCount()) return std::optional<Mac>();
  Status error;
  const Reader r = request.conf.Read(&error);
  const bool top = field == MacField::kTopLevel;
  const Reader first = top ? r["mac"] : r["args"]["cni"]["mac"];
  std::string name = "CNI_ARGS: MAC";
  std::string text = request.args.Arg("MAC").value_or("");
  const auto take = [&](const Reader& place) {
    const std::string value = place.String();
    if (value.empty()) return;
    text = value;
    name = place.path();
  };
  if (!top || text.empty()) take(first);
  take(r["runtimeConfig"]["mac"]);
  CNI_TRY(error);
  if (text.empty()) return std::optional<Mac>();
  Or<Mac> mac = Mac::Parse(text);
  if (!mac.ok()) return mac.status().Within(name);
  return std::optional<Mac>(*mac);
}

void CheckMasqBackend(const Reader& backend) {
  const std::string name = backend.String("nftables");
  if (name != "nftables" && name != "iptables") backend.Fail("unknown backend \"" + name + "\"");
}

Status CheckNameIsFree(Rtnl& container, const std::string& ifname) {
  Or<Link> taken = container.ByName(ifname);
  if (!taken.ok()) return Rtnl::IsMissing(taken.status()) ? Status() : taken.status();
  return {Code::kInvalidEnvironment,
          "CNI_IFNAME: \"" + ifname + "\" already exists in the container"};
}

void RefuseRouterAdvertisements(const std::string& ifname) {
  // Fails harmlessly where IPv6 is off.
  Status ignored = WriteSysctl("net/ipv6/conf/" + ifname + "/accept_ra", "0");
}

Or<Link> MakeVethPair(Rtnl& rtnl, LinkSpec near, const LinkSpec& far) {
  Status made;
  for (int attempt = 0; attempt < kNameAttempts; ++attempt) {
    near.name = RandomVethName();
    made = rtnl.MakeVeth(near, far);
    // The near name may be taken; if it is the far one, that will not change.
    if (made.sys_errno() == EEXIST) continue;
    CNI_TRY(made);
    RefuseRouterAdvertisements(near.name);
    return rtnl.ByName(near.name);
  }
  return made;
}

std::vector<Cidr> AddressesOf(const Result& result) {
  std::vector<Cidr> addresses;
  for (const IpConfig& ip : result.ips) addresses.push_back(ip.address);
  return addresses;
}

Or<Interface> ContainerInterface(const Request& request) {
  for (const Interface& i : request.conf.prev_result->interfaces) {
    if (i.name == request.args.ifname && i.sandbox == request.args.netns) return i;
  }
  return Status::Invalid("prevResult.interfaces: no interface " + request.args.ifname +
                         " with sandbox " + request.args.netns);
}

Or<Link> CheckContainerLink(Rtnl& rtnl, const Interface& want, const std::string& kind) {
  CNI_LET(Link link, rtnl.ByName(want.name));
  if (!kind.empty() && link.kind != kind)
    return Status::Internal(want.name + " is not a " + kind + " device");
  if (!want.mac.empty() && want.mac != link.mac.ToString()) {
    return Status::Internal("interface " + want.name + " has address " + link.mac.ToString() +
                            ", not " + want.mac);
  }
  return link;
}

Status DeleteContainerLink(const std::string& netns, const std::string& ifname) {
  if (netns.empty()) return {};
  Or<NetNs> ns = NetNs::Open(netns);
  if (!ns.ok()) return NetNs::IsGone(ns.status()) ? Status() : ns.status();
  CNI_LET(Rtnl rtnl, Rtnl::OpenIn(*ns));
  Or<Link> link = rtnl.ByName(ifname);
  if (!link.ok()) return Rtnl::IsMissing(link.status()) ? Status() : link.status();
  return rtnl.DeleteSoon(link->index);
}

}  // namespace keelson::cni
