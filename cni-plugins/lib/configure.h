// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cni-plugins/lib/link.h"
#include "cni-plugins/lib/types.h"

namespace keelson::cni {

// Steps that several main plugins share.

// Gives the device `ifname` of the current namespace what `result` says: addresses (those whose
// interface index names it), up, routes (through the result's gateway of their family unless they
// have their own). IPv6 is switched on for it when an IPv6 address comes; waits up to 5 s for
// duplicate address detection when there is an IPv6 gateway, so that the address can be used.
// REQUIRES: `rtnl` is of the current namespace.
Status ConfigureInterface(Rtnl& rtnl, const std::string& ifname, const Result& result);

// CHECK: the addresses and routes of `result` are on `ifname` now.
Status CheckAddressesAndRoutes(Rtnl& rtnl, const std::string& ifname, const Result& result);

// Forwarding for the family of `ip` (host, all interfaces). Writes only when it is off.
Status EnableForwarding(const Ip& ip);

// "veth" and eight random hexadecimal digits: the pattern that tools on nodes look for.
std::string RandomVethName();

// The hardware address asked for. kArgsCni: by CNI_ARGS MAC, args.cni.mac or runtimeConfig.mac;
// kTopLevel: by "mac", CNI_ARGS MAC or runtimeConfig.mac. The last one given wins. An error names
// the field.
enum class MacField { kArgsCni, kTopLevel };
Or<std::optional<Mac>> RequestedMac(const Request& request, MacField field = MacField::kArgsCni);

// Fails `backend` unless absent, "nftables" or "iptables": the Go plugins' choice between two
// programs. Here it is the kernel's nftables either way.
void CheckMasqBackend(const Reader& backend);

// Before anything is made: an ADD whose interface exists already fails with nothing to take back.
Status CheckNameIsFree(Rtnl& container, const std::string& ifname);

// A veth pair whose near end gets a random name; router advertisements cannot change its routes.
// Returns the near end. `rtnl` is of the current namespace.
Or<Link> MakeVethPair(Rtnl& rtnl, LinkSpec near, const LinkSpec& far);

// We own the routes of `ifname` in the current namespace, not whoever sends router advertisements.
void RefuseRouterAdvertisements(const std::string& ifname);

std::vector<Cidr> AddressesOf(const Result& result);

// prevResult's interface `ifname` in the sandbox args.netns; an error if there is none.
Or<Interface> ContainerInterface(const Request& request);

// CHECK: the device `want` names is there, of kind `kind` (empty: any) and with the address `want`
// has.
Or<Link> CheckContainerLink(Rtnl& rtnl, const Interface& want, const std::string& kind);

// Deletes `ifname` in the namespace at `netns`. OK if either is gone, or `netns` is empty (the
// specification's DEL).
Status DeleteContainerLink(const std::string& netns, const std::string& ifname);

}  // namespace keelson::cni
