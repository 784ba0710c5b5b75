// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cni-plugins/main/bridge_conf.h"

namespace keelson::cni {

// CHECK: the bridge, the port with its options and VLANs, the gateway addresses and the container's
// end are what `conf` and prevResult say. The error tells the first that is not.
// REQUIRES: request.conf.prev_result.
Status CheckBridge(const Request& request, const BridgeConf& conf);

}  // namespace keelson::cni
