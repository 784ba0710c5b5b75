// SPDX-License-Identifier: Apache-2.0
// Hears when the node's addresses change (rtnetlink(7)). Loop only.
#pragma once

#include <functional>

#include "base/loop.h"
#include "base/task.h"

namespace keelson::kubelet {

// Calls `changed` whenever an address of this network namespace came or went, once for all that
// happens within `pause`: each pod's link has addresses too. Until cancelled. Without a socket it
// logs so and returns.
base::Task<void> WatchAddresses(base::Loop& loop, base::Nanos pause, std::function<void()> changed);

}  // namespace keelson::kubelet
