// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/lib/ip.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <cstring>

namespace keelson::cni {

int Ip::family() const { return v4_ ? AF_INET : AF_INET6; }

Or<Ip> Ip::Parse(std::string_view text) {
  const std::string s(text);
  uint8_t bytes[16];
  if (::inet_pton(AF_INET, s.c_str(), bytes) == 1) return FromBytes(AF_INET, bytes);
  if (::inet_pton(AF_INET6, s.c_str(), bytes) != 1) {
    return Status::Invalid("\"" + s + "\" is not an IP address");
  }
  static constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::memcmp(bytes, kMapped, sizeof kMapped) == 0) return FromBytes(AF_INET, bytes + 12);
  return FromBytes(AF_INET6, bytes);
}

Ip Ip::FromBytes(int family, const void* bytes) {
  Ip ip;
  ip.v4_ = family == AF_INET;
  std::memcpy(ip.bytes_.data(), bytes, ip.size());
  return ip;
}

bool Ip::IsZero() const {
  for (const uint8_t b : bytes_) {
    if (b != 0) return false;
  }
  return true;
}

std::string Ip::ToString() const {
  char text[INET6_ADDRSTRLEN];
  ::inet_ntop(family(), bytes_.data(), text, sizeof text);
  return text;
}

Ip Ip::Plus(uint64_t n) const {
  Ip out = *this;
  unsigned carry = 0;
  for (size_t i = size(); i-- > 0;) {
    const unsigned sum = bytes_[i] + static_cast<unsigned>(n & 0xff) + carry;
    out.bytes_[i] = static_cast<uint8_t>(sum);
    carry = sum >> 8;
    n >>= 8;
  }
  return out;
}

Ip Ip::Prev() const {
  Ip out = *this;
  for (size_t i = size(); i-- > 0;) {
    if (out.bytes_[i]-- != 0) break;
  }
  return out;
}

Ip Ip::Masked(int prefix) const {
  Ip out = *this;
  for (int bit = prefix; bit < bits(); ++bit) {
    out.bytes_[static_cast<size_t>(bit / 8)] &= static_cast<uint8_t>(~(0x80 >> bit % 8));
  }
  return out;
}

Ip Ip::Broadcast(int prefix) const {
  Ip out = *this;
  for (int bit = prefix; bit < bits(); ++bit) {
    out.bytes_[static_cast<size_t>(bit / 8)] |= static_cast<uint8_t>(0x80 >> bit % 8);
  }
  return out;
}

Or<Cidr> Cidr::Parse(std::string_view text) {
  const Status bad =
      Status::Invalid("\"" + std::string(text) + "\" is not an address with a prefix");
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return bad;
  const std::string_view digits = text.substr(slash + 1);
  if (digits.empty() || digits.size() > 3) return bad;
  int prefix = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return bad;
    prefix = prefix * 10 + (c - '0');
  }
  const std::string_view host = text.substr(0, slash);
  Or<Ip> ip = Ip::Parse(host);
  if (!ip.ok()) return bad;
  // "::ffff:10.0.0.1/120" counts its prefix in 128 bits.
  if (ip->v4() && host.find(':') != std::string_view::npos) prefix -= 96;
  if (prefix < 0 || prefix > ip->bits()) return bad;
  return Cidr{*ip, prefix};
}

Or<Mac> Mac::Parse(std::string_view text) {
  Mac mac;
  const auto hex = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c = static_cast<char>(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  bool good = text.size() == 17;
  for (size_t i = 0; good && i < 6; ++i) {
    const int high = hex(text[i * 3]), low = hex(text[i * 3 + 1]);
    good = high >= 0 && low >= 0 && (i == 5 || text[i * 3 + 2] == ':' || text[i * 3 + 2] == '-');
    mac.bytes[i] = static_cast<uint8_t>(high * 16 + low);
  }
  if (!good) {
    return Status::Invalid("\"" + std::string(text) +
                           "\" is not a hardware address aa:bb:cc:dd:ee:ff");
  }
  return mac;
}

std::string Mac::ToString() const {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (const uint8_t b : bytes) {
    if (!out.empty()) out.push_back(':');
    out.push_back(kHex[b >> 4]);
    out.push_back(kHex[b & 15]);
  }
  return out;
}

}  // namespace keelson::cni
