// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cni-plugins/lib/types.h"

namespace keelson::cni::dhcp {

// The ipam object of a configuration with type dhcp.
struct Conf {
  std::string socket_path = "/run/cni/dhcp.sock";
  std::map<uint8_t, std::string> provide;
  std::vector<uint8_t> request;
  int priority = 0;  // metric of the routes
};

// Options "fromArg" are taken from CNI_ARGS. An error names the field.
Or<Conf> ParseConf(const NetConf& net, const Args& args);

// Who a lease belongs to, as the server sees it: "container/network/interface", cut to fit.
std::string ClientId(const std::string& container_id, const std::string& network,
                     const std::string& ifname);

}  // namespace keelson::cni::dhcp
