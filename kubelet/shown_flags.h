// SPDX-License-Identifier: Apache-2.0
// The flags of this program with the values in force, for /flagz. Pure.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "kubelet/options/options.h"

namespace keelson::kubelet {

// Sorted by name. What can hold a secret shows only that it is set.
std::vector<std::pair<std::string, std::string>> ShownFlags(const KubeletOptions& options);

}  // namespace keelson::kubelet
