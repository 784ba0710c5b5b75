// SPDX-License-Identifier: Apache-2.0
// bandwidth: limits what a container sends and receives. Towards the container on the host's end of
// its veth; from it on an ifb device that the veth's incoming packets are sent through.
#include <algorithm>
#include <memory>

#include "cni-plugins/lib/sha512.h"
#include "cni-plugins/lib/undo.h"
#include "cni-plugins/meta/shaper.h"

namespace keelson::cni {

namespace {

struct Config {
  Rate ingress;
  Rate egress;
  ShapedNetworks networks;
};

constexpr uint64_t kMaxBurstBits = uint64_t{UINT32_MAX} * 8;

Rate ReadRate(const Reader& r, const char* rate_name, const char* burst_name) {
  Rate rate;
  rate.bits_per_second = static_cast<uint64_t>(r[rate_name].Int(0, 0));
  rate.burst_bits = static_cast<uint64_t>(r[burst_name].Int(0, 0));
  if (rate.bits_per_second != 0 && rate.burst_bits == 0) {
    r[burst_name].Fail(std::string("missing: if ") + rate_name + " is set, it must also be set");
  }
  if (rate.bits_per_second == 0 && rate.burst_bits != 0) {
    r[rate_name].Fail(std::string("missing: if ") + burst_name + " is set, it must also be set");
  }
  if (rate.burst_bits >= kMaxBurstBits) r[burst_name].Fail("burst cannot be more than 4GB");
  return rate;
}

std::vector<Cidr> ReadNetworks(const Reader& list) {
  std::vector<Cidr> networks;
  for (const Reader& item : list.Items()) {
    const Or<Cidr> cidr = Cidr::Parse(item.String());
    if (!cidr.ok()) item.Fail("\"" + item.String() + "\" is not a network in CIDR notation");
    if (cidr.ok()) networks.push_back(*cidr);
  }
  return networks;
}

bool HasRates(const Reader& r) {
  return r["ingressRate"].given() || r["ingressBurst"].given() || r["egressRate"].given() ||
         r["egressBurst"].given();
}

// Rates of the configuration go before those of the pod (upstream's order). Networks come from
// where the rates do, or else from the other place: a cluster's exceptions hold for pods' limits
// too.
Or<Config> Parse(const NetConf& net) {
  Status error;
  const Reader root = net.Read(&error);
  const Reader runtime = root["runtimeConfig"]["bandwidth"];
  const bool top = HasRates(root) || !runtime.given();
  const Reader& rates = top ? root : runtime;
  const Reader& other = top ? runtime : root;
  Config conf;
  conf.ingress = ReadRate(rates, "ingressRate", "ingressBurst");
  conf.egress = ReadRate(rates, "egressRate", "egressBurst");
  const bool here = rates["shapedSubnets"].given() || rates["unshapedSubnets"].given();
  const Reader& networks = here ? rates : other;
  conf.networks.only = ReadNetworks(networks["shapedSubnets"]);
  conf.networks.except = ReadNetworks(networks["unshapedSubnets"]);
  if (!conf.networks.only.empty() && !conf.networks.except.empty()) {
    networks["shapedSubnets"].Fail("cannot be given together with unshapedSubnets");
  }
  if (!error.ok()) return error;
  return conf;
}

// The Go plugin's name for it, so that either finds the other's.
std::string IfbName(const std::string& network, const std::string& container_id) {
  return "bwp" + Sha512Hex(network + container_id).substr(0, 12);
}

// Says in the device's alias whose it is, for GC.
std::string IfbAlias(const std::string& network, const Attachment& a) {
  return "keelson-cni " + network + " " + a.container_id + " " + a.ifname;
}

// The host's end of the container's veth, which prevResult must name.
Or<Link> HostEnd(Rtnl& host, const Request& request) {
  if (!request.conf.prev_result) {
    return Status::Invalid("prevResult: missing, bandwidth must be called as a chained plugin");
  }
  CNI_LET(const NetNs ns, NetNs::Open(request.args.netns));
  CNI_LET(Rtnl container, Rtnl::OpenIn(ns));
  CNI_LET(const Link inside, container.ByName(request.args.ifname));
  if (inside.kind != "veth" || inside.parent <= 0) {
    return Status::Invalid("prevResult.interfaces: container interface " + inside.name +
                           " has no veth peer");
  }
  CNI_LET(const Link outside, host.ByIndex(inside.parent));
  for (const Interface& i : request.conf.prev_result->interfaces) {
    if (i.sandbox.empty() && i.name == outside.name) return outside;
  }
  return Status::Invalid("prevResult.interfaces: no veth peer of container interface " +
                         inside.name + " in the host's namespace");
}

class Bandwidth : public Plugin {
 public:
  Status Validate(const Request& request) override {
    return request.args.WishesCount() ? Parse(request.conf).status() : Status();
  }
  Or<Result> Add(const Request& request) override;
  Status Del(const Request& request) override;
  Status Check(const Request& request) override;
  Status Gc(const Request& request, const std::vector<Attachment>& valid) override;
};

Or<Link> MakeIfb(Rtnl& host, const Request& request, int mtu) {
  LinkSpec spec;
  spec.name = IfbName(request.conf.name, request.args.container_id);
  spec.kind = "ifb";
  spec.mtu = mtu;
  spec.up = true;
  CNI_TRY(host.Make(spec));
  CNI_LET(Link ifb, host.ByName(spec.name));
  LinkChange change;  // not among what the kernel takes when a device is made
  change.alias = IfbAlias(request.conf.name, {request.args.container_id, request.args.ifname});
  if (const Status s = host.Change(ifb.index, change); !s.ok()) {
    (void)host.Delete(ifb.index);  // the first error counts
    return s;
  }
  return ifb;
}

Or<Result> Bandwidth::Add(const Request& request) {
  CNI_LET(const Config conf, Parse(request.conf));
  const bool ingress = conf.ingress.bits_per_second != 0;
  const bool egress = conf.egress.bits_per_second != 0;
  if (!request.conf.prev_result) {
    return Status::Invalid("prevResult: missing, bandwidth must be called as a chained plugin");
  }
  Result result = *request.conf.prev_result;
  if (!ingress && !egress) return result;
  CNI_LET(Rtnl host, Rtnl::Open());
  CNI_LET(const Link veth, HostEnd(host, request));
  Undo undo;
  if (ingress) {
    CNI_TRY(Shape(host, veth.index, conf.ingress, conf.networks, Remote::kSource)
                .Within("shape " + veth.name));
    undo.Push("unshape " + veth.name, [&] { return Unshape(host, veth.index); });
  }
  if (egress) {
    CNI_LET(const Link ifb, MakeIfb(host, request, veth.mtu));
    undo.Push("delete " + ifb.name, [&host, index = ifb.index] { return host.Delete(index); });
    CNI_TRY(Shape(host, ifb.index, conf.egress, conf.networks, Remote::kDestination)
                .Within("shape " + ifb.name));
    CNI_TRY(RedirectIngress(host, veth.index, ifb.index).Within("redirect " + veth.name));
    Interface reported;
    reported.name = ifb.name;
    reported.mac = ifb.mac.ToString();
    result.interfaces.push_back(std::move(reported));
  }
  undo.Keep();
  return result;
}

// The veth takes its own shaping along.
Status Bandwidth::Del(const Request& request) {
  CNI_LET(Rtnl host, Rtnl::Open());
  const Or<Link> ifb = host.ByName(IfbName(request.conf.name, request.args.container_id));
  if (!ifb.ok()) return Rtnl::IsMissing(ifb.status()) ? Status() : ifb.status();
  return host.DeleteSoon(ifb->index);
}

Status Bandwidth::Check(const Request& request) {
  CNI_LET(const Config conf, Parse(request.conf));
  CNI_LET(Rtnl host, Rtnl::Open());
  CNI_LET(const Link veth, HostEnd(host, request));
  if (conf.ingress.bits_per_second != 0) {
    CNI_TRY(CheckShape(host, veth.index, conf.ingress, conf.networks).Within(veth.name));
  }
  if (conf.egress.bits_per_second != 0) {
    CNI_LET(const Link ifb, host.ByName(IfbName(request.conf.name, request.args.container_id)));
    CNI_TRY(CheckShape(host, ifb.index, conf.egress, conf.networks).Within(ifb.name));
    CNI_TRY(CheckRedirect(host, veth.index, ifb.index));
  }
  return {};
}

Status Bandwidth::Gc(const Request& request, const std::vector<Attachment>& valid) {
  CNI_LET(Rtnl host, Rtnl::Open());
  CNI_LET(const std::vector<Link> links, host.Links());
  const std::string ours = "keelson-cni " + request.conf.name + " ";
  for (const Link& link : links) {
    if (!link.name.starts_with("bwp") || !link.alias.starts_with(ours)) continue;
    const bool attached = std::ranges::any_of(
        valid, [&](const Attachment& a) { return link.alias == IfbAlias(request.conf.name, a); });
    if (!attached) CNI_TRY(host.Delete(link.index));
  }
  return {};
}

}  // namespace

std::unique_ptr<Plugin> MakeBandwidth() { return std::make_unique<Bandwidth>(); }

}  // namespace keelson::cni
