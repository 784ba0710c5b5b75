// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>

#include "cni-plugins/lib/ip.h"
#include "cni-plugins/lib/status.h"

namespace keelson::cni {

// UDP traffic to a port of this node.
struct UdpService {
  bool v4 = true;
  std::optional<Ip> address;  // any of the node's addresses if not given
  uint16_t port = 0;
};

// Forgets the connections whose first packet went to one of `services`. UDP has no handshake: a
// flow that goes on would keep following a translation made before the port map changed.
// Afterwards none of them is tracked; OK if none was.
Status ForgetUdpFlows(std::span<const UdpService> services);

}  // namespace keelson::cni
