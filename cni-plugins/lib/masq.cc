// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/lib/masq.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter_bridge.h>

#include "cni-plugins/lib/nft_match.h"
#include "cni-plugins/lib/owned_table.h"

namespace keelson::cni {

namespace {

using nft::Exprs;
using nft::Family;
using std::string_view_literals::operator""sv;

constexpr int kSrcNat = 100;         // NF_IP_PRI_NAT_SRC
constexpr int kBeforeFilter = -300;  // where upstream's spoof check hooks in

std::string SourceSet(const Family& f) { return std::string("source") + f.digit; }

nft::Rule MulticastRule(const Family& f) {
  Exprs e = nft::Only(f);
  if (f.af == AF_INET) {
    e.Payload(NFT_PAYLOAD_NETWORK_HEADER, f.daddr, 4, 0).And(0, "\xf0\x00\x00\x00"sv);
    e.Equal(0, "\xe0\x00\x00\x00"sv);
  } else {
    e.Payload(NFT_PAYLOAD_NETWORK_HEADER, f.daddr, 1, 0).Equal(0, "\xff"sv);
  }
  e.Verdict(NFT_RETURN);
  return {"postrouting", std::string("multicast ") + f.text, std::move(e)};
}

nft::Rule MasqueradeRule(const Family& f) {
  Exprs e = nft::Only(f);
  e.Payload(NFT_PAYLOAD_NETWORK_HEADER, f.saddr, f.bytes, 0).InSet(SourceSet(f), 0).Masquerade();
  return {"postrouting", std::string("masquerade ") + f.text, std::move(e)};
}

const TableLayout& MasqueradeTable() {
  static const TableLayout kTable = [] {
    TableLayout t{NFPROTO_INET, "keelson_masquerade", "CNI ipMasq", {}, {}, {}};
    t.chains = {{"postrouting", nft::Hook{"nat", NF_INET_POST_ROUTING, kSrcNat}}};
    for (const bool v4 : {true, false}) {
      const Family& f = nft::FamilyOf(v4);
      t.sets.push_back({SourceSet(f), nft::Concat({f.type}), {}});
      t.rules.push_back(MulticastRule(f));
    }
    for (const bool v4 : {true, false}) t.rules.push_back(MasqueradeRule(nft::FamilyOf(v4)));
    return t;
  }();
  return kTable;
}

// (source, network of the destination): inside a container's own network nothing is translated.
// The machine compares with constants and set members only, never two addresses; hence a set, and
// one per prefix length in use, since the mask is a constant too.
ExtraSet HomeSet(const Family& f, int prefix) {
  const std::string name = std::string("home") + f.digit + "_" + std::to_string(prefix);
  Exprs e = nft::Only(f);
  e.Payload(NFT_PAYLOAD_NETWORK_HEADER, f.saddr, f.bytes, 0)
      .Payload(NFT_PAYLOAD_NETWORK_HEADER, f.daddr, f.bytes, f.regs())
      .And(f.regs(), nft::PrefixMask(prefix, static_cast<int>(f.bytes)))
      .InSet(name, 0)
      .Verdict(NFT_RETURN);
  return {{name, nft::Concat({f.type, f.type}), {}},
          {{"postrouting", "own network " + name, std::move(e), /*first=*/true}}};
}

const TableLayout& SpoofTable() {
  static const TableLayout kTable = [] {
    TableLayout t{NFPROTO_BRIDGE, "keelson_macspoofchk", "CNI macspoofchk", {}, {}, {}};
    t.chains = {{"prerouting", nft::Hook{"filter", NF_BR_PRE_ROUTING, kBeforeFilter}}};
    using enum nft::Type;
    t.sets = {{"ports", nft::Concat({kIfname}), {}},
              {"allowed", nft::Concat({kIfname, kEther}), {}}};
    Exprs e;
    e.Meta(NFT_META_IIFNAME, 0)
        .InSet("ports", 0)
        .Payload(NFT_PAYLOAD_LL_HEADER, 6, 6, 4)
        .NotInSet("allowed", 0)
        .Verdict(NF_DROP);
    t.rules = {{"prerouting", "drop foreign source addresses", std::move(e)}};
    return t;
  }();
  return kTable;
}

}  // namespace

Status MasqueradeAdd(const std::string& network, const std::string& container_id,
                     const std::string& ifname, std::span<const Cidr> addresses) {
  OwnedElements want;
  for (const Cidr& a : addresses) {
    const Family& f = nft::FamilyOf(a.ip);
    const std::string source = nft::Bytes(a.ip);
    want.extra.push_back(HomeSet(f, a.prefix));
    want.elements.push_back({SourceSet(f), source, "", ""});
    want.elements.push_back({want.extra.back().set.name, source + nft::Bytes(a.Network()), "", ""});
  }
  CNI_LET(OwnedTable table, OwnedTable::Open(MasqueradeTable()));
  return table.Put({network, container_id, ifname}, want).Within("ipMasq");
}

Status MasqueradeDel(const std::string& network, const std::string& container_id,
                     const std::string& ifname) {
  CNI_LET(OwnedTable table, OwnedTable::Open(MasqueradeTable()));
  return table.Remove({network, container_id, ifname}).Within("ipMasq");
}

Status MasqueradeGc(const std::string& network, std::span<const Attachment> valid) {
  CNI_LET(OwnedTable table, OwnedTable::Open(MasqueradeTable()));
  return table.Gc(network, valid).Within("ipMasq");
}

Status SpoofCheckAdd(const std::string& network, const std::string& host_ifname, const Mac& mac,
                     const std::string& container_id, const std::string& ifname) {
  const std::string port = nft::Ifname(host_ifname);
  const std::string address(reinterpret_cast<const char*>(mac.bytes.data()), mac.bytes.size());
  OwnedElements want;
  want.elements = {{"ports", port, "", ""}, {"allowed", port + nft::Pad(address), "", ""}};
  CNI_LET(OwnedTable table, OwnedTable::Open(SpoofTable()));
  return table.Put({network, container_id, ifname}, want).Within("macspoofchk");
}

Status SpoofCheckDel(const std::string& network, const std::string& container_id,
                     const std::string& ifname) {
  CNI_LET(OwnedTable table, OwnedTable::Open(SpoofTable()));
  return table.Remove({network, container_id, ifname}).Within("macspoofchk");
}

Status SpoofCheckGc(const std::string& network, std::span<const Attachment> valid) {
  CNI_LET(OwnedTable table, OwnedTable::Open(SpoofTable()));
  return table.Gc(network, valid).Within("macspoofchk");
}

}  // namespace keelson::cni
