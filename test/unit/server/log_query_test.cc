// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/log_query.h"

#include <gtest/gtest.h>

#include "base/strings.h"
#include "kubelet/server/log_target.h"

namespace keelson::kubelet {
namespace {

const base::WallTime kNow = *base::ParseRfc3339("2026-01-01T00:01:00Z");

TEST(LogQuery, EveryParameterArrives) {
  auto query = ParseLogQuery({{"follow", "true"},
                              {"previous", "1"},
                              {"timestamps", "TRUE"},
                              {"tailLines", "5"},
                              {"limitBytes", "7"},
                              {"sinceSeconds", "10"}},
                             kNow);
  ASSERT_TRUE(query.ok()) << query.status();
  EXPECT_TRUE(query->request.follow && query->previous && query->request.filter.timestamps);
  EXPECT_EQ(query->request.tail_lines, 5);
  EXPECT_EQ(query->request.limit_bytes, 7);
  EXPECT_EQ(query->request.filter.since, kNow - std::chrono::seconds(10));
}

TEST(LogQuery, OldAliasTail) {
  EXPECT_EQ(ParseLogQuery({{"tail", "all"}}, kNow)->request.tail_lines, -1);
  EXPECT_EQ(ParseLogQuery({{"tail", "3"}}, kNow)->request.tail_lines, 3);
}

TEST(LogQuery, FalseIsFalse) {
  auto query = ParseLogQuery({{"follow", "false"}, {"previous", "0"}}, kNow);
  EXPECT_FALSE(query->request.follow || query->previous);
}

TEST(LogQuery, WhatIsNoValueIsABadRequest) {
  for (auto [name, value] : {std::pair{"tailLines", "x"},
                             {"tailLines", ""},
                             {"limitBytes", "1k"},
                             {"sinceTime", "yesterday"},
                             {"sinceSeconds", "99999999999999999999"}})
    EXPECT_TRUE(absl::IsInvalidArgument(ParseLogQuery({{name, value}}, kNow).status())) << name;
}

TEST(LogQuery, WhatMakesNoSenseIsUnprocessable) {
  for (auto [name, value] : {std::pair{"tailLines", "-1"},
                             {"limitBytes", "0"},
                             {"sinceSeconds", "0"},
                             {"stream", "stdout"}})
    EXPECT_TRUE(absl::IsOutOfRange(ParseLogQuery({{name, value}}, kNow).status())) << name;
  Query both = {{"sinceSeconds", "1"}, {"sinceTime", "2026-01-01T00:00:00Z"}};
  EXPECT_TRUE(absl::IsOutOfRange(ParseLogQuery(both, kNow).status()));
}

TEST(LogQuery, LongAgoDoesNotOverflow) {
  auto query = ParseLogQuery({{"sinceSeconds", "9000000000000000000"}}, kNow);
  ASSERT_TRUE(query.ok());
  EXPECT_LT(*query->request.filter.since, kNow);
}

class LogTargetTest : public ::testing::Test {
 protected:
  LogTargetTest() {
    pod_.mutable_metadata()->set_name("web");
    pod_.mutable_spec()->add_containers()->set_name("c");
  }
  k8s::v1::ContainerStatus* AddStatus() {
    auto* status = pod_.mutable_status()->add_containerstatuses();
    status->set_name("c");
    return status;
  }
  std::string Choose(bool previous = false) {
    auto id = ChooseLogInstance(pod_, "c", previous);
    return id.ok() ? *id : std::string(base::Message(id.status()));
  }
  k8s::v1::Pod pod_;
};

TEST_F(LogTargetTest, RunningInstance) {
  auto* status = AddStatus();
  status->set_containerid("containerd://new");
  status->mutable_state()->mutable_running();
  status->mutable_laststate()->mutable_terminated()->set_containerid("containerd://old");
  EXPECT_EQ(Choose(), "new");
  EXPECT_EQ(Choose(true), "old");
}

TEST_F(LogTargetTest, WaitingForRestartMeansTheOneThatEnded) {
  auto* status = AddStatus();
  status->mutable_state()->mutable_waiting()->set_reason("CrashLoopBackOff");
  status->mutable_laststate()->mutable_terminated()->set_containerid("containerd://old");
  EXPECT_EQ(Choose(), "old");
}

TEST_F(LogTargetTest, EndedInstance) {
  AddStatus()->mutable_state()->mutable_terminated()->set_containerid("containerd://x");
  EXPECT_EQ(Choose(), "x");
  EXPECT_EQ(Choose(true), "previous terminated container \"c\" in pod \"web\" not found");
}

TEST_F(LogTargetTest, WordsForWhatHasNotStarted) {
  EXPECT_EQ(Choose(), "container \"c\" in pod \"web\" is not available");
  auto* waiting = AddStatus()->mutable_state()->mutable_waiting();
  waiting->set_reason("ContainerCreating");
  EXPECT_EQ(Choose(), "container \"c\" in pod \"web\" is waiting to start: ContainerCreating");
  waiting->set_reason("ErrImagePull");
  EXPECT_EQ(Choose(), "container \"c\" in pod \"web\" is waiting to start: image can't be pulled");
  waiting->set_reason("ImagePullBackOff");
  EXPECT_EQ(Choose(),
            "container \"c\" in pod \"web\" is waiting to start: trying and failing to pull image");
}

TEST_F(LogTargetTest, UnknownContainerIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(ChooseLogInstance(pod_, "nope", false).status()));
}

TEST(LogQueryStream, OneAloneHasNoTail) {
  const base::WallTime now{};
  EXPECT_TRUE(ParseLogQuery({{"stream", "All"}, {"tailLines", "1"}}, now).ok());
  auto one = ParseLogQuery({{"stream", "Stderr"}}, now);
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(one->request.filter.stream, "stderr");
  EXPECT_TRUE(absl::IsOutOfRange(ParseLogQuery({{"stream", "stderr"}}, now).status()));
  EXPECT_TRUE(absl::IsOutOfRange(
      ParseLogQuery({{"stream", "Stdout"}, {"tailLines", "1"}}, now).status()));
}

}  // namespace
}  // namespace keelson::kubelet
