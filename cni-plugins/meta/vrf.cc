// SPDX-License-Identifier: Apache-2.0
// vrf: puts the container's device into a virtual routing and forwarding domain inside its
// namespace. All state is in the namespace and dies with it, so there is nothing for GC.
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <memory>

#include "cni-plugins/lib/link.h"
#include "cni-plugins/lib/skel.h"
#include "cni-plugins/lib/types.h"
#include "cni-plugins/lib/undo.h"

namespace keelson::cni {

namespace {

struct Config {
  std::string name;
  uint32_t table = 0;  // 0: any free one
};

Or<Config> Parse(const NetConf& net) {
  Status error;
  const Reader root = net.Read(&error);
  Config conf;
  conf.name = root["vrfname"].String();
  if (conf.name.empty()) {
    root["vrfname"].Fail("missing");
  } else if (const Status s = CheckIfName(conf.name); !s.ok()) {
    root["vrfname"].Fail(s.message());
  }
  conf.table = static_cast<uint32_t>(root["table"].Int(0, 0, UINT32_MAX));
  if (!error.ok()) return error;
  return conf;
}

// A free table as upstream picks it: the lowest no other VRF of the namespace has.
uint32_t FreeTable(const std::vector<Link>& links) {
  for (uint32_t table = 1;; ++table) {
    const bool taken = std::ranges::any_of(links, [&](const Link& l) {
      return l.vrf_table && static_cast<uint32_t>(*l.vrf_table) == table;
    });
    if (!taken) return table;
  }
}

Or<Link> FindVrf(Rtnl& rtnl, const std::string& name) {
  CNI_LET(Link link, rtnl.ByName(name));
  if (link.kind != "vrf") {
    return Status::Invalid("vrfname: device " + name + " exists and is not a VRF");
  }
  return link;
}

Or<Link> MakeVrfDevice(Rtnl& rtnl, const Config& conf) {
  uint32_t table = conf.table;
  if (table == 0) {
    CNI_LET(const std::vector<Link> links, rtnl.Links());
    table = FreeTable(links);
  }
  LinkSpec spec;
  spec.name = conf.name;
  spec.kind = "vrf";
  spec.up = true;
  spec.info = [table](Message& m) { m.U32(IFLA_VRF_TABLE, table); };
  CNI_TRY(rtnl.Make(spec));
  return rtnl.ByName(conf.name);
}

Or<std::vector<Cidr>> GlobalAddresses6(Rtnl& rtnl, int index) {
  CNI_LET(const std::vector<Address> all, rtnl.Addresses(index, AF_INET6));
  std::vector<Cidr> global;
  for (const Address& a : all) {
    if (a.scope == RT_SCOPE_UNIVERSE) global.push_back(a.cidr);
  }
  return global;
}

// Becoming part of a VRF takes a device's IPv6 addresses and its routes: they are put back, the
// routes into the VRF's table.
Status Join(Rtnl& rtnl, const Link& device, const Link& vrf) {
  CNI_LET(const std::vector<Cidr> before, GlobalAddresses6(rtnl, device.index));
  CNI_LET(std::vector<RouteSpec> routes, rtnl.Routes(AF_UNSPEC, RT_TABLE_MAIN));
  std::erase_if(routes, [&](const RouteSpec& r) {
    return r.link != device.index || r.scope != RT_SCOPE_UNIVERSE || (!r.gw && !r.dst.ip.v4());
  });
  LinkChange join;
  join.master = vrf.index;
  CNI_TRY(rtnl.Change(device.index, join));
  CNI_LET(const std::vector<Cidr> after, GlobalAddresses6(rtnl, device.index));
  for (const Cidr& a : before) {
    if (std::ranges::find(after, a) != after.end()) continue;
    // It was in use here a moment ago: no need to ask the neighbours again.
    CNI_TRY(rtnl.AddAddress(device.index, a, IFA_F_NODAD));
  }
  for (RouteSpec& r : routes) {
    r.table = vrf.vrf_table.value_or(0);
    const Status s = rtnl.AddRoute(r);
    if (!s.ok() && s.sys_errno() != EEXIST) return s;
  }
  return {};
}

Status AddToVrf(Rtnl& rtnl, const Config& conf, const std::string& ifname) {
  CNI_LET(const Link device, rtnl.ByName(ifname));
  if (device.master != 0) {
    const Or<Link> master = rtnl.ByIndex(device.master);
    return Status::Internal("interface " + ifname + " has already a master set: " +
                            (master.ok() ? master->name : std::to_string(device.master)));
  }
  Undo undo;
  Or<Link> vrf = FindVrf(rtnl, conf.name);
  if (!vrf.ok() && Rtnl::IsMissing(vrf.status())) {
    vrf = MakeVrfDevice(rtnl, conf);
    if (vrf.ok()) undo.Push("delete " + conf.name, [&, i = vrf->index] { return rtnl.Delete(i); });
  }
  if (!vrf.ok()) return vrf.status();
  if (conf.table != 0 && vrf->vrf_table && static_cast<uint32_t>(*vrf->vrf_table) != conf.table) {
    return Status::Invalid("table: VRF " + conf.name + " already exists with routing table " +
                           std::to_string(*vrf->vrf_table));
  }
  CNI_TRY(Join(rtnl, device, *vrf));
  undo.Keep();
  return {};
}

Status RemoveFromVrf(Rtnl& rtnl, const Config& conf, const std::string& ifname) {
  const Or<Link> vrf = FindVrf(rtnl, conf.name);
  if (!vrf.ok()) return Rtnl::IsMissing(vrf.status()) ? Status() : vrf.status();
  const Or<Link> device = rtnl.ByName(ifname);
  if (!device.ok() && !Rtnl::IsMissing(device.status())) return device.status();
  if (device.ok() && device->master == vrf->index) {
    LinkChange leave;
    leave.master = 0;
    CNI_TRY(rtnl.Change(device->index, leave));
  }
  CNI_LET(const std::vector<Link> links, rtnl.Links());
  const bool used =
      std::ranges::any_of(links, [&](const Link& l) { return l.master == vrf->index; });
  return used ? Status() : rtnl.DeleteSoon(vrf->index);
}

class Vrf : public Plugin {
 public:
  Status Validate(const Request& request) override { return Parse(request.conf).status(); }

  Or<Result> Add(const Request& request) override {
    CNI_LET(const Config conf, Parse(request.conf));
    if (!request.conf.prev_result) {
      return Status::Invalid("prevResult: missing, vrf must be called as a chained plugin");
    }
    CNI_LET(const NetNs ns, NetNs::Open(request.args.netns));
    CNI_LET(Rtnl rtnl, Rtnl::OpenIn(ns));
    CNI_TRY(AddToVrf(rtnl, conf, request.args.ifname).Within("vrf"));
    return *request.conf.prev_result;
  }

  Status Del(const Request& request) override {
    CNI_LET(const Config conf, Parse(request.conf));
    if (request.args.netns.empty()) return {};
    const Or<NetNs> ns = NetNs::Open(request.args.netns);
    if (!ns.ok()) return NetNs::IsGone(ns.status()) ? Status() : ns.status();
    CNI_LET(Rtnl rtnl, Rtnl::OpenIn(*ns));
    return RemoveFromVrf(rtnl, conf, request.args.ifname).Within("vrf");
  }

  Status Check(const Request& request) override {
    CNI_LET(const Config conf, Parse(request.conf));
    if (!request.conf.prev_result) return Status::Invalid("prevResult: missing");
    CNI_LET(const NetNs ns, NetNs::Open(request.args.netns));
    CNI_LET(Rtnl rtnl, Rtnl::OpenIn(ns));
    CNI_LET(const Link vrf, FindVrf(rtnl, conf.name));
    CNI_LET(const Link device, rtnl.ByName(request.args.ifname));
    if (device.master != vrf.index) {
      return Status::Internal("vrf: " + device.name + " is not part of VRF " + conf.name);
    }
    return {};
  }
};

}  // namespace

std::unique_ptr<Plugin> MakeVrf() { return std::make_unique<Vrf>(); }

}  // namespace keelson::cni
