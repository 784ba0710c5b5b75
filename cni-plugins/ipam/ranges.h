// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cni-plugins/lib/ip.h"
#include "cni-plugins/lib/json.h"

namespace keelson::cni {

// A run of addresses of one subnet that host-local may give away: [start, end] without the gateway.
// Made by ParseRange only, so start and end are inside the subnet and in order.
struct Range {
  Cidr subnet;
  Ip start;
  Ip end;
  Ip gateway;

  bool Contains(const Ip& ip) const { return ip.v4() == start.v4() && start <= ip && ip <= end; }
  bool Overlaps(const Range& other) const {
    return start.v4() == other.start.v4() && start <= other.end && other.start <= end;
  }
  std::string ToString() const { return start.ToString() + "-" + end.ToString(); }
};

// Alternatives of one address family: a container gets one address out of each set.
struct RangeSet {
  std::vector<Range> ranges;  // never empty, disjoint

  const Range* RangeFor(const Ip& ip) const;
  bool Overlaps(const RangeSet& other) const;
  std::string ToString() const;
};

// `ipam.subnet` and friends (the old single range), `ipam.ranges` and `runtimeConfig.ipRanges` in
// the order in which upstream tries them: runtime, single, list. Errors stick in the reader.
std::vector<RangeSet> ParseRangeSets(const Reader& conf);

// The first address after `last` (round robin over the whole set, so that a crash-looping container
// does not get the same one at once) for which `taken` says no. nullopt: none left.
struct Pick {
  Ip ip;
  const Range* range;  // of the set passed in
};
std::optional<Pick> PickAddress(const RangeSet& set, const std::optional<Ip>& last,
                                const std::function<bool(const Ip&)>& taken);

}  // namespace keelson::cni
