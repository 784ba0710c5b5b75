// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "cni-plugins/lib/ip.h"
#include "cni-plugins/lib/status.h"
#include "cni-plugins/lib/types.h"

namespace keelson::cni {

// Source translation for a container's traffic to anything outside its networks and not multicast
// (ipMasq). Lives in our own nftables table; one element per address, tagged with network,
// container and interface; cost per packet and per call does not grow with their number.

// Afterwards traffic from each of `addresses` leaves masqueraded. Idempotent.
Status MasqueradeAdd(const std::string& network, const std::string& container_id,
                     const std::string& ifname, std::span<const Cidr> addresses);
// Afterwards nothing of this attachment is left. OK if nothing was. Needs no addresses.
Status MasqueradeDel(const std::string& network, const std::string& container_id,
                     const std::string& ifname);
// Removes the entries of `network` whose attachment is not in `valid`.
Status MasqueradeGc(const std::string& network, std::span<const Attachment> valid);

// macspoofchk: frames that enter the bridge through port `host_ifname` with a source address other
// than `mac` are dropped (table bridge). Same rules for idempotence and tagging as above.
Status SpoofCheckAdd(const std::string& network, const std::string& host_ifname, const Mac& mac,
                     const std::string& container_id, const std::string& ifname);
Status SpoofCheckDel(const std::string& network, const std::string& container_id,
                     const std::string& ifname);
Status SpoofCheckGc(const std::string& network, std::span<const Attachment> valid);

}  // namespace keelson::cni
