// SPDX-License-Identifier: Apache-2.0
// The kinds of PodCgroups there are; callers use factory.h.
#pragma once

#include <memory>

#include "cgroups/factory.h"

namespace keelson::cgroups {
std::unique_ptr<PodCgroups> MakeCgroupfsDriver(base::Loop& loop, PodCgroupsOptions options);
}  // namespace keelson::cgroups
