// SPDX-License-Identifier: Apache-2.0
#pragma once

// Traffic control over rtnetlink, as far as bandwidth needs it.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cni-plugins/lib/ip.h"
#include "cni-plugins/lib/link.h"

namespace keelson::cni {

// A limit on what leaves through a device.
struct Rate {
  uint64_t bits_per_second = 0;
  uint64_t burst_bits = 0;  // may pass at once before the limit holds
};

// What the kernel is told, in its units.
struct ShaperNumbers {
  uint64_t bytes_per_second;
  uint32_t burst_bytes;
  uint32_t burst_ticks;  // time to send the burst at the rate; 64 ns each (PSCHED_SHIFT), capped
  uint32_t queue_bytes;  // 25 ms at the rate plus the burst, upstream's choice
};
ShaperNumbers NumbersFor(const Rate& rate);

// Which remote networks are limited.
struct ShapedNetworks {
  std::vector<Cidr> only;    // if not empty: just these
  std::vector<Cidr> except;  // all but these
  bool all() const { return only.empty() && except.empty(); }
};

// Which address of a packet is the remote one.
enum class Remote { kSource, kDestination };

// Limits what leaves through `link`: a token bucket at the root; with networks to tell apart, a
// hierarchical one whose unlimited packets pass directly. On failure nothing has changed; EEXIST:
// there is a root qdisc already.
Status Shape(Rtnl& rtnl, int link, const Rate& rate, const ShapedNetworks& networks, Remote remote);
// OK if `link` has what Shape would make.
Status CheckShape(Rtnl& rtnl, int link, const Rate& rate, const ShapedNetworks& networks);

// Removes what Shape added. OK if nothing is there.
Status Unshape(Rtnl& rtnl, int link);

// Everything that comes in through `link` leaves through `target` first. On failure nothing has
// changed.
Status RedirectIngress(Rtnl& rtnl, int link, int target);
Status CheckRedirect(Rtnl& rtnl, int link, int target);
// Removes what RedirectIngress added. OK if nothing is there.
Status EndRedirect(Rtnl& rtnl, int link);

}  // namespace keelson::cni
