// SPDX-License-Identifier: Apache-2.0
#include "kubelet/start_gate.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <vector>

#include "test/unit/base/fixture.h"

namespace keelson::kubelet {
namespace {

using base::Task;
using std::chrono::milliseconds;
using std::chrono::seconds;

class StartGateTest : public base::OnVirtualClock {
 protected:
  ~StartGateTest() override { RunFor(seconds(100)); }

  // A call `name` that takes `time` once it is its turn.
  void Call(std::string name, StartStep step, base::Nanos time) {
    tasks_.Spawn("call", Run(std::move(name), step, time));
    RunReady();
  }
  Task<void> Run(std::string name, StartStep step, base::Nanos time) {
    StartGate::Place place = co_await gate_->Enter(step);
    begun_.push_back(std::move(name));
    co_await base::Sleep(clock, time);
  }

  std::unique_ptr<StartGate> gate_ = std::make_unique<StartGate>(clock, 2);
  std::vector<std::string> begun_;
  base::TaskGroup tasks_{loop};
};

using Names = std::vector<std::string>;

TEST_F(StartGateTest, OnlyAsManyAsItIsWideRunAtOnce) {
  for (const char* name : {"a", "b", "c", "d"}) Call(name, StartStep::kRunSandbox, milliseconds(300));
  EXPECT_EQ(begun_, (Names{"a", "b"}));
  RunFor(milliseconds(301));
  EXPECT_EQ(begun_, (Names{"a", "b", "c", "d"}));
}

TEST_F(StartGateTest, WhatIsBegunIsFinishedFirst) {
  Call("a", StartStep::kRunSandbox, milliseconds(100));
  Call("b", StartStep::kRunSandbox, milliseconds(100));
  Call("sandbox", StartStep::kRunSandbox, milliseconds(100));
  Call("create", StartStep::kCreateContainer, milliseconds(100));
  Call("start", StartStep::kStartContainer, milliseconds(100));
  RunFor(milliseconds(101));
  EXPECT_EQ(begun_, (Names{"a", "b", "start", "create"}));
  RunFor(milliseconds(101));
  EXPECT_EQ(begun_.back(), "sandbox");
}

TEST_F(StartGateTest, CallsThatHangHoldNobodyUp) {
  Call("hangs", StartStep::kRunSandbox, seconds(60));
  Call("hangs too", StartStep::kRunSandbox, seconds(60));
  Call("c", StartStep::kRunSandbox, milliseconds(1));
  RunFor(milliseconds(999));
  EXPECT_EQ(begun_.size(), 2u);
  RunFor(milliseconds(2));
  EXPECT_EQ(begun_, (Names{"hangs", "hangs too", "c"}));
}

TEST_F(StartGateTest, ACancelledCallLeavesTheQueueAndItsPlace) {
  base::TaskGroup doomed(loop);
  doomed.Spawn("inside", Run("inside", StartStep::kRunSandbox, seconds(60)));
  RunReady();
  Call("b", StartStep::kRunSandbox, seconds(60));
  doomed.Spawn("waits", Run("waits", StartStep::kRunSandbox, seconds(60)));
  RunReady();
  Call("d", StartStep::kRunSandbox, seconds(60));
  doomed.Cancel();
  RunFor(seconds(0));
  EXPECT_EQ(begun_, (Names{"inside", "b", "d"}));
}

TEST_F(StartGateTest, APlaceMayOutliveItsGate) {
  Call("a", StartStep::kRunSandbox, milliseconds(10));
  gate_.reset();
  RunFor(seconds(10));
  EXPECT_EQ(tasks_.size(), 0u);
}

}  // namespace
}  // namespace keelson::kubelet
