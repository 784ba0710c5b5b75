// SPDX-License-Identifier: Apache-2.0
// The agent between a runtime and an API server, both with faults, on a virtual clock: pods are made,
// deleted, gated and meddled with, the agent is killed, the server goes away. A failing seed is
// printed; KEELSON_SEED=n replays it alone, KEELSON_API_SEEDS=n sets how many are tried.
#include <gtest/gtest.h>

#include "base/strings.h"
#include "test/simulation/seeds.h"
#include "test/simulation/world.h"

namespace keelson::simulation {
namespace {

using kubelet::PodPtr;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class Person {
 public:
  explicit Person(World& w) : w_(w), r_(w.random()) {}

  void DoSomething() {
    auto pods = w_.cluster().Pods();
    if (pods.size() < 3 || r_.Chance(0.3)) return Create();
    const PodPtr pod = pods[r_.Below(pods.size())];
    switch (r_.Below(6)) {
      case 0: return Delete(*pod);
      case 1: return Delete(*pod);
      case 2: return w_.cluster().SetGate(*pod, "example.com/gate");
      case 3: return w_.cluster().OverwriteStatus(*pod);
      case 4: return w_.cluster().RemoveFinalizers(*pod);
      default: return ChangeManifests();
    }
  }
  void ReleaseAll() {
    for (const PodPtr& pod : w_.cluster().Pods()) w_.cluster().RemoveFinalizers(*pod);
  }
  void Create() {
    const std::string uid = base::StrCat("api-", next_++);
    kubelet::v1::Pod pod;
    switch (r_.Below(5)) {
      case 0: pod = *MakePod(uid, uid, "Always", {{}, {}}); break;
      case 1: pod = *MakePod(uid, uid, "Always", {{}}, {{0, 200}}, 1); break;
      case 2: pod = *MakePod(uid, uid, "Never", {{0, 3000}, {1, 500}}); break;
      case 3: pod = *MakePod(uid, uid, "OnFailure", {{}, {0, 700}}); break;
      default: pod = *MakePod(uid, uid, "Always", {{}, {3, 2000}}); break;
    }
    if (r_.Chance(0.2)) pod.mutable_metadata()->add_finalizers("example.com/hold");
    if (r_.Chance(0.3)) pod.mutable_spec()->add_readinessgates()->set_conditiontype("example.com/gate");
    w_.cluster().Create(pod);
  }

 private:
  void Delete(const kubelet::v1::Pod& pod) {
    if (r_.Chance(0.15)) return w_.cluster().ForceDelete(pod);
    w_.cluster().Delete(pod, static_cast<int64_t>(1 + r_.Below(20)));
  }
  void ChangeManifests() {
    if (statics_.size() > 1 && r_.Chance(0.6)) {
      statics_.erase(statics_.begin());
    } else {
      const std::string name = base::StrCat("static", r_.Below(3));
      statics_[name] = MakePod(name, base::StrCat("static-", next_++), "Always", {{}});
    }
    std::vector<PodPtr> pods;
    for (const auto& [name, pod] : statics_) pods.push_back(pod);
    w_.SetPods(std::move(pods));
  }

  World& w_;
  Random& r_;
  int next_ = 0;
  std::map<std::string, PodPtr> statics_;
};

void Calm(World& w) {
  w.runtime().faults.on = false;
  w.runtime().faults.down = false;
  w.host().faults = false;
  w.cluster().faults.on = false;
  w.cluster().faults.down = false;
  if (!w.agent_runs()) w.StartAgent();
}

std::string Simulate(uint64_t seed) {
  World w(seed, /*with_cluster=*/true);
  Person person(w);
  w.StartAgent();
  for (int step = 0; step < 40; ++step) {
    switch (w.random().Below(10)) {
      case 0: case 1: case 2: case 3: case 4:
        person.DoSomething();
        break;
      case 5: case 6:
        if (w.agent_runs()) w.KillAgent();
        else w.StartAgent();
        break;
      case 7:
        w.cluster().faults.down = w.random().Chance(0.4);
        break;
      case 8:
        if (w.random().Chance(0.3)) w.cluster().store.Compact();
        break;
      default:
        break;
    }
    w.Run(w.random().Between(milliseconds(1), seconds(8)));
  }
  Calm(w);
  person.ReleaseAll();
  w.Run(minutes(7));
  return w.Problems();
}

TEST(ApiPodsSimulation, EveryScheduleEndsWithAServerThatShowsWhatRuns) {
  TrySeeds("KEELSON_API_SEEDS", 120, Simulate);
}

// Hours without a server: pods run on, what ends is started again, and the return is one request per
// changed pod.
TEST(ApiPodsSimulation, AnOutageOfHoursEndsNothingAndItsEndCostsOneRequestPerChangedPod) {
  World w(7, /*with_cluster=*/true);
  Calm(w);
  for (int i = 0; i < 40; ++i) {
    const std::string uid = base::StrCat("p", i);
    w.cluster().Create(*MakePod(uid, uid, "Always", {{}}));
  }
  w.Run(minutes(2));
  ASSERT_EQ(w.Problems(), "");
  w.SetReachable(false);
  w.Run(minutes(5));
  int changed = 0;
  for (auto& [id, c] : w.runtime().containers) {
    if (changed == 10) break;
    if (c.state != ::runtime::v1::CONTAINER_RUNNING) continue;
    ++changed;
    w.disturbed.insert(w.runtime().UidOf(c));
    w.runtime().Exit(id, 137, "OOMKilled");
  }
  w.Run(hours(3));
  w.requests().clear();
  w.SetReachable(true);
  w.Run(minutes(1));
  EXPECT_EQ(w.Problems(), "");
  EXPECT_LE(w.requests().size(), 10u + 10u) << ::testing::PrintToString(w.requests());
  w.requests().clear();
  w.Run(minutes(4));
  EXPECT_LE(w.requests().size(), 1u) << "at rest only the watch is renewed";
}

}  // namespace
}  // namespace keelson::simulation
