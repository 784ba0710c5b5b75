// SPDX-License-Identifier: Apache-2.0
// macvlan: a device with a hardware address of its own on top of a host device.

#include <linux/if_link.h>

#include "cni-plugins/lib/configure.h"
#include "cni-plugins/lib/device.h"
#include "cni-plugins/registry.h"

namespace keelson::cni {

namespace {

struct MacvlanConf {
  std::string master;  // empty: the default route's device
  uint32_t mode = MACVLAN_MODE_BRIDGE;
  int mtu = 0;
  bool in_container = false;
  uint32_t queue_len = 0;  // bcqueuelen; 0: the kernel's choice
  std::optional<Mac> mac;
};

uint32_t ReadMode(const Reader& mode) {
  const std::string s = mode.String("bridge");
  if (s.empty() || s == "bridge") return MACVLAN_MODE_BRIDGE;
  if (s == "private") return MACVLAN_MODE_PRIVATE;
  if (s == "vepa") return MACVLAN_MODE_VEPA;
  if (s == "passthru") return MACVLAN_MODE_PASSTHRU;
  mode.Fail("unknown macvlan mode \"" + s + "\"");
  return 0;
}

Or<MacvlanConf> Parse(const Request& request) {
  Status error;
  const Reader r = request.conf.Read(&error);
  MacvlanConf c;
  c.master = r["master"].String();
  c.mode = ReadMode(r["mode"]);
  c.mtu = static_cast<int>(r["mtu"].Int(0, 0, INT32_MAX));
  c.in_container = r["linkInContainer"].Bool();
  c.queue_len = static_cast<uint32_t>(r["bcqueuelen"].Int(0, 0, UINT32_MAX));
  CNI_TRY(error);
  CNI_LET(c.mac, RequestedMac(request, MacField::kTopLevel));
  return c;
}

class Macvlan final : public DevicePlugin {
 public:
  Macvlan() : DevicePlugin("macvlan", Ipam::kOptional) {}

 protected:
  Status CheckConf(const Request& request) override { return Parse(request).status(); }

  Status Make(const Request& request, Ends& ends) override {
    CNI_LET(const MacvlanConf conf, Parse(request));
    CNI_LET(const Master master, FindMaster(ends, conf.master, conf.in_container, conf.mtu));
    LinkSpec spec;
    spec.kind = "macvlan";
    spec.mtu = conf.mtu;
    spec.mac = conf.mac;
    spec.info = [&](Message& m) {
      m.U32(IFLA_MACVLAN_MODE, conf.mode);
      if (conf.queue_len != 0) m.U32(IFLA_MACVLAN_BC_QUEUE_LEN, conf.queue_len);
    };
    return MakeOnMaster(ends, master, request.args.ifname, std::move(spec));
  }

  Status CheckDevice(const Request& request, Ends& ends, const Link& link) override {
    CNI_LET(const MacvlanConf conf, Parse(request));
    CNI_TRY(FindMaster(ends, conf.master, conf.in_container, 0).status());
    if (link.mode == static_cast<int>(conf.mode)) return {};
    return Status::Internal("mode: the device's macvlan mode differs from the configured one");
  }
};

}  // namespace

std::unique_ptr<Plugin> MakeMacvlan() { return std::make_unique<Macvlan>(); }

}  // namespace keelson::cni
