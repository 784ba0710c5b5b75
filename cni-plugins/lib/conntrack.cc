// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/lib/conntrack.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "cni-plugins/lib/netlink.h"

namespace keelson::cni {

namespace {

// Which members of the tuple given have to match (kernel: net/netfilter/nf_internals.h,
// CTA_FILTER_F_*; part of the interface though not of its headers).
constexpr uint32_t kByAddress = 1 << 1;   // CTA_IP_DST
constexpr uint32_t kByProtocol = 1 << 3;  // CTA_PROTO_NUM
constexpr uint32_t kByDstPort = 1 << 5;   // CTA_PROTO_DST_PORT

constexpr uint16_t CtType(int message) {
  return static_cast<uint16_t>(NFNL_SUBSYS_CTNETLINK << 8 | message);
}

nlattr* Child(const nlattr* parent, int type) {
  return parent ? nla_find(static_cast<nlattr*>(nla_data(parent)), nla_len(parent), type) : nullptr;
}

struct Flow {
  std::string tuple;  // CTA_TUPLE_ORIG's content, which names the flow when deleting
  std::string zone;   // CTA_ZONE's, if any
  std::string id;
  Ip destination;
  uint16_t port = 0;
  uint8_t protocol = 0;
};

std::string Content(const nlattr* a) {
  if (!a) return "";
  return {static_cast<const char*>(nla_data(a)), static_cast<size_t>(nla_len(a))};
}

Flow ParseFlow(nlmsghdr* h, bool v4) {
  const auto attr = [h](int type) { return nlmsg_find_attr(h, sizeof(nfgenmsg), type); };
  Flow flow;
  const nlattr* const tuple = attr(CTA_TUPLE_ORIG);
  flow.tuple = Content(tuple);
  flow.zone = Content(attr(CTA_ZONE));
  flow.id = Content(attr(CTA_ID));
  const std::string address =
      Content(Child(Child(tuple, CTA_TUPLE_IP), v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST));
  if (address.size() == (v4 ? 4u : 16u)) {
    flow.destination = Ip::FromBytes(v4 ? AF_INET : AF_INET6, address.data());
  }
  const nlattr* const proto = Child(tuple, CTA_TUPLE_PROTO);
  if (const nlattr* a = Child(proto, CTA_PROTO_NUM)) flow.protocol = nla_get_u8(a);
  if (const nlattr* a = Child(proto, CTA_PROTO_DST_PORT)) flow.port = ntohs(nla_get_u16(a));
  return flow;
}

bool Matches(const Flow& flow, bool v4, std::span<const UdpService> services) {
  if (flow.protocol != IPPROTO_UDP) return false;
  return std::ranges::any_of(services, [&](const UdpService& s) {
    return s.v4 == v4 && s.port == flow.port && (!s.address || *s.address == flow.destination);
  });
}

Message FlowMessage(int type, uint16_t flags, bool v4) {
  Message m(CtType(type), flags);
  auto* const gen = m.Header<nfgenmsg>();
  gen->nfgen_family = v4 ? AF_INET : AF_INET6;
  gen->version = NFNETLINK_V0;
  return m;
}

// Everything tracked as UDP. Kernels before 5.8 ignore the filter and tell all.
Or<std::vector<Flow>> Find(Netlink& nl, bool v4, std::span<const UdpService> services) {
  Message m = FlowMessage(IPCTNL_MSG_CT_GET, NLM_F_DUMP, v4);
  m.Nest(CTA_TUPLE_ORIG,
         [&] { m.Nest(CTA_TUPLE_PROTO, [&] { m.U8(CTA_PROTO_NUM, IPPROTO_UDP); }); });
  m.Nest(CTA_FILTER, [&] { m.U32(CTA_FILTER_ORIG_FLAGS, kByProtocol); });
  std::vector<Flow> flows;
  CNI_TRY(nl.Ask(
      m, "list UDP connections",
      [&](nlmsghdr* h) {
        Flow flow = ParseFlow(h, v4);
        if (Matches(flow, v4, services)) flows.push_back(std::move(flow));
      },
      [&] { flows.clear(); }));
  return flows;
}

Status Delete(Netlink& nl, bool v4, const Flow& flow) {
  Message m = FlowMessage(IPCTNL_MSG_CT_DELETE, 0, v4);
  m.Put(CTA_TUPLE_ORIG | NLA_F_NESTED, flow.tuple.data(), flow.tuple.size());
  if (!flow.zone.empty()) m.Put(CTA_ZONE, flow.zone.data(), flow.zone.size());
  if (!flow.id.empty()) m.Put(CTA_ID, flow.id.data(), flow.id.size());
  const Status s = nl.Do(m, "delete UDP connection to port " + std::to_string(flow.port));
  return s.sys_errno() == ENOENT ? Status() : s;  // it ended by itself
}

// One message removes all that match, in a walk that skips empty buckets (0.5 ms where a dump,
// which locks each of them, takes 10). Linux 6.8 and later; before, the incomplete tuple is EINVAL.
Status DeleteMatching(Netlink& nl, const UdpService& s) {
  Message m = FlowMessage(IPCTNL_MSG_CT_DELETE, 0, s.v4);
  m.Nest(CTA_TUPLE_ORIG, [&] {
    if (s.address) {
      m.Nest(CTA_TUPLE_IP, [&] {
        m.Put(s.v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, s.address->data(), s.address->size());
      });
    }
    m.Nest(CTA_TUPLE_PROTO, [&] {
      m.U8(CTA_PROTO_NUM, IPPROTO_UDP);
      m.U16(CTA_PROTO_DST_PORT, htons(s.port));
    });
  });
  const uint32_t by = kByProtocol | kByDstPort | (s.address ? kByAddress : 0);
  m.Nest(CTA_FILTER, [&] { m.U32(CTA_FILTER_ORIG_FLAGS, by); });
  const Status status = nl.Do(m, "delete UDP connections to port " + std::to_string(s.port));
  return status.sys_errno() == ENOENT ? Status() : status;
}

Status ListAndDelete(Netlink& nl, bool v4, std::span<const UdpService> services) {
  CNI_LET(const std::vector<Flow> flows, Find(nl, v4, services));
  for (const Flow& flow : flows) CNI_TRY(Delete(nl, v4, flow));
  return {};
}

}  // namespace

Status ForgetUdpFlows(std::span<const UdpService> services) {
  if (services.empty()) return {};
  CNI_LET(Netlink nl, Netlink::Open(NETLINK_NETFILTER));
  Status s;
  for (size_t i = 0; s.ok() && i < services.size(); ++i) s = DeleteMatching(nl, services[i]);
  if (s.sys_errno() != EINVAL) return s;
  for (const bool v4 : {true, false}) CNI_TRY(ListAndDelete(nl, v4, services));
  return {};
}

}  // namespace keelson::cni
