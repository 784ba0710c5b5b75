// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cni-plugins/lib/ip.h"
#include "cni-plugins/lib/nft_match.h"
#include "cni-plugins/lib/status.h"

namespace keelson::cni {

// One condition a packet must meet before its port is mapped (portmap's conditionsV4/V6).
struct Condition {
  enum class What { kSource, kDestination, kInInterface, kMark } what;
  bool negated = false;
  Cidr network;           // kSource, kDestination
  std::string interface;  // kInInterface; a final '*' stands for any rest
  uint32_t mark = 0;      // kMark: (packet & mask) == mark
  uint32_t mask = ~0u;
  friend bool operator==(const Condition&, const Condition&) = default;
};

enum class ConditionStyle { kNone, kIptables, kNftables };
// As upstream tells them apart: iptables conditions begin with '-' or '!'.
ConditionStyle StyleOf(const std::vector<std::string>& words);

// `words` in either spelling the Go plugin takes for its two backends:
//   iptables: [!] -s|-d CIDR, [!] -i NAME[+], -m mark [!] --mark V[/M], -m comment --comment TEXT
//   nftables: ip|ip6 saddr|daddr [==|!=] CIDR, iifname [==|!=] NAME[*], meta mark [==|!=] V
// Anything else is an error that quotes it: a condition must not be dropped silently.
Or<std::vector<Condition>> ParseConditions(const std::vector<std::string>& words, bool v4);

// Appends the match to a rule of the family's packets; uses registers from 0.
void Match(const std::vector<Condition>& conditions, const nft::Family& f, nft::Exprs* exprs);

// Stable text that is equal for equal conditions; empty for none.
std::string Fingerprint(const std::vector<Condition>& conditions);

}  // namespace keelson::cni
