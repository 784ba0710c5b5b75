// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/ipam/dhcp_packet.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace keelson::cni::dhcp {

namespace {

constexpr size_t kOptionsAt = 240;  // after the fixed part and the magic cookie
constexpr char kMagic[] = "\x63\x82\x53\x63";
constexpr uint16_t kBroadcastFlag = 0x8000;
constexpr size_t kMinPacket = 300;  // BOOTP relays drop shorter ones

void AppendU16(std::string* out, uint16_t v) {
  v = htons(v);
  out->append(reinterpret_cast<const char*>(&v), 2);
}

void AppendU32(std::string* out, uint32_t v) {
  v = htonl(v);
  out->append(reinterpret_cast<const char*>(&v), 4);
}

void AppendIp(std::string* out, const Ip& ip) {
  out->append(reinterpret_cast<const char*>(ip.data()), 4);
}

uint32_t U32At(std::string_view bytes, size_t at) {
  uint32_t v;
  std::memcpy(&v, bytes.data() + at, 4);
  return ntohl(v);
}

Ip IpAt(std::string_view bytes, size_t at) { return Ip::FromBytes(AF_INET, bytes.data() + at); }

// Adds the options in `bytes`; parts of one option are joined (RFC 3396).
void DecodeOptions(std::string_view bytes, std::map<uint8_t, std::string>* options) {
  while (!bytes.empty()) {
    const auto code = static_cast<uint8_t>(bytes[0]);
    if (code == kEnd) return;
    if (code == 0) {
      bytes.remove_prefix(1);
      continue;
    }
    if (bytes.size() < 2) return;
    const auto size = static_cast<uint8_t>(bytes[1]);
    if (bytes.size() < 2u + size) return;
    (*options)[code] += bytes.substr(2, size);
    bytes.remove_prefix(2u + size);
  }
}

uint32_t AddUp(std::string_view bytes, uint32_t sum) {
  for (size_t i = 0; i < bytes.size(); i += 2) {
    const uint32_t low = i + 1 < bytes.size() ? static_cast<uint8_t>(bytes[i + 1]) : 0;
    sum += static_cast<uint32_t>(static_cast<uint8_t>(bytes[i])) << 8 | low;
  }
  return sum;
}

uint16_t Checksum(uint32_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

}  // namespace

std::optional<MessageType> Packet::type() const {
  const auto it = options.find(kMessageType);
  if (it == options.end() || it->second.size() != 1) return std::nullopt;
  return static_cast<MessageType>(it->second[0]);
}

std::optional<Ip> Packet::Address(uint8_t option) const {
  const auto it = options.find(option);
  if (it == options.end() || it->second.size() < 4) return std::nullopt;
  return IpAt(it->second, 0);
}

std::optional<uint32_t> Packet::Seconds(uint8_t option) const {
  const auto it = options.find(option);
  if (it == options.end() || it->second.size() != 4) return std::nullopt;
  return U32At(it->second, 0);
}

std::string Encode(const Packet& p) {
  std::string out;
  out.push_back(p.reply ? 2 : 1);
  out += std::string("\1\6\0", 3);  // Ethernet, six bytes of address, no hops
  AppendU32(&out, p.xid);
  AppendU16(&out, 0);  // seconds
  AppendU16(&out, p.broadcast ? kBroadcastFlag : 0);
  AppendIp(&out, p.client);
  AppendIp(&out, p.yours);
  out.resize(out.size() + 8);  // siaddr, giaddr
  out.append(reinterpret_cast<const char*>(p.mac.bytes.data()), 6);
  out.resize(kOptionsAt - 4);  // rest of chaddr, sname, file
  out.append(kMagic, 4);
  for (const auto& [code, value] : p.options) {
    for (size_t at = 0; at == 0 || at < value.size(); at += 255) {
      const std::string part = value.substr(at, 255);
      out.push_back(static_cast<char>(code));
      out.push_back(static_cast<char>(part.size()));
      out += part;
    }
  }
  out.push_back(static_cast<char>(kEnd));
  if (out.size() < kMinPacket) out.resize(kMinPacket);
  return out;
}

std::optional<Packet> Decode(std::string_view bytes) {
  if (bytes.size() < kOptionsAt || bytes.substr(kOptionsAt - 4, 4) != std::string_view(kMagic, 4)) {
    return std::nullopt;
  }
  if ((bytes[0] != 1 && bytes[0] != 2) || bytes[1] != 1 || bytes[2] != 6) return std::nullopt;
  Packet p;
  p.reply = bytes[0] == 2;
  p.xid = U32At(bytes, 4);
  p.broadcast = static_cast<uint8_t>(bytes[10]) & 0x80;
  p.client = IpAt(bytes, 12);
  p.yours = IpAt(bytes, 16);
  std::memcpy(p.mac.bytes.data(), bytes.data() + 28, 6);
  DecodeOptions(bytes.substr(kOptionsAt), &p.options);
  const auto overload = p.options.find(kOverload);
  if (overload != p.options.end() && overload->second.size() == 1) {
    if (overload->second[0] & 1) DecodeOptions(bytes.substr(108, 128), &p.options);  // file
    if (overload->second[0] & 2) DecodeOptions(bytes.substr(44, 64), &p.options);    // sname
  }
  return p;
}

std::string BroadcastDatagram(std::string_view payload) {
  std::string udp;
  AppendU16(&udp, 68);
  AppendU16(&udp, 67);
  AppendU16(&udp, static_cast<uint16_t>(8 + payload.size()));
  AppendU16(&udp, 0);
  udp += payload;
  const std::string addresses("\0\0\0\0\xff\xff\xff\xff", 8);
  uint16_t sum =
      Checksum(AddUp(udp, AddUp(addresses, IPPROTO_UDP + static_cast<uint32_t>(udp.size()))));
  if (sum == 0) sum = 0xffff;
  udp[6] = static_cast<char>(sum >> 8);
  udp[7] = static_cast<char>(sum);
  std::string ip("\x45\x10", 2);  // version and length, low delay
  AppendU16(&ip, static_cast<uint16_t>(20 + udp.size()));
  ip += std::string("\0\0\0\0\x40\x11\0\0", 8);  // no fragments, TTL 64, UDP, checksum
  ip += addresses;
  const uint16_t head = Checksum(AddUp(ip, 0));
  ip[10] = static_cast<char>(head >> 8);
  ip[11] = static_cast<char>(head);
  return ip + udp;
}

std::optional<std::string_view> PayloadForClient(std::string_view d) {
  if (d.size() < 20 || static_cast<uint8_t>(d[0]) >> 4 != 4) return std::nullopt;
  const size_t head = (static_cast<uint8_t>(d[0]) & 15u) * 4u;
  const size_t total = static_cast<uint8_t>(d[2]) << 8 | static_cast<uint8_t>(d[3]);
  const uint32_t fragment =
      static_cast<uint32_t>(static_cast<uint8_t>(d[6]) & 0x3f) << 8 | static_cast<uint8_t>(d[7]);
  if (head < 20 || d[9] != IPPROTO_UDP || fragment != 0 || total > d.size() || total < head + 8) {
    return std::nullopt;
  }
  d = d.substr(head, total - head);
  const size_t size = static_cast<uint8_t>(d[4]) << 8 | static_cast<uint8_t>(d[5]);
  if (d[2] != 0 || d[3] != 68 || size < 8 || size > d.size()) return std::nullopt;
  return d.substr(8, size - 8);
}

namespace {

int ClassfulPrefix(const Ip& ip) {
  const uint8_t first = ip.data()[0];
  return first < 128 ? 8 : first < 192 ? 16 : 24;
}

// RFC 3442: prefix length, as many bytes of destination as it needs, router.
std::vector<Route> ClasslessRoutes(std::string_view bytes) {
  std::vector<Route> routes;
  while (!bytes.empty()) {
    const auto prefix = static_cast<uint8_t>(bytes[0]);
    const size_t significant = (prefix + 7u) / 8u;
    if (prefix > 32 || bytes.size() < 1 + significant + 4) break;
    std::string dst(bytes.substr(1, significant));
    dst.resize(4, '\0');
    Route route;
    route.dst = {IpAt(dst, 0).Masked(prefix), prefix};
    route.gw = IpAt(bytes, 1 + significant);
    if (route.gw->IsZero()) route.scope = RT_SCOPE_LINK;  // on the link itself
    routes.push_back(std::move(route));
    bytes.remove_prefix(1 + significant + 4);
  }
  return routes;
}

}  // namespace

std::vector<Route> RoutesOf(const Packet& ack) {
  if (const auto it = ack.options.find(kClasslessRoutes); it != ack.options.end()) {
    std::vector<Route> routes = ClasslessRoutes(it->second);
    if (!routes.empty()) return routes;
  }
  std::vector<Route> routes;
  if (const auto it = ack.options.find(kStaticRoutes); it != ack.options.end()) {
    for (size_t at = 0; at + 8 <= it->second.size(); at += 8) {
      const Ip dst = IpAt(it->second, at);
      Route route;
      route.dst = {dst, ClassfulPrefix(dst)};
      route.gw = IpAt(it->second, at + 4);
      routes.push_back(std::move(route));
    }
  }
  if (const std::optional<Ip> router = ack.Address(kRouters)) {
    Route route;
    route.dst = {Ip(), 0};
    route.gw = *router;
    routes.push_back(std::move(route));
  }
  return routes;
}

std::optional<uint8_t> OptionByName(const std::string& name) {
  static const std::map<std::string, uint8_t> kNames = {
      {"dhcp-client-identifier", kClientId},
      {"subnet-mask", kSubnetMask},
      {"routers", kRouters},
      {"host-name", kHostName},
      {"user-class", kUserClass},
      {"vendor-class-identifier", kVendorClass},
  };
  if (const auto it = kNames.find(name); it != kNames.end()) return it->second;
  unsigned number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size() || number < 1 || number > 254) {
    return std::nullopt;
  }
  return static_cast<uint8_t>(number);
}

}  // namespace keelson::cni::dhcp
