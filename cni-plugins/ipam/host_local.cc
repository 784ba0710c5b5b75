// SPDX-License-Identifier: Apache-2.0
// host-local: addresses out of ranges in the configuration, remembered in files of this node.
#include <algorithm>
#include <memory>
#include <set>

#include "cni-plugins/ipam/lease_store.h"
#include "cni-plugins/ipam/ranges.h"
#include "cni-plugins/ipam/request_ips.h"
#include "cni-plugins/ipam/resolv_conf.h"
#include "cni-plugins/lib/types.h"
#include "cni-plugins/lib/undo.h"

namespace keelson::cni {

namespace {

struct Config {
  std::string data_dir;
  std::string resolv_conf;
  std::vector<RangeSet> sets;
  std::vector<Route> routes;
  std::vector<Ip> requested;
};

void CheckAddressCount(const Config& conf, const NetConf& net, const Reader& ipam) {
  const auto v4 =
      std::ranges::count_if(conf.sets, [](const RangeSet& s) { return s.ranges[0].start.v4(); });
  const auto v6 = static_cast<ptrdiff_t>(conf.sets.size()) - v4;
  if ((v4 > 1 || v6 > 1) && !VersionAtLeast(net.cni_version, "0.3.0")) {
    ipam["ranges"].Fail("CNI version " + net.cni_version +
                        " does not support more than 1 address per family");
  }
}

Or<Config> Parse(const Request& request) {
  Status error;
  const Reader root = request.conf.Read(&error);
  const Reader ipam = root["ipam"];
  if (!ipam.given())
    return Status::Invalid("ipam: missing, host-local has nothing to allocate from");
  Config conf;
  conf.data_dir = ipam["dataDir"].String();
  conf.resolv_conf = ipam["resolvConf"].String();
  conf.sets = ParseRangeSets(root);
  conf.requested = RequestedIps(request, root);
  for (const Reader& item : ipam["routes"].Items()) {
    const Or<Route> route = ParseRoute(item);
    if (route.ok()) conf.routes.push_back(*route);
    if (!route.ok() && error.ok()) error = route.status();
  }
  if (error.ok()) CheckAddressCount(conf, request.conf, ipam);
  if (!error.ok()) return error;
  return conf;
}

std::string BootId() {
  const Or<std::string> id = ReadFile("/proc/sys/kernel/random/boot_id", 64);
  return id.ok() ? id->substr(0, id->find('\n')) : "";  // unknown: nothing is noted or reclaimed
}

bool Holds(const LeaseOwner& lease, const Args& args) {
  return lease.container_id == args.container_id &&
         (lease.ifname == args.ifname || lease.ifname.empty());
}

class HostLocal : public Plugin {
 public:
  Status Validate(const Request& request) override { return Parse(request).status(); }
  Or<Result> Add(const Request& request) override;
  Status Del(const Request& request) override;
  Status Check(const Request& request) override;
  Status Ready(const Request& request) override;
  Status Gc(const Request& request, const std::vector<Attachment>& valid) override;
};

// The requested address that falls into `set`, taken off the list.
std::optional<Ip> TakeRequested(const RangeSet& set, std::vector<Ip>* requested) {
  const auto it = std::ranges::find_if(*requested, [&](const Ip& ip) { return set.RangeFor(ip); });
  if (it == requested->end()) return std::nullopt;
  const Ip ip = *it;
  requested->erase(it);
  return ip;
}

Or<Pick> Choose(const RangeSet& set, size_t index, const std::optional<Ip>& wanted,
                const std::set<Ip>& taken, const LeaseStore& store) {
  if (wanted) {
    const Range* const range = set.RangeFor(*wanted);
    if (*wanted == range->gateway) {
      return Status::Invalid("requested IP " + wanted->ToString() + " is the subnet's gateway");
    }
    if (taken.contains(*wanted)) {
      return Status::Internal("requested IP address " + wanted->ToString() +
                              " is not available in range set " + set.ToString());
    }
    return Pick{*wanted, range};
  }
  const auto pick =
      PickAddress(set, store.LastReserved(index), [&](const Ip& ip) { return taken.contains(ip); });
  if (pick) return *pick;
  return Status(Code::kTryAgainLater,
                "ipam.ranges[" + std::to_string(index) +
                    "]: no IP addresses available in range set: " + set.ToString());
}

// One container holds at most one address of a range set (specification: ADD is not repeated).
Status RefuseSecond(const RangeSet& set, const std::vector<Lease>& leases, const Args& args) {
  for (const Lease& lease : leases) {
    if (Holds(lease.owner, args) && set.RangeFor(lease.ip)) {
      return Status::Internal(lease.ip.ToString() + " has been allocated to " + args.container_id +
                              ", duplicate allocation is not allowed");
    }
  }
  return {};
}

Or<Result> HostLocal::Add(const Request& request) {
  CNI_TRY(CheckArgKeys(request.args, {"IP"}));
  CNI_LET(Config conf, Parse(request));
  Result result;
  result.routes = conf.routes;
  if (!conf.resolv_conf.empty()) {
    CNI_LET(result.dns, ReadResolvConf(conf.resolv_conf));
  }
  CNI_LET(LeaseStore store, LeaseStore::Open(conf.data_dir, request.conf.name, /*create=*/true));
  const std::string boot_id = BootId();
  CNI_TRY(store.ReclaimFromEarlierBoots(boot_id));
  CNI_LET(const std::vector<Lease> leases, store.Leases());
  std::set<Ip> taken;
  for (const Lease& lease : leases) taken.insert(lease.ip);

  Undo undo;
  const LeaseOwner owner{request.args.container_id, request.args.ifname};
  for (size_t i = 0; i < conf.sets.size(); ++i) {
    const RangeSet& set = conf.sets[i];
    const std::optional<Ip> wanted = TakeRequested(set, &conf.requested);
    if (!wanted) CNI_TRY(RefuseSecond(set, leases, request.args));
    CNI_LET(const Pick pick, Choose(set, i, wanted, taken, store));
    CNI_LET(const bool reserved, store.Reserve(pick.ip, owner, i));
    if (!reserved)
      return Status::Internal("lease file of " + pick.ip.ToString() + " is unreadable");
    undo.Push("release " + pick.ip.ToString(),
              [&store, ip = pick.ip] { return store.Release(ip); });
    CNI_TRY(store.NoteBoot({pick.ip, owner}, boot_id));
    result.ips.push_back({std::nullopt, {pick.ip, pick.range->subnet.prefix}, pick.range->gateway});
  }
  if (!conf.requested.empty()) {
    std::string text;
    for (const Ip& ip : conf.requested) text += " " + ip.ToString();
    return Status::Invalid("failed to allocate all requested IPs:" + text +
                           " (in no range of ipam)");
  }
  undo.Keep();
  return result;
}

// Calls `f` on the store unless the network has none, which is as good as an empty one.
template <typename F>
Status WithExistingStore(const Config& conf, const Request& request, F&& f) {
  Or<LeaseStore> store = LeaseStore::Open(conf.data_dir, request.conf.name, /*create=*/false);
  if (!store.ok()) return store.status().sys_errno() == ENOENT ? Status() : store.status();
  return f(*store);
}

Status HostLocal::Del(const Request& request) {
  CNI_LET(const Config conf, Parse(request));
  return WithExistingStore(conf, request, [&](LeaseStore& store) -> Status {
    CNI_LET(const std::vector<Lease> leases, store.Leases());
    const bool exact = std::ranges::any_of(leases, [&](const Lease& l) {
      return Holds(l.owner, request.args) && !l.owner.ifname.empty();
    });
    Status first;  // release as much as possible
    for (const Lease& lease : leases) {
      // Files without an interface are from old versions and count only where no other does.
      if (!Holds(lease.owner, request.args) || (exact && lease.owner.ifname.empty())) continue;
      const Status s = store.Release(lease.ip);
      if (first.ok()) first = s;
    }
    return first;
  });
}

Status HostLocal::Check(const Request& request) {
  CNI_LET(const Config conf, Parse(request));
  CNI_LET(LeaseStore store, LeaseStore::Open(conf.data_dir, request.conf.name, /*create=*/false));
  CNI_LET(const std::vector<Lease> leases, store.Leases());
  std::set<Ip> ours;
  for (const Lease& lease : leases) {
    if (Holds(lease.owner, request.args)) ours.insert(lease.ip);
  }
  if (ours.empty()) {
    return Status::Internal("host-local: no address is leased to container " +
                            request.args.container_id + " interface " + request.args.ifname);
  }
  if (!request.conf.prev_result) return {};
  for (const IpConfig& ip : request.conf.prev_result->ips) {
    const bool from_here = std::ranges::any_of(
        conf.sets, [&](const RangeSet& set) { return set.RangeFor(ip.address.ip) != nullptr; });
    if (from_here && !ours.contains(ip.address.ip)) {
      return Status::Internal("host-local: " + ip.address.ip.ToString() +
                              " of prevResult is not leased to container " +
                              request.args.container_id);
    }
  }
  return {};
}

Status HostLocal::Ready(const Request& request) {
  CNI_LET(const Config conf, Parse(request));
  return WithExistingStore(conf, request, [&](LeaseStore& store) -> Status {
    CNI_LET(const std::vector<Lease> leases, store.Leases());
    std::set<Ip> taken;
    for (const Lease& lease : leases) taken.insert(lease.ip);
    for (size_t i = 0; i < conf.sets.size(); ++i) {
      const Or<Pick> pick = Choose(conf.sets[i], i, std::nullopt, taken, store);
      if (!pick.ok()) return {Code::kPluginNotAvailable, pick.status().message()};
    }
    return {};
  });
}

Status HostLocal::Gc(const Request& request, const std::vector<Attachment>& valid) {
  CNI_LET(const Config conf, Parse(request));
  return WithExistingStore(conf, request, [&](LeaseStore& store) -> Status {
    CNI_LET(const std::vector<Lease> leases, store.Leases());
    std::set<std::pair<std::string, std::string>> attached;
    std::set<std::string> containers;
    for (const Attachment& a : valid) {
      attached.emplace(a.container_id, a.ifname);
      containers.insert(a.container_id);
    }
    for (const Lease& lease : leases) {
      const LeaseOwner& owner = lease.owner;
      const bool keep = owner.ifname.empty()
                            ? containers.contains(owner.container_id)
                            : attached.contains({owner.container_id, owner.ifname});
      if (!keep) CNI_TRY(store.Release(lease.ip));
    }
    return {};
  });
}

}  // namespace

std::unique_ptr<Plugin> MakeHostLocal() { return std::make_unique<HostLocal>(); }

}  // namespace keelson::cni
