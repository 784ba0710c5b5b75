// SPDX-License-Identifier: Apache-2.0
// ipvlan: a device that shares its host device's hardware address.

#include <linux/if_link.h>

#include "cni-plugins/lib/configure.h"
#include "cni-plugins/lib/device.h"
#include "cni-plugins/registry.h"

namespace keelson::cni {

namespace {

struct IpvlanConf {
  std::string master;  // empty: prevResult's only interface, else the default route's device
  uint16_t mode = IPVLAN_MODE_L2;
  int mtu = 0;
  bool in_container = false;
};

uint16_t ReadMode(const Reader& mode) {
  const std::string s = mode.String("l2");
  if (s.empty() || s == "l2") return IPVLAN_MODE_L2;
  if (s == "l3") return IPVLAN_MODE_L3;
  if (s == "l3s") return IPVLAN_MODE_L3S;
  mode.Fail("unknown ipvlan mode \"" + s + "\"");
  return 0;
}

Or<IpvlanConf> Parse(const Request& request) {
  Status error;
  const Reader r = request.conf.Read(&error);
  IpvlanConf c;
  c.master = r["master"].String();
  c.mode = ReadMode(r["mode"]);
  c.mtu = static_cast<int>(r["mtu"].Int(0, 0, INT32_MAX));
  c.in_container = r["linkInContainer"].Bool();
  // As a chained plugin it sits on what the plugin before it made. CHECK's prevResult is our own.
  const auto& previous = request.conf.prev_result;
  if (c.master.empty() && previous && request.args.command == "ADD") {
    if (previous->interfaces.size() == 1) c.master = previous->interfaces[0].name;
    if (c.master.empty()) {
      r["master"].Fail("chained master failure: prevResult lacks a single named interface");
    }
  }
  CNI_TRY(error);
  return c;
}

class Ipvlan final : public DevicePlugin {
 public:
  Ipvlan() : DevicePlugin("ipvlan", Ipam::kRequiredUnlessChained) {}

 protected:
  Status CheckConf(const Request& request) override { return Parse(request).status(); }

  Status Make(const Request& request, Ends& ends) override {
    CNI_LET(const IpvlanConf conf, Parse(request));
    CNI_LET(const Master master, FindMaster(ends, conf.master, conf.in_container, conf.mtu));
    LinkSpec spec;
    spec.kind = "ipvlan";
    spec.mtu = conf.mtu;
    spec.info = [&](Message& m) { m.U16(IFLA_IPVLAN_MODE, conf.mode); };
    return MakeOnMaster(ends, master, request.args.ifname, std::move(spec));
  }

  Status CheckDevice(const Request& request, Ends& ends, const Link& link) override {
    CNI_LET(const IpvlanConf conf, Parse(request));
    if (!conf.master.empty()) {
      CNI_TRY(FindMaster(ends, conf.master, conf.in_container, 0).status());
    }
    if (link.mode == static_cast<int>(conf.mode)) return {};
    return Status::Internal("mode: the device's ipvlan mode differs from the configured one");
  }
};

}  // namespace

std::unique_ptr<Plugin> MakeIpvlan() { return std::make_unique<Ipvlan>(); }

}  // namespace keelson::cni
