// SPDX-License-Identifier: Apache-2.0
#include "kubelet/events.h"

#include <gtest/gtest.h>

#include <sstream>

namespace keelson::kubelet {
namespace {

class EventLogTest : public ::testing::Test {
 protected:
  EventLogTest() {
    pod_.mutable_metadata()->set_name("web");
    pod_.mutable_metadata()->set_namespace_("prod");
    pod_.mutable_metadata()->set_uid("u1");
  }
  void Say(const std::string& message, std::string_view reason = "Pulled") {
    log_.PodEvent(pod_, EventType::kNormal, reason, message, "spec.containers{c}");
  }
  void Pass(base::Nanos time) { clock_.AdvanceToNext(clock_.Monotonic() + time); }

  base::VirtualClock clock_;
  EventLog log_{clock_, "node1", {.capacity = 3}};
  v1::Pod pod_;
};

TEST_F(EventLogTest, AnEventHasAllThatToolsLookFor) {
  Say("image is there");
  ASSERT_EQ(log_.List().size(), 1u);
  const v1::Event event = log_.List()[0];
  EXPECT_EQ(event.involvedobject().kind(), "Pod");
  EXPECT_EQ(event.involvedobject().name(), "web");
  EXPECT_EQ(event.involvedobject().namespace_(), "prod");
  EXPECT_EQ(event.involvedobject().uid(), "u1");
  EXPECT_EQ(event.involvedobject().fieldpath(), "spec.containers{c}");
  EXPECT_EQ(event.source().component(), "kubelet");
  EXPECT_EQ(event.source().host(), "node1");
  EXPECT_EQ(event.type(), "Normal");
  EXPECT_EQ(event.reason(), "Pulled");
  EXPECT_EQ(event.message(), "image is there");
  EXPECT_EQ(event.count(), 1);
  EXPECT_EQ(event.metadata().namespace_(), "prod");
  std::ostringstream hex;
  hex << std::hex << base::ToUnixNanos(clock_.Now());
  EXPECT_EQ(event.metadata().name(), "web." + hex.str());
}

TEST_F(EventLogTest, RepeatsAreCounted) {
  Say("again");
  Say("other");
  Pass(std::chrono::seconds(30));
  Say("again");
  const auto events = log_.List();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].message(), "again");
  EXPECT_EQ(events[1].count(), 2);
  EXPECT_EQ(events[1].lasttimestamp().seconds() - events[1].firsttimestamp().seconds(), 30);
}

TEST_F(EventLogTest, TheLongestUnseenIsForgotten) {
  for (const char* text : {"a", "b", "c"}) Say(text);
  Say("a");
  Say("d");
  const auto events = log_.List();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].message(), "c");
  EXPECT_EQ(events[1].message(), "a");
  EXPECT_EQ(events[2].message(), "d");
}

TEST_F(EventLogTest, ManyDifferentMessagesOfOneKindBecomeOne) {
  for (int i = 0; i < 15; ++i) Say("message " + std::to_string(i));
  const v1::Event last = log_.List().back();
  EXPECT_EQ(last.message(), "(combined from similar events): message 14");
  EXPECT_EQ(last.count(), 6);  // from the tenth on
}

TEST_F(EventLogTest, OneObjectCannotFloodTheList) {
  for (int i = 0; i < 100; ++i) Say("x");
  EXPECT_EQ(log_.List().back().count(), 25);
  Pass(std::chrono::minutes(5));
  Say("x");
  Say("x");
  EXPECT_EQ(log_.List().back().count(), 26);
  log_.NodeEvent(EventType::kWarning, "Rebooted", "node was rebooted");
  EXPECT_EQ(log_.List().back().reason(), "Rebooted");
}

TEST_F(EventLogTest, NodeEventsAreInTheDefaultNamespace) {
  log_.NodeEvent(EventType::kNormal, "Starting", "Starting kubelet.");
  const v1::Event event = log_.List()[0];
  EXPECT_EQ(event.involvedobject().kind(), "Node");
  EXPECT_EQ(event.involvedobject().name(), "node1");
  EXPECT_EQ(event.metadata().namespace_(), "default");
}

TEST_F(EventLogTest, HugeMessageIsCutBetweenCharacters) {
  std::string text;
  for (int i = 0; i < 4000; ++i) text += "\xc3\xa4";  // a umlaut
  Say("x" + text);
  const std::string message = log_.List()[0].message();
  EXPECT_EQ(message.size(), 4095u);
}

}  // namespace
}  // namespace keelson::kubelet
