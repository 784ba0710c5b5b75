// SPDX-License-Identifier: Apache-2.0
// The agent dies by SIGKILL at random moments while pods start, run and stop. Afterwards what runs is
// what the manifests say, who was healthy was left alone, and nothing is left over.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "test/integration/lib/agent_fixture.h"

namespace keelson::integration {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr int kKills = 30;

// What comes and goes: the name, its running containers, and the spec below the grace period.
struct Kind {
  const char* name;
  std::vector<std::string> containers;
  const char* spec;
};

const std::vector<Kind>& Kinds() {
  static const std::vector<Kind> kKinds = {
      {"plain0", {"c"}, ""},
      {"plain1", {"c"}, ""},
      {"ported", {"c"}, "    ports: [{containerPort: 8080, hostPort: 28441}]\n"},
      {"stubborn", {"c"}, "    args: [stubborn]\n"},
      {"limited", {"c"}, "    resources: {limits: {cpu: 100m, memory: 32Mi}}\n"},
      {"staged", {"c", "side"},
       "  initContainers:\n"
       "  - {name: first, image: docker.io/keelson/testserver:1, args: [echo, first]}\n"
       "  - {name: side, image: docker.io/keelson/testserver:1, args: [wait], restartPolicy: Always}\n"},
  };
  return kKinds;
}

std::string Manifest(const std::string& name, const std::string& more) {
  const std::string args = more.find("    args:") == more.npos ? "    args: [wait]\n" : "";
  return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name +
         "}\nspec:\n  terminationGracePeriodSeconds: 1\n  volumes: [{name: v, emptyDir: {medium: "
         "Memory}}]\n  containers:\n  - name: c\n    image: docker.io/keelson/testserver:1\n"
         "    volumeMounts: [{name: v, mountPath: /v}]\n" + args + more;
}

// The seed is printed, so that a failing order of events can be asked for again.
unsigned Seed() {
  const char* given = std::getenv("KEELSON_SEED");
  const unsigned seed = given ? static_cast<unsigned>(std::atoi(given)) : std::random_device()();
  std::printf("KEELSON_SEED=%u\n", seed);
  return seed;
}

std::set<std::string> Names(const fs::path& dir) {
  std::set<std::string> names;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(dir, ec)) names.insert(entry.path().filename());
  return names;
}

using Ids = std::map<std::string, std::string>;  // "pod/container" -> id

Ids RunningIds() {
  Ids ids;
  for (const auto& c : TheContainerd().Running()) {
    const std::string pod = c.labels().at("io.kubernetes.pod.name");
    ids[pod.substr(0, pod.rfind('-')) + "/" + c.metadata().name()] = c.id();
  }
  return ids;
}

class CrashTest : public testing::Test {
 protected:
  void SetUp() override { agent_.Start(); }

  void PutSteady(const std::string& name) {
    agent_.Put(name + ".yaml", Manifest(name, ""));
    wanted_[name] = {"c"};
    ASSERT_TRUE(Eventually([&] { return IsRunning(name, "c"); }));
  }
  // One manifest comes or goes, never those of the steady pods.
  void ChangeOne() {
    const Kind& kind = Kinds()[random_() % Kinds().size()];
    changed_.insert(kind.name);
    std::erase_if(healthy_, [&](const auto& entry) { return PodOf(entry.first) == kind.name; });
    if (wanted_.erase(kind.name)) {
      agent_.Remove(std::string(kind.name) + ".yaml");
    } else {
      agent_.Put(std::string(kind.name) + ".yaml", Manifest(kind.name, kind.spec));
      wanted_[kind.name] = kind.containers;
    }
  }
  // One life of the agent, which ends at a moment that is the test's input, not a wait for something.
  void Live() {
    for (int changes = 1 + static_cast<int>(random_() % 3); changes > 0; --changes) ChangeOne();
    std::this_thread::sleep_for(std::chrono::milliseconds(random_() % 700));
    agent_.Kill();
    ExpectHealthyUntouched();
    for (const auto& [name, id] : RunningIds()) NoteHealthy(name, id);
    changed_.clear();
    if (random_() % 2) ChangeOne();
    agent_.Start();
  }
  // A container counts as healthy once its pod was wanted during a whole life of the agent, unless it
  // is one that ends by itself.
  void NoteHealthy(const std::string& name, const std::string& id) {
    const std::string pod = PodOf(name);
    const auto wanted = wanted_.find(pod);
    if (wanted == wanted_.end() || changed_.contains(pod)) return;
    for (const auto& container : wanted->second)
      if (name == pod + "/" + container) healthy_[name] = id;
  }
  void ExpectHealthyUntouched() {
    const Ids running = RunningIds();
    for (const auto& [name, id] : healthy_) {
      const auto now = running.find(name);
      EXPECT_TRUE(now != running.end() && now->second == id) << name << " was disturbed";
    }
  }
  bool RunsExactlyTheWanted() {
    std::set<std::string> expected, running;
    for (const auto& [pod, containers] : wanted_)
      for (const auto& container : containers) expected.insert(pod + "/" + container);
    for (const auto& [name, id] : RunningIds()) running.insert(name);
    return running == expected && TheContainerd().Running().size() == expected.size() &&
           ReadySandboxes() == wanted_.size();
  }
  // One that is not ready may stay as long as it has the previous instance of a container.
  static size_t ReadySandboxes() {
    const auto all = TheContainerd().Sandboxes();
    return std::count_if(all.begin(), all.end(), [](const auto& sandbox) {
      return sandbox.state() == runtime::v1::SANDBOX_READY;
    });
  }
  // But for the root of a task that containerd has lost: it forgets the shim of a StartContainer whose
  // caller dies at the wrong moment, and no call of CRI reaches that one any more.
  std::vector<std::string> Leftovers() {
    std::vector<std::string> all = agent_.Leftovers();
    const std::string tasks = "mount " + TheContainerd().dir() + "/state/io.containerd.runtime.v2.task";
    std::erase_if(all, [&](const auto& line) { return line.starts_with(tasks); });
    return all;
  }
  static std::string PodOf(const std::string& name) { return name.substr(0, name.find('/')); }

  Agent agent_;
  std::mt19937 random_{Seed()};
  std::map<std::string, std::vector<std::string>> wanted_;  // pod -> its running containers
  std::set<std::string> changed_;                           // since the last kill
  Ids healthy_;                                             // must be left alone
};

TEST_F(CrashTest, ThirtyKillsLoseNothingAndDisturbNobody) {
  PutSteady("steady0");
  PutSteady("steady1");
  for (int i = 0; i < kKills; ++i) {
    SCOPED_TRACE("life " + std::to_string(i));
    Live();
  }
  EXPECT_TRUE(Eventually([&] { return RunsExactlyTheWanted(); }, 60s))
      << testing::PrintToString(RunningIds());
  ExpectHealthyUntouched();
  EXPECT_TRUE(healthy_.contains("steady0/c") && healthy_.contains("steady1/c"));
  const size_t pods = wanted_.size();
  EXPECT_TRUE(Eventually([&] { return Names(agent_.root() + "/pods").size() == pods; }));
  EXPECT_TRUE(Eventually([&] { return Names(agent_.logs()).size() == pods; }));
  EXPECT_TRUE(Eventually([&] { return TheContainerd().Addresses().size() == pods; }));

  for (const auto& [name, containers] : wanted_) agent_.Remove(name + ".yaml");
  EXPECT_TRUE(Eventually([&] { return Leftovers().empty(); }))
      << testing::PrintToString(Leftovers());
}

}  // namespace
}  // namespace keelson::integration
