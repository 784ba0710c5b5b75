// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/lib/nft_match.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

namespace keelson::cni::nft {

const Family& FamilyOf(bool v4) {
  static const Family kV4{AF_INET, NFPROTO_IPV4, 4, 12, 16, 10, Type::kIp4, '4', "ipv4"};
  static const Family kV6{AF_INET6, NFPROTO_IPV6, 16, 8, 24, {}, Type::kIp6, '6', "ipv6"};
  return v4 ? kV4 : kV6;
}

std::string Bytes(const Ip& ip) { return {reinterpret_cast<const char*>(ip.data()), ip.size()}; }

Ip IpFrom(std::string_view bytes) {
  return Ip::FromBytes(bytes.size() == 4 ? AF_INET : AF_INET6, bytes.data());
}

Exprs Only(const Family& f) {
  Exprs e;
  e.Meta(NFT_META_NFPROTO, 0).Equal(0, {reinterpret_cast<const char*>(&f.nfproto), 1});
  return e;
}

}  // namespace keelson::cni::nft
