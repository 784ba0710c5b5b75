// SPDX-License-Identifier: Apache-2.0
// The agent dies by SIGKILL at random moments while pods start, run and stop. Afterwards what runs is
// what the manifests say, who was healthy was left alone, and nothing is left over.
#include <gtest/gtest.h>

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
constexpr int kNames = 6;

std::string Manifest(const std::string& name) {
  return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name +
         "}\nspec:\n  terminationGracePeriodSeconds: 0\n  volumes: [{name: v, emptyDir: {}}]\n"
         "  containers:\n  - name: c\n    image: docker.io/keelson/testserver:1\n    args: [wait]\n"
         "    volumeMounts: [{name: v, mountPath: /v}]\n";
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

class CrashTest : public testing::Test {
 protected:
  void SetUp() override { agent_.Start(); }

  // One manifest comes or goes, never those of the steady pods.
  void ChangeOne() {
    const std::string name = "p" + std::to_string(random_() % kNames);
    if (wanted_.erase(name)) {
      agent_.Remove(name + ".yaml");
    } else {
      agent_.Put(name + ".yaml", Manifest(name));
      wanted_.insert(name);
    }
  }
  void PutSteady(const std::string& name) {
    agent_.Put(name + ".yaml", Manifest(name));
    ASSERT_TRUE(Eventually([&] { return IsRunning(name, "c"); }));
    steady_[name] = FindContainer(name, "c").id;
  }
  bool RunsExactlyTheWanted() {
    std::set<std::string> running;
    const auto containers = TheContainerd().Running();
    for (const auto& c : containers) {
      std::string pod = c.labels().at("io.kubernetes.pod.name");
      running.insert(pod.substr(0, pod.rfind('-')));
    }
    std::set<std::string> all = wanted_;
    for (const auto& [name, id] : steady_) all.insert(name);
    return running == all && containers.size() == all.size() &&
           TheContainerd().Sandboxes().size() == all.size();
  }
  std::set<std::string> Leases() {
    std::set<std::string> addresses;
    for (const auto& entry : fs::recursive_directory_iterator(TheContainerd().dir() + "/leases"))
      if (entry.is_regular_file() && entry.path().filename().string().find('.') != std::string::npos)
        addresses.insert(entry.path().filename());
    return addresses;
  }

  Agent agent_;
  std::mt19937 random_{Seed()};
  std::set<std::string> wanted_;
  std::map<std::string, std::string> steady_;  // pod, and the container it must keep
};

TEST_F(CrashTest, ThirtyKillsLoseNothingAndDisturbNobody) {
  PutSteady("steady0");
  PutSteady("steady1");
  for (int i = 0; i < kKills; ++i) {
    for (int changes = 1 + static_cast<int>(random_() % 3); changes > 0; --changes) ChangeOne();
    // The moment of the kill is the test's input, not a wait for something.
    std::this_thread::sleep_for(std::chrono::milliseconds(random_() % 700));
    agent_.Kill();
    if (random_() % 2) ChangeOne();
    agent_.Start();
  }
  EXPECT_TRUE(Eventually([&] { return RunsExactlyTheWanted(); }, 60s));
  for (const auto& [name, id] : steady_) EXPECT_EQ(FindContainer(name, "c").id, id) << name;
  const size_t pods = wanted_.size() + steady_.size();
  EXPECT_TRUE(Eventually([&] { return Names(agent_.root() + "/pods").size() == pods; }));
  EXPECT_TRUE(Eventually([&] { return Names(agent_.logs()).size() == pods; }));
  EXPECT_TRUE(Eventually([&] { return Leases().size() == pods; }));

  for (const auto& name : wanted_) agent_.Remove(name + ".yaml");
  for (const auto& [name, id] : steady_) agent_.Remove(name + ".yaml");
  EXPECT_TRUE(Eventually([&] { return agent_.Leftovers().empty(); }))
      << testing::PrintToString(agent_.Leftovers());
}

}  // namespace
}  // namespace keelson::integration
