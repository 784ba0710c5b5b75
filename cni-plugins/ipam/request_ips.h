// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cni-plugins/lib/types.h"

namespace keelson::cni {

// Refuses keys of CNI_ARGS other than `known` unless IgnoreUnknown is true, as upstream's LoadArgs.
Status CheckArgKeys(const Args& args, std::initializer_list<std::string_view> known);

// The addresses asked for by CNI_ARGS IP=, args.cni.ips and runtimeConfig.ips, each once, without
// their prefix. Errors stick in `root`'s reader.
std::vector<Ip> RequestedIps(const Request& request, const Reader& root);

}  // namespace keelson::cni
