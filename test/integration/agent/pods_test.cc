// SPDX-License-Identifier: Apache-2.0
// Pods from a directory: they come, change, go, survive the agent, and leave nothing behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "test/integration/lib/agent_fixture.h"

namespace keelson::integration {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::HasSubstr;

// A pod of one container that waits; `more` goes into the pod's spec.
std::string Waiting(const std::string& name, const std::string& args = "[hello]",
                    const std::string& more = "") {
  return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name +
         "}\nspec:\n  terminationGracePeriodSeconds: 1\n" + more +
         "  containers:\n  - name: c\n    image: docker.io/keelson/testserver:1\n    args: " + args + "\n";
}

std::string FirstLine(const std::string& path) {
  std::string line;
  std::ifstream file(path);
  std::getline(file, line);
  return line;
}

std::vector<std::string> Children(const std::string& dir) {
  std::vector<std::string> names;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(dir, ec)) names.push_back(entry.path().filename());
  return names;
}

class PodsTest : public testing::Test {
 protected:
  void SetUp() override { agent_.Start(); }

  void Run(const std::string& pod, const std::string& args = "[hello]", const std::string& more = "") {
    agent_.Put(pod + ".yaml", Waiting(pod, args, more));
    ASSERT_TRUE(Eventually([&] { return IsRunning(pod, "c"); })) << pod << " does not run";
  }
  bool Gone(const std::string& pod) {
    return Eventually([&] { return SandboxCount(pod) == 0; });
  }
  void ExpectNothingLeft() {
    EXPECT_TRUE(Eventually([&] { return agent_.Leftovers().empty(); }))
        << testing::PrintToString(agent_.Leftovers());
  }

  Agent agent_;
};

TEST_F(PodsTest, ManifestBecomesARunningContainer) {
  Run("plain");
  const Found found = FindContainer("plain", "c");
  EXPECT_EQ(found.attempt, 0u);
  EXPECT_EQ(SandboxCount("plain"), 1);
  EXPECT_TRUE(Eventually([&] {
    return agent_.Nodectl({"get", "pods"}).find("Running") != std::string::npos;
  }));
}

TEST_F(PodsTest, RemovedManifestEndsThePodAndLeavesNothing) {
  Run("leaving");
  EXPECT_FALSE(agent_.Leftovers().empty());
  agent_.Remove("leaving.yaml");
  EXPECT_TRUE(Gone("leaving"));
  ExpectNothingLeft();
}

TEST_F(PodsTest, ChangedManifestReplacesThePod) {
  Run("changing", "[one]");
  const std::string first = FindContainer("changing", "c").id;
  agent_.Put("changing.yaml", Waiting("changing", "[two]"));
  EXPECT_TRUE(Eventually([&] {
    const Found now = FindContainer("changing", "c");
    return now.running && now.id != first;
  }));
  EXPECT_TRUE(Eventually([&] { return SandboxCount("changing") == 1; }));
}

TEST_F(PodsTest, BrokenFileLeavesTheOthersAndItsOwnLastPod) {
  Run("healthy");
  Run("edited");
  const std::string before = FindContainer("edited", "c").id;
  agent_.Put("edited.yaml", "apiVersion: v1\nkind: Pod\nmetadata: [\n");
  ASSERT_TRUE(Eventually([&] { return agent_.Log().find("edited.yaml") != std::string::npos; }));
  Run("later");
  EXPECT_EQ(FindContainer("edited", "c").id, before);
  EXPECT_TRUE(IsRunning("edited", "c"));
  EXPECT_TRUE(IsRunning("healthy", "c"));
}

TEST_F(PodsTest, GracePeriodEndsAContainerThatIgnoresSigterm) {
  Run("stubborn", "[stubborn]");
  const auto start = std::chrono::steady_clock::now();
  agent_.Remove("stubborn.yaml");
  EXPECT_TRUE(Gone("stubborn"));
  const auto took = std::chrono::steady_clock::now() - start;
  EXPECT_GE(took, 900ms);
  EXPECT_LT(took, 10s);
}

TEST_F(PodsTest, LogsLieInTheStandardLayoutAndNodectlReadsThem) {
  Run("talking", "[words, of, the, container]");
  std::vector<std::string> pods = Children(agent_.logs());
  ASSERT_EQ(pods.size(), 1u);
  EXPECT_THAT(pods[0], testing::StartsWith("default_talking-klnode_"));
  const std::string log = agent_.logs() + "/" + pods[0] + "/c/0.log";
  EXPECT_TRUE(Eventually([&] { return !FirstLine(log).empty(); }));
  EXPECT_THAT(FirstLine(log), HasSubstr(" stdout F words of the container"));
  EXPECT_EQ(agent_.Nodectl({"logs", "talking-klnode", "-c", "c"}), "words of the container\n");
}

TEST_F(PodsTest, CgroupsCarryTheLimitsAndAreTheContainersParents) {
  agent_.Put("limited.yaml",
             Waiting("limited") +
                 "    resources: {requests: {cpu: 100m, memory: 16Mi}, limits: {cpu: 200m, memory: 32Mi}}\n");
  ASSERT_TRUE(Eventually([&] { return IsRunning("limited", "c"); }));
  if (fs::exists("/sys/fs/cgroup/cgroup.controllers")) GTEST_SKIP() << "the numbers are v1's";
  const std::string parent = "/sys/fs/cgroup/memory" + agent_.cgroup() + "/kubepods/burstable";
  std::string pod;
  for (const auto& name : Children(parent))
    if (name.rfind("pod", 0) == 0) pod = name;
  ASSERT_FALSE(pod.empty());
  EXPECT_EQ(FirstLine(parent + "/" + pod + "/memory.limit_in_bytes"), std::to_string(32 << 20));
  const std::string cpu = "/sys/fs/cgroup/cpu" + agent_.cgroup() + "/kubepods/burstable/" + pod;
  EXPECT_EQ(FirstLine(cpu + "/cpu.cfs_quota_us"), "20000");
  EXPECT_EQ(FirstLine(cpu + "/cpu.shares"), "102");
  const std::string id = FindContainer("limited", "c").id;
  EXPECT_TRUE(fs::exists(parent + "/" + pod + "/" + id));
}

TEST_F(PodsTest, AgentEndsByItselfAndThePodsGoOn) {
  Run("lasting");
  const std::string id = FindContainer("lasting", "c").id;
  EXPECT_EQ(agent_.Stop(), 0);
  EXPECT_TRUE(IsRunning("lasting", "c"));
  agent_.Start();
  Run("next");
  EXPECT_EQ(FindContainer("lasting", "c").id, id);
}

TEST_F(PodsTest, ManifestRemovedWhileNoAgentRanEndsThePod) {
  Run("orphan");
  agent_.Kill();
  agent_.Remove("orphan.yaml");
  agent_.Start();
  EXPECT_TRUE(Gone("orphan"));
  ExpectNothingLeft();
}

TEST_F(PodsTest, HostPortLeadsToThePod) {
  agent_.Put("web.yaml",
             "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  terminationGracePeriodSeconds: 1\n"
             "  containers:\n  - name: server\n    image: docker.io/keelson/testserver:1\n"
             "    ports: [{containerPort: 8080, hostPort: 28431}]\n"
             "    volumeMounts: [{name: page, mountPath: /www}]\n"
             "  - name: writer\n    image: docker.io/keelson/testserver:1\n"
             "    args: [page, /www/index.html, shared page]\n"
             "    volumeMounts: [{name: page, mountPath: /www}]\n"
             "  volumes: [{name: page, emptyDir: {}}]\n");
  CommandResult fetched;
  EXPECT_TRUE(Eventually([&] {
    fetched = RunCommand({"curl", "-sS", "--max-time", "5", "http://127.0.0.1:28431/"});
    return fetched.output == "shared page\n";
  })) << fetched.output;
  agent_.Remove("web.yaml");
  EXPECT_TRUE(Gone("web"));
  EXPECT_NE(RunCommand({"curl", "-sS", "--max-time", "2", "http://127.0.0.1:28431/"}).exit_code, 0);
  ExpectNothingLeft();
}

TEST_F(PodsTest, DaemonOfTheRuntimeMayRestart) {
  Run("before");
  const std::string id = FindContainer("before", "c").id;
  TheContainerd().Reboot();
  Run("after");
  EXPECT_EQ(FindContainer("before", "c").id, id);
}

}  // namespace
}  // namespace keelson::integration
