// SPDX-License-Identifier: Apache-2.0
// vlan: an 802.1Q device on top of a host device.

#include <linux/if_link.h>

#include "cni-plugins/lib/device.h"
#include "cni-plugins/registry.h"

namespace keelson::cni {

namespace {

struct VlanConf {
  std::string master;
  uint16_t id = 0;
  int mtu = 0;
  bool in_container = false;
};

Or<VlanConf> Parse(const Request& request) {
  Status error;
  const Reader r = request.conf.Read(&error);
  VlanConf c;
  c.master = r["master"].String();
  c.id = static_cast<uint16_t>(r["vlanId"].Int(0, 0, 4094));
  c.mtu = static_cast<int>(r["mtu"].Int(0, 0, INT32_MAX));
  c.in_container = r["linkInContainer"].Bool();
  if (c.master.empty()) r["master"].Fail("required: the interface to create the VLAN for");
  CNI_TRY(error);
  return c;
}

class Vlan final : public DevicePlugin {
 public:
  Vlan() : DevicePlugin("vlan", Ipam::kRequired) {}

 protected:
  Status CheckConf(const Request& request) override { return Parse(request).status(); }
  void Tune(const std::string&) override {}

  Status Make(const Request& request, Ends& ends) override {
    CNI_LET(const VlanConf conf, Parse(request));
    CNI_LET(const Master master, FindMaster(ends, conf.master, conf.in_container, conf.mtu));
    LinkSpec spec;
    spec.kind = "vlan";
    spec.mtu = conf.mtu;
    spec.info = [&](Message& m) { m.U16(IFLA_VLAN_ID, conf.id); };
    return MakeOnMaster(ends, master, request.args.ifname, std::move(spec));
  }

  Status CheckDevice(const Request& request, Ends& ends, const Link& link) override {
    CNI_LET(const VlanConf conf, Parse(request));
    CNI_TRY(FindMaster(ends, conf.master, conf.in_container, 0).status());
    if (link.vlan_id == static_cast<int>(conf.id)) return {};
    return Status::Internal("vlanId: the device's VLAN differs from the configured one");
  }
};

}  // namespace

std::unique_ptr<Plugin> MakeVlan() { return std::make_unique<Vlan>(); }

}  // namespace keelson::cni
