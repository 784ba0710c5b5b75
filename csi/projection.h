// SPDX-License-Identifier: Apache-2.0
// What the files of configMap, secret, downwardAPI and projected volumes hold. Loop only: waits for
// objects; touches no disk.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/task.h"
#include "csi/atomic_writer.h"
#include "csi/objects.h"
#include "csi/volumes.h"

namespace keelson::csi {

// The objects that the pod's volumes, environments and image pulls name, optional ones too.
References ReferencesOf(const k8s::v1::Pod& pod);

// Where, in the volume, containers mount other volumes: as its files are read-only for them, what
// they mount on must be there before. Relative, in order, without `..`.
std::vector<std::string> NestedMountPoints(const k8s::v1::Pod& pod, const std::string& volume);

// The files of one volume. `objects` may be null; only downwardAPI needs none. `allocatable` is
// what resourceFieldRefs show where a container has no limit. Errors carry upstream's words.
base::Task<absl::StatusOr<Payload>> CollectPayload(ObjectSource* objects, PodPtr pod,
                                                   k8s::v1::Volume volume,
                                                   std::map<std::string, std::string> allocatable);

}  // namespace keelson::csi
