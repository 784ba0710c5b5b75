// SPDX-License-Identifier: Apache-2.0
// The hostPath volume: no mount, only the check (and creation) its type asks for.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace keelson::csi {

// `type` is a word of HostPathVolumeSource.type; "" checks nothing. DirectoryOrCreate makes 0755,
// FileOrCreate 0644 when the parent exists. Blocking.
absl::Status CheckHostPath(const std::string& path, const std::string& type);

}  // namespace keelson::csi
