// SPDX-License-Identifier: Apache-2.0
#include "csi/volume_step.h"

#include <gtest/gtest.h>

namespace keelson::csi {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(NextStep, IsTheDifferenceBetweenWantedAndThere) {
  const base::MonoTime now{seconds(100)};
  struct Row {
    const char* what;
    VolumeState volume;
    VolumeAction action;
    bool later = false;
  };
  auto state = [](bool wanted, bool busy, bool ready, uint64_t granted, int retry_at) {
    VolumeState volume;
    volume.wanted = wanted;
    volume.busy = busy;
    volume.ready = ready;
    volume.wish = 2;
    volume.granted = granted;
    volume.retry_at = base::MonoTime(seconds(retry_at));
    return volume;
  };
  const Row rows[] = {
      {"new", state(true, false, false, 0, 0), VolumeAction::kSetUp},
      {"in the making", state(true, true, false, 0, 0), VolumeAction::kNone},
      {"there", state(true, false, true, 2, 0), VolumeAction::kNone},
      {"there, but shows the past", state(true, false, true, 1, 0), VolumeAction::kSetUp},
      {"failed just now", state(true, false, false, 0, 101), VolumeAction::kNone, true},
      {"failed a while ago", state(true, false, false, 0, 100), VolumeAction::kSetUp},
      {"left over", state(false, false, false, 0, 0), VolumeAction::kTearDown},
      {"not wanted any more", state(false, false, true, 2, 0), VolumeAction::kTearDown},
      {"not wanted, still in use by a call", state(false, true, true, 2, 0), VolumeAction::kNone},
      {"could not be torn down", state(false, false, false, 0, 101), VolumeAction::kNone, true},
  };
  for (const Row& row : rows) {
    const VolumeStep step = NextStep(row.volume, now);
    EXPECT_EQ(step.action, row.action) << row.what;
    EXPECT_EQ(step.look_again.has_value(), row.later) << row.what;
  }
}

TEST(BackOff, DoublesFromHalfASecondToTwoMinutes) {
  VolumeState volume;
  base::Nanos longest{0};
  for (int i = 0; i < 20; ++i) {
    BackOff(&volume, base::MonoTime(seconds(7)));
    if (i < 2) {
      EXPECT_EQ(volume.delay, milliseconds(i == 0 ? 500 : 1000));
    }
    longest = std::max(longest, volume.delay);
  }
  EXPECT_EQ(longest, seconds(122));
  EXPECT_EQ(volume.retry_at, base::MonoTime(seconds(129)));
}

}  // namespace
}  // namespace keelson::csi
