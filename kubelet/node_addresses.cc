// SPDX-License-Identifier: Apache-2.0
#include "kubelet/node_addresses.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <memory>

#include "absl/strings/str_split.h"
#include "base/files.h"

namespace keelson::kubelet {
namespace {

struct Address {
  std::string interface;
  std::string text;
  int family;
};

bool Usable(const in6_addr& a) { return !IN6_IS_ADDR_LINKLOCAL(&a) && !IN6_IS_ADDR_LOOPBACK(&a); }
bool Usable(const in_addr& a) {
  uint32_t host = ntohl(a.s_addr);
  return (host >> 24) != 127 && (host >> 16) != 0xa9fe;  // loopback, link-local
}

std::vector<Address> InterfaceAddresses() {
  struct ifaddrs* list = nullptr;
  std::vector<Address> found;
  if (::getifaddrs(&list) < 0) return found;
  std::unique_ptr<struct ifaddrs, decltype(&::freeifaddrs)> owner(list, ::freeifaddrs);
  for (struct ifaddrs* i = list; i; i = i->ifa_next) {
    if (!i->ifa_addr || !(i->ifa_flags & IFF_UP)) continue;
    char text[INET6_ADDRSTRLEN] = {};
    const int family = i->ifa_addr->sa_family;
    if (family == AF_INET) {
      const auto& a = reinterpret_cast<const sockaddr_in*>(i->ifa_addr)->sin_addr;
      if (!Usable(a) || !::inet_ntop(family, &a, text, sizeof(text))) continue;
    } else if (family == AF_INET6) {
      const auto& a = reinterpret_cast<const sockaddr_in6*>(i->ifa_addr)->sin6_addr;
      if (!Usable(a) || !::inet_ntop(family, &a, text, sizeof(text))) continue;
    } else {
      continue;
    }
    found.push_back({i->ifa_name, text, family});
  }
  return found;
}

}  // namespace

std::string DefaultRouteInterface(std::string_view proc_net_route) {
  for (absl::string_view line :
       absl::StrSplit(absl::string_view(proc_net_route.data(), proc_net_route.size()), '\n')) {
    std::vector<absl::string_view> words = absl::StrSplit(line, '\t');
    if (words.size() > 2 && words[1] == "00000000") return std::string(words[0]);
  }
  return "";
}

std::vector<std::string> NodeAddresses(const std::string& node_ip) {
  const bool any4 = node_ip.empty() || node_ip == "0.0.0.0", any6 = node_ip == "::";
  if (!any4 && !any6) return absl::StrSplit(node_ip, ',');
  auto routes = base::ReadFile("/proc/net/route");
  const std::string preferred = routes.ok() ? DefaultRouteInterface(*routes) : "";
  const int family = any6 ? AF_INET6 : AF_INET;
  std::string first;
  for (const Address& a : InterfaceAddresses()) {
    if (a.family != family) continue;
    if (a.interface == preferred) return {a.text};
    if (first.empty()) first = a.text;
  }
  if (first.empty()) return {};
  return {first};
}

}  // namespace keelson::kubelet
