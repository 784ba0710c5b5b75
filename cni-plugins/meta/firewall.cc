// SPDX-License-Identifier: Apache-2.0
// firewall: accepts what a container sends and the answers to it, after the administrator's own
// rules; and keeps bridges apart (ingressPolicy).
//
// Table inet keelson_firewall, chain forward: isolation, then the admin chain, then our accepts. In
// nftables an accept ends only its own table: a table of somebody else that drops (an iptables
// FORWARD policy, firewalld) has its say as well, and has to be told there. CHECK and STATUS look
// for that and say so.
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <memory>

#include "cni-plugins/lib/nft_match.h"
#include "cni-plugins/lib/owned_table.h"

namespace keelson::cni {

namespace {

using nft::Exprs;
using nft::Family;
using enum nft::Type;

constexpr const char* kTable = "keelson_firewall";
constexpr const char* kAdmins = "admins";  // jumps to every admin chain in use
constexpr const char* kDefaultAdminChain = "CNI-ADMIN";
constexpr uint32_t kEstablishedOrRelated = 2 | 4;  // NF_CT_STATE_BIT of both
constexpr int kBeforeFilter = -1;

enum class Policy { kOpen, kSameBridge, kIsolated };

struct Config {
  std::string admin_chain;
  Policy policy = Policy::kOpen;
};

Or<Config> Parse(const NetConf& net) {
  Status error;
  const Reader root = net.Read(&error);
  Config conf;
  // Upstream's two programs; the kernel underneath is one. firewalld's zones are its own affair.
  const std::string backend = root["backend"].String();
  if (!backend.empty() && backend != "iptables" && backend != "firewalld" &&
      backend != "nftables") {
    root["backend"].Fail("\"" + backend + "\" is none of nftables, iptables, firewalld");
  }
  (void)root["firewalldZone"].String();
  conf.admin_chain = root["iptablesAdminChainName"].String(kDefaultAdminChain);
  if (conf.admin_chain.empty()) conf.admin_chain = kDefaultAdminChain;
  // What nft(8) can print and read again.
  const auto plain = [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_'; };
  if (conf.admin_chain.size() > 28 || !std::ranges::all_of(conf.admin_chain, plain) ||
      conf.admin_chain == "forward" || conf.admin_chain == kAdmins) {
    root["iptablesAdminChainName"].Fail("\"" + conf.admin_chain + "\" cannot name a chain");
  }
  const std::string policy = root["ingressPolicy"].String("open");
  if (policy == "same-bridge") conf.policy = Policy::kSameBridge;
  if (policy == "isolated") conf.policy = Policy::kIsolated;
  if (conf.policy == Policy::kOpen && !policy.empty() && policy != "open") {
    root["ingressPolicy"].Fail("unknown ingress policy: \"" + policy + "\"");
  }
  if (!error.ok()) return error;
  return conf;
}

void WarnAboutZone(const NetConf& net) {
  Status ignored;
  const std::string zone = net.Read(&ignored)["firewalldZone"].String();
  if (zone.empty()) return;
  std::fprintf(stderr,
               "firewall: firewalldZone \"%s\": put the network's addresses into that zone "
               "with firewall-cmd, this plugin only fills table %s\n",
               zone.c_str(), kTable);
}

// ---- rules --------------------------------------------------------------------------------------

std::string Containers(const Family& f) { return std::string("containers") + f.digit; }

nft::Rule AcceptAnswers(const Family& f) {
  Exprs e = nft::Only(f);
  e.Payload(NFT_PAYLOAD_NETWORK_HEADER, f.daddr, f.bytes, 0).InSet(Containers(f), 0);
  e.Ct(NFT_CT_STATE, 0).And(0, nft::HostU32(kEstablishedOrRelated)).Differs(0, nft::HostU32(0));
  e.Verdict(NF_ACCEPT);
  return {"forward", std::string("answers to containers ") + f.text, std::move(e)};
}

nft::Rule AcceptSent(const Family& f) {
  Exprs e = nft::Only(f);
  e.Payload(NFT_PAYLOAD_NETWORK_HEADER, f.saddr, f.bytes, 0).InSet(Containers(f), 0);
  e.Verdict(NF_ACCEPT);
  return {"forward", std::string("from containers ") + f.text, std::move(e)};
}

// From one bridge that keeps to itself to another.
nft::Rule DropBetweenBridges() {
  Exprs e;
  e.Meta(NFT_META_IIFNAME, 0).InSet("bridges", 0);
  e.Meta(NFT_META_OIFNAME, 4).InSet("bridges", 4);
  e.NotInSet("same_bridge", 0).Verdict(NF_DROP);
  return {"forward", "between isolated bridges", std::move(e)};
}

// Between containers of one bridge; seen here only with net.bridge.bridge-nf-call-iptables.
nft::Rule DropWithinBridge() {
  Exprs e;
  e.Meta(NFT_META_IIFNAME, 0).Meta(NFT_META_OIFNAME, 4).InSet("isolated", 0).Verdict(NF_DROP);
  return {"forward", "within isolated bridge", std::move(e)};
}

nft::Rule Jump(const std::string& from, const std::string& to) {
  Exprs e;
  e.Verdict(NFT_JUMP, to);
  return {from, "admin overrides " + to, std::move(e)};
}

const TableLayout& FirewallTable() {
  static const TableLayout kLayout = [] {
    TableLayout t{NFPROTO_INET, kTable, "CNI firewall", {}, {}, {}};
    t.chains = {{kDefaultAdminChain, {}},
                {kAdmins, {}},
                {"forward", nft::Hook{"filter", NF_INET_FORWARD, kBeforeFilter}}};
    const nft::TypeOf pair = nft::Concat({kIfname, kIfname});
    t.sets = {
        {"bridges", nft::Concat({kIfname}), {}}, {"same_bridge", pair, {}}, {"isolated", pair, {}}};
    t.rules = {DropBetweenBridges(), DropWithinBridge(), Jump("forward", kAdmins),
               Jump(kAdmins, kDefaultAdminChain)};
    for (const bool v4 : {true, false}) {
      const Family& f = nft::FamilyOf(v4);
      t.sets.push_back({Containers(f), nft::Concat({f.type}), {}});
      t.rules.push_back(AcceptAnswers(f));
      t.rules.push_back(AcceptSent(f));
    }
    return t;
  }();
  return kLayout;
}

// An admin chain with a name of its own. The set only says that the chain is there, in the table's
// own way of remembering.
ExtraSet AdminChain(const std::string& name) {
  ExtraSet extra;
  extra.set = {"users_of_" + name, nft::Concat({kMark}), {}};
  extra.chains = {{name, {}}};
  extra.rules = {Jump(kAdmins, name)};
  return extra;
}

OwnedElements ContainerElements(const Config& conf, const Result& result) {
  OwnedElements want;
  for (const IpConfig& ip : result.ips) {
    const Family& f = nft::FamilyOf(ip.address.ip);
    want.elements.push_back({Containers(f), nft::Bytes(ip.address.ip), "", ""});
  }
  if (conf.admin_chain != kDefaultAdminChain) want.extra.push_back(AdminChain(conf.admin_chain));
  return want;
}

// A bridge's policy belongs to the bridge, not to the container that came first: nobody's DEL may
// take it away from the others. Like upstream's, it stays.
Status SetPolicy(OwnedTable& table, const Config& conf, const Result& result) {
  if (conf.policy == Policy::kOpen) return {};
  if (result.interfaces.empty() || result.interfaces[0].name.empty()) {
    return Status::Invalid(
        "ingressPolicy: needs prevResult.interfaces, chain \"firewall\" after "
        "\"bridge\"");
  }
  const std::string& bridge = result.interfaces[0].name;
  const std::string name = nft::Ifname(bridge);
  OwnedElements want;
  want.elements = {{"bridges", name, "", ""}, {"same_bridge", name + name, "", ""}};
  if (conf.policy == Policy::kIsolated) want.elements.push_back({"isolated", name + name, "", ""});
  const NftOwner owner{"", "ingressPolicy", bridge};
  // Nearly always it is there already.
  if (table.Has(owner, want).ok()) return {};
  return table.Put(owner, want);
}

NftOwner OwnerOf(const Request& request) {
  return {request.conf.name, request.args.container_id, request.args.ifname};
}

class Firewall : public Plugin {
 public:
  Status Validate(const Request& request) override { return Parse(request.conf).status(); }

  Or<Result> Add(const Request& request) override {
    CNI_LET(const Config conf, Parse(request.conf));
    if (!request.conf.prev_result) {
      return Status::Invalid("prevResult: missing, firewall must be called as a chained plugin");
    }
    const Result& result = *request.conf.prev_result;
    WarnAboutZone(request.conf);
    CNI_LET(OwnedTable table, OwnedTable::Open(FirewallTable()));
    CNI_TRY(SetPolicy(table, conf, result).Within("firewall"));
    CNI_TRY(table.Put(OwnerOf(request), ContainerElements(conf, result)).Within("firewall"));
    return result;
  }

  Status Del(const Request& request) override {
    CNI_LET(OwnedTable table, OwnedTable::Open(FirewallTable()));
    return table.Remove(OwnerOf(request)).Within("firewall");
  }

  Status Check(const Request& request) override {
    CNI_LET(const Config conf, Parse(request.conf));
    if (!request.conf.prev_result) return Status::Invalid("prevResult: missing");
    CNI_LET(OwnedTable table, OwnedTable::Open(FirewallTable()));
    CNI_TRY(WarnAboutDrops());
    return table.Verify(OwnerOf(request), ContainerElements(conf, *request.conf.prev_result))
        .Within("firewall");
  }

  Status Ready(const Request&) override {
    CNI_LET(OwnedTable table, OwnedTable::Open(FirewallTable()));
    if (const Status s = table.Ready(); !s.ok()) return {Code::kPluginNotAvailable, s.message()};
    return WarnAboutDrops();
  }

  Status Gc(const Request& request, const std::vector<Attachment>& valid) override {
    CNI_LET(OwnedTable table, OwnedTable::Open(FirewallTable()));
    return table.Gc(request.conf.name, valid).Within("firewall");
  }

 private:
  static Status WarnAboutDrops() {
    CNI_LET(nft::Nft nft, nft::Nft::Open());
    CNI_LET(const std::vector<std::string> chains, nft.DroppingForwardChains());
    for (const std::string& chain : chains) {
      std::fprintf(stderr,
                   "firewall: %s drops forwarded packets by policy; containers need accepting "
                   "rules there\n",
                   chain.c_str());
    }
    return {};
  }
};

}  // namespace

std::unique_ptr<Plugin> MakeFirewall() { return std::make_unique<Firewall>(); }

}  // namespace keelson::cni
