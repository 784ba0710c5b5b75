// SPDX-License-Identifier: Apache-2.0
// What a request to the kubelet means to an authorizer (fine-grained node subresources, KEP-2862). Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace keelson::kubelet::auth {

// get, create, update, patch, delete; empty for every other method.
std::string_view VerbOf(std::string_view method);

// Subresources of nodes to ask for, in this order; any of them suffices.
std::vector<std::string> SubresourcesOf(std::string_view path);

}  // namespace keelson::kubelet::auth
