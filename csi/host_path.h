// SPDX-License-Identifier: Apache-2.0
// The hostPath volume: no mount, only the check (and creation) its type asks for.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "base/loop.h"
#include "csi/volume_plugin.h"

namespace keelson::csi {

// `type` is a word of HostPathVolumeSource.type; "" checks nothing. DirectoryOrCreate makes 0755,
// FileOrCreate 0644 when the parent exists. Blocking.
absl::Status CheckHostPath(const std::string& path, const std::string& type);

std::unique_ptr<VolumePlugin> MakeHostPathPlugin(base::Loop& loop);

}  // namespace keelson::csi
