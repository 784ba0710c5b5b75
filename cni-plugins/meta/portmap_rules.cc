// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/meta/portmap_rules.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>

#include <cstdio>
#include <cstring>

namespace keelson::cni {

namespace {

using nft::Exprs;
using nft::Family;
using enum nft::Type;

// Where the chains hook in, relative to connection tracking (-200) and NAT (-100, 100).
constexpr int kBeforeTracking = -300;
constexpr int kDstNat = -100;
constexpr int kBeforeSrcNat = 99;  // ahead of ipMasq's, so that ours decides for mapped ports
constexpr int kAfterLocalNat = 150;

constexpr uint8_t kOriginal = 0;

// ---- names --------------------------------------------------------------------------------------

// Mappings with conditions have maps of their own, one group for each distinct set of conditions.
std::string Suffix(const std::vector<Condition>& conditions) {
  const std::string text = Fingerprint(conditions);
  if (text.empty()) return "";
  uint64_t h = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : text) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  char hex[18];
  std::snprintf(hex, sizeof hex, "_%016llx", static_cast<unsigned long long>(h));
  return hex;
}

std::string Name(std::string_view stem, const Family& f, const std::string& suffix) {
  return std::string(stem) + f.digit + suffix;
}

// ---- rules --------------------------------------------------------------------------------------

// Puts [destination address,] protocol, destination port into registers from 0.
void LoadPortKey(const Family& f, bool with_address, Exprs* e) {
  nft::Reg reg = 0;
  if (with_address) {
    e->Payload(NFT_PAYLOAD_NETWORK_HEADER, f.daddr, f.bytes, reg);
    reg += f.regs();
  }
  e->Meta(NFT_META_L4PROTO, reg).Payload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, reg + 1);
}

nft::TypeOf PortKeyType(const Family& f, bool with_address) {
  return with_address ? nft::Concat({f.type, kProtocol, kPort}) : nft::Concat({kProtocol, kPort});
}

// A map to the container's address and port, and the rule that sends packets there.
ExtraSet DnatMap(const Family& f, bool with_address, const std::vector<Condition>& conditions) {
  constexpr nft::Reg kTarget = 8;
  const std::string name = Name(with_address ? "hostip" : "hostport", f, Suffix(conditions));
  Exprs e = nft::Only(f);
  Match(conditions, f, &e);
  LoadPortKey(f, with_address, &e);
  e.Map(name, 0, kTarget).Dnat(f.af, kTarget, kTarget + f.regs());
  return {{name, PortKeyType(f, with_address), nft::Concat({f.type, kPort})},
          {{"hostports", "map " + name, std::move(e)}}};
}

void LoopbackDestination(const Family& f, Exprs* e) {
  e->Payload(NFT_PAYLOAD_NETWORK_HEADER, f.daddr, f.bytes, 0);
  if (f.af == AF_INET) {
    e->And(0, nft::PrefixMask(8, 4)).Equal(0, std::string("\x7f\0\0\0", 4));
  } else {
    e->Equal(0, std::string(15, '\0') + '\1');
  }
}

std::string Loopback(const Family& f) {
  return f.af == AF_INET ? std::string("\x7f\0\0\1", 4) : std::string(15, '\0') + '\1';
}

// A map to the node's address towards the container, and the rule that makes it the source.
ExtraSet LocalMap(const Family& f, bool with_address, const std::vector<Condition>& conditions) {
  constexpr nft::Reg kSource = 8;
  const std::string name = Name(with_address ? "localip" : "local", f, Suffix(conditions));
  Exprs e = nft::Only(f);
  e.Payload(NFT_PAYLOAD_NETWORK_HEADER, f.saddr, f.bytes, 0).Equal(0, Loopback(f));
  LoopbackDestination(f, &e);
  Match(conditions, f, &e);
  LoadPortKey(f, with_address, &e);
  e.Map(name, 0, kSource).NetworkHeaderSet(f.saddr, f.bytes, kSource, f.csum);
  return {{name, PortKeyType(f, with_address), nft::Concat({f.type})},
          {{"local_out", "source " + name, std::move(e)}}};
}

// An answer that belongs to such a packet: its connection went to a loopback address from another.
nft::Rule LocalAnswerRule(const Family& f) {
  const uint32_t dst_key = f.af == AF_INET ? NFT_CT_DST_IP : NFT_CT_DST_IP6;
  Exprs e = nft::Only(f);
  e.Ct(NFT_CT_DIRECTION, 0).Equal(0, std::string(1, '\1'));
  e.Ct(NFT_CT_STATUS, 0).And(0, nft::HostU32(IPS_DST_NAT)).Differs(0, nft::HostU32(0));
  e.Ct(dst_key, 0, kOriginal);
  if (f.af == AF_INET) e.And(0, nft::PrefixMask(8, 4)).Equal(0, std::string("\x7f\0\0\0", 4));
  if (f.af != AF_INET) e.Equal(0, Loopback(f));
  e.Immediate(0, Loopback(f)).NetworkHeaderSet(f.daddr, f.bytes, 0, f.csum);
  return {"local_in", std::string("answers to localhost ") + f.text, std::move(e)};
}

// Connections from `prefix`-long networks that have to return through this node: the container
// would answer its neighbours (and itself) directly, from an address they did not ask.
// Keyed with everything that tells a mapped connection from one that only looks like it.
ExtraSet MasqueradeSet(const Family& f, int prefix) {
  const std::string name = Name("masquerade", f, "_" + std::to_string(prefix));
  const nft::Reg n = f.regs();
  Exprs e = nft::Only(f);
  e.Ct(NFT_CT_STATUS, 0).And(0, nft::HostU32(IPS_DST_NAT)).Differs(0, nft::HostU32(0));
  e.Payload(NFT_PAYLOAD_NETWORK_HEADER, f.saddr, f.bytes, 0)
      .And(0, nft::PrefixMask(prefix, static_cast<int>(f.bytes)))
      .Meta(NFT_META_L4PROTO, n)
      .Ct(NFT_CT_PROTO_DST, n + 1, kOriginal)
      .Payload(NFT_PAYLOAD_NETWORK_HEADER, f.daddr, f.bytes, n + 2)
      .Payload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, 2 * n + 2)
      .InSet(name, 0)
      .Masquerade();
  return {{name, nft::Concat({f.type, kProtocol, kPort, f.type, kPort}), {}},
          {{"postrouting", name, std::move(e)}}};
}

// The same connections as they come in, marked for others to see (markMasqBit).
ExtraSet MarkSet(const Family& f, int prefix, int bit, bool with_address) {
  const std::string name = Name(with_address ? "markip" : "mark", f,
                                "_" + std::to_string(prefix) + "_" + std::to_string(bit));
  const nft::Reg n = f.regs();
  Exprs e = nft::Only(f);
  e.Payload(NFT_PAYLOAD_NETWORK_HEADER, f.saddr, f.bytes, 0)
      .And(0, nft::PrefixMask(prefix, static_cast<int>(f.bytes)));
  nft::Reg reg = n;
  if (with_address) {
    e.Payload(NFT_PAYLOAD_NETWORK_HEADER, f.daddr, f.bytes, reg);
    reg += n;
  }
  e.Meta(NFT_META_L4PROTO, reg).Payload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, reg + 1);
  e.InSet(name, 0).Meta(NFT_META_MARK, 0).Or(0, 1u << bit).MetaSet(NFT_META_MARK, 0);
  return {{name,
           with_address ? nft::Concat({f.type, f.type, kProtocol, kPort})
                        : nft::Concat({f.type, kProtocol, kPort}),
           {}},
          {{"hostports", name, std::move(e), /*first=*/true}}};
}

// Nobody outside may speak to a loopback address, whatever route_localnet says.
nft::Rule GuardRule(const Family& f) {
  Exprs e = nft::Only(f);
  e.Meta(NFT_META_IIFNAME, 0).Differs(0, nft::Ifname("lo"));
  LoopbackDestination(f, &e);
  e.Verdict(NF_DROP);
  return {"guard", std::string("loopback from outside ") + f.text, std::move(e)};
}

nft::Rule EntryRule(const std::string& chain) {
  Exprs e;
  e.FibDaddrType(0).Equal(0, nft::HostU32(RTN_LOCAL)).Verdict(NFT_JUMP, "hostports");
  return {chain, "to this node, " + chain, std::move(e)};
}

void AddTo(TableLayout* t, ExtraSet extra) {
  t->sets.push_back(std::move(extra.set));
  for (nft::Rule& r : extra.rules) t->rules.push_back(std::move(r));
}

// ---- elements -----------------------------------------------------------------------------------

class Builder {
 public:
  Builder(const PortmapConf& conf, const MappingTarget& target, OwnedElements* out)
      : conf_(conf),
        target_(target),
        f_(nft::FamilyOf(target.address.ip)),
        conditions_(target.address.ip.v4() ? conf.conditions_v4 : conf.conditions_v6),
        out_(out) {}

  void Add(const PortMapping& m) {
    const bool v4 = target_.address.ip.v4();
    if (m.host_ip ? m.host_ip->v4() != v4 : !(v4 ? m.any_v4 : m.any_v6)) return;
    const std::string target = nft::Bytes(target_.address.ip) + nft::Port(m.container_port);
    Put(DnatMap(f_, m.host_ip.has_value(), conditions_), PortKey(m), target);
    if (!conf_.snat) return;
    if (conf_.masq_all) {
      AddMasquerade(m, 0, target);
    } else {
      AddMasquerade(m, target_.address.prefix, target);
    }
    AddLocal(m);
  }

 private:
  static std::string PortKey(const PortMapping& m) {
    return (m.host_ip ? nft::Bytes(*m.host_ip) : "") + nft::Proto(m.protocol) +
           nft::Port(m.host_port);
  }

  void Put(ExtraSet set, std::string key, std::string data = "") {
    out_->elements.push_back({set.set.name, std::move(key), std::move(data), ""});
    if (!InLayout(set.set.name)) out_->extra.push_back(std::move(set));
  }

  static bool InLayout(const std::string& name) {
    for (const nft::Set& s : HostportTable().sets) {
      if (s.name == name) return true;
    }
    return false;
  }

  void AddMasquerade(const PortMapping& m, int prefix, const std::string& target) {
    const std::string source = nft::Bytes(target_.address.ip.Masked(prefix));
    Put(MasqueradeSet(f_, prefix),
        source + nft::Proto(m.protocol) + nft::Port(m.host_port) + target);
    if (conf_.mark_bit) AddMark(m, prefix, source);
  }

  void AddMark(const PortMapping& m, int prefix, const std::string& source) {
    Put(MarkSet(f_, prefix, *conf_.mark_bit, m.host_ip.has_value()), source + PortKey(m));
  }

  void AddLocal(const PortMapping& m) {
    if (!target_.node_address) return;
    if (m.host_ip && !IsLoopback(*m.host_ip)) return;
    const std::string node = nft::Bytes(*target_.node_address);
    Put(LocalMap(f_, m.host_ip.has_value(), conditions_), PortKey(m), node);
    // Within the container's own network (or with masqAll) it is marked already.
    const bool marked = conf_.masq_all || target_.address.Contains(*target_.node_address);
    if (conf_.mark_bit && !marked) AddMark(m, target_.address.ip.bits(), node);
  }

  static bool IsLoopback(const Ip& ip) {
    return ip.v4() ? ip.data()[0] == 127 : nft::Bytes(ip) == Loopback(nft::FamilyOf(false));
  }

  const PortmapConf& conf_;
  const MappingTarget& target_;
  const Family& f_;
  const std::vector<Condition>& conditions_;
  OwnedElements* out_;
};

}  // namespace

const TableLayout& HostportTable() {
  static const TableLayout kTable = [] {
    TableLayout t{NFPROTO_INET, "keelson_hostport", "CNI portmap", {}, {}, {}};
    t.chains = {
        {"hostports", {}},
        {"guard", nft::Hook{"filter", NF_INET_PRE_ROUTING, kBeforeTracking}},
        {"prerouting", nft::Hook{"nat", NF_INET_PRE_ROUTING, kDstNat}},
        {"local_out", nft::Hook{"filter", NF_INET_LOCAL_OUT, kBeforeTracking}},
        {"output", nft::Hook{"nat", NF_INET_LOCAL_OUT, kDstNat}},
        {"local_in", nft::Hook{"filter", NF_INET_LOCAL_IN, kAfterLocalNat}},
        {"postrouting", nft::Hook{"nat", NF_INET_POST_ROUTING, kBeforeSrcNat}},
    };
    t.rules = {EntryRule("prerouting"), EntryRule("output")};
    for (const bool v4 : {true, false}) {
      const Family& f = nft::FamilyOf(v4);
      t.rules.push_back(GuardRule(f));
      t.rules.push_back(LocalAnswerRule(f));
      for (const bool with_address : {true, false}) {
        AddTo(&t, DnatMap(f, with_address, {}));
        AddTo(&t, LocalMap(f, with_address, {}));
      }
    }
    return t;
  }();
  return kTable;
}

OwnedElements HostportElements(const PortmapConf& conf, std::span<const MappingTarget> targets) {
  OwnedElements elements;
  for (const MappingTarget& target : targets) {
    Builder builder(conf, target, &elements);
    for (const PortMapping& m : conf.mappings) builder.Add(m);
  }
  return elements;
}

std::vector<UdpService> UdpServices(std::span<const nft::Element> elements) {
  std::vector<UdpService> services;
  for (const nft::Element& e : elements) {
    const bool any = e.set.starts_with("hostport");
    if (!any && !e.set.starts_with("hostip")) continue;
    const bool v4 = e.set[any ? 8 : 6] == '4';
    const size_t address = any ? 0 : (v4 ? 4 : 16);
    if (e.key.size() < address + 8 || e.key[address] != IPPROTO_UDP) continue;
    UdpService s{v4, std::nullopt, 0};
    if (!any) s.address = nft::IpFrom(std::string_view(e.key).substr(0, address));
    std::memcpy(&s.port, e.key.data() + address + 4, 2);
    s.port = ntohs(s.port);
    services.push_back(s);
  }
  return services;
}

}  // namespace keelson::cni
