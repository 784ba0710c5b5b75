// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/ipam/ranges.h"

namespace keelson::cni {

const Range* RangeSet::RangeFor(const Ip& ip) const {
  for (const Range& r : ranges) {
    if (r.Contains(ip)) return &r;
  }
  return nullptr;
}

bool RangeSet::Overlaps(const RangeSet& other) const {
  for (const Range& a : ranges) {
    for (const Range& b : other.ranges) {
      if (a.Overlaps(b)) return true;
    }
  }
  return false;
}

std::string RangeSet::ToString() const {
  std::string text;
  for (const Range& r : ranges) text += (text.empty() ? "" : ",") + r.ToString();
  return text;
}

namespace {

// An address member; absent and empty mean "not given", as Go's net.IP decodes them.
std::optional<Ip> ReadIp(const Reader& reader) {
  const std::string text = reader.String();
  if (text.empty()) return std::nullopt;
  const Or<Ip> ip = Ip::Parse(text);
  if (!ip.ok()) {
    reader.Fail("\"" + text + "\" is not an IP address");
    return std::nullopt;
  }
  return *ip;
}

// An optional bound of the range: must be inside the subnet.
Ip ReadBound(const Reader& reader, const Cidr& subnet, const Ip& fallback) {
  const std::optional<Ip> ip = ReadIp(reader);
  if (!ip) return fallback;
  if (!subnet.Contains(*ip)) {
    reader.Fail(ip->ToString() + " is not in network " + subnet.ToString());
  }
  return *ip;
}

std::optional<Cidr> ReadSubnet(const Reader& reader) {
  const std::string text = reader.String();
  const Or<Cidr> subnet = Cidr::Parse(text);
  if (!subnet.ok()) {
    reader.Fail(text.empty() ? "missing: a network such as 10.1.0.0/16 is needed"
                             : "\"" + text + "\" is not a network in CIDR notation");
    return std::nullopt;
  }
  if (subnet->prefix > subnet->ip.bits() - 2) {
    reader.Fail("network " + subnet->ToString() + " is too small to allocate from");
    return std::nullopt;
  }
  if (subnet->ip != subnet->Network()) {
    reader.Fail("network has host bits set; for a prefix of " + std::to_string(subnet->prefix) +
                " bits the network address is " + subnet->Network().ToString());
    return std::nullopt;
  }
  return *subnet;
}

std::optional<Range> ParseRange(const Reader& reader) {
  const std::optional<Cidr> subnet = ReadSubnet(reader["subnet"]);
  if (!subnet) return std::nullopt;
  Range range;
  range.subnet = *subnet;
  range.gateway = ReadIp(reader["gateway"]).value_or(subnet->ip.Next());
  // The last address is broadcast in IPv4 and an address like any other in IPv6.
  Ip last = subnet->ip.Broadcast(subnet->prefix);
  if (last.v4()) last = last.Prev();
  range.end = ReadBound(reader["rangeEnd"], *subnet, last);
  range.start = ReadBound(reader["rangeStart"], *subnet, subnet->ip.Next());
  if (reader.ok() && range.end < range.start) {
    reader["rangeStart"].Fail(range.start.ToString() + " is after rangeEnd " +
                              range.end.ToString());
  }
  if (!reader.ok()) return std::nullopt;
  return range;
}

void AddToSet(const Reader& reader, RangeSet* set) {
  const std::optional<Range> range = ParseRange(reader);
  if (!range) return;
  for (const Range& other : set->ranges) {
    if (other.start.v4() != range->start.v4())
      return reader.Fail("mixed address families in a set");
    if (other.Overlaps(*range)) {
      return reader.Fail("ranges " + other.ToString() + " and " + range->ToString() + " overlap");
    }
  }
  set->ranges.push_back(*range);
}

void AddSet(const Reader& reader, std::vector<RangeSet>* sets) {
  RangeSet set;
  for (const Reader& item : reader.Items()) AddToSet(item, &set);
  if (!reader.ok()) return;
  if (set.ranges.empty()) return reader.Fail("empty range set");
  for (size_t i = 0; i < sets->size(); ++i) {
    if ((*sets)[i].Overlaps(set)) {
      return reader.Fail("overlaps with range set " + std::to_string(i) + " (" +
                         (*sets)[i].ToString() + ")");
    }
  }
  sets->push_back(std::move(set));
}

}  // namespace

std::vector<RangeSet> ParseRangeSets(const Reader& conf) {
  std::vector<RangeSet> sets;
  const Reader ipam = conf["ipam"];
  for (const Reader& set : conf["runtimeConfig"]["ipRanges"].Items()) AddSet(set, &sets);
  if (ipam["subnet"].given()) {
    RangeSet single;
    AddToSet(ipam, &single);
    if (!single.ranges.empty()) {
      for (const RangeSet& other : sets) {
        if (other.Overlaps(single)) ipam["subnet"].Fail("overlaps with runtimeConfig.ipRanges");
      }
      sets.push_back(std::move(single));
    }
  }
  for (const Reader& set : ipam["ranges"].Items()) AddSet(set, &sets);
  if (conf.ok() && sets.empty()) ipam["ranges"].Fail("no IP ranges specified");
  return sets;
}

namespace {

size_t IndexOf(const RangeSet& set, const Range* range) {
  return static_cast<size_t>(range - set.ranges.data());
}

// Searches [from, to] of `range`; counts in steps so that the end of the address space is safe.
std::optional<Pick> Search(const Range& range, Ip from, const Ip& to,
                           const std::function<bool(const Ip&)>& taken) {
  for (Ip ip = from; ip <= to; ip = ip.Next()) {
    if (ip != range.gateway && !taken(ip)) return Pick{ip, &range};
    if (ip == to) break;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Pick> PickAddress(const RangeSet& set, const std::optional<Ip>& last,
                                const std::function<bool(const Ip&)>& taken) {
  const Range* const start = last ? set.RangeFor(*last) : nullptr;
  const size_t first = start ? IndexOf(set, start) : 0;
  const size_t count = set.ranges.size();
  if (start && *last != start->end) {
    if (auto pick = Search(*start, last->Next(), start->end, taken)) return pick;
  }
  for (size_t i = start ? 1 : 0; i < count; ++i) {
    const Range& range = set.ranges[(first + i) % count];
    if (auto pick = Search(range, range.start, range.end, taken)) return pick;
  }
  return start ? Search(*start, start->start, *last, taken) : std::nullopt;
}

}  // namespace keelson::cni
