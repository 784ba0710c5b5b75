// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include "cni-plugins/lib/ip.h"
#include "cni-plugins/lib/nft.h"

namespace keelson::cni::nft {

// Where things are in a packet of one address family.
struct Family {
  int af;
  uint8_t nfproto;
  uint32_t bytes;  // of an address
  uint32_t saddr;  // offsets in the network header
  uint32_t daddr;
  std::optional<int> csum;  // offset of the header's checksum
  Type type;
  char digit;        // '4' or '6', in names of sets
  const char* text;  // "ipv4"
  int regs() const { return static_cast<int>(bytes / 4); }
};
const Family& FamilyOf(bool v4);
inline const Family& FamilyOf(const Ip& ip) { return FamilyOf(ip.v4()); }

// An address as key or data.
std::string Bytes(const Ip& ip);
Ip IpFrom(std::string_view bytes);

// Begin a rule that looks only at packets of `f`.
Exprs Only(const Family& f);

}  // namespace keelson::cni::nft
