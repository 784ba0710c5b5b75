// SPDX-License-Identifier: Apache-2.0
// How the agent learns what containers do: from the runtime's event stream (2.x) or from their
// processes (1.6), and what it finds when it comes back from the dead.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "test/integration/lib/agent_fixture.h"

namespace keelson::integration {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

std::string Pod(const std::string& name, const std::string& spec) {
  return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name +
         "}\nspec:\n  terminationGracePeriodSeconds: 1\n" + spec;
}

std::string Container(const std::string& name, const std::string& args = "[wait]") {
  return "  - {name: " + name + ", image: docker.io/keelson/testserver:1, args: " + args + "}\n";
}

class EventsTest : public testing::Test {
 protected:
  void SetUp() override { agent_.Start(); }

  void Run(const std::string& name, const std::string& spec, const std::string& container = "c") {
    agent_.Put(name + ".yaml", Pod(name, spec));
    ASSERT_TRUE(Eventually([&] { return IsRunning(name, container); })) << name;
  }
  void RunOnce(const std::string& name) {
    Run(name, "  restartPolicy: Never\n  containers:\n" + Container("c"));
  }
  void KillContainer(const std::string& pod, const std::string& container = "c") {
    const int pid = TheContainerd().Pid(FindContainer(pod, container).id);
    ASSERT_GT(pid, 0);
    ASSERT_EQ(::kill(pid, SIGKILL), 0);
  }
  // The pod's line of the table.
  std::string Line(const std::string& pod) {
    return agent_.Nodectl({"get", "pods", "-n", "default", pod + "-klnode"});
  }
  bool Shows(const std::string& pod, const std::string& text, std::chrono::milliseconds limit = 30s) {
    return Eventually([&] { return agent_.TryNodectl({"get", "pods", pod + "-klnode"}).output.find(text) !=
                                   std::string::npos; },
                      limit);
  }

  Agent agent_;
};

TEST_F(EventsTest, StreamIsOpenWhereTheRuntimeHasOne) {
  const std::string none = "The runtime has no event stream";
  if (TheContainerd().is_2x()) {
    EXPECT_TRUE(Eventually([&] {
      return agent_.Nodectl({"inflight"}).find("GetContainerEvents") != std::string::npos;
    }));
    EXPECT_THAT(agent_.Log(), Not(HasSubstr(none)));
  } else {
    EXPECT_TRUE(Eventually([&] { return agent_.Log().find(none) != std::string::npos; }));
    EXPECT_THAT(agent_.Nodectl({"inflight"}), Not(HasSubstr("GetContainerEvents")));
  }
}

// The relist comes every 10 s, with events every 60 s. One exit after another, each seen in less: a
// relist may find one of them, never all.
TEST_F(EventsTest, ExitsAreSeenLongBeforeTheRelist) {
  const auto limit = TheContainerd().is_2x() ? 30s : 8s;
  for (const char* name : {"first", "second", "third"}) RunOnce(name);
  for (const char* name : {"first", "second", "third"}) {
    EXPECT_TRUE(Shows(name, "Running"));
    KillContainer(name);
    EXPECT_TRUE(Shows(name, "Error", limit)) << name << " was not seen to end";
  }
}

TEST_F(EventsTest, EndOfASandboxIsSeenAndItIsMadeAnew) {
  Run("fallen", "  containers:\n" + Container("c"));
  const Found before = FindContainer("fallen", "c");
  const int pause = TheContainerd().SandboxPid(before.sandbox_id);
  ASSERT_GT(pause, 0);
  ASSERT_EQ(::kill(pause, SIGKILL), 0);
  EXPECT_TRUE(Eventually([&] {
    const Found now = FindContainer("fallen", "c");
    return now.running && now.sandbox_id != before.sandbox_id;
  }));
}

TEST_F(EventsTest, ExitsAreSeenAfterTheRuntimeRestarted) {
  RunOnce("across");
  EXPECT_TRUE(Shows("across", "Running"));
  TheContainerd().Reboot();
  KillContainer("across");
  EXPECT_TRUE(Shows("across", "Error"));
}

TEST_F(EventsTest, KilledAgentAdoptsWhatRuns) {
  Run("adopted",
      "  initContainers:\n" + Container("first", "[echo, first]") +
          "  - {name: side, image: docker.io/keelson/testserver:1, args: [wait], restartPolicy: Always}\n" +
          "  containers:\n" + Container("c") + Container("d"),
      "d");
  ASSERT_TRUE(Shows("adopted", "3/3"));
  std::vector<std::string> before;
  for (const char* name : {"first", "side", "c", "d"}) before.push_back(FindContainer("adopted", name).id);
  const std::string sandbox = FindContainer("adopted", "c").sandbox_id;
  for (int i = 0; i < 3; ++i) {
    agent_.Kill();
    agent_.Start();
    ASSERT_TRUE(Shows("adopted", "3/3"));
  }
  std::vector<std::string> after;
  for (const char* name : {"first", "side", "c", "d"}) after.push_back(FindContainer("adopted", name).id);
  EXPECT_EQ(after, before);
  EXPECT_EQ(FindContainer("adopted", "c").sandbox_id, sandbox);
  EXPECT_EQ(TheContainerd().Containers().size(), before.size());
  EXPECT_THAT(Line("adopted"), testing::ContainsRegex("3/3 +Running +0 "));
}

TEST_F(EventsTest, EndWithoutAnAgentIsFoundByTheNextOne) {
  Run("ended", "  containers:\n" + Container("c"));
  RunOnce("over");
  const std::string first = FindContainer("ended", "c").id;
  agent_.Kill();
  KillContainer("ended");
  KillContainer("over");
  ASSERT_TRUE(Eventually([&] { return !IsRunning("ended", "c") && !IsRunning("over", "c"); }));
  agent_.Start();
  EXPECT_TRUE(Shows("over", "Error"));
  EXPECT_TRUE(Eventually([&] { return IsRunning("ended", "c"); }));
  EXPECT_NE(FindContainer("ended", "c").id, first);
  EXPECT_EQ(FindContainer("ended", "c").attempt, 1u);
  EXPECT_EQ(FindContainer("over", "c").attempt, 0u);
}

}  // namespace
}  // namespace keelson::integration
