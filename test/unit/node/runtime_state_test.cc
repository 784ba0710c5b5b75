// SPDX-License-Identifier: Apache-2.0
// What the node says of its runtime, from a runtime that answers as told, on a virtual clock.
#include "kubelet/node/runtime_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/unit/cri/stub_runtime.h"

namespace keelson::kubelet {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kNotYet[] = "container runtime status check may not have completed yet";
constexpr char kDown[] = "container runtime is down";
constexpr char kNoRelist[] = "PLEG is not healthy: pleg has yet to be successful";
constexpr char kNoNetwork[] =
    "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
    "message:cni plugin not initialized";

class ToldRuntime : public cri::StubRuntime {
 public:
  ToldRuntime() {
    Say("RuntimeReady", true);
    Say("NetworkReady", true);
  }
  void Say(const std::string& type, bool status, std::string reason = "",
           std::string message = "") {
    auto* conditions = answer.mutable_status()->mutable_conditions();
    auto found = std::find_if(conditions->begin(), conditions->end(),
                              [&](const auto& c) { return c.type() == type; });
    auto* condition = found == conditions->end() ? conditions->Add() : &*found;
    condition->set_type(type);
    condition->set_status(status);
    condition->set_reason(std::move(reason));
    condition->set_message(std::move(message));
  }
  cri::Reply<cri::rt::StatusResponse> Status() override {
    ++asked;
    if (hangs) {
      base::Wakeup never;
      co_await never.Wait();
    }
    if (away) co_return absl::UnavailableError("no such socket");
    co_return answer;
  }
  cri::Reply<cri::rt::ListImagesResponse> ListImages() override {
    ++listed;
    if (away) co_return absl::UnavailableError("no such socket");
    co_return images;
  }
  base::Task<absl::Status> UpdatePodCidr(std::string cidr) override {
    cidrs.push_back(cidr);
    if (away) co_return absl::UnavailableError("no such socket");
    co_return absl::OkStatus();
  }
  void AddImage(const std::string& tag, uint64_t size) {
    auto* image = images.add_images();
    image->add_repo_tags(tag);
    image->add_repo_digests(tag + "@sha256:1");
    image->set_size(size);
  }

  cri::rt::StatusResponse answer;
  cri::rt::ListImagesResponse images;
  bool away = false, hangs = false;
  int asked = 0, listed = 0;
  std::vector<std::string> cidrs;
};

class RuntimeStateTest : public testing::Test {
 protected:
  ~RuntimeStateTest() override {
    tasks_.Cancel();
    while (tasks_.size() > 0) loop_.RunReady();
  }
  void Start(RuntimeStateOptions options = {}) {
    relisted_ = clock_.Monotonic();
    state_.emplace(loop_, runtime_, std::move(options), [this] { return relisted_; },
                   [this] { ++changes_; });
    tasks_.Spawn("state", state_->Run());
    Pass(0s);
  }
  void Pass(base::Nanos time) { base::RunFor(loop_, clock_, time); }
  // As time passes while relists succeed.
  void PassWell(base::Nanos time) {
    Pass(time);
    relisted_ = clock_.Monotonic();
  }
  NodeState Told() const {
    NodeState state;
    state_->Fill(&state);
    return state;
  }

  base::VirtualClock clock_;
  base::Loop loop_{clock_};
  ToldRuntime runtime_;
  std::optional<base::MonoTime> relisted_;
  int changes_ = 0;
  std::optional<RuntimeState> state_;
  base::TaskGroup tasks_{loop_};
};

TEST(RuntimeProblemsTest, ComeInUpstreamsOrderAndWords) {
  const base::MonoTime start = base::MonoTime() + 1h;
  RuntimeObservation seen;
  EXPECT_THAT(ProblemsOf(seen, start, {}),
              ElementsAre(kNotYet, kNoRelist, "network state unknown"));
  seen = {start, "", "", start};
  EXPECT_THAT(ProblemsOf(seen, start + 29s, {}), IsEmpty());
  EXPECT_THAT(ProblemsOf(seen, start + 30s, {}), ElementsAre(kDown));
  seen.good = start + 10min;
  EXPECT_THAT(ProblemsOf(seen, start + 3min, {}), IsEmpty());
  EXPECT_THAT(ProblemsOf(seen, start + 4min + 5s, {}),
              ElementsAre("PLEG is not healthy: pleg was last seen active 4m0s ago; threshold is "
                          "3m0s"));
  seen = {start, "container runtime not ready: x", kNoNetwork, start};
  EXPECT_THAT(ProblemsOf(seen, start, {}),
              ElementsAre("container runtime not ready: x", kNoNetwork));
}

TEST_F(RuntimeStateTest, AReadyRuntimeIsSeenAtOnceAndThenAskedEveryFiveSeconds) {
  Start();
  EXPECT_THAT(state_->Problems(), IsEmpty());
  EXPECT_EQ(changes_, 1);
  Pass(1min);
  EXPECT_EQ(runtime_.asked, 13);
  EXPECT_EQ(changes_, 1);
}

TEST_F(RuntimeStateTest, ANetworkThatIsNotReadyIsSaidInFullAndSeenToReturnWithinASecond) {
  runtime_.Say("NetworkReady", false, "NetworkPluginNotReady", "cni plugin not initialized");
  Start();
  EXPECT_THAT(state_->Problems(), ElementsAre(kNoNetwork));
  EXPECT_EQ(state_->network_problem(), kNoNetwork);
  runtime_.Say("NetworkReady", true);
  Pass(1s);
  EXPECT_THAT(state_->Problems(), IsEmpty());
  EXPECT_EQ(state_->network_problem(), "");
}

TEST_F(RuntimeStateTest, ARestartOfTheRuntimeIsNoProblemALongAbsenceIs) {
  Start();
  runtime_.away = true;
  PassWell(25s);
  EXPECT_THAT(state_->Problems(), IsEmpty());
  const int before = changes_;
  PassWell(10s);
  EXPECT_THAT(state_->Problems(), ElementsAre(kDown));
  EXPECT_EQ(changes_, before + 1);
  runtime_.away = false;
  Pass(1s);
  EXPECT_THAT(state_->Problems(), IsEmpty());
  EXPECT_EQ(changes_, before + 2);
}

TEST_F(RuntimeStateTest, ARuntimeThatHangsIsDownAllTheSame) {
  Start();
  runtime_.hangs = true;
  PassWell(2min);
  EXPECT_THAT(state_->Problems(), ElementsAre(kDown));
}

TEST_F(RuntimeStateTest, ALookAsksAtOnce) {
  Start();
  runtime_.Say("RuntimeReady", false, "Busy", "starts");
  state_->Look();
  Pass(0s);
  EXPECT_THAT(state_->Problems(),
              ElementsAre("container runtime not ready: RuntimeReady=false reason:Busy "
                          "message:starts"));
}

TEST_F(RuntimeStateTest, HandlersAndFeaturesAreTheRuntimes) {
  auto* kata = runtime_.answer.add_runtime_handlers();
  kata->set_name("kata");
  auto* plain = runtime_.answer.add_runtime_handlers();
  plain->mutable_features()->set_user_namespaces(true);
  Start();
  const NodeState told = Told();
  ASSERT_EQ(told.runtime_handlers.size(), 2u);
  EXPECT_EQ(told.runtime_handlers[0].name(), "");
  EXPECT_TRUE(told.runtime_handlers[0].features().usernamespaces());
  EXPECT_FALSE(told.runtime_handlers[0].features().recursivereadonlymounts());
  EXPECT_FALSE(told.has_features);
  const int before = changes_;
  runtime_.answer.mutable_features()->set_supplemental_groups_policy(true);
  Pass(5s);
  EXPECT_TRUE(Told().has_features);
  EXPECT_TRUE(Told().supplemental_groups_policy);
  EXPECT_EQ(changes_, before + 1);
}

TEST_F(RuntimeStateTest, ImagesAreReadWhenOneCameAndSeldomOtherwise) {
  runtime_.AddImage("a:1", 10);
  Start();
  EXPECT_EQ(runtime_.listed, 1);
  ASSERT_EQ(Told().images.size(), 1u);
  EXPECT_THAT(Told().images[0].names(), ElementsAre("a:1@sha256:1", "a:1"));
  Pass(4min);
  EXPECT_EQ(runtime_.listed, 1);
  runtime_.AddImage("b:1", 20);
  const int before = changes_;
  for (int i = 0; i < 50; ++i) {
    state_->ImagesChanged();
    Pass(100ms);
  }
  EXPECT_EQ(runtime_.listed, 2);
  EXPECT_EQ(changes_, before + 1);
  ASSERT_EQ(Told().images.size(), 2u);
  EXPECT_EQ(Told().images[0].sizebytes(), 20);
  Pass(20s);
  EXPECT_EQ(runtime_.listed, 3) << "what came while it was read";
}

TEST_F(RuntimeStateTest, EachPodCidrIsToldOnceAndUntilItWasTaken) {
  Start({.pod_cidr = "10.0.0.0/24"});
  EXPECT_THAT(runtime_.cidrs, ElementsAre("10.0.0.0/24"));
  state_->SetPodCidr("10.0.0.0/24");
  Pass(1min);
  EXPECT_EQ(runtime_.cidrs.size(), 1u);
  runtime_.away = true;
  state_->SetPodCidr("10.1.0.0/24,fd00::/64");
  Pass(5s);
  EXPECT_GT(runtime_.cidrs.size(), 2u);
  runtime_.away = false;
  Pass(1min);
  const size_t told = runtime_.cidrs.size();
  EXPECT_EQ(runtime_.cidrs.back(), "10.1.0.0/24,fd00::/64");
  Pass(1h);
  EXPECT_EQ(runtime_.cidrs.size(), told);
}

}  // namespace
}  // namespace keelson::kubelet
