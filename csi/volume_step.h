// SPDX-License-Identifier: Apache-2.0
// What to do next about one volume of one pod: the difference between what is wanted and what is
// there. Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "base/time.h"

namespace keelson::csi {

struct VolumeState {
  // What is wanted.
  bool wanted = false;
  uint64_t wish = 1;  // raised whenever what the volume shows may have changed
  // What is there.
  bool busy = false;     // a call of its plugin is in progress
  bool ready = false;    // set up, since this agent started
  uint64_t granted = 0;  // the wish that the last set-up answered
  base::MonoTime retry_at;  // not before, after a failure
  base::Nanos delay{0};     // that led to retry_at
};

enum class VolumeAction {
  kNone,
  kSetUp,     // or bring up to date
  kTearDown,  // nobody wants what may be there
};

struct VolumeStep {
  VolumeAction action = VolumeAction::kNone;
  std::optional<base::MonoTime> look_again;
};

VolumeStep NextStep(const VolumeState& volume, base::MonoTime now);

// After a failure at `now`: 500 ms, doubling to 2m2s, as upstream.
void BackOff(VolumeState* volume, base::MonoTime now);

}  // namespace keelson::csi
