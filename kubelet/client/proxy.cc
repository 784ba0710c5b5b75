// SPDX-License-Identifier: Apache-2.0
#include "kubelet/client/proxy.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <vector>

namespace keelson::kubelet::client {
namespace {

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return lower;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<int> Number(std::string_view text, int low, int high) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value < low || value > high ? std::nullopt : std::optional<int>(value);
}

// An address as 16 bytes; IPv4 mapped into IPv6.
using Ip = std::array<uint8_t, 16>;
std::optional<Ip> ParseIp(std::string_view text) {
  const std::string copy(text);
  Ip ip{};
  if (::inet_pton(AF_INET6, copy.c_str(), ip.data()) == 1) return ip;
  ip[10] = ip[11] = 0xff;
  if (::inet_pton(AF_INET, copy.c_str(), ip.data() + 12) == 1) return ip;
  return std::nullopt;
}

bool IsV4(const Ip& ip) {
  return std::all_of(ip.begin(), ip.begin() + 10, [](uint8_t b) { return b == 0; }) &&
         ip[10] == 0xff && ip[11] == 0xff;
}

bool IsLoopback(const Ip& ip) {
  if (IsV4(ip)) return ip[12] == 127;
  Ip one{};
  one[15] = 1;
  return ip == one;
}

bool InNetwork(const Ip& ip, const Ip& network, int bits) {
  if (IsV4(ip) != IsV4(network)) return false;
  if (IsV4(ip)) bits += 96;
  for (int i = 0; i < 16; ++i) {
    const int left = std::clamp(bits - i * 8, 0, 8);
    const auto mask = static_cast<uint8_t>(0xff << (8 - left));
    if ((ip[static_cast<size_t>(i)] & mask) != (network[static_cast<size_t>(i)] & mask))
      return false;
  }
  return true;
}

// One part of NO_PROXY.
bool Excepts(std::string_view part, const ServerAddress& server, const std::optional<Ip>& ip) {
  if (part == "*") return true;
  if (const size_t slash = part.find('/'); slash != std::string_view::npos) {
    const auto network = ParseIp(part.substr(0, slash));
    const auto bits = Number(part.substr(slash + 1), 0, 128);
    return ip && network && bits && (!IsV4(*network) || *bits <= 32) &&
           InNetwork(*ip, *network, *bits);
  }
  std::string_view name = part;
  if (!ParseIp(part)) {  // "::1" has no port
    const size_t colon = part.rfind(':');
    if (colon != std::string_view::npos) {
      const auto port = Number(part.substr(colon + 1), 1, 65535);
      if (!port || *port != server.port) return false;
      name = part.substr(0, colon);
    }
  }
  if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
  if (const auto address = ParseIp(name)) return ip && *ip == *address;
  if (name.empty()) return false;
  if (name.starts_with("*.")) name.remove_prefix(1);
  const std::string host = Lower(server.host);
  if (name.front() == '.') return host.ends_with(name);
  return host == name || (host.ends_with(name) && host[host.size() - name.size() - 1] == '.');
}

std::string Variable(const char* upper, const char* lower) {
  const char* value = std::getenv(upper);
  if (value == nullptr || *value == '\0') value = std::getenv(lower);
  return value == nullptr ? "" : value;
}

}  // namespace

ProxyEnvironment ProxyEnvironment::FromProcess() {
  return {Variable("HTTPS_PROXY", "https_proxy"), Variable("HTTP_PROXY", "http_proxy"),
          Variable("NO_PROXY", "no_proxy")};
}

ServerAddress ParseServer(std::string_view url) {
  ServerAddress server;
  const size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return server;
  server.scheme = Lower(url.substr(0, scheme));
  url.remove_prefix(scheme + 3);
  const size_t slash = std::min(url.find('/'), url.size());
  server.path = url.substr(slash);
  std::string_view host = url.substr(0, slash);
  std::string_view port;
  const size_t bracket = host.starts_with('[') ? host.find(']') : 0;
  if (bracket == std::string_view::npos) return server;
  if (const size_t colon = host.find(':', bracket); colon != std::string_view::npos) {
    port = host.substr(colon + 1);
    host = host.substr(0, colon);
  }
  if (bracket != 0) host = host.substr(1, bracket - 1);
  server.host = host;
  if (server.host.empty() || server.host.find('@') != std::string::npos) return server;
  const int standard = server.scheme == "https" ? 443 : 80;
  server.port = port.empty() ? standard : Number(port, 1, 65535).value_or(0);
  return server;
}

std::string ProxyFor(const ServerAddress& server, const std::string& configured,
                     const ProxyEnvironment& environment) {
  if (!configured.empty()) return configured;
  const std::string& proxy =
      server.scheme == "https" ? environment.https_proxy : environment.http_proxy;
  if (proxy.empty()) return "";
  const auto ip = ParseIp(server.host);
  if (Lower(server.host) == "localhost" || (ip && IsLoopback(*ip))) return "";
  const std::string list = Lower(environment.no_proxy);
  for (std::string_view rest = list; !rest.empty();) {
    const size_t comma = std::min(rest.find(','), rest.size());
    if (Excepts(Trim(rest.substr(0, comma)), server, ip)) return "";
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return proxy.find("://") == std::string::npos ? "http://" + proxy : proxy;
}

}  // namespace keelson::kubelet::client
