// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "cni-plugins/lib/types.h"

namespace keelson::cni {

// resolv.conf(5) as a result's dns. Lines it does not know are skipped, as the resolver does.
Dns ParseResolvConf(std::string_view text);
// The file at `path`; an error names ipam.resolvConf.
Or<Dns> ReadResolvConf(const std::string& path);

}  // namespace keelson::cni
