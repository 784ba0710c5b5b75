// SPDX-License-Identifier: Apache-2.0
// Statuses that reach the API server, whatever happens on the way.
#include "kubelet/cluster/status_manager.h"

#include "kubelet/cluster/status_merge.h"
#include "test/unit/cluster/cluster_pods_fixture.h"

namespace keelson::kubelet {
namespace {

TEST_F(ClusterPodsTest, AStatusIsOnePatchWithTheUidAndOnlyWhatDiffers) {
  Put(NewPod("one"));
  Start();
  server_.requests.clear();
  Say("one", "{phase: Running, conditions: [{type: Ready, status: 'True'}]}");
  EXPECT_EQ(Requests(), (Words{"PATCH /api/v1/namespaces/default/pods/one/status"}));
  EXPECT_EQ(Object("one")->status().phase(), "Running");
  Say("one", "{phase: Running, conditions: [{type: Ready, status: 'True'}]}");
  RunFor(minutes(1));
  EXPECT_EQ(server_.CountRequests("PATCH"), 0) << "nothing differs";
}

TEST_F(ClusterPodsTest, ConditionsAndClaimsOfOthersStay) {
  v1::Pod pod = NewPod("one");
  *pod.mutable_status() = StatusOf(
      "{conditions: [{type: example.com/gate, status: 'True'}, {type: Ready, status: 'False'}],"
      " resourceClaimStatuses: [{name: r, resourceClaimName: x}]}");
  Put(pod);
  Start();
  Say("one", "{phase: Running, conditions: [{type: Ready, status: 'True'}]}");
  const v1::PodStatus& status = Object("one")->status();
  EXPECT_EQ(FindCondition(status, "example.com/gate")->status(), "True");
  EXPECT_EQ(FindCondition(status, "Ready")->status(), "True");
  EXPECT_EQ(status.resourceclaimstatuses_size(), 1);
}

TEST_F(ClusterPodsTest, OnlyTheNewestStatusIsSentWhenTheServerIsBack) {
  for (int i = 0; i < 10; ++i) Put(NewPod(StrCat("p", i)));
  Start();
  server_.SetReachable(false);
  for (const char* ip : {"10.0.0.1", "10.0.0.2", "10.0.0.3"}) {
    for (int i = 0; i < 10; ++i) Say(StrCat("p", i), StrCat("{phase: Running, podIP: ", ip, "}"));
    RunFor(minutes(30));
  }
  EXPECT_EQ(statuses_.unsent(), 10u);
  EXPECT_LE(Patches(), 8 + 90 * 60 / 10) << "one at a time asks whether it is back";
  server_.SetReachable(true);
  server_.requests.clear();
  RunFor(minutes(1));
  EXPECT_EQ(statuses_.unsent(), 0u);
  EXPECT_LE(Patches(), 12);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Object(StrCat("p", i))->status().podip(), "10.0.0.3");
}

TEST_F(ClusterPodsTest, FaultsDelayAStatusAndLoseNothing) {
  const Fault faults[] = {{.error = 409}, {.error = 429, .retry_after = seconds(3)},
                          {.error = 500}, {.refuse = true},
                          {.lose = true}, {.delay = seconds(20)}};
  int n = 0;
  Start();
  for (const Fault& fault : faults) {
    const std::string name = StrCat("p", n++);
    Put(NewPod(name));
    Fail("PATCH", 2, fault);
    Say(name, "{phase: Pending, conditions: [{type: Ready, status: 'False'}]}");
    Say(name, "{phase: Running, conditions: [{type: Ready, status: 'True'}]}");
    Say(name, "{phase: Pending, conditions: [{type: Ready, status: 'False'}]}");
    RunFor(minutes(2));
    EXPECT_EQ(Object(name)->status().phase(), "Pending") << n;
    EXPECT_EQ(FindCondition(Object(name)->status(), "Ready")->status(), "False") << n;
    EXPECT_EQ(statuses_.unsent(), 0u) << n;
  }
}

TEST_F(ClusterPodsTest, RetryAfterIsWaitedFor) {
  Put(NewPod("one"));
  Start();
  server_.requests.clear();
  Fail("PATCH", 1, {.error = 429, .retry_after = seconds(8)});
  Say("one", "{phase: Running}");
  RunFor(seconds(7));
  EXPECT_EQ(Patches(), 1);
  RunFor(seconds(3));
  EXPECT_EQ(Patches(), 2);
}

TEST_F(ClusterPodsTest, AStatusThatSomebodyOverwroteIsRepairedAfterAWhile) {
  Put(NewPod("one"));
  Start();
  Say("one", "{phase: Running, podIP: 10.0.0.1}");
  Change("one", [](v1::Pod& pod) { pod.mutable_status()->set_podip("6.6.6.6"); });
  EXPECT_EQ(Object("one")->status().podip(), "6.6.6.6");
  RunFor(seconds(11));
  EXPECT_EQ(Object("one")->status().podip(), "10.0.0.1");
  const int patches = Patches();
  Change("one", [](v1::Pod& pod) {
    auto* c = pod.mutable_status()->add_conditions();
    c->set_type("example.com/gate");
    c->set_status("True");
  });
  RunFor(minutes(1));
  EXPECT_EQ(Patches(), patches) << "what is not ours is no matter of ours";
}

// Slow news of our own writes must not look like somebody else's.
TEST_F(ClusterPodsTest, AWatchThatLagsBringsNoFurtherWrites) {
  Put(NewPod("one"));
  Start();
  server_.watch_delay = seconds(3);
  server_.requests.clear();
  for (const char* ip : {"10.0.0.1", "10.0.0.2", "10.0.0.1"}) {
    Say("one", StrCat("{phase: Running, podIP: ", ip, "}"));
    RunFor(seconds(1));
  }
  RunFor(minutes(1));
  EXPECT_EQ(Patches(), 3);
  EXPECT_EQ(Object("one")->status().podip(), "10.0.0.1");
}

TEST_F(ClusterPodsTest, ATerminalPhaseWaitsForTheLastContainerAndNeverGoesBack) {
  Put(NewPod("one"));
  Start();
  Say("one", "{phase: Running}");
  Say("one", "{phase: Failed, reason: Evicted, podIP: 10.0.0.1}", /*may_run=*/true);
  EXPECT_EQ(Object("one")->status().phase(), "Running");
  EXPECT_FALSE(Object("one")->status().has_reason());
  EXPECT_EQ(Object("one")->status().podip(), "10.0.0.1") << "the rest is told";
  Say("one", "{phase: Failed, reason: Evicted}", /*may_run=*/false);
  EXPECT_EQ(Object("one")->status().reason(), "Evicted");
  Say("one", "{phase: Running, conditions: [{type: Ready, status: 'True'}]}");
  EXPECT_EQ(Object("one")->status().phase(), "Failed");
  EXPECT_EQ(FindCondition(Object("one")->status(), "Ready")->status(), "False");
}

TEST_F(ClusterPodsTest, AFinishedPodGetsItsLastStatusAndThenItsObjectGoes) {
  Put(NewPod("one"));
  Start();
  Say("one", "{phase: Running}");
  DeleteGracefully("one");
  EXPECT_TRUE(Object("one"));
  server_.requests.clear();
  Fail("DELETE", 1, {.error = 500});
  Say("one", "{phase: Failed}", /*may_run=*/false);
  RunFor(seconds(30));
  EXPECT_EQ(server_.CountRequests("DELETE"), 0) << "its volumes may still be there";
  Say("one", "{phase: Failed}", /*may_run=*/false, /*finished=*/true);
  RunFor(seconds(30));
  EXPECT_FALSE(Object("one"));
  EXPECT_EQ(server_.CountRequests("DELETE"), 2);
}

TEST_F(ClusterPodsTest, APodWithAFinalizerIsDeletedOnceAndLeftToOthers) {
  Put(NewPod("one", ", finalizers: [example.com/hold]"));
  Start();
  DeleteGracefully("one");
  Say("one", "{phase: Succeeded}", false, /*finished=*/true);
  RunFor(minutes(5));
  EXPECT_EQ(server_.CountRequests("DELETE"), 1);
  ASSERT_TRUE(Object("one"));
  EXPECT_EQ(Object("one")->metadata().finalizers_size(), 1);
}

TEST_F(ClusterPodsTest, ANamesakeGetsNothingOfAPodThatIsGone) {
  Put(NewPod("one", ", uid: old"));
  Start();
  Say("one", "{phase: Running}");
  server_.watch_delay = seconds(5);
  store_.Erase<v1::Pod>("default", "one");
  Put(NewPod("one", ", uid: new"));
  Say("one", "{phase: Failed}", false);
  RunFor(minutes(1));
  EXPECT_EQ(Object("one")->metadata().uid(), "new");
  EXPECT_NE(Object("one")->status().phase(), "Failed");
}

TEST_F(ClusterPodsTest, AnAgentThatStartsAgainWritesNothingWhenNothingChanged) {
  v1::Pod pod = NewPod("one");
  *pod.mutable_status() = StatusOf(
      "{phase: Running, startTime: 2025-12-31T00:00:00Z, conditions:"
      " [{type: Ready, status: 'True', lastTransitionTime: 2025-12-31T01:00:00Z}]}");
  Put(pod);
  Start();
  Say("one",
      "{phase: Running, startTime: 2026-01-01T00:00:00Z, conditions:"
      " [{type: Ready, status: 'True', lastTransitionTime: 2026-01-01T00:00:00Z}]}");
  RunFor(minutes(1));
  EXPECT_EQ(Patches(), 0);
}

TEST_F(ClusterPodsTest, AServerRestoredFromABackupIsToldAgain) {
  Put(NewPod("one"));
  Start();
  Say("one", "{phase: Running, podIP: 10.0.0.1}");
  store_.TurnBack(20);
  Change("one", [](v1::Pod& pod) { pod.clear_status(); });
  server_.FailWatches(apiserver::ApiFailure(410, "Expired", "too old"));
  RunFor(minutes(2));
  EXPECT_EQ(Object("one")->status().podip(), "10.0.0.1");
}

TEST(StatusMerge, AContainerThatHasEndedForGoodStaysEnded) {
  struct Row {
    const char* policy;
    const char* before;
    const char* next;
    bool legal;
  } rows[] = {
      {"Never", "{terminated: {exitCode: 0}}", "{running: {}}", false},
      {"Never", "{terminated: {exitCode: 1}}", "{waiting: {}}", false},
      {"Never", "{terminated: {exitCode: 1}}", "{terminated: {exitCode: 1}}", true},
      {"OnFailure", "{terminated: {exitCode: 1}}", "{running: {}}", true},
      {"OnFailure", "{terminated: {exitCode: 0}}", "{running: {}}", false},
      {"Always", "{terminated: {exitCode: 0}}", "{running: {}}", true},
      {"Never", "{running: {}}", "{waiting: {}}", true},
  };
  for (const Row& row : rows) {
    const auto pod = FromYaml<v1::Pod>(StrCat("spec: {restartPolicy: ", row.policy,
                                              ", containers: [{name: c}]}"));
    auto status = [](const char* state) {
      return StatusOf(StrCat("{containerStatuses: [{name: c, state: ", state, "}]}"));
    };
    EXPECT_EQ(IllegalChange(pod, status(row.before), status(row.next)).empty(), row.legal)
        << row.policy << " " << row.before << " -> " << row.next;
  }
}

}  // namespace
}  // namespace keelson::kubelet
