// SPDX-License-Identifier: Apache-2.0
// The half of Rtnl that knows addresses and routes.

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include <cstring>

#include "cni-plugins/lib/link.h"

namespace keelson::cni {

namespace {

std::optional<Ip> GetIp(int family, nlattr* attr) {
  const int want = family == AF_INET ? 4 : 16;
  if (!attr || nla_len(attr) < want) return std::nullopt;
  return Ip::FromBytes(family, nla_data(attr));
}

uint32_t GetU32(nlattr* attr, uint32_t fallback) {
  return attr && nla_len(attr) >= 4 ? nla_get_u32(attr) : fallback;
}

bool ParseAddress(nlmsghdr* h, int index, Address* out) {
  nlattr* tb[IFA_MAX + 1];
  if (h->nlmsg_type != RTM_NEWADDR || nlmsg_parse(h, sizeof(ifaddrmsg), tb, IFA_MAX, nullptr) < 0) {
    return false;
  }
  const auto* header = static_cast<const ifaddrmsg*>(nlmsg_data(h));
  if (static_cast<int>(header->ifa_index) != index) return false;
  const auto ip = GetIp(header->ifa_family, tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS]);
  if (!ip) return false;
  out->cidr = {*ip, header->ifa_prefixlen};
  out->flags = static_cast<int>(GetU32(tb[IFA_FLAGS], header->ifa_flags));
  out->scope = header->ifa_scope;
  return true;
}

void PutIp(int attr, const Ip& ip, Message* m) { m->Put(attr, ip.data(), ip.size()); }

void PutAddress(int index, const Cidr& address, Message* m) {
  auto* header = m->Header<ifaddrmsg>();
  header->ifa_family = static_cast<uint8_t>(address.ip.family());
  header->ifa_prefixlen = static_cast<uint8_t>(address.prefix);
  header->ifa_index = static_cast<uint32_t>(index);
  PutIp(IFA_LOCAL, address.ip, m);
  PutIp(IFA_ADDRESS, address.ip, m);
}

void PutRoute(const RouteSpec& route, Message* m) {
  auto* header = m->Header<rtmsg>();
  const int table = route.table == 0 ? static_cast<int>(RT_TABLE_MAIN) : route.table;
  header->rtm_family = static_cast<uint8_t>(route.dst.ip.family());
  header->rtm_dst_len = static_cast<uint8_t>(route.dst.prefix);
  header->rtm_table = static_cast<uint8_t>(table < 256 ? table : 0);
  header->rtm_protocol = RTPROT_BOOT;
  header->rtm_scope = static_cast<uint8_t>(route.scope);
  header->rtm_type = RTN_UNICAST;
  if (route.dst.prefix > 0) PutIp(RTA_DST, route.dst.Network(), m);
  if (route.gw) PutIp(RTA_GATEWAY, *route.gw, m);
  if (route.source) PutIp(RTA_PREFSRC, *route.source, m);
  if (route.link != 0) m->U32(RTA_OIF, static_cast<uint32_t>(route.link));
  if (table >= 256) m->U32(RTA_TABLE, static_cast<uint32_t>(table));
  if (route.priority != 0) m->U32(RTA_PRIORITY, static_cast<uint32_t>(route.priority));
  if (route.mtu == 0 && route.advmss == 0) return;
  m->Nest(RTA_METRICS, [&] {
    if (route.mtu != 0) m->U32(RTAX_MTU, static_cast<uint32_t>(route.mtu));
    if (route.advmss != 0) m->U32(RTAX_ADVMSS, static_cast<uint32_t>(route.advmss));
  });
}

std::string Describe(const RouteSpec& r) {
  std::string s = r.dst.ToString();
  if (r.gw) s += " via " + r.gw->ToString();
  return s + " dev " + std::to_string(r.link);
}

// One RouteSpec for each next hop.
void ParseNextHops(const RouteSpec& base, int family, nlattr* multipath,
                   std::vector<RouteSpec>* out) {
  auto* hop = static_cast<rtnexthop*>(nla_data(multipath));
  int left = nla_len(multipath);
  while (left >= static_cast<int>(sizeof *hop) && hop->rtnh_len >= sizeof *hop &&
         hop->rtnh_len <= left) {
    RouteSpec r = base;
    r.link = hop->rtnh_ifindex;
    auto* attrs = reinterpret_cast<nlattr*>(reinterpret_cast<char*>(hop) + sizeof *hop);
    r.gw =
        GetIp(family, nla_find(attrs, hop->rtnh_len - static_cast<int>(sizeof *hop), RTA_GATEWAY));
    out->push_back(r);
    left -= static_cast<int>(RTNH_ALIGN(hop->rtnh_len));
    hop = RTNH_NEXT(hop);
  }
}

void ParseRoute(nlmsghdr* h, std::vector<RouteSpec>* out) {
  nlattr* tb[RTA_MAX + 1];
  if (h->nlmsg_type != RTM_NEWROUTE || nlmsg_parse(h, sizeof(rtmsg), tb, RTA_MAX, nullptr) < 0) {
    return;
  }
  const auto* header = static_cast<const rtmsg*>(nlmsg_data(h));
  const int family = header->rtm_family;
  const uint32_t table = GetU32(tb[RTA_TABLE], header->rtm_table);
  const bool ours = header->rtm_type == RTN_UNICAST && !(header->rtm_flags & RTM_F_CLONED) &&
                    table != RT_TABLE_LOCAL;
  if (!ours || (family != AF_INET && family != AF_INET6)) return;
  static constexpr uint8_t kZero[16] = {};
  RouteSpec r;
  r.dst = {GetIp(family, tb[RTA_DST]).value_or(Ip::FromBytes(family, kZero)), header->rtm_dst_len};
  r.gw = GetIp(family, tb[RTA_GATEWAY]);
  r.link = static_cast<int>(GetU32(tb[RTA_OIF], 0));
  r.table = static_cast<int>(table);
  r.priority = static_cast<int>(GetU32(tb[RTA_PRIORITY], 0));
  r.scope = header->rtm_scope;
  r.source = GetIp(family, tb[RTA_PREFSRC]);
  if (tb[RTA_METRICS]) {
    r.mtu = static_cast<int>(GetU32(nla_find(static_cast<nlattr*>(nla_data(tb[RTA_METRICS])),
                                             nla_len(tb[RTA_METRICS]), RTAX_MTU),
                                    0));
    r.advmss = static_cast<int>(GetU32(nla_find(static_cast<nlattr*>(nla_data(tb[RTA_METRICS])),
                                                nla_len(tb[RTA_METRICS]), RTAX_ADVMSS),
                                       0));
  }
  if (tb[RTA_MULTIPATH])
    ParseNextHops(r, family, tb[RTA_MULTIPATH], out);
  else
    out->push_back(r);
}

}  // namespace

Or<std::vector<Address>> Rtnl::Addresses(int index, int family) {
  Message m(RTM_GETADDR, NLM_F_DUMP);
  auto* header = m.Header<ifaddrmsg>();
  header->ifa_family = static_cast<uint8_t>(family);
  header->ifa_index = static_cast<uint32_t>(index);
  std::vector<Address> out;
  const auto each = [&](nlmsghdr* h) {
    Address a;
    if (ParseAddress(h, index, &a)) out.push_back(a);
  };
  CNI_TRY(
      nl_.Ask(m, "list addresses of link " + std::to_string(index), each, [&] { out.clear(); }));
  return out;
}

Status Rtnl::AddAddress(int index, const Cidr& address, uint32_t flags) {
  Message m(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  PutAddress(index, address, &m);
  // Point-to-point prefixes have no broadcast address (RFC 3021).
  if (address.ip.v4() && address.prefix < 31) {
    PutIp(IFA_BROADCAST, address.ip.Broadcast(address.prefix), &m);
  }
  if (flags != 0) m.U32(IFA_FLAGS, flags);
  return nl_.Do(m, "add address " + address.ToString() + " to link " + std::to_string(index));
}

Status Rtnl::DeleteAddress(int index, const Cidr& address) {
  Message m(RTM_DELADDR);
  PutAddress(index, address, &m);
  return nl_.Do(m, "delete address " + address.ToString() + " of link " + std::to_string(index));
}

Status Rtnl::WaitForDad(int index, int timeout_ms) {
  bool joined = false;
  while (true) {
    CNI_LET(const std::vector<Address> addresses, Addresses(index, AF_INET6));
    bool tentative = false;
    for (const Address& a : addresses) {
      if (a.flags & IFA_F_DADFAILED) {
        return Status::Internal("address " + a.cidr.ToString() +
                                " is in use elsewhere on the link");
      }
      tentative |= (a.flags & IFA_F_TENTATIVE) != 0;
    }
    if (!tentative) return {};
    if (!joined) {  // then look once more: it may have settled in between
      CNI_TRY(nl_.Join(RTNLGRP_IPV6_IFADDR));
      joined = true;
      continue;
    }
    CNI_TRY(nl_.WaitFor(timeout_ms, "wait for duplicate address detection", [&](nlmsghdr* h) {
      return !h || h->nlmsg_type == RTM_NEWADDR || h->nlmsg_type == RTM_DELADDR;
    }));
  }
}

Status Rtnl::AddRoute(const RouteSpec& route) {
  Message m(RTM_NEWROUTE, NLM_F_CREATE);
  PutRoute(route, &m);
  return nl_.Do(m, "add route " + Describe(route));
}

Status Rtnl::DeleteRoute(const RouteSpec& route) {
  Message m(RTM_DELROUTE);
  PutRoute(route, &m);
  static_cast<rtmsg*>(nlmsg_data(nlmsg_hdr(m.raw())))->rtm_protocol = RTPROT_UNSPEC;  // any
  return nl_.Do(m, "delete route " + Describe(route));
}

Or<std::vector<RouteSpec>> Rtnl::Routes(int family, int table) {
  Message m(RTM_GETROUTE, NLM_F_DUMP);
  m.Header<rtmsg>()->rtm_family = static_cast<uint8_t>(family);
  std::vector<RouteSpec> out;
  CNI_TRY(nl_.Ask(
      m, "list routes", [&](nlmsghdr* h) { ParseRoute(h, &out); }, [&] { out.clear(); }));
  if (table != 0) std::erase_if(out, [&](const RouteSpec& r) { return r.table != table; });
  return out;
}

}  // namespace keelson::cni
