// SPDX-License-Identifier: Apache-2.0
// The whole agent on a virtual clock. A failing seed is printed; KEELSON_SEED=n replays it alone,
// KEELSON_SEEDS=n sets how many are tried.
#include <gtest/gtest.h>

#include "base/strings.h"
#include "test/simulation/seeds.h"
#include "test/simulation/world.h"

// A killed agent's coroutines never end: their frames are lost, as a killed process's would be.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }

namespace keelson::simulation {
namespace {

using kubelet::PodPtr;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

PodPtr RandomPod(Random& r, int number) {
  std::string name = base::StrCat("pod", number % 7);
  std::string uid = base::StrCat("uid-", number);
  switch (r.Below(6)) {
    case 0: return MakePod(name, uid, "Always", {{}, {}});
    case 1: return MakePod(name, uid, "Always", {{}}, {{0, 200}, {0, 50}});
    case 2: return MakePod(name, uid, "Always", {{}}, {{0, 100}}, 1);
    case 3: return MakePod(name, uid, "Never", {{0, 3000}, {1, 500}});
    case 4: return MakePod(name, uid, "OnFailure", {{}, {0, 700}});
    default: return MakePod(name, uid, "Always", {{}, {3, 2000}});
  }
}

// Ends one running container from outside, as the kernel's OOM killer would.
void KillSomeContainer(World& w) {
  for (auto& [id, c] : w.runtime().containers) {
    if (c.state != ::runtime::v1::CONTAINER_RUNNING || w.random().Chance(0.5)) continue;
    w.disturbed.insert(w.runtime().UidOf(c));
    return w.runtime().Exit(id, 137, "OOMKilled");
  }
}

void KillSomeSandbox(World& w) {
  for (auto& [id, s] : w.runtime().sandboxes) {
    if (!s.ready || w.random().Chance(0.7)) continue;
    w.disturbed.insert(s.config.metadata().uid());
    static_cast<void>(w.runtime().StopSandbox(id));
    return;
  }
}

void ChangeManifests(World& w, std::map<std::string, PodPtr>& wanted, int& next) {
  if (wanted.size() > 2 && w.random().Chance(0.5)) {
    wanted.erase(std::next(wanted.begin(), static_cast<long>(w.random().Below(wanted.size()))));
  } else {
    PodPtr pod = RandomPod(w.random(), next++);
    wanted[pod->metadata().name()] = pod;  // the same name replaces: a changed manifest
  }
  std::vector<PodPtr> pods;
  for (const auto& [name, pod] : wanted) pods.push_back(pod);
  w.SetPods(std::move(pods));
}

std::string Simulate(uint64_t seed) {
  World w(seed);
  std::map<std::string, PodPtr> wanted;
  int next = 0;
  w.StartAgent();
  for (int step = 0; step < 60; ++step) {
    switch (w.random().Below(10)) {
      case 0: case 1: case 2: case 3:
        ChangeManifests(w, wanted, next);
        break;
      case 4:
        KillSomeContainer(w);
        break;
      case 5:
        if (w.random().Chance(0.3)) KillSomeSandbox(w);
        break;
      case 6: case 7:
        if (w.agent_runs()) w.KillAgent();
        else w.StartAgent();
        break;
      case 8:
        w.runtime().faults.down = w.random().Chance(0.3);
        break;
      default:
        break;
    }
    w.Run(w.random().Between(milliseconds(1), seconds(8)));
  }
  // Everything works again and nothing more happens: the agent has time to make good.
  w.runtime().faults.on = false;
  w.host().faults = false;
  if (!w.agent_runs()) w.StartAgent();
  w.Run(minutes(20));
  return w.Problems();
}

TEST(Simulation, EveryScheduleEndsWithWhatIsWanted) {
  TrySeeds("KEELSON_SEEDS", 1000, Simulate);
}

}  // namespace
}  // namespace keelson::simulation
