// SPDX-License-Identifier: Apache-2.0
// Which pods the API server has for the node, and the mirrors it gets of static ones.
#include "test/unit/cluster/cluster_pods_fixture.h"

namespace keelson::kubelet {
namespace {

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

TEST_F(ClusterPodsTest, AMirrorStaysUntilItsStaticPodHasEnded) {
  RegisterNode();
  Start();
  Manifests({Static("etcd-a", "h1")});
  RunFor(seconds(1));
  ASSERT_TRUE(Object("etcd-a"));
  const std::string first = Object("etcd-a")->metadata().uid();
  ending_ = {"etcd-a_default"};
  Manifests({Static("etcd-a", "h2")});
  RunFor(minutes(1));
  EXPECT_EQ(Object("etcd-a")->metadata().uid(), first) << "the next one waits, too";
  Ends("etcd-a_default");
  RunFor(seconds(1));
  EXPECT_EQ(Annotation(*Object("etcd-a"), kConfigMirror), "h2");
  ending_ = {"etcd-a_default"};
  Manifests({});
  RunFor(minutes(1));
  EXPECT_TRUE(Object("etcd-a"));
  Ends("etcd-a_default");
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
