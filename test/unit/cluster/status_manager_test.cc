// SPDX-License-Identifier: Apache-2.0
// Pods of the API server, their statuses and mirrors, against an API server with faults, on a virtual
// clock.
#include "kubelet/cluster/status_manager.h"

#include <gtest/gtest.h>

#include "base/strings.h"
#include "kubelet/cluster/mirror_pods.h"
#include "kubelet/cluster/status_merge.h"
#include "kubelet/status.h"
#include "proto/codec/codec.h"
#include "proto/k8s/node.pb.h"
#include "test/apiserver/fake_api_server.h"
#include "test/unit/base/fixture.h"

namespace keelson::kubelet {
namespace {

using apiserver::Fault;
using base::StrCat;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

template <typename T>
T FromYaml(const std::string& yaml) {
  T message;
  absl::Status status = proto::DecodeYaml(yaml, &message, {});
  EXPECT_TRUE(status.ok()) << status << " in " << yaml;
  return message;
}

v1::PodStatus StatusOf(const std::string& yaml) { return FromYaml<v1::PodStatus>(yaml); }

class ClusterPodsTest : public base::OnVirtualClock {
 protected:
  ~ClusterPodsTest() override {
    group_.Cancel();
    RunReady();
  }

  void Start() {
    group_.Spawn("pods", pods_.Run());
    group_.Spawn("statuses", statuses_.Run());
    group_.Spawn("mirrors", mirrors_.Run());
    RunReady();
  }

  // --- People ---
  v1::Pod NewPod(const std::string& name, const std::string& extra = "") {
    return FromYaml<v1::Pod>(StrCat("metadata: {name: ", name, ", namespace: default", extra,
                                    "}\nspec: {nodeName: a, restartPolicy: Never, "
                                    "terminationGracePeriodSeconds: 5, containers: [{name: c}]}"));
  }
  PodPtr Put(const v1::Pod& pod) {
    auto stored = std::static_pointer_cast<const v1::Pod>(store_.Put(pod));
    RunReady();
    return stored;
  }
  PodPtr Object(const std::string& name) { return store_.Find<v1::Pod>("default", name); }
  void DeleteGracefully(const std::string& name) {
    client::ApiRequest request;
    request.verb = client::Verb::kDelete;
    request.resource = &client::ResourceOf<v1::Pod>();
    request.ns = "default";
    request.name = name;
    ASSERT_TRUE(store_.Do(request, nullptr).ok());
    RunReady();
  }
  template <typename F>
  void Change(const std::string& name, F change) {
    v1::Pod pod = *Object(name);
    change(pod);
    Put(pod);
  }

  // --- The agent ---
  void Say(const std::string& name, const std::string& status, bool may_run = true,
           bool finished = false) {
    PodReport report;
    report.pod = pods_.Find("default", name);
    ASSERT_TRUE(report.pod) << name;
    report.status = StatusOf(status);
    report.may_run = may_run;
    report.finished = finished;
    statuses_.Set(report);
    RunReady();
  }
  void SayOfStatic(const PodPtr& pod, const std::string& status) {
    PodReport report;
    report.pod = pod;
    report.status = StatusOf(status);
    report.may_run = true;
    statuses_.Set(report);
    RunReady();
  }
  PodPtr Static(const std::string& name, const std::string& hash, const std::string& ns = "default") {
    return std::make_shared<v1::Pod>(FromYaml<v1::Pod>(
        StrCat("metadata: {name: ", name, ", namespace: ", ns, ", uid: ", hash,
               ", annotations: {kubernetes.io/config.hash: ", hash,
               ", kubernetes.io/config.source: file}}\n"
               "spec: {nodeName: a, containers: [{name: c}]}")));
  }
  void Manifests(std::vector<PodPtr> pods) {
    mirrors_.Apply({PodSource::kFile, std::move(pods)});
    RunReady();
  }
  void RegisterNode() {
    node_ = FromYaml<v1::Node>("metadata: {name: a, uid: node-uid}");
    mirrors_.Wake();
    RunReady();
  }

  // --- The server ---
  std::vector<std::string> Requests() { return std::exchange(server_.requests, {}); }
  int Patches() { return server_.CountRequests("PATCH"); }
  // The next `times` requests that start so suffer; the others do not.
  void Fail(std::string prefix, int times, Fault fault) {
    server_.fault = [=, left = times](const std::string& what) mutable {
      if (!what.starts_with(prefix) || left == 0) return Fault();
      --left;
      return fault;
    };
  }
  std::vector<std::string> LastNames() const {
    std::vector<std::string> names;
    for (const auto& pod : last_.pods) names.push_back(pod->metadata().name());
    return names;
  }
  using Words = std::vector<std::string>;

  apiserver::ObjectStore store_{clock};
  apiserver::FakeApiServer server_{loop, store_};
  SourceUpdate last_{PodSource::kFile, {}};
  int updates_ = 0;
  ApiPods pods_{loop, server_, {"a", 1}, [this](SourceUpdate update) {
                  last_ = std::move(update);
                  ++updates_;
                }};
  StatusManager statuses_{loop, server_, pods_, {.seed = 1}};
  std::optional<v1::Node> node_;
  MirrorPods mirrors_{loop, server_, pods_, [this] { return node_ ? &*node_ : nullptr; },
                      {.sources = {PodSource::kFile}, .seed = 1}};
  base::TaskGroup group_{loop};
};

// --- ApiPods ---

TEST_F(ClusterPodsTest, PodsAreToldAfterTheFirstCompleteListOnly) {
  store_.Put(NewPod("one"));
  Fail("LIST", 2, {.refuse = true});
  Start();
  EXPECT_EQ(updates_, 0);
  RunFor(seconds(10));
  EXPECT_EQ(last_.source, PodSource::kApi);
  EXPECT_EQ(LastNames(), (Words{"one"}));
}

TEST_F(ClusterPodsTest, PodsCarrySourceAndFirstSightAndNoManagedFields) {
  v1::Pod pod = NewPod("one", ", annotations: {kubernetes.io/config.source: file}");
  pod.mutable_metadata()->add_managedfields()->set_manager("kubectl");
  store_.Put(pod);
  Start();
  ASSERT_EQ(last_.pods.size(), 1u);
  const PodPtr first = last_.pods[0];
  EXPECT_EQ(Annotation(*first, kConfigSource), "api") << "whatever somebody wrote there";
  EXPECT_EQ(first->metadata().managedfields_size(), 0);
  RunFor(seconds(5));
  Change("one", [](v1::Pod& p) { (*p.mutable_metadata()->mutable_labels())["a"] = "b"; });
  EXPECT_NE(last_.pods[0], first);
  EXPECT_EQ(Annotation(*last_.pods[0], kConfigSeen), Annotation(*first, kConfigSeen));
}

TEST_F(ClusterPodsTest, ABurstIsOneUpdateAndMirrorsAreNoPods) {
  Start();
  updates_ = 0;
  for (int i = 0; i < 20; ++i) store_.Put(NewPod(StrCat("p", i)));
  store_.Put(NewPod("m", ", annotations: {kubernetes.io/config.mirror: h}"));
  RunReady();
  EXPECT_EQ(updates_, 1);
  EXPECT_EQ(last_.pods.size(), 20u);
}

// --- StatusManager ---

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

// --- MirrorPods ---

TEST_F(ClusterPodsTest, AStaticPodHasAMirrorOnceTheNodeIsRegistered) {
  Start();
  const PodPtr pod = Static("etcd-a", "h1");
  Manifests({pod});
  RunFor(seconds(20));
  EXPECT_FALSE(Object("etcd-a"));
  RegisterNode();
  RunFor(seconds(40));
  const PodPtr mirror = Object("etcd-a");
  ASSERT_TRUE(mirror);
  EXPECT_NE(mirror->metadata().uid(), "h1");
  EXPECT_EQ(Annotation(*mirror, kConfigMirror), "h1");
  ASSERT_EQ(mirror->metadata().ownerreferences_size(), 1);
  const auto& owner = mirror->metadata().ownerreferences(0);
  EXPECT_EQ(owner.kind() + owner.name() + owner.uid(), "Nodeanode-uid");
  EXPECT_TRUE(owner.controller());
  SayOfStatic(pod, "{phase: Running, podIP: 10.0.0.9}");
  EXPECT_EQ(Object("etcd-a")->status().podip(), "10.0.0.9");
}

TEST_F(ClusterPodsTest, AMirrorIsMadeAgainWithItsStatusAndReplacedWithItsManifest) {
  RegisterNode();
  Start();
  const PodPtr pod = Static("etcd-a", "h1");
  Manifests({pod});
  SayOfStatic(pod, "{phase: Running}");
  RunFor(seconds(1));
  ASSERT_TRUE(Object("etcd-a"));
  const std::string first = Object("etcd-a")->metadata().uid();
  store_.Erase<v1::Pod>("default", "etcd-a");
  RunFor(seconds(1));
  ASSERT_TRUE(Object("etcd-a"));
  EXPECT_NE(Object("etcd-a")->metadata().uid(), first);
  EXPECT_EQ(Object("etcd-a")->status().phase(), "Running");
  Manifests({Static("etcd-a", "h2")});
  RunFor(seconds(1));
  EXPECT_EQ(Annotation(*Object("etcd-a"), kConfigMirror), "h2");
  EXPECT_NE(Object("etcd-a")->status().phase(), "Running") << "that was the former pod's";
  DeleteGracefully("etcd-a");
  RunFor(seconds(1));
  EXPECT_FALSE(Object("etcd-a")->metadata().has_deletiontimestamp());
  Manifests({});
  RunFor(seconds(1));
  EXPECT_FALSE(Object("etcd-a"));
}

TEST_F(ClusterPodsTest, OrphanedMirrorsGoOnceEverySourceHasSpoken) {
  Put(NewPod("old-a", ", annotations: {kubernetes.io/config.mirror: h}"));
  RegisterNode();
  Start();
  RunFor(minutes(1));
  EXPECT_TRUE(Object("old-a"));
  Manifests({});
  RunFor(seconds(1));
  EXPECT_FALSE(Object("old-a"));
}

TEST_F(ClusterPodsTest, AMirrorThatCannotBeMadeIsTriedAgainAndHoldsUpNoOther) {
  RegisterNode();
  Start();
  Fail("POST /api/v1/namespaces/away/pods", 3, {.error = 404});
  Manifests({Static("lost-a", "h1", "away"), Static("etcd-a", "h2")});
  RunFor(seconds(1));
  EXPECT_TRUE(Object("etcd-a"));
  EXPECT_FALSE(store_.Find<v1::Pod>("away", "lost-a"));
  RunFor(minutes(1));
  EXPECT_TRUE(store_.Find<v1::Pod>("away", "lost-a"));
  server_.requests.clear();
  RunFor(minutes(4));
  EXPECT_EQ(server_.CountRequests("POST"), 0) << "at rest nothing is asked";
}

TEST_F(ClusterPodsTest, AnAnswerThatIsLostMakesNoSecondMirror) {
  RegisterNode();
  Start();
  Fail("POST", 1, {.lose = true});
  Manifests({Static("etcd-a", "h1")});
  RunFor(minutes(1));
  ASSERT_TRUE(Object("etcd-a"));
  EXPECT_LE(server_.CountRequests("POST"), 2);
  EXPECT_EQ(server_.CountRequests("DELETE"), 0);
}

}  // namespace
}  // namespace keelson::kubelet
