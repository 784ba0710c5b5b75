// SPDX-License-Identifier: Apache-2.0
// Which proxy leads to a server, by the rules Go programs follow (httpproxy of x/net). Pure.
#pragma once

#include <string>
#include <string_view>

namespace keelson::kubelet::client {

struct ProxyEnvironment {
  std::string https_proxy, http_proxy, no_proxy;
  // HTTPS_PROXY, or https_proxy where that is empty, and so on.
  static ProxyEnvironment FromProcess();
};

// "scheme://host:port[/...]" taken apart; port is the scheme's own when absent. Host without
// brackets.
struct ServerAddress {
  std::string scheme, host;
  int port = 0;  // 0: the URL makes no sense
  std::string path;
};
ServerAddress ParseServer(std::string_view url);

// URL of the proxy for `server`, empty when it is reached directly. `configured` is kubeconfig's
// proxy-url, which no exception applies to. localhost and loopback addresses need no proxy.
// NO_PROXY has, between commas: *, names ("x.y" with all below, ".y" only what is below, "*.y" the
// same), addresses and networks (10.0.0.0/8), each with an optional :port.
std::string ProxyFor(const ServerAddress& server, const std::string& configured,
                     const ProxyEnvironment& environment);

}  // namespace keelson::kubelet::client
