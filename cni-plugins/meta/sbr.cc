// SPDX-License-Identifier: Apache-2.0
// sbr: source based routing inside a container with several networks. Packets from an address of
// this attachment are routed by a table of its own, so that answers leave the way the question
// came.
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <sys/file.h>

#include <algorithm>
#include <memory>
#include <set>

#include "cni-plugins/lib/link.h"
#include "cni-plugins/lib/os.h"
#include "cni-plugins/lib/types.h"
#include "cni-plugins/lib/undo.h"

namespace keelson::cni {

namespace {

constexpr uint32_t kFirstTable = 100;

struct Config {
  std::optional<uint32_t> table;  // given: only rules, the routes are somebody else's
  std::optional<Ip> gateway4;
  std::optional<Ip> gateway6;
  bool add_source_hints = false;
};

Or<Config> Parse(const NetConf& net) {
  Status error;
  const Reader root = net.Read(&error);
  Config conf;
  if (root["table"].given()) {
    conf.table = static_cast<uint32_t>(root["table"].Int(0, 1, UINT32_MAX));
  }
  conf.add_source_hints = root["addSourceHints"].Bool();
  for (const Reader& item : root["gateways"].Items()) {
    const Or<Ip> ip = Ip::Parse(item.String());
    if (!ip.ok()) {
      item.Fail("\"" + item.String() + "\" is not an IP address");
      continue;
    }
    std::optional<Ip>& slot = ip->v4() ? conf.gateway4 : conf.gateway6;
    if (slot) item.Fail("a second gateway of the same family");
    slot = *ip;
  }
  if (!error.ok()) return error;
  return conf;
}

// ---- rules --------------------------------------------------------------------------------------

struct SourceRule {
  Ip source;
  uint32_t table = 0;
};

Message RuleMessage(int type, uint16_t flags, const SourceRule& rule) {
  Message m(static_cast<uint16_t>(type), flags);
  auto* const h = m.Header<fib_rule_hdr>();
  h->family = static_cast<uint8_t>(rule.source.family());
  h->src_len = static_cast<uint8_t>(rule.source.bits());
  h->action = FR_ACT_TO_TBL;
  h->table = RT_TABLE_UNSPEC;  // 8 bits are too few: FRA_TABLE has it
  m.U32(FRA_TABLE, rule.table);
  m.Put(FRA_SRC, rule.source.data(), rule.source.size());
  return m;
}

Status AddRule(Rtnl& rtnl, const SourceRule& rule) {
  Message m = RuleMessage(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule);
  return rtnl.netlink().Do(m, "add rule from " + rule.source.ToString());
}

Status DeleteRule(Rtnl& rtnl, const SourceRule& rule) {
  Message m = RuleMessage(RTM_DELRULE, 0, rule);
  const Status s = rtnl.netlink().Do(m, "delete rule from " + rule.source.ToString());
  return s.sys_errno() == ENOENT ? Status() : s;
}

struct Rules {
  std::vector<SourceRule> by_source;  // those that look at one whole address
  std::set<uint32_t> tables;          // all tables any rule names
};

Or<Rules> ListRules(Rtnl& rtnl) {
  Rules rules;
  for (const int family : {AF_INET, AF_INET6}) {
    Message m(RTM_GETRULE, NLM_F_DUMP);
    m.Header<fib_rule_hdr>()->family = static_cast<uint8_t>(family);
    CNI_TRY(rtnl.netlink().Ask(m, "list rules", [&](nlmsghdr* h) {
      const auto* const r = static_cast<const fib_rule_hdr*>(nlmsg_data(h));
      const nlattr* const t = nlmsg_find_attr(h, sizeof(fib_rule_hdr), FRA_TABLE);
      const uint32_t table = t ? nla_get_u32(t) : r->table;
      rules.tables.insert(table);
      const nlattr* const src = nlmsg_find_attr(h, sizeof(fib_rule_hdr), FRA_SRC);
      const size_t bytes = family == AF_INET ? 4 : 16;
      if (!src || r->src_len != bytes * 8 || static_cast<size_t>(nla_len(src)) != bytes) return;
      rules.by_source.push_back({Ip::FromBytes(family, nla_data(src)), table});
    }));
  }
  return rules;
}

bool Has(const Rules& rules, const Ip& source, std::optional<uint32_t> table) {
  return std::ranges::any_of(rules.by_source, [&](const SourceRule& r) {
    return r.source == source && (!table || r.table == *table);
  });
}

// ---- routes -------------------------------------------------------------------------------------

// Parallel attachments of one namespace would pick the same table.
Or<Fd> LockNamespace(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return Status::Errno(errno, "open " + path);
  if (::flock(fd.get(), LOCK_EX) < 0) return Status::Errno(errno, "flock " + path);
  return fd;
}

std::vector<IpConfig> AddressesOn(const Result& result, const std::string& ifname) {
  std::vector<IpConfig> ips;
  for (const IpConfig& ip : result.ips) {
    const auto i = static_cast<size_t>(ip.interface.value_or(-1));
    const bool elsewhere =
        ip.interface && i < result.interfaces.size() && result.interfaces[i].name != ifname;
    if (!elsewhere) ips.push_back(ip);
  }
  return ips;
}

std::optional<Ip> GatewayFor(const Config& conf, const IpConfig& ip) {
  const std::optional<Ip>& fixed = ip.address.ip.v4() ? conf.gateway4 : conf.gateway6;
  return fixed ? fixed : ip.gateway;
}

// Whether a route of the device serves the address: its source or gateway lies in the address's
// network, or it has neither.
bool Serves(const RouteSpec& route, const Cidr& address) {
  if (route.dst.ip.v4() != address.ip.v4()) return false;
  if (!route.source && !route.gw) return true;
  return (route.source && address.Contains(*route.source)) ||
         (route.gw && address.Contains(*route.gw));
}

class Router {
 public:
  Router(Rtnl& rtnl, const Config& conf, const Link& device, Undo* undo)
      : rtnl_(rtnl), conf_(conf), device_(device), undo_(undo) {}

  Status Run(const std::vector<IpConfig>& ips) {
    CNI_LET(const Rules rules, ListRules(rtnl_));
    CNI_LET(std::vector<RouteSpec> all, rtnl_.Routes(AF_UNSPEC));
    used_ = rules.tables;
    for (const RouteSpec& r : all) used_.insert(static_cast<uint32_t>(r.table));
    std::erase_if(all, [&](const RouteSpec& r) {
      return r.link != device_.index || r.table != RT_TABLE_MAIN;
    });
    for (const IpConfig& ip : ips) CNI_TRY(OneAddress(ip, all));
    CNI_TRY(RemoveFromMain(all));
    if (conf_.add_source_hints) {
      for (const IpConfig& ip : ips) CNI_TRY(AddHint(ip.address));
    }
    return {};
  }

 private:
  uint32_t NextTable() {
    while (used_.contains(next_)) ++next_;
    return next_++;
  }

  Status OneAddress(const IpConfig& ip, const std::vector<RouteSpec>& routes) {
    const uint32_t table = NextTable();
    const SourceRule rule{ip.address.ip, table};
    CNI_TRY(AddRule(rtnl_, rule));
    undo_->Push("rule", [&rtnl = rtnl_, rule] { return DeleteRule(rtnl, rule); });
    const std::optional<Ip> gateway = GatewayFor(conf_, ip);
    // On-link routes first: they make gateways reachable.
    for (const bool with_gateway : {false, true}) {
      for (RouteSpec r : routes) {
        if (r.gw.has_value() != with_gateway || !Serves(r, ip.address)) continue;
        if (gateway && r.dst.prefix == 0) continue;  // ours comes below
        CNI_TRY(Add(std::move(r), table));
      }
    }
    if (!gateway) return {};
    RouteSpec def;
    def.dst = {gateway->Masked(0), 0};
    def.gw = gateway;
    def.link = device_.index;
    return Add(std::move(def), table);
  }

  Status Add(RouteSpec route, uint32_t table) {
    route.table = static_cast<int>(table);
    const Status s = rtnl_.AddRoute(route);
    if (s.sys_errno() == EEXIST) return {};
    if (s.ok()) undo_->Push("route", [&rtnl = rtnl_, route] { return rtnl.DeleteRoute(route); });
    return s;
  }

  // With hints the routes within the device's own networks stay for packets without a source yet.
  Status RemoveFromMain(const std::vector<RouteSpec>& routes) {
    for (const RouteSpec& r : routes) {
      const bool link_local = !r.dst.ip.v4() && r.dst.ip.data()[0] == 0xfe;
      if (link_local || (conf_.add_source_hints && r.scope == RT_SCOPE_LINK)) continue;
      const Status s = rtnl_.DeleteRoute(r);
      if (!s.ok() && s.sys_errno() != ESRCH) return s;
      undo_->Push("main route", [&rtnl = rtnl_, r] { return rtnl.AddRoute(r); });
    }
    return {};
  }

  Status AddHint(const Cidr& address) {
    RouteSpec hint;
    hint.dst = {address.Network(), address.prefix};
    hint.source = address.ip;
    hint.link = device_.index;
    hint.scope = address.ip.v4() ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    const Status s = rtnl_.AddRoute(hint);
    return s.sys_errno() == EEXIST ? Status() : s;  // the kernel's own route has the hint already
  }

  Rtnl& rtnl_;
  const Config& conf_;
  const Link& device_;
  Undo* undo_;
  std::set<uint32_t> used_;
  uint32_t next_ = kFirstTable;
};

class Sbr : public Plugin {
 public:
  Status Validate(const Request& request) override { return Parse(request.conf).status(); }
  Or<Result> Add(const Request& request) override;
  Status Del(const Request& request) override;
  Status Check(const Request& request) override;
};

Or<Result> Sbr::Add(const Request& request) {
  CNI_LET(const Config conf, Parse(request.conf));
  if (!request.conf.prev_result) {
    return Status::Invalid("prevResult: missing, sbr must be called as a chained plugin");
  }
  const std::vector<IpConfig> ips = AddressesOn(*request.conf.prev_result, request.args.ifname);
  if (request.conf.prev_result->ips.empty()) {
    return Status::Invalid("prevResult.ips: no IP addresses on interface " + request.args.ifname);
  }
  CNI_LET(const NetNs ns, NetNs::Open(request.args.netns));
  CNI_LET(const Fd lock, LockNamespace(request.args.netns));
  CNI_LET(Rtnl rtnl, Rtnl::OpenIn(ns));
  Undo undo;
  if (conf.table) {
    for (const IpConfig& ip : ips) {
      const SourceRule rule{ip.address.ip, *conf.table};
      CNI_TRY(AddRule(rtnl, rule).Within("sbr"));
      undo.Push("rule", [&rtnl, rule] { return DeleteRule(rtnl, rule); });
    }
  } else {
    CNI_LET(const Link device, rtnl.ByName(request.args.ifname));
    CNI_TRY(Router(rtnl, conf, device, &undo).Run(ips).Within("sbr"));
  }
  undo.Keep();
  return *request.conf.prev_result;
}

// Routes go with the device; rules are found by its addresses.
Status Sbr::Del(const Request& request) {
  CNI_LET(const Config conf, Parse(request.conf));
  if (request.args.netns.empty()) return {};
  const Or<NetNs> ns = NetNs::Open(request.args.netns);
  if (!ns.ok()) return NetNs::IsGone(ns.status()) ? Status() : ns.status();
  CNI_LET(const Fd lock, LockNamespace(request.args.netns));
  CNI_LET(Rtnl rtnl, Rtnl::OpenIn(*ns));
  std::set<Ip> sources;
  const Or<Link> device = rtnl.ByName(request.args.ifname);
  if (!device.ok() && !Rtnl::IsMissing(device.status())) return device.status();
  if (device.ok()) {
    CNI_LET(const std::vector<Address> addresses, rtnl.Addresses(device->index, AF_UNSPEC));
    for (const Address& a : addresses) sources.insert(a.cidr.ip);
  } else if (request.conf.prev_result) {
    for (const IpConfig& ip : AddressesOn(*request.conf.prev_result, request.args.ifname)) {
      sources.insert(ip.address.ip);
    }
  }
  CNI_LET(const Rules rules, ListRules(rtnl));
  Status first;
  for (const SourceRule& r : rules.by_source) {
    if (!sources.contains(r.source) || (conf.table && r.table != *conf.table)) continue;
    const Status s = DeleteRule(rtnl, r);
    if (first.ok()) first = s.Within("sbr");
  }
  return first;
}

Status Sbr::Check(const Request& request) {
  CNI_LET(const Config conf, Parse(request.conf));
  if (!request.conf.prev_result) return Status::Invalid("prevResult: missing");
  CNI_LET(const NetNs ns, NetNs::Open(request.args.netns));
  CNI_LET(Rtnl rtnl, Rtnl::OpenIn(ns));
  CNI_LET(const Rules rules, ListRules(rtnl));
  for (const IpConfig& ip : AddressesOn(*request.conf.prev_result, request.args.ifname)) {
    if (!Has(rules, ip.address.ip, conf.table)) {
      return Status::Internal("sbr: no rule for source " + ip.address.ip.ToString());
    }
  }
  return {};
}

}  // namespace

std::unique_ptr<Plugin> MakeSbr() { return std::make_unique<Sbr>(); }

}  // namespace keelson::cni
