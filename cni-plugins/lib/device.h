// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cni-plugins/lib/link.h"
#include "cni-plugins/lib/types.h"

namespace keelson::cni {

// Both ends of a call: the container's namespace and a socket in either.
struct Ends {
  NetNs ns;
  Rtnl host;
  Rtnl container;
  static Or<Ends> Open(const std::string& netns);
};

// What macvlan, ipvlan, vlan, tap and dummy have in common: one device in the container, addresses
// from IPAM, nothing left on the host. A plugin says how the device is made.
class DevicePlugin : public Plugin {
 public:
  Status Validate(const Request& request) override;
  Or<Result> Add(const Request& request) override;
  Status Del(const Request& request) override;
  Status Check(const Request& request) override;
  Status Ready(const Request& request) override;
  Status Gc(const Request& request, const std::vector<Attachment>& valid) override;

 protected:
  // IPAM may be left out where a device is of use without an address.
  enum class Ipam { kRequired, kOptional, kRequiredUnlessChained };
  explicit DevicePlugin(std::string kind, Ipam ipam) : kind_(std::move(kind)), ipam_(ipam) {}

  // Decodes and checks the plugin's own options. Pure.
  virtual Status CheckConf(const Request& request) = 0;
  // Afterwards the container has the device args.ifname, down or up. On failure nothing is left.
  virtual Status Make(const Request& request, Ends& ends) = 0;
  // Runs inside the namespace before addresses are set. Sysctls that may be missing.
  virtual void Tune(const std::string& ifname);
  // CHECK beyond kind, hardware address, addresses and routes.
  virtual Status CheckDevice(const Request&, Ends&, const Link&) { return {}; }
  virtual Dns ResultDns(const Request& request, const Result& ipam);

 private:
  bool Chained(const Request& request) const;
  const std::string kind_;
  const Ipam ipam_;
};

// The lower device of macvlan, ipvlan and vlan.
struct Master {
  Link link;
  bool in_container = false;  // linkInContainer
};
// `name`, or the device of the default route if empty; in the container with `in_container`. Also
// checks that `mtu` (0: not given) is not above the master's. Errors name "master" or "mtu".
Or<Master> FindMaster(Ends& ends, const std::string& name, bool in_container, int mtu);

// Makes `spec` on top of `master` as args.ifname in the container. A name of its own first: the
// kernel looks for a namesake in the namespace the request comes from.
Status MakeOnMaster(Ends& ends, const Master& master, const std::string& ifname, LinkSpec spec);

// Kind-neutral helper: sets interface 0 for all addresses.
void OwnAllAddresses(Result* result, int interface);

// prevResult's interface, looked at in the container: there, of `kind` (empty: any), right address.
Or<Link> CheckPrevInterface(const Request& request, Rtnl& container, const std::string& kind);

}  // namespace keelson::cni
