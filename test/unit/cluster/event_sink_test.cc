// SPDX-License-Identifier: Apache-2.0
// Events on their way from the log to an API server, on a virtual clock.
#include "kubelet/cluster/event_sink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kubelet/events.h"
#include "test/apiserver/fake_api_server.h"

namespace keelson::kubelet {
namespace {

using namespace std::chrono_literals;
using apiserver::Fault;
using k8s::events::v1::Event;

constexpr std::string_view kPost = "POST /apis/events.k8s.io/v1/namespaces/prod/events";

// Takes nothing for one namespace.
class PartlyClosedServer : public apiserver::FakeApiServer {
 public:
  using FakeApiServer::FakeApiServer;
  base::Task<absl::Status> Do(client::ApiRequest request, client::Message* answer) override {
    if (request.ns == "ending")
      co_return apiserver::ApiFailure(
          403, "Forbidden",
          "events \"x\" is forbidden: unable to create new content in namespace ending because it "
          "is being terminated");
    const absl::Status status = co_await FakeApiServer::Do(std::move(request), answer);
    co_return status;
  }
};

class EventSinkTest : public testing::Test {
 protected:
  EventSinkTest() {
    pod_.mutable_metadata()->set_name("web");
    pod_.mutable_metadata()->set_namespace_("prod");
    pod_.mutable_metadata()->set_uid("u1");
  }
  ~EventSinkTest() override {
    tasks_.Cancel();
    while (tasks_.size() > 0) loop_.RunReady();
  }
  void Start(EventSinkOptions options = {}) {
    options.seed = 1;
    sink_.emplace(loop_, server_, options);
    log_.SetListener([this](const v1::Event& event, const std::string& key) {
      sink_->Record(event, key);
    });
    tasks_.Spawn("events", sink_->Run());
  }
  void Say(const std::string& message, std::string_view reason = "Pulled") {
    log_.PodEvent(pod_, EventType::kNormal, reason, message, "spec.containers{c}");
  }
  void SayOfPod(const std::string& name) {
    v1::Pod pod = pod_;
    pod.mutable_metadata()->set_name(name);
    log_.PodEvent(pod, EventType::kWarning, "Failed", "Error: x");
  }
  void Pass(base::Nanos time) { base::RunFor(loop_, clock_, time); }
  std::vector<std::shared_ptr<const Event>> AtServer() { return store_.All<Event>(); }
  int64_t Nanos() { return base::ToUnixNanos(clock_.Now()); }

  base::VirtualClock clock_;
  base::Loop loop_{clock_};
  apiserver::ObjectStore store_{clock_};
  PartlyClosedServer server_{loop_, store_};
  EventLog log_{clock_, "node1", {.capacity = 10000}};
  v1::Pod pod_;
  std::optional<EventSink> sink_;
  base::TaskGroup tasks_{loop_};
};

TEST_F(EventSinkTest, AnEventIsAnObjectAsTheServerTakesIt) {
  Start();
  Say("image is there");
  Pass(0s);
  ASSERT_EQ(AtServer().size(), 1u);
  const Event& event = *AtServer()[0];
  EXPECT_EQ(event.metadata().namespace_(), "prod");
  EXPECT_TRUE(event.metadata().name().starts_with("web.")) << event.metadata().name();
  EXPECT_EQ(event.eventtime().seconds(), Nanos() / 1'000'000'000);
  EXPECT_EQ(event.reportingcontroller(), "kubelet");
  EXPECT_EQ(event.reportinginstance(), "node1");
  EXPECT_EQ(event.reason(), "Pulled");
  EXPECT_FALSE(event.action().empty());
  EXPECT_EQ(event.type(), "Normal");
  EXPECT_EQ(event.note(), "image is there");
  EXPECT_EQ(event.regarding().kind(), "Pod");
  EXPECT_EQ(event.regarding().uid(), "u1");
  EXPECT_EQ(event.regarding().fieldpath(), "spec.containers{c}");
  EXPECT_FALSE(event.has_series());
  // A server refuses new events with any of these.
  EXPECT_FALSE(event.has_deprecatedcount() || event.has_deprecatedsource() ||
               event.has_deprecatedfirsttimestamp() || event.has_deprecatedlasttimestamp());
}

TEST_F(EventSinkTest, TheNodesEventsAreInDefault) {
  Start();
  log_.NodeEvent(EventType::kWarning, "Rebooted", "boot");
  Pass(0s);
  ASSERT_EQ(AtServer().size(), 1u);
  EXPECT_EQ(AtServer()[0]->metadata().namespace_(), "default");
  EXPECT_EQ(AtServer()[0]->regarding().uid(), "node1");
}

TEST_F(EventSinkTest, EventsOfOneMomentAreDifferentObjects) {
  Start();
  Say("a");
  Say("b");
  Pass(0s);
  EXPECT_EQ(AtServer().size(), 2u);
}

TEST_F(EventSinkTest, WhatTheServerFindsTooLongIsCut) {
  Start();
  std::string note;
  for (int i = 0; i < 600; ++i) note += "\xC3\xA9";  // two bytes each
  pod_.mutable_metadata()->set_name(std::string(252, 'a') + "b");
  Say("x" + note);
  Pass(0s);
  ASSERT_EQ(AtServer().size(), 1u);
  EXPECT_EQ(AtServer()[0]->note().size(), 1023u);
  EXPECT_LE(AtServer()[0]->metadata().name().size(), 253u);
  EXPECT_EQ(AtServer()[0]->regarding().name().size(), 253u);
}

TEST_F(EventSinkTest, ASecondOccurrenceIsASeriesAtOnceAndLaterOnesOnceAMinute) {
  Start();
  Say("again");
  Pass(1s);
  Say("again");
  Pass(0s);
  ASSERT_EQ(AtServer().size(), 1u);
  EXPECT_EQ(AtServer()[0]->series().count(), 2);
  EXPECT_EQ(AtServer()[0]->series().lastobservedtime().seconds(), Nanos() / 1'000'000'000);
  for (int i = 0; i < 10; ++i) {
    Pass(5s);
    Say("again");
  }
  EXPECT_EQ(server_.CountRequests("PATCH"), 1);
  Pass(11s);
  EXPECT_EQ(AtServer()[0]->series().count(), 12);
  EXPECT_EQ(server_.CountRequests("PATCH"), 2);
  EXPECT_EQ(server_.CountRequests("POST"), 1);
}

TEST_F(EventSinkTest, ASeriesIsOverAfterSixQuietMinutes) {
  Start();
  Say("again");
  Say("again");
  Pass(6min);
  Say("again");
  Pass(0s);
  ASSERT_EQ(AtServer().size(), 2u);
  EXPECT_EQ(AtServer()[0]->series().count(), 2);
  EXPECT_FALSE(AtServer()[1]->has_series());
  Pass(1h);
  EXPECT_EQ(server_.requests.size(), 2u) << "nothing happens, nothing is written";
}

TEST_F(EventSinkTest, ASeriesWhoseObjectIsGoneIsMadeAnew) {
  Start();
  Say("again");
  Pass(1s);
  store_.Erase<Event>("prod", AtServer()[0]->metadata().name());
  Say("again");
  Pass(0s);
  ASSERT_EQ(AtServer().size(), 1u);
  EXPECT_EQ(AtServer()[0]->series().count(), 2);
}

TEST_F(EventSinkTest, EventsOfAnOutageArriveAfterIt) {
  Start();
  server_.SetReachable(false);
  for (int i = 0; i < 100; ++i) SayOfPod("p" + std::to_string(i));
  for (int i = 0; i < 20; ++i) Say("again");
  Pass(3h);
  EXPECT_LE(server_.requests.size(), 3u * 120 + 10);
  server_.requests.clear();
  server_.SetReachable(true);
  Pass(1min);
  EXPECT_EQ(AtServer().size(), 101u);
  EXPECT_EQ(server_.requests.size(), 101u);
  EXPECT_EQ(sink_->waiting(), 0u);
  EXPECT_EQ(sink_->dropped(), 0);
  for (const auto& event : AtServer()) {
    if (event->note() != "again") continue;
    EXPECT_EQ(event->series().count(), 20);
    EXPECT_LT(event->eventtime().seconds(), Nanos() / 1'000'000'000 - 3600);
  }
}

TEST_F(EventSinkTest, TooManyForTheQueueDropsTheOldestAndCountsThem) {
  Start({.capacity = 10});
  server_.SetReachable(false);
  for (int i = 0; i < 25; ++i) SayOfPod("p" + std::to_string(i));
  server_.SetReachable(true);
  Pass(1min);
  EXPECT_EQ(sink_->dropped(), 15);
  ASSERT_EQ(AtServer().size(), 10u);
  for (const auto& event : AtServer())
    EXPECT_GE(std::stoi(event->regarding().name().substr(1)), 15);
}

TEST_F(EventSinkTest, WrittenOnesMakeRoomWithoutLoss) {
  Start({.capacity = 10});
  for (int i = 0; i < 25; ++i) {
    SayOfPod("p" + std::to_string(i));
    Pass(0s);
  }
  EXPECT_EQ(sink_->dropped(), 0);
  EXPECT_EQ(AtServer().size(), 25u);
}

TEST_F(EventSinkTest, ABurstIsBoundedAndTheRestFollowsAtTheRate) {
  Start({.qps = 50, .burst = 100});
  for (int i = 0; i < 300; ++i) SayOfPod("p" + std::to_string(i));
  Pass(0s);
  EXPECT_EQ(AtServer().size(), 100u);
  Pass(1s);
  EXPECT_EQ(AtServer().size(), 150u);
  Pass(3s);
  EXPECT_EQ(AtServer().size(), 300u);
}

TEST_F(EventSinkTest, ANamespaceThatEndsHoldsUpNobodyAndIsNoLoss) {
  Start();
  pod_.mutable_metadata()->set_namespace_("ending");
  Say("gone");
  pod_.mutable_metadata()->set_namespace_("prod");
  Say("here");
  Pass(0s);
  EXPECT_EQ(AtServer().size(), 1u);
  EXPECT_EQ(sink_->waiting(), 0u);
  EXPECT_EQ(sink_->dropped(), 0);
}

TEST_F(EventSinkTest, ARefusedEventIsDroppedAtOnce) {
  Start();
  server_.fault = [](const std::string&) { return Fault{.error = 422}; };
  Say("x");
  Pass(0s);
  EXPECT_EQ(sink_->dropped(), 1);
  EXPECT_EQ(server_.requests.size(), 1u);
}

TEST_F(EventSinkTest, AServerThatFailsIsAskedTwelveTimes) {
  Start();
  server_.fault = [](const std::string&) { return Fault{.error = 500}; };
  Say("x");
  Pass(1h);
  EXPECT_EQ(server_.requests.size(), 12u);
  EXPECT_EQ(sink_->dropped(), 1);
}

TEST_F(EventSinkTest, ThrottlingIsWaitedOutAndLosesNothing) {
  Start();
  int left = 30;
  server_.fault = [&](const std::string&) {
    return left-- > 0 ? Fault{.error = 429, .retry_after = 40s} : Fault{};
  };
  Say("x");
  Pass(39s);
  EXPECT_EQ(server_.requests.size(), 1u);
  Pass(1h);
  EXPECT_EQ(AtServer().size(), 1u);
  EXPECT_EQ(sink_->dropped(), 0);
}

TEST_F(EventSinkTest, ALostAnswerIsNoSecondObject) {
  Start();
  int lost = 0;
  server_.fault = [&](const std::string& what) {
    return what.starts_with(kPost) && lost++ == 0 ? Fault{.lose = true} : Fault{};
  };
  Say("x");
  Pass(1min);
  EXPECT_EQ(AtServer().size(), 1u);
  EXPECT_EQ(sink_->waiting(), 0u);
  EXPECT_EQ(server_.CountRequests(kPost), 2);
}

}  // namespace
}  // namespace keelson::kubelet
