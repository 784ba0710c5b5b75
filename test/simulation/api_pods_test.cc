// SPDX-License-Identifier: Apache-2.0
// Lives of single pods of the API server, without faults: runtime, pod manager and statuses together.
#include <gtest/gtest.h>

#include "base/strings.h"
#include "kubelet/status.h"
#include "test/simulation/world.h"

namespace keelson::simulation {
namespace {

using kubelet::PodPtr;
using kubelet::v1::Pod;
using kubelet::v1::PodStatus;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class ApiPodsTest : public ::testing::Test {
 protected:
  ApiPodsTest() {
    w.runtime().faults.on = false;
    w.host().faults = false;
    w.cluster().faults.on = false;
    w.StartAgent();
  }
  void RestartAgent() {
    w.KillAgent();
    w.StartAgent();
  }
  static Pod Forever(const std::string& name) { return *MakePod(name, name, "Always", {{}}); }
  static Pod Job(const std::string& name, int code = 0) {
    return *MakePod(name, name, "Never", {{code, 2000}});
  }
  PodPtr Object(const std::string& name) { return w.cluster().store.Find<Pod>("default", name); }
  const PodStatus& Status(const std::string& name) { return Object(name)->status(); }
  std::string Condition(const std::string& name, const std::string& type) {
    const auto* c = kubelet::FindCondition(Status(name), type);
    return c ? c->status() : "missing";
  }
  int Containers(const std::string& uid) {
    int count = 0;
    for (const auto& [id, c] : w.runtime().containers) count += w.runtime().UidOf(c) == uid;
    return count;
  }
  bool AnyTrace(const std::string& uid) {
    for (const auto& [id, s] : w.runtime().sandboxes)
      if (s.config.metadata().uid() == uid) return true;
    return Containers(uid) > 0 || w.host().pod_dirs.contains(uid) ||
           w.host().volumes.contains(uid) || w.host().cgroups.contains(uid);
  }
  int Patches() {
    int count = 0;
    for (const auto& request : w.requests()) count += request.starts_with("PATCH");
    return count;
  }

  World w{1, /*with_cluster=*/true};
};

TEST_F(ApiPodsTest, ABoundPodRunsAndItsObjectSaysSo) {
  w.cluster().Create(Forever("web"));
  w.Run(seconds(5));
  EXPECT_EQ(Status("web").phase(), "Running");
  EXPECT_EQ(Condition("web", "Ready"), "True");
  EXPECT_EQ(Status("web").observedgeneration(), 1);
  EXPECT_TRUE(Status("web").has_starttime());
  EXPECT_EQ(Status("web").qosclass(), "Burstable");
  EXPECT_EQ(w.Problems(), "");
}

TEST_F(ApiPodsTest, ADeletedPodIsEndedLeavesNothingAndThenItsObjectGoes) {
  w.cluster().Create(Forever("web"));
  w.Run(seconds(5));
  w.cluster().Delete(*Object("web"), 10);
  w.Run(seconds(20));
  EXPECT_FALSE(Object("web"));
  EXPECT_FALSE(AnyTrace("web"));
  EXPECT_TRUE(w.manager().Pods().empty());
}

// Of the simulated containers every fifth uses up its grace.
TEST_F(ApiPodsTest, AShorterGracePeriodLaterWins) {
  for (int i = 0; i < 20; ++i) w.cluster().Create(Forever(base::StrCat("p", i)));
  w.Run(seconds(10));
  for (const PodPtr& pod : w.cluster().Pods()) w.cluster().Delete(*pod, 600);
  w.Run(seconds(20));
  EXPECT_GT(w.cluster().Pods().size(), 0u);
  EXPECT_LT(w.cluster().Pods().size(), 20u);
  for (const PodPtr& pod : w.cluster().Pods()) w.cluster().Delete(*pod, 1);
  w.Run(seconds(20));
  EXPECT_TRUE(w.cluster().Pods().empty());
  EXPECT_EQ(w.Problems(), "");
}

TEST_F(ApiPodsTest, AFinalizerKeepsTheObjectAndNotThePod) {
  Pod pod = Forever("web");
  pod.mutable_metadata()->add_finalizers("example.com/hold");
  w.cluster().Create(pod);
  w.Run(seconds(5));
  w.cluster().Delete(*Object("web"), 1);
  w.Run(minutes(2));
  EXPECT_FALSE(AnyTrace("web"));
  EXPECT_EQ(Status("web").phase(), "Failed");
  RestartAgent();
  w.Run(minutes(2));
  EXPECT_FALSE(AnyTrace("web")) << "it is not started again";
  w.cluster().RemoveFinalizers(*Object("web"));
  w.Run(seconds(5));
  EXPECT_TRUE(w.manager().Pods().empty());
}

TEST_F(ApiPodsTest, APodWhoseObjectIsForcedAwayIsEnded) {
  w.cluster().Create(Forever("web"));
  w.Run(seconds(5));
  w.cluster().ForceDelete(*Object("web"));
  // A namesake need not wait for it.
  Pod next = Forever("web");
  next.mutable_metadata()->set_uid("web-2");
  w.cluster().Create(next);
  w.Run(seconds(2));
  EXPECT_EQ(Containers("web-2"), 1);
  w.Run(minutes(1));
  EXPECT_FALSE(AnyTrace("web"));
  EXPECT_EQ(w.Problems(), "");
}

TEST_F(ApiPodsTest, APodThatIsAlreadyDeletedIsNeverStarted) {
  w.KillAgent();
  w.cluster().Create(Forever("web"));
  w.cluster().Delete(*Object("web"), 30);
  w.StartAgent();
  w.Run(seconds(2));
  EXPECT_FALSE(Object("web"));
  EXPECT_EQ(Containers("web"), 0);
}

TEST_F(ApiPodsTest, ARejectedPodFailsWithTheReasonAndGoesWhenDeleted) {
  Pod pod = Forever("web");
  (*pod.mutable_metadata()->mutable_labels())["kubernetes.io/os"] = "windows";
  w.cluster().Create(pod);
  w.Run(seconds(2));
  EXPECT_EQ(Status("web").phase(), "Failed");
  EXPECT_EQ(Status("web").reason(), "PodOSSelectorNodeLabelDoesNotMatch");
  EXPECT_TRUE(Status("web").message().starts_with("Pod was rejected: ")) << Status("web").message();
  RestartAgent();
  w.Run(seconds(10));
  EXPECT_EQ(Status("web").reason(), "PodOSSelectorNodeLabelDoesNotMatch");
  EXPECT_FALSE(w.host().volumes.contains("web"));
  w.cluster().Delete(*Object("web"), 5);
  w.Run(seconds(2));
  EXPECT_FALSE(Object("web"));
}

TEST_F(ApiPodsTest, APodThatIsOverStaysOverWhateverTheRuntimeForgets) {
  w.cluster().Create(Job("job", 3));
  w.Run(seconds(10));
  ASSERT_EQ(Status("job").phase(), "Failed");
  const std::string before = Status("job").DebugString();
  w.KillAgent();
  w.runtime().containers.clear();
  w.runtime().sandboxes.clear();
  w.StartAgent();
  w.Run(minutes(5));
  EXPECT_EQ(Containers("job"), 0);
  EXPECT_EQ(Status("job").DebugString(), before);
  EXPECT_EQ(Patches(), 0);
}

TEST_F(ApiPodsTest, ARestartOfTheAgentChangesNoStatus) {
  for (int i = 0; i < 30; ++i) w.cluster().Create(Forever(base::StrCat("p", i)));
  w.Run(minutes(1));
  std::map<std::string, std::string> before;
  for (const PodPtr& pod : w.cluster().Pods())
    before[pod->metadata().name()] = pod->metadata().resourceversion();
  for (auto pause : {seconds(1), seconds(600)}) {
    w.KillAgent();
    w.Run(pause);
    w.StartAgent();
    w.Run(minutes(2));
    for (const PodPtr& pod : w.cluster().Pods())
      EXPECT_EQ(pod->metadata().resourceversion(), before[pod->metadata().name()]);
    EXPECT_LE(w.requests().size(), 3u) << "a list and a watch";
  }
}

TEST_F(ApiPodsTest, AGateOfSomebodyElseMakesThePodReady) {
  Pod pod = Forever("web");
  pod.mutable_spec()->add_readinessgates()->set_conditiontype("example.com/gate");
  w.cluster().Create(pod);
  w.Run(seconds(5));
  EXPECT_EQ(Condition("web", "Ready"), "False");
  EXPECT_EQ(Condition("web", "ContainersReady"), "True");
  w.cluster().SetGate(*Object("web"), "example.com/gate");
  w.Run(milliseconds(500));
  EXPECT_EQ(Condition("web", "Ready"), "True");
  EXPECT_EQ(Condition("web", "example.com/gate"), "True");
}

TEST_F(ApiPodsTest, WithoutAServerAtStartStaticPodsRunAndNothingIsTakenForGone) {
  w.cluster().Create(Forever("web"));
  w.Run(seconds(5));
  w.KillAgent();
  w.cluster().faults.down = true;
  w.StartAgent();
  w.SetPods({MakePod("etcd", "etcd", "Always", {{}})});
  w.Run(minutes(10));
  EXPECT_EQ(Containers("etcd"), 1);
  EXPECT_EQ(Containers("web"), 1);
  w.cluster().faults.down = false;
  w.Run(minutes(2));
  EXPECT_EQ(w.Problems(), "");
}

TEST_F(ApiPodsTest, AStaticPodIsShownByItsMirror) {
  const PodPtr pod = MakePod("etcd", "etcd", "Always", {{}});
  w.SetPods({pod});
  w.Run(seconds(5));
  ASSERT_EQ(w.cluster().Mirrors().size(), 1u);
  EXPECT_EQ(w.cluster().Mirrors()[0]->status().phase(), "Running");
  EXPECT_EQ(Containers(w.cluster().Mirrors()[0]->metadata().uid()), 0) << "a mirror is not run";
  w.SetPods({});
  w.Run(seconds(30));
  EXPECT_TRUE(w.cluster().Mirrors().empty());
  EXPECT_EQ(w.Problems(), "");
}

TEST_F(ApiPodsTest, AStaticPodTakenAwayAndBroughtBackGoesOnCountingItsRestarts) {
  const PodPtr pod = MakePod("etcd", "etcd", "Always", {{}});
  w.SetPods({pod});
  w.Run(seconds(5));
  w.disturbed.insert("etcd");
  w.SetPods({});
  w.SetPods({pod});
  w.Run(seconds(30));
  ASSERT_EQ(w.cluster().Mirrors().size(), 1u);
  const PodStatus& status = w.cluster().Mirrors()[0]->status();
  ASSERT_EQ(status.containerstatuses_size(), 1);
  EXPECT_TRUE(status.containerstatuses(0).state().has_running());
  EXPECT_EQ(status.containerstatuses(0).restartcount(), 1);
}

TEST_F(ApiPodsTest, APreStopHookThatDoesNotEndDiesWithItsContainer) {
  auto pod = std::make_shared<Pod>(*MakePod("etcd", "etcd", "Always", {{}}));
  pod->mutable_spec()->mutable_containers(0)->mutable_lifecycle()->mutable_prestop()->mutable_exec();
  int cuts = 0;
  bool ran = false;
  w.host().on_hook_cut = [&](const std::string& id) {
    ++cuts;
    const auto container = w.runtime().containers.find(id);
    ran |= container != w.runtime().containers.end() &&
           container->second.state == ::runtime::v1::CONTAINER_RUNNING;
  };
  w.SetPods({pod});
  w.Run(seconds(5));
  w.SetPods({});
  w.Run(seconds(30));
  EXPECT_EQ(cuts, 1);
  EXPECT_FALSE(ran) << "it was cut off while its container ran";
  EXPECT_EQ(Containers("etcd"), 0);
  w.host().on_hook_cut = nullptr;
}

}  // namespace
}  // namespace keelson::simulation
