// SPDX-License-Identifier: Apache-2.0
// The volumes made of objects: configMap on disk; secret, downwardAPI and projected in memory.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "csi/objects.h"
#include "csi/volume_plugin.h"

namespace keelson::csi {

struct ObjectVolumesOptions {
  ObjectSource* objects = nullptr;  // outlives the plugins; null without an API server
  int64_t node_memory_bytes = 0;    // bounds what is in memory
  std::map<std::string, std::string> allocatable;  // quantities, for resourceFieldRef
};

// One plugin for each of the four types.
std::vector<std::unique_ptr<VolumePlugin>> MakeObjectPlugins(base::Loop& loop,
                                                             ObjectVolumesOptions options);

}  // namespace keelson::csi
