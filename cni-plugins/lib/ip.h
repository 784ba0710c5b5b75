// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "cni-plugins/lib/status.h"

namespace keelson::cni {

// An IPv4 or IPv6 address. A value; never "no address" (use std::optional).
class Ip {
 public:
  Ip() = default;  // 0.0.0.0
  // Dotted quad or RFC 4291 text; an IPv4-mapped IPv6 address becomes IPv4, as Go's net.IP does.
  static Or<Ip> Parse(std::string_view text);
  // `family` is AF_INET or AF_INET6; `bytes` has 4 or 16 octets in network order.
  static Ip FromBytes(int family, const void* bytes);

  int family() const;
  bool v4() const { return v4_; }
  int bits() const { return v4_ ? 32 : 128; }
  size_t size() const { return v4_ ? 4 : 16; }
  const uint8_t* data() const { return bytes_.data(); }
  bool IsZero() const;
  std::string ToString() const;

  // Arithmetic in the address's own width; wraps around.
  Ip Plus(uint64_t n) const;
  Ip Next() const { return Plus(1); }
  Ip Prev() const;
  Ip Masked(int prefix) const;     // host bits cleared
  Ip Broadcast(int prefix) const;  // host bits set

  // IPv4 sorts before IPv6.
  friend auto operator<=>(const Ip& a, const Ip& b) {
    if (a.v4_ != b.v4_) return a.v4_ ? std::strong_ordering::less : std::strong_ordering::greater;
    return a.bytes_ <=> b.bytes_;
  }
  friend bool operator==(const Ip&, const Ip&) = default;

 private:
  bool v4_ = true;
  std::array<uint8_t, 16> bytes_{};  // IPv4: the first four, the rest zero
};

// An address with a prefix length; host bits are kept ("10.1.2.3/16").
struct Cidr {
  Ip ip;
  int prefix = 32;

  static Or<Cidr> Parse(std::string_view text);
  std::string ToString() const { return ip.ToString() + "/" + std::to_string(prefix); }
  Ip Network() const { return ip.Masked(prefix); }
  bool Contains(const Ip& other) const {
    return other.v4() == ip.v4() && other.Masked(prefix) == Network();
  }
  friend bool operator==(const Cidr&, const Cidr&) = default;
};

// A 48-bit hardware address.
struct Mac {
  std::array<uint8_t, 6> bytes{};
  static Or<Mac> Parse(std::string_view text);  // "aa:bb:cc:dd:ee:ff", also with '-'
  std::string ToString() const;
  friend bool operator==(const Mac&, const Mac&) = default;
};

}  // namespace keelson::cni
