// SPDX-License-Identifier: Apache-2.0
#pragma once

// One maker for each plugin, defined in the plugin's own file.

#include <memory>

#include "cni-plugins/lib/types.h"

namespace keelson::cni {

std::unique_ptr<Plugin> MakeBridge();
std::unique_ptr<Plugin> MakeLoopback();

}  // namespace keelson::cni
