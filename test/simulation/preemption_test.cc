// SPDX-License-Identifier: Apache-2.0
// Pods that end though they are wanted: for critical ones on a node that is full, in a shutdown.
#include <gtest/gtest.h>

#include "kubelet/status.h"
#include "proto/codec/quantity.h"
#include "test/simulation/world.h"

namespace keelson::simulation {
namespace {

using kubelet::PodPtr;
using kubelet::v1::Pod;
using std::chrono::seconds;

// Of the simulated node's 1000 CPUs.
Pod Asking(const std::string& name, const std::string& cpus) {
  Pod pod = *MakePod(name, name, "Always", {{}});
  auto& requests = *pod.mutable_spec()->mutable_containers(0)->mutable_resources()
                        ->mutable_requests();
  requests["cpu"].set_string(cpus);
  return pod;
}

class MakingRoomTest : public ::testing::Test {
 protected:
  MakingRoomTest() {
    w.runtime().faults.on = false;
    w.host().faults = false;
    w.cluster().faults.on = false;
    w.StartAgent();
    w.cluster().Create(Asking("batch", "600"));
    w.cluster().Create(Asking("small", "100"));
    w.Run(seconds(5));
  }
  void AddManifest(const std::string& name, const std::string& cpus) {
    Pod pod = Asking(name, cpus);
    (*pod.mutable_metadata()->mutable_annotations())[std::string(kubelet::kConfigSource)] = "file";
    manifests_.push_back(std::make_shared<Pod>(std::move(pod)));
    w.SetPods(manifests_);
  }
  int Running(const std::string& uid) {
    int count = 0;
    for (const auto& [id, c] : w.runtime().containers)
      count += w.runtime().UidOf(c) == uid && c.state == ::runtime::v1::CONTAINER_RUNNING;
    return count;
  }
  kubelet::v1::PodStatus Status(const std::string& name) {
    return w.cluster().store.Find<Pod>("default", name)->status();
  }

  World w{1, /*with_cluster=*/true};
  std::vector<PodPtr> manifests_;
};

TEST_F(MakingRoomTest, OneEndsForACriticalPodAndSaysWhy) {
  ASSERT_EQ(Running("batch") + Running("small"), 2);
  AddManifest("vital", "600");
  w.Run(seconds(60));
  EXPECT_EQ(Running("vital"), 1);
  EXPECT_EQ(Running("batch"), 0);
  EXPECT_EQ(Running("small"), 1) << "ending it would not do, and is not needed";
  EXPECT_EQ(Status("batch").phase(), "Failed");
  EXPECT_EQ(Status("batch").reason(), "Preempting");
  const auto status = Status("batch");
  const auto* condition = kubelet::FindCondition(status, "DisruptionTarget");
  ASSERT_NE(condition, nullptr);
  EXPECT_EQ(condition->status(), "True");
}

TEST_F(MakingRoomTest, TheCriticalPodWaitsUntilTheOtherHasEnded) {
  AddManifest("vital", "600");
  for (int i = 0; i < 600 && Running("vital") == 0; ++i) {
    w.Run(std::chrono::milliseconds(100));
    if (Running("batch") > 0) {
      ASSERT_EQ(Running("vital"), 0);
    }
  }
  EXPECT_EQ(Running("vital"), 1);
}

TEST_F(MakingRoomTest, TwoCriticalPodsThatDoNotFitTogetherDoNotEndEachOther) {
  AddManifest("vital", "600");
  AddManifest("grand", "600");
  w.Run(seconds(120));
  EXPECT_EQ(Running("vital") + Running("grand"), 1);
}

TEST_F(MakingRoomTest, APodOfAShutdownEndsWithItsVerdictAndStaysSo) {
  int heard = 0;
  w.manager().OnPodEnding([&] { ++heard; });
  EXPECT_EQ(w.manager().ActivePods().size(), 2u);
  EXPECT_FALSE(w.manager().HasEnded("small"));
  w.manager().End("small", {.grace = 1, .verdict = kubelet::PodVerdict{"Terminated", "off"}});
  w.manager().End("nobody", {});
  w.Run(seconds(30));
  EXPECT_TRUE(w.manager().HasEnded("small"));
  EXPECT_GT(heard, 0);
  EXPECT_EQ(w.manager().ActivePods().size(), 1u);
  EXPECT_EQ(Running("small"), 0);
  EXPECT_EQ(Status("small").phase(), "Failed");
  EXPECT_EQ(Status("small").reason(), "Terminated");
  EXPECT_EQ(Running("batch"), 1);
}

TEST_F(MakingRoomTest, ANodeThatLooksWrongIsReadAgainBeforeAPodIsRefused) {
  kubelet::NodeTerms node{"node", {{"zone", "old"}}, {}};
  w.admission().SetNode(node);
  int reads = 0;
  struct Reader {
    static base::Task<void> Read(World* w, kubelet::NodeTerms* node, int* reads) {
      co_await base::Sleep(w->clock(), seconds(1));
      ++*reads;
      w->admission().SetNode(*node);
    }
  };
  w.manager().OnOldNode([&] { return Reader::Read(&w, &node, &reads); });
  node.labels["zone"] = "new";
  Pod picky = Asking("picky", "1");
  (*picky.mutable_spec()->mutable_nodeselector())["zone"] = "new";
  w.cluster().Create(picky);
  Pod wrong = Asking("wrong", "1");
  (*wrong.mutable_spec()->mutable_nodeselector())["zone"] = "other";
  w.Run(seconds(10));
  w.cluster().Create(wrong);
  w.Run(seconds(60));
  EXPECT_EQ(Running("picky"), 1);
  EXPECT_EQ(Running("wrong"), 0);
  EXPECT_EQ(Status("wrong").reason(), "NodeAffinity");
  EXPECT_EQ(reads, 2);
}

TEST_F(MakingRoomTest, AnOrdinaryPodEndsNobody) {
  w.cluster().Create(Asking("third", "600"));
  w.Run(seconds(60));
  EXPECT_EQ(Running("batch"), 1);
  EXPECT_EQ(Running("third"), 0);
  EXPECT_EQ(Status("third").reason(), "OutOfcpu");
}

}  // namespace
}  // namespace keelson::simulation
