// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cni-plugins/lib/types.h"

namespace keelson::cni {

// Delegation to the plugin named by the configuration's ipam.type: the same request, environment
// and all. Ours (PluginEntry::ipam) are called in this process; a foreign one is looked up in
// CNI_PATH and executed, its stdin and result as the specification's section 4 has it.
// Errors are the delegate's own, code included; kInvalidConfig "ipam.type: ..." if there is none.
// REQUIRES: !request.conf.ipam_type.empty().
Or<Result> IpamAdd(const Request& request);
Status IpamDel(const Request& request);
Status IpamCheck(const Request& request);
Status IpamReady(const Request& request);
Status IpamGc(const Request& request, const std::vector<Attachment>& valid);
// Only for ours; a foreign delegate checks its configuration when it is called.
Status IpamValidate(const Request& request);
// Whether ADD of this IPAM expects the container's device to exist and be up (dhcp talks through
// it; a foreign plugin may). The others are asked first, so that an empty range changes no link.
bool IpamNeedsLink(const Request& request);

}  // namespace keelson::cni
