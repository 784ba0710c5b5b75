// SPDX-License-Identifier: Apache-2.0
#include "kubelet/node/pressure.h"

#include <gtest/gtest.h>

namespace keelson::kubelet {
namespace {

using std::chrono::minutes;

constexpr int64_t kMi = 1 << 20;
const base::MonoTime kStart{std::chrono::hours(1)};

Signals Memory(int64_t available_mi) {
  return {{"memory.available", {available_mi * kMi, 1000 * kMi}}};
}

TEST(PressureTest, ThresholdIsAQuantityOrAPercentageOfTheCapacity) {
  struct {
    const char* value;
    int64_t available_mi;
    bool pressure;
  } const cases[] = {{"100Mi", 99, true},
                     {"100Mi", 100, false},
                     {"10%", 99, true},
                     {"10%", 100, false},
                     {"bad", 0, false}};
  for (const auto& c : cases) {
    PressureState state({{"memory.available", c.value, ""}}, minutes(5));
    EXPECT_EQ(state.Observe(Memory(c.available_mi), kStart).memory, c.pressure)
        << c.value << " " << c.available_mi;
  }
}

TEST(PressureTest, EachSignalMakesItsCondition) {
  struct {
    const char* signal;
    Pressures want;
  } const cases[] = {{"memory.available", {.memory = true}}, {"nodefs.available", {.disk = true}},
                     {"nodefs.inodesFree", {.disk = true}},  {"imagefs.available", {.disk = true}},
                     {"imagefs.inodesFree", {.disk = true}}, {"pid.available", {.pid = true}}};
  for (const auto& c : cases) {
    PressureState state({{c.signal, "10%", ""}}, minutes(5));
    EXPECT_EQ(state.Observe({{c.signal, {5, 100}}}, kStart), c.want) << c.signal;
  }
}

TEST(PressureTest, EndsOnlyAfterTheTransitionPeriod) {
  PressureState state({{"memory.available", "100Mi", ""}}, minutes(5));
  EXPECT_TRUE(state.Observe(Memory(50), kStart).memory);
  EXPECT_TRUE(state.Observe(Memory(500), kStart + minutes(4)).memory);
  EXPECT_FALSE(state.Observe(Memory(500), kStart + minutes(5)).memory);
}

TEST(PressureTest, StaysMetUntilMoreIsReclaimed) {
  PressureState state({{"memory.available", "100Mi", "200Mi"}}, base::Nanos(0));
  EXPECT_FALSE(state.Observe(Memory(150), kStart).memory);
  EXPECT_TRUE(state.Observe(Memory(50), kStart + minutes(1)).memory);
  EXPECT_TRUE(state.Observe(Memory(250), kStart + minutes(2)).memory);
  EXPECT_FALSE(state.Observe(Memory(300), kStart + minutes(3)).memory);
}

TEST(PressureTest, UnreadableSignalChangesNothing) {
  PressureState state({{"memory.available", "100Mi", ""}}, base::Nanos(0));
  EXPECT_FALSE(state.Observe({}, kStart).memory);
}

TEST(PressureTest, HardAndSoftThresholdsComeFromTheConfiguration) {
  k8s::kubelet::v1beta1::KubeletConfiguration config;
  (*config.mutable_evictionhard())["memory.available"] = "100Mi";
  (*config.mutable_evictionhard())["nodefs.available"] = "0%";
  (*config.mutable_evictionsoft())["memory.available"] = "200Mi";
  (*config.mutable_evictionminimumreclaim())["memory.available"] = "50Mi";
  auto thresholds = ThresholdsOf(config);
  ASSERT_EQ(thresholds.size(), 2u);
  EXPECT_EQ(thresholds[0].value, "100Mi");
  EXPECT_EQ(thresholds[1].value, "200Mi");
  EXPECT_EQ(thresholds[1].min_reclaim, "50Mi");
}

TEST(PressureTest, ThisMachineHasAllSignals) {
  const Signals signals = ReadSignals("/", "");
  for (const char* name : {"memory.available", "nodefs.available", "nodefs.inodesFree",
                           "imagefs.available", "pid.available"}) {
    ASSERT_TRUE(signals.contains(name)) << name;
    EXPECT_GT(signals.at(name).available, 0) << name;
    EXPECT_LE(signals.at(name).available, signals.at(name).capacity) << name;
  }
}

}  // namespace
}  // namespace keelson::kubelet
