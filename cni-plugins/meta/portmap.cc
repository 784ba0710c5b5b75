// SPDX-License-Identifier: Apache-2.0
// portmap: ports of this node lead to a container.
#include <linux/rtnetlink.h>
#include <netinet/in.h>

#include <cstdio>
#include <memory>

#include "cni-plugins/lib/link.h"
#include "cni-plugins/meta/portmap_rules.h"

namespace keelson::cni {

namespace {

constexpr const char* kName = "portmap";

class Portmap : public Plugin {
 public:
  Status Validate(const Request& request) override {
    return request.args.WishesCount() ? ParsePortmapConf(request.conf).status() : Status();
  }
  Or<Result> Add(const Request& request) override;
  Status Del(const Request& request) override;
  Status Check(const Request& request) override;
  Status Ready(const Request& request) override;
  Status Gc(const Request& request, const std::vector<Attachment>& valid) override;
};

NftOwner OwnerOf(const Request& request) {
  return {request.conf.name, request.args.container_id, request.args.ifname};
}

bool Usable(const Ip& ip) {
  const uint8_t* const b = ip.data();
  const bool loopback = ip.v4() && b[0] == 127;
  const bool link_local = !ip.v4() && b[0] == 0xfe && (b[1] & 0xc0) == 0x80;
  return !ip.IsZero() && !loopback && !link_local;
}

// This node's own address on the way to the container: its gateway if that is the node, which holds
// while the address is still being checked for duplicates, too; else the one the kernel would use.
// nullopt: there is no way, or none with such an address.
std::optional<Ip> NodeAddressTowards(Rtnl& rtnl, const Ip& ip, const std::optional<Ip>& gateway) {
  Message m(RTM_GETROUTE);
  auto* const head = m.Header<rtmsg>();
  head->rtm_family = static_cast<uint8_t>(ip.family());
  head->rtm_dst_len = static_cast<uint8_t>(ip.bits());
  m.Put(RTA_DST, ip.data(), ip.size());
  std::optional<Ip> source;
  int link = 0;
  // No route is an answer like any other.
  (void)rtnl.netlink().Ask(m, "route to " + ip.ToString(), [&](nlmsghdr* h) {
    const nlattr* const a = nlmsg_find_attr(h, sizeof(rtmsg), RTA_PREFSRC);
    if (a && static_cast<size_t>(nla_len(a)) == ip.size()) {
      source = Ip::FromBytes(ip.family(), nla_data(a));
    }
    if (const nlattr* oif = nlmsg_find_attr(h, sizeof(rtmsg), RTA_OIF)) {
      link = static_cast<int>(nla_get_u32(oif));
    }
  });
  if (link != 0 && gateway && gateway->v4() == ip.v4()) {
    const Or<std::vector<Address>> addresses = rtnl.Addresses(link, ip.family());
    if (addresses.ok()) {
      for (const Address& a : *addresses) {
        if (a.cidr.ip == *gateway && Usable(*gateway)) return gateway;
      }
    }
  }
  return source && Usable(*source) ? source : std::nullopt;
}

Or<OwnedElements> Wanted(const Request& request, const PortmapConf& conf) {
  if (!request.conf.prev_result) {
    return Status::Invalid("prevResult: missing, portmap must be called as a chained plugin");
  }
  CNI_LET(Rtnl rtnl, Rtnl::Open());
  std::vector<MappingTarget> targets;
  for (const IpConfig& ip : ContainerAddresses(*request.conf.prev_result, request.args.ifname)) {
    const Cidr& a = ip.address;
    targets.push_back({a, conf.snat ? NodeAddressTowards(rtnl, a.ip, ip.gateway) : std::nullopt});
  }
  return HostportElements(conf, targets);
}

// Stale flows delay a client until they time out; that must not fail a pod.
void Forget(std::span<const nft::Element> elements) {
  const Status s = ForgetUdpFlows(UdpServices(elements));
  if (!s.ok()) std::fprintf(stderr, "portmap: %s\n", s.message().c_str());
}

Or<Result> Portmap::Add(const Request& request) {
  CNI_LET(const PortmapConf conf, ParsePortmapConf(request.conf));
  CNI_LET(const OwnedElements want, Wanted(request, conf));
  if (conf.mappings.empty()) return *request.conf.prev_result;
  CNI_LET(OwnedTable table, OwnedTable::Open(HostportTable()));
  CNI_TRY(table.Put(OwnerOf(request), want).Within(kName));
  Forget(want.elements);  // only now: new packets already go the new way
  return *request.conf.prev_result;
}

// What the kernel remembers of the container decides, not the configuration: that may lack the
// runtimeConfig it came with.
Status Portmap::Del(const Request& request) {
  CNI_LET(OwnedTable table, OwnedTable::Open(HostportTable()));
  std::vector<nft::Element> removed;
  CNI_TRY(table.Remove(OwnerOf(request), &removed).Within(kName));
  Forget(removed);
  return {};
}

Status Portmap::Check(const Request& request) {
  CNI_LET(const PortmapConf conf, ParsePortmapConf(request.conf));
  CNI_LET(const OwnedElements want, Wanted(request, conf));
  if (want.elements.empty()) return {};
  CNI_LET(OwnedTable table, OwnedTable::Open(HostportTable()));
  return table.Verify(OwnerOf(request), want).Within(kName);
}

Status Portmap::Ready(const Request&) {
  CNI_LET(OwnedTable table, OwnedTable::Open(HostportTable()));
  const Status s = table.Ready();
  return s.ok() ? s : Status(Code::kPluginNotAvailable, s.message());
}

Status Portmap::Gc(const Request& request, const std::vector<Attachment>& valid) {
  CNI_LET(OwnedTable table, OwnedTable::Open(HostportTable()));
  return table.Gc(request.conf.name, valid).Within(kName);
}

}  // namespace

std::unique_ptr<Plugin> MakePortmap() { return std::make_unique<Portmap>(); }

}  // namespace keelson::cni
