// SPDX-License-Identifier: Apache-2.0
// Reflectors on a virtual clock, against an API server with faults.
#include "kubelet/client/reflector.h"

#include <gtest/gtest.h>

#include <random>

#include "base/strings.h"
#include "proto/k8s/pod.pb.h"
#include "test/apiserver/fake_api_server.h"

namespace keelson::kubelet::client {
namespace {

using apiserver::Fault;
using base::StrCat;
using k8s::v1::Pod;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class ReflectorTest : public ::testing::Test {
 protected:
  ~ReflectorTest() override {
    group_.Cancel();
    loop_.RunReady();
  }

  void Start(ReflectorOptions options = {}) {
    options.seed = 1;
    Reflector<Pod>::Events events;
    events.changed = [this](const ObjectKey& key, const auto& before, const auto& after) {
      heard_.push_back(StrCat(!before ? "+" : after ? "~" : "-", key.name));
    };
    events.listed = [this] { heard_.push_back("listed"); };
    reflector_ = std::make_unique<Reflector<Pod>>(loop_, server_, options, std::move(events));
    group_.Spawn("reflector", reflector_->Run());
    loop_.RunReady();
  }
  void Run(base::Nanos time) { base::RunFor(loop_, clock_, time); }
  void PutPod(const std::string& name, const std::string& node = "a", const std::string& uid = {}) {
    Pod pod;
    pod.mutable_metadata()->set_namespace_("default");
    pod.mutable_metadata()->set_name(name);
    if (!uid.empty()) pod.mutable_metadata()->set_uid(uid);
    pod.mutable_spec()->set_nodename(node);
    (*pod.mutable_metadata()->mutable_labels())["n"] = StrCat(++writes_);
    store_.Put(pod);
    loop_.RunReady();
  }
  void ErasePod(const std::string& name) {
    store_.Erase<Pod>("default", name);
    loop_.RunReady();
  }
  std::vector<std::string> Heard() { return std::exchange(heard_, {}); }
  using Words = std::vector<std::string>;
  // Our copy is the server's truth.
  void ExpectTrue() {
    std::vector<std::string> ours, theirs;
    for (const auto& pod : reflector_->List()) {
      ours.push_back(StrCat(pod->metadata().name(), "@", pod->metadata().resourceversion()));
    }
    for (const auto& pod : store_.All<Pod>()) {
      if (pod->spec().nodename() != "a") continue;
      theirs.push_back(StrCat(pod->metadata().name(), "@", pod->metadata().resourceversion()));
    }
    EXPECT_EQ(ours, theirs);
  }
  static ReflectorOptions OfNode() {
    ReflectorOptions options;
    options.field_selector = "spec.nodeName=a";
    return options;
  }

  base::VirtualClock clock_;
  base::Loop loop_{clock_};
  apiserver::ObjectStore store_{clock_};
  apiserver::FakeApiServer server_{loop_, store_};
  base::TaskGroup group_{loop_};
  std::unique_ptr<Reflector<Pod>> reflector_;
  std::vector<std::string> heard_;
  int writes_ = 0;
};

TEST_F(ReflectorTest, WhatIsThereIsListedAndWhatChangesIsHeard) {
  PutPod("one");
  PutPod("elsewhere", "b");
  Start(OfNode());
  EXPECT_EQ(Heard(), (Words{"+one", "listed"}));
  EXPECT_TRUE(reflector_->synced());
  PutPod("two");
  PutPod("one");
  ErasePod("two");
  EXPECT_EQ(Heard(), (Words{"+two", "~one", "-two"}));
  PutPod("elsewhere", "a");
  PutPod("one", "b");
  EXPECT_EQ(Heard(), (Words{"+elsewhere", "-one"})) << "a selector's edge is an arrival or a leave";
  ExpectTrue();
}

TEST_F(ReflectorTest, OneObjectIsAskedForByItsName) {
  PutPod("one");
  PutPod("two");
  ReflectorOptions options;
  options.ns = "default";
  options.name = "two";
  Start(options);
  EXPECT_EQ(Heard(), (Words{"+two", "listed"}));
  EXPECT_EQ(server_.requests, (Words{"LIST /api/v1/namespaces/default/pods (metadata.name=two)",
                                     "WATCH /api/v1/namespaces/default/pods (metadata.name=two)"}));
}

TEST_F(ReflectorTest, AtRestThereIsOneWatchInSomeMinutesAndNoList) {
  PutPod("one");
  Start(OfNode());
  Run(minutes(60));
  EXPECT_EQ(server_.CountRequests("LIST"), 1);
  EXPECT_GE(server_.CountRequests("WATCH"), 6);
  EXPECT_LE(server_.CountRequests("WATCH"), 13);
}

TEST_F(ReflectorTest, ABrokenWatchIsResumedWithoutAListAndMissesNothing) {
  Start(OfNode());
  PutPod("one");
  Heard();
  server_.SetReachable(false);
  PutPod("two");
  ErasePod("one");
  Run(minutes(2));
  EXPECT_FALSE(reflector_->core().last_error().ok());
  EXPECT_NE(reflector_->Find("default", "one"), nullptr) << "what was known stays known";
  server_.SetReachable(true);
  Run(minutes(1));
  EXPECT_EQ(Heard(), (Words{"+two", "-one"}));
  EXPECT_EQ(server_.CountRequests("LIST"), 1);
  EXPECT_TRUE(reflector_->core().last_error().ok());
}

TEST_F(ReflectorTest, BookmarksKeepTheVersionYoungEnoughToResume) {
  Start(OfNode());
  for (int i = 0; i < 5; ++i) PutPod(StrCat("elsewhere", i), "b");
  Run(seconds(61));  // a bookmark
  server_.SetReachable(false);
  store_.Compact();
  server_.SetReachable(true);
  Run(minutes(1));
  EXPECT_EQ(server_.CountRequests("LIST"), 1);
}

TEST_F(ReflectorTest, AVersionThatIsGoneIsListedAnewAtOnceAndTellsWhatWentMeanwhile) {
  PutPod("one");
  PutPod("two");
  Start(OfNode());
  Heard();
  server_.SetReachable(false);
  ErasePod("one");
  PutPod("two");
  PutPod("three");
  store_.Compact();
  server_.SetReachable(true);
  Run(seconds(2));
  EXPECT_EQ(Heard(), (Words{"-one", "+three", "~two", "listed"}));
  EXPECT_EQ(server_.CountRequests("LIST"), 2);
  ExpectTrue();
}

TEST_F(ReflectorTest, AnErrorEventIsAsTheSameAnswer) {
  PutPod("one");
  Start(OfNode());
  server_.FailWatches(apiserver::ApiFailure(410, "Expired", "too old resource version"));
  loop_.RunReady();
  EXPECT_EQ(server_.CountRequests("LIST"), 2);
  server_.FailWatches(apiserver::ApiFailure(500, "InternalError", "etcd leader changed"));
  Run(seconds(3));
  EXPECT_EQ(server_.CountRequests("LIST"), 2) << "resumed";
  EXPECT_EQ(server_.watches(), 1u);
}

TEST_F(ReflectorTest, RightsThatAreLoadedLateCostNoList) {
  PutPod("one");
  Start(OfNode());
  server_.FailWatches(apiserver::ApiFailure(403, "Forbidden", "not yet known to the authorizer"));
  PutPod("two");
  Run(seconds(3));
  EXPECT_EQ(server_.CountRequests("LIST"), 1);
  EXPECT_EQ(server_.watches(), 1u);
  ExpectTrue();
}

TEST_F(ReflectorTest, AnswersOf410WithoutEndDoNotBecomeALoop) {
  Start(OfNode());
  server_.fault = [](const std::string& what) {
    Fault fault;
    fault.error = what.starts_with("WATCH") ? 410 : 0;
    return fault;
  };
  server_.EndWatches(false);
  Run(minutes(5));
  EXPECT_LT(server_.CountRequests("LIST"), 20);
}

TEST_F(ReflectorTest, ACacheThatLagsCannotTakeUsBack) {
  PutPod("one");
  store_.FreezeCache(true);
  ErasePod("one");
  PutPod("two");
  ReflectorOptions options = OfNode();
  options.consistent = true;
  Start(options);
  EXPECT_EQ(Heard(), (Words{"+two", "listed"}));
  server_.FailWatches(apiserver::ApiFailure(410, "Expired", ""));
  loop_.RunReady();
  EXPECT_EQ(Heard(), (Words{"listed"})) << "one did not come back";
  ExpectTrue();
}

TEST_F(ReflectorTest, ARestoredServerIsTakenAtItsWord) {
  PutPod("one");
  PutPod("two");
  Start(OfNode());
  Heard();
  server_.SetReachable(false);
  store_.TurnBack(500);
  store_.Erase<Pod>("default", "one");
  server_.SetReachable(true);
  // Our version is in its future: no event would ever come.
  server_.FailWatches(absl::OkStatus());
  server_.fault = [this](const std::string& what) {
    Fault fault;
    const bool future = std::stoull(reflector_->core().resource_version()) > store_.version();
    if (what.starts_with("WATCH") && future) fault.error = 410;
    return fault;
  };
  Run(minutes(1));
  ExpectTrue();
}

TEST_F(ReflectorTest, ANamesakeIsAnotherObject) {
  PutPod("one", "a", "u-1");
  Start(OfNode());
  Heard();
  server_.SetReachable(false);
  PutPod("one", "a", "u-2");
  store_.Compact();
  server_.SetReachable(true);
  Run(seconds(3));
  EXPECT_EQ(Heard(), (Words{"-one", "+one", "listed"}));
}

TEST_F(ReflectorTest, AConsistentListComesInPagesOfOneMoment) {
  for (int i = 0; i < 1200; ++i) PutPod(StrCat("pod-", i));
  ReflectorOptions options = OfNode();
  options.consistent = true;
  Start(options);
  EXPECT_EQ(server_.CountRequests("LIST"), 3);
  ExpectTrue();
}

TEST_F(ReflectorTest, FailuresBackOffAndRetryAfterIsKept) {
  server_.fault = [](const std::string&) {
    Fault fault;
    fault.error = 429;
    fault.retry_after = seconds(20);
    return fault;
  };
  Start(OfNode());
  Run(seconds(19));
  EXPECT_EQ(server_.requests.size(), 1u);
  Run(seconds(2));
  EXPECT_EQ(server_.requests.size(), 2u);
  server_.requests.clear();
  server_.fault = nullptr;
  server_.SetReachable(false);
  Run(minutes(30));
  EXPECT_GE(server_.requests.size(), 30u);
  EXPECT_LE(server_.requests.size(), 70u);
}

TEST_F(ReflectorTest, WaitingForTheFirstListEndsAtTheDeadline) {
  server_.SetReachable(false);
  Start(OfNode());
  std::optional<bool> first, second;
  const auto wait = [](Reflector<Pod>* reflector, base::MonoTime due,
                       std::optional<bool>* out) -> base::Task<void> {
    *out = co_await reflector->WaitSynced(due);
  };
  group_.Spawn("w1", wait(reflector_.get(), clock_.Monotonic() + seconds(1), &first));
  group_.Spawn("w2", wait(reflector_.get(), clock_.Monotonic() + minutes(5), &second));
  Run(seconds(2));
  EXPECT_EQ(first, false);
  server_.SetReachable(true);
  Run(minutes(2));
  EXPECT_EQ(second, true);
}

// Random faults and writes; in the end, once the faults stop, the copy is true.
class ReflectorScheduleTest : public ReflectorTest, public ::testing::WithParamInterface<int> {};

TEST_P(ReflectorScheduleTest, ComesToTheTruth) {
  std::mt19937_64 random(static_cast<uint64_t>(GetParam()));
  const auto chance = [&](int percent) { return static_cast<int>(random() % 100) < percent; };
  server_.fault = [&](const std::string&) {
    Fault fault;
    if (chance(10)) fault.error = 500;
    if (chance(5)) fault.error = 429, fault.retry_after = seconds(3);
    if (chance(5)) fault.error = 410;
    if (chance(10)) fault.refuse = true;
    if (chance(10)) fault.delay = milliseconds(random() % 5000);
    return fault;
  };
  Start(OfNode());
  for (int step = 0; step < 150; ++step) {
    const std::string name = StrCat("p", random() % 6);
    const bool there = store_.Find<Pod>("default", name) != nullptr;
    if (there && chance(40))
      ErasePod(name);
    else
      PutPod(name, chance(80) ? "a" : "b");
    if (chance(5)) store_.Compact();
    if (chance(5)) server_.EndWatches(chance(50));
    if (chance(3)) server_.SetReachable(false);
    if (chance(30)) server_.SetReachable(true);
    if (chance(5)) server_.watch_delay = milliseconds(random() % 3000);
    Run(milliseconds(random() % 8000));
  }
  server_.fault = nullptr;
  server_.SetReachable(true);
  server_.watch_delay = base::Nanos(0);
  Run(minutes(5));
  ExpectTrue();
}

INSTANTIATE_TEST_SUITE_P(Seeds, ReflectorScheduleTest, ::testing::Range(1, 101));

}  // namespace
}  // namespace keelson::kubelet::client
