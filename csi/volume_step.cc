// SPDX-License-Identifier: Apache-2.0
#include "csi/volume_step.h"

#include <algorithm>

namespace keelson::csi {
namespace {

constexpr base::Nanos kFirstDelay = std::chrono::milliseconds(500);
constexpr base::Nanos kLongestDelay = std::chrono::seconds(122);

}  // namespace

VolumeStep NextStep(const VolumeState& volume, base::MonoTime now) {
  if (volume.busy) return {};
  if (volume.wanted && volume.ready && volume.granted == volume.wish) return {};
  if (now < volume.retry_at) return {VolumeAction::kNone, volume.retry_at};
  return {volume.wanted ? VolumeAction::kSetUp : VolumeAction::kTearDown, std::nullopt};
}

void BackOff(VolumeState* volume, base::MonoTime now) {
  volume->delay = std::clamp(volume->delay * 2, kFirstDelay, kLongestDelay);
  volume->retry_at = now + volume->delay;
}

}  // namespace keelson::csi
