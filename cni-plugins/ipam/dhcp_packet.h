// SPDX-License-Identifier: Apache-2.0
#pragma once

// DHCPv4 messages as bytes (RFC 2131, 2132, 3442). Pure; what comes in is from strangers and is
// bounds-checked throughout.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cni-plugins/lib/ip.h"
#include "cni-plugins/lib/types.h"

namespace keelson::cni::dhcp {

enum class MessageType : uint8_t {
  kDiscover = 1,
  kOffer = 2,
  kRequest = 3,
  kDecline = 4,
  kAck = 5,
  kNak = 6,
  kRelease = 7,
};

enum Option : uint8_t {
  kSubnetMask = 1,
  kRouters = 3,
  kHostName = 12,
  kStaticRoutes = 33,
  kRequestedIp = 50,
  kLeaseTime = 51,
  kOverload = 52,
  kMessageType = 53,
  kServerId = 54,
  kParameterList = 55,
  kRenewalTime = 58,
  kRebindingTime = 59,
  kVendorClass = 60,
  kClientId = 61,
  kUserClass = 77,
  kClasslessRoutes = 121,
  kEnd = 255,
};

struct Packet {
  bool reply = false;  // BOOTREPLY
  uint32_t xid = 0;
  bool broadcast = false;
  Ip client;  // ciaddr
  Ip yours;   // yiaddr
  Mac mac;    // chaddr
  std::map<uint8_t, std::string> options;

  std::optional<MessageType> type() const;
  std::optional<Ip> Address(uint8_t option) const;
  std::optional<uint32_t> Seconds(uint8_t option) const;
};

std::string Encode(const Packet& packet);
std::optional<Packet> Decode(std::string_view bytes);

// An IPv4 datagram from 0.0.0.0:68 to 255.255.255.255:67 around `payload`.
std::string BroadcastDatagram(std::string_view payload);
// The payload of an IPv4/UDP datagram to port 68, else nullopt. The UDP checksum is not looked at:
// on a veth it is not filled in yet.
std::optional<std::string_view> PayloadForClient(std::string_view datagram);

// The routes of an ACK: classless ones (and then only these, RFC 3442), else static ones and the
// default route through the first router.
std::vector<Route> RoutesOf(const Packet& ack);

// "subnet-mask", "routers", ... or a number from 1 to 254.
std::optional<uint8_t> OptionByName(const std::string& name);

}  // namespace keelson::cni::dhcp
