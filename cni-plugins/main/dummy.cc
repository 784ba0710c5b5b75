// SPDX-License-Identifier: Apache-2.0
// dummy: a device that drops what is sent and keeps its addresses reachable locally.

#include "cni-plugins/lib/device.h"
#include "cni-plugins/registry.h"

namespace keelson::cni {

namespace {

class Dummy final : public DevicePlugin {
 public:
  Dummy() : DevicePlugin("dummy", Ipam::kRequired) {}

 protected:
  Status CheckConf(const Request&) override { return {}; }
  void Tune(const std::string&) override {}
  Dns ResultDns(const Request&, const Result& ipam) override { return ipam.dns; }

  Status Make(const Request& request, Ends& ends) override {
    LinkSpec spec;
    spec.kind = "dummy";
    spec.name = request.args.ifname;
    return ends.container.Make(spec);
  }
};

}  // namespace

std::unique_ptr<Plugin> MakeDummy() { return std::make_unique<Dummy>(); }

}  // namespace keelson::cni
