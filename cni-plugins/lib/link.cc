// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/lib/link.h"

#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>

#include <cstring>

namespace keelson::cni {

namespace {

constexpr int kDeleteTimeoutMs = 30000;
constexpr uint32_t kSkipStats = 1 << 3;  // RTEXT_FILTER_SKIP_STATS: half of every answer

template <typename T>
std::optional<T> Get(nlattr* attr) {
  if (!attr || nla_len(attr) < static_cast<int>(sizeof(T))) return std::nullopt;
  T value;
  std::memcpy(&value, nla_data(attr), sizeof value);
  return value;
}

std::string GetText(nlattr* attr) {
  if (!attr) return "";
  const char* s = static_cast<const char*>(nla_data(attr));
  return std::string(s, ::strnlen(s, static_cast<size_t>(nla_len(attr))));
}

void ParsePort(nlattr* port, Link* out) {
  nlattr* tb[IFLA_BRPORT_MAX + 1];
  if (nla_parse_nested(tb, IFLA_BRPORT_MAX, port, nullptr) < 0) return;
  if (auto v = Get<uint8_t>(tb[IFLA_BRPORT_MODE])) out->port_hairpin = *v != 0;
  if (auto v = Get<uint8_t>(tb[IFLA_BRPORT_ISOLATED])) out->port_isolated = *v != 0;
}

void ParseInfo(nlattr* info, Link* out) {
  nlattr* tb[IFLA_INFO_MAX + 1];
  if (!info || nla_parse_nested(tb, IFLA_INFO_MAX, info, nullptr) < 0) return;
  out->kind = GetText(tb[IFLA_INFO_KIND]);
  if (tb[IFLA_INFO_SLAVE_DATA] && GetText(tb[IFLA_INFO_SLAVE_KIND]) == "bridge") {
    ParsePort(tb[IFLA_INFO_SLAVE_DATA], out);
  }
  if (!tb[IFLA_INFO_DATA]) return;
  const auto data = [&](int attr) {
    return nla_find(static_cast<nlattr*>(nla_data(tb[IFLA_INFO_DATA])), nla_len(tb[IFLA_INFO_DATA]),
                    attr);
  };
  if (out->kind == "bridge") {
    if (auto v = Get<uint8_t>(data(IFLA_BR_VLAN_FILTERING))) out->vlan_filtering = *v != 0;
  } else if (out->kind == "vlan") {
    if (auto v = Get<uint16_t>(data(IFLA_VLAN_ID))) out->vlan_id = *v;
  } else if (out->kind == "macvlan") {
    if (auto v = Get<uint32_t>(data(IFLA_MACVLAN_MODE))) out->mode = static_cast<int>(*v);
  } else if (out->kind == "ipvlan") {
    if (auto v = Get<uint16_t>(data(IFLA_IPVLAN_MODE))) out->mode = *v;
  } else if (out->kind == "vrf") {
    if (auto v = Get<uint32_t>(data(IFLA_VRF_TABLE))) out->vrf_table = static_cast<int>(*v);
  }
}

bool ParseLink(nlmsghdr* h, Link* out) {
  nlattr* tb[IFLA_MAX + 1];
  if (h->nlmsg_type != RTM_NEWLINK ||
      nlmsg_parse(h, sizeof(ifinfomsg), tb, IFLA_MAX, nullptr) < 0) {
    return false;
  }
  const auto* header = static_cast<const ifinfomsg*>(nlmsg_data(h));
  out->index = header->ifi_index;
  out->type = header->ifi_type;
  out->flags = header->ifi_flags;
  out->name = GetText(tb[IFLA_IFNAME]);
  out->alias = GetText(tb[IFLA_IFALIAS]);
  if (tb[IFLA_ADDRESS] && nla_len(tb[IFLA_ADDRESS]) == 6) {
    out->has_mac = true;
    std::memcpy(out->mac.bytes.data(), nla_data(tb[IFLA_ADDRESS]), 6);
  }
  out->mtu = Get<int>(tb[IFLA_MTU]).value_or(0);
  out->master = Get<int>(tb[IFLA_MASTER]).value_or(0);
  out->parent = Get<int>(tb[IFLA_LINK]).value_or(0);
  out->parent_netns = Get<int>(tb[IFLA_LINK_NETNSID]).value_or(-1);
  out->operstate = Get<uint8_t>(tb[IFLA_OPERSTATE]).value_or(0);
  out->tx_queue_len = Get<int>(tb[IFLA_TXQLEN]).value_or(0);
  out->promiscuity = Get<int>(tb[IFLA_PROMISCUITY]).value_or(0);
  ParseInfo(tb[IFLA_LINKINFO], out);
  return true;
}

// The attributes a device is born with, after its ifinfomsg.
void PutSpec(const LinkSpec& spec, Message* m) {
  m->Text(IFLA_IFNAME, spec.name);
  if (spec.mac) m->Put(IFLA_ADDRESS, spec.mac->bytes.data(), 6);
  if (spec.mtu != 0) m->U32(IFLA_MTU, static_cast<uint32_t>(spec.mtu));
  if (spec.master != 0) m->U32(IFLA_MASTER, static_cast<uint32_t>(spec.master));
  if (spec.parent != 0) m->U32(IFLA_LINK, static_cast<uint32_t>(spec.parent));
  if (!spec.alias.empty()) m->Put(IFLA_IFALIAS, spec.alias.data(), spec.alias.size());
  if (spec.netns) m->U32(IFLA_NET_NS_FD, static_cast<uint32_t>(spec.netns->fd()));
}

void PutHeader(const LinkSpec& spec, Message* m) {
  auto* header = m->Header<ifinfomsg>();
  if (!spec.up) return;
  header->ifi_flags = IFF_UP;
  header->ifi_change = IFF_UP;
}

void SetFlag(std::optional<bool> want, unsigned flag, ifinfomsg* header) {
  if (!want) return;
  header->ifi_change |= flag;
  if (*want) header->ifi_flags |= flag;
}

}  // namespace

bool Link::up() const { return (flags & IFF_UP) != 0; }

Or<Rtnl> Rtnl::Open() {
  CNI_LET(Netlink nl, Netlink::Open(NETLINK_ROUTE));
  return Rtnl(std::move(nl));
}

Or<Rtnl> Rtnl::OpenIn(const NetNs& ns) {
  CNI_LET(Netlink nl, Netlink::OpenIn(ns, NETLINK_ROUTE));
  return Rtnl(std::move(nl));
}

bool Rtnl::IsMissing(const Status& status) { return status.sys_errno() == ENODEV; }

Or<Link> Rtnl::ByName(const std::string& name) {
  Message m(RTM_GETLINK);
  m.Header<ifinfomsg>();
  m.Text(IFLA_IFNAME, name);
  m.U32(IFLA_EXT_MASK, kSkipStats);
  Link link;
  CNI_TRY(nl_.Ask(m, "look up link " + name, [&](nlmsghdr* h) { ParseLink(h, &link); }));
  return link;
}

Or<Link> Rtnl::ByIndex(int index) {
  Message m(RTM_GETLINK);
  m.Header<ifinfomsg>()->ifi_index = index;
  m.U32(IFLA_EXT_MASK, kSkipStats);
  Link link;
  CNI_TRY(nl_.Ask(m, "look up link " + std::to_string(index),
                  [&](nlmsghdr* h) { ParseLink(h, &link); }));
  return link;
}

Or<std::vector<Link>> Rtnl::Links() {
  Message m(RTM_GETLINK, NLM_F_DUMP);
  m.Header<ifinfomsg>();
  m.U32(IFLA_EXT_MASK, kSkipStats);
  std::vector<Link> links;
  const auto each = [&](nlmsghdr* h) {
    Link link;
    if (ParseLink(h, &link)) links.push_back(std::move(link));
  };
  CNI_TRY(nl_.Ask(m, "list links", each, [&] { links.clear(); }));
  return links;
}

Status Rtnl::Make(const LinkSpec& spec) {
  Message m(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  PutHeader(spec, &m);
  PutSpec(spec, &m);
  m.Nest(IFLA_LINKINFO, [&] {
    m.Text(IFLA_INFO_KIND, spec.kind);
    if (spec.info) m.Nest(IFLA_INFO_DATA, [&] { spec.info(m); });
  });
  return nl_.Do(m, "create " + spec.kind + " " + spec.name);
}

Status Rtnl::MakeVeth(const LinkSpec& host, const LinkSpec& peer) {
  LinkSpec spec = host;
  spec.kind = "veth";
  spec.info = [&](Message& m) {
    m.Nest(VETH_INFO_PEER, [&] {
      PutHeader(peer, &m);
      PutSpec(peer, &m);
    });
  };
  return Make(spec).Within("peer " + peer.name);
}

Status Rtnl::Change(int index, const LinkChange& change) {
  Message m(RTM_NEWLINK);
  auto* header = m.Header<ifinfomsg>();
  header->ifi_index = index;
  SetFlag(change.up, IFF_UP, header);
  SetFlag(change.promisc, IFF_PROMISC, header);
  SetFlag(change.allmulti, IFF_ALLMULTI, header);
  if (change.name) m.Text(IFLA_IFNAME, *change.name);
  if (change.alias) m.Put(IFLA_IFALIAS, change.alias->data(), change.alias->size());
  if (change.mac) m.Put(IFLA_ADDRESS, change.mac->bytes.data(), 6);
  if (change.mtu) m.U32(IFLA_MTU, static_cast<uint32_t>(*change.mtu));
  if (change.master) m.U32(IFLA_MASTER, static_cast<uint32_t>(*change.master));
  if (change.tx_queue_len) m.U32(IFLA_TXQLEN, static_cast<uint32_t>(*change.tx_queue_len));
  if (change.netns) m.U32(IFLA_NET_NS_FD, static_cast<uint32_t>(change.netns->fd()));
  return nl_.Do(m, "change link " + std::to_string(index));
}

Status Rtnl::Delete(int index) {
  Message m(RTM_DELLINK);
  m.Header<ifinfomsg>()->ifi_index = index;
  Status s = nl_.Do(m, "delete link " + std::to_string(index));
  return IsMissing(s) ? Status() : s;
}

Status Rtnl::DeleteSoon(int index) {
  Message m(RTM_DELLINK);
  m.Header<ifinfomsg>()->ifi_index = index;
  const std::string what = "delete link " + std::to_string(index);
  CNI_TRY(nl_.Join(RTNLGRP_LINK));
  uint32_t seq = 0;
  CNI_TRY(nl_.SendFromChild(m, what, &seq));
  Status refused;
  CNI_TRY(nl_.WaitFor(kDeleteTimeoutMs, what, [&](nlmsghdr* h) {
    if (!h) return true;
    if (h->nlmsg_type == NLMSG_ERROR && h->nlmsg_seq == seq) {
      const int error = static_cast<const nlmsgerr*>(nlmsg_data(h))->error;
      if (error != 0) refused = Status::Errno(-error, what);
      return true;
    }
    const auto* link = static_cast<const ifinfomsg*>(nlmsg_data(h));
    return h->nlmsg_type == RTM_DELLINK && link->ifi_index == index &&
           link->ifi_family == AF_UNSPEC;
  }));
  if (!refused.ok()) return IsMissing(refused) ? Status() : refused;
  // The kernel tells of each end of a veth as it goes; a look-up waits until both have.
  Or<Link> there = ByIndex(index);
  if (there.ok()) return Delete(index);
  return IsMissing(there.status()) ? Status() : there.status();
}

Status Rtnl::SetPort(int index, std::optional<bool> hairpin, std::optional<bool> isolated) {
  Message m(RTM_SETLINK);
  auto* header = m.Header<ifinfomsg>();
  header->ifi_family = AF_BRIDGE;
  header->ifi_index = index;
  m.Nest(IFLA_PROTINFO, [&] {
    if (hairpin) m.U8(IFLA_BRPORT_MODE, *hairpin);
    if (isolated) m.U8(IFLA_BRPORT_ISOLATED, *isolated);
  });
  return nl_.Do(m, "set bridge port options of link " + std::to_string(index));
}

Status Rtnl::PortVlan(int index, bool add, int first, int last, bool pvid, bool untagged,
                      bool self) {
  Message m(add ? RTM_SETLINK : RTM_DELLINK);
  auto* header = m.Header<ifinfomsg>();
  header->ifi_family = AF_BRIDGE;
  header->ifi_index = index;
  const int flags = (pvid ? BRIDGE_VLAN_INFO_PVID : 0) | (untagged ? BRIDGE_VLAN_INFO_UNTAGGED : 0);
  const auto put = [&](int vid, int range) {
    const bridge_vlan_info info{static_cast<uint16_t>(flags | range), static_cast<uint16_t>(vid)};
    m.Put(IFLA_BRIDGE_VLAN_INFO, &info, sizeof info);
  };
  m.Nest(IFLA_AF_SPEC, [&] {
    m.U16(IFLA_BRIDGE_FLAGS, self ? BRIDGE_FLAGS_SELF : BRIDGE_FLAGS_MASTER);
    put(first, last > first ? BRIDGE_VLAN_INFO_RANGE_BEGIN : 0);
    if (last > first) put(last, BRIDGE_VLAN_INFO_RANGE_END);
  });
  return nl_.Do(m, std::string(add ? "add" : "delete") + " VLAN " + std::to_string(first) +
                       " of link " + std::to_string(index));
}

namespace {

void ParsePortVlans(nlmsghdr* h, int index, std::vector<int>* out) {
  const auto* header = static_cast<const ifinfomsg*>(nlmsg_data(h));
  nlattr* spec = nlmsg_find_attr(h, sizeof(ifinfomsg), IFLA_AF_SPEC);
  if (header->ifi_index != index || !spec) return;
  nlattr* attr;
  int left;
  nla_for_each_nested(attr, spec, left) {
    if (nla_type(attr) != IFLA_BRIDGE_VLAN_INFO) continue;
    if (auto v = Get<bridge_vlan_info>(attr)) out->push_back(v->vid);
  }
}

}  // namespace

Or<std::vector<int>> Rtnl::PortVlans(int index) {
  Message m(RTM_GETLINK, NLM_F_DUMP);
  m.Header<ifinfomsg>()->ifi_family = AF_BRIDGE;
  m.U32(IFLA_EXT_MASK, RTEXT_FILTER_BRVLAN);
  std::vector<int> vlans;
  CNI_TRY(nl_.Ask(
      m, "list VLANs of bridge ports", [&](nlmsghdr* h) { ParsePortVlans(h, index, &vlans); },
      [&] { vlans.clear(); }));
  return vlans;
}

Status Rtnl::WaitForUp(int index, int timeout_ms) {
  CNI_LET(Link link, ByIndex(index));
  if (link.operstate == IF_OPER_UP) return {};
  CNI_TRY(nl_.Join(RTNLGRP_LINK));
  const std::string what = "wait until " + link.name + " is up";
  while (true) {
    CNI_LET(const Link now, ByIndex(index));
    if (now.operstate == IF_OPER_UP) return {};
    CNI_TRY(nl_.WaitFor(timeout_ms, what, [&](nlmsghdr* h) {
      return !h || (h->nlmsg_type == RTM_NEWLINK &&
                    static_cast<const ifinfomsg*>(nlmsg_data(h))->ifi_index == index);
    }));
  }
}

}  // namespace keelson::cni
