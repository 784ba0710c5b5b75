// SPDX-License-Identifier: Apache-2.0
// nodectl and a real agent with a real runtime: what a person at the node sees of a pod.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <future>
#include <regex>

#include "test/integration/lib/agent_fixture.h"

namespace keelson::integration {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// Two containers, of which the second ends with code 3 after its first words, once; then it stays.
constexpr char kPod[] = R"(apiVersion: v1
kind: Pod
metadata: {name: seen, namespace: shop, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 0
  volumes: [{name: v, emptyDir: {}}]
  containers:
  - {name: a, image: docker.io/keelson/testserver:1, args: [words, of, a]}
  - name: b
    image: docker.io/library/busybox:1.36
    command: [/bin/sh, -c, 'if [ -e /v/f ]; then echo second life; exec sleep 1000; fi; touch /v/f; echo first life; exit 3']
    volumeMounts: [{name: v, mountPath: /v}]
)";

class NodectlAgentTest : public testing::Test {
 protected:
  void SetUp() override {
    agent_.Start();
    agent_.Put("seen.yaml", kPod);
    const std::regex settled("2/2 +Running +1 ");
    ASSERT_TRUE(Eventually([&] { return std::regex_search(Get({"-n", "shop"}), settled); }));
  }
  std::string Get(std::vector<std::string> more) {
    more.insert(more.begin(), {"get", "pods"});
    return agent_.TryNodectl(more).output;
  }
  bool IsEvent(const std::string& text) {
    return Eventually([&] {
      return agent_.TryNodectl({"events", "--for", "pod/seen-klnode"}).output.find(text) != std::string::npos;
    });
  }

  Agent agent_;
};

TEST_F(NodectlAgentTest, TableHasTheTruth) {
  EXPECT_THAT(Get({}), ContainsRegex("shop +seen-klnode +2/2 +Running +1 \\([0-9]+s ago\\) +[0-9]+s\n"));
  const std::string ip = TheContainerd().SandboxIp(FindContainer("seen", "a").sandbox_id);
  ASSERT_FALSE(ip.empty());
  EXPECT_THAT(Get({"-o", "wide"}), AllOf(HasSubstr(" " + ip + " "), HasSubstr(" klnode ")));
  EXPECT_THAT(Get({"-o", "json"}), AllOf(HasSubstr("\"podIP\": \"" + ip + "\""), HasSubstr("\"app\": \"web\""),
                                         HasSubstr("\"restartCount\": 1"),
                                         HasSubstr("containerd://" + FindContainer("seen", "a").id)));
  EXPECT_THAT(Get({"-o", "yaml"}), AllOf(HasSubstr("kind: PodList"), HasSubstr("podIP: " + ip)));
}

TEST_F(NodectlAgentTest, DescribeTellsStateRestartAndEvents) {
  const std::string text = agent_.Nodectl({"describe", "pod", "seen-klnode"});
  EXPECT_THAT(text, StartsWith("Name:         seen-klnode\nNamespace:    shop\n"));
  EXPECT_THAT(text, ContainsRegex("Restart Count: +1"));
  EXPECT_THAT(text, ContainsRegex("Exit Code: +3"));
  EXPECT_THAT(text, ContainsRegex("Normal +Started"));
}

TEST_F(NodectlAgentTest, LogsOfThePresentAndOfThePreviousInstance) {
  EXPECT_EQ(agent_.Nodectl({"logs", "seen-klnode", "-c", "a"}), "words of a\n");
  EXPECT_TRUE(Eventually([&] {
    return agent_.Nodectl({"logs", "seen-klnode", "-c", "b"}) == "second life\n";
  }));
  EXPECT_EQ(agent_.Nodectl({"logs", "-p", "seen-klnode", "-c", "b"}), "first life\n");
  const CommandResult none = agent_.TryNodectl({"logs", "-p", "seen-klnode", "-c", "a"});
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_THAT(none.output, HasSubstr("previous terminated container \"a\" in pod \"seen-klnode\" not found"));
}

TEST_F(NodectlAgentTest, FollowingGoesOnUntilTheContainerEnds) {
  agent_.Put("brief.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: brief}\nspec:\n  restartPolicy: Never\n"
                           "  terminationGracePeriodSeconds: 0\n  containers:\n  - name: c\n"
                           "    image: docker.io/library/busybox:1.36\n"
                           "    command: [/bin/sh, -c, 'echo begin; while [ ! -e /end ]; do sleep 0.05; done; echo end']\n");
  ASSERT_TRUE(Eventually([&] { return agent_.TryNodectl({"logs", "brief-klnode"}).output == "begin\n"; }));
  auto followed = std::async(std::launch::async, [this] {
    return agent_.TryNodectl({"logs", "-f", "brief-klnode"});
  });
  EXPECT_EQ(followed.wait_for(std::chrono::milliseconds(300)), std::future_status::timeout);
  TheContainerd().Exec(FindContainer("brief", "c").id, {"touch", "/end"});
  const CommandResult result = followed.get();
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.output, "begin\nend\n");
}

TEST_F(NodectlAgentTest, EventsAndImages) {
  EXPECT_TRUE(IsEvent("Started"));
  EXPECT_TRUE(IsEvent("Pulled"));
  EXPECT_THAT(agent_.Nodectl({"events", "-n", "other"}), Not(HasSubstr("Started")));
  EXPECT_THAT(agent_.Nodectl({"get", "images"}),
              AllOf(ContainsRegex("docker.io/keelson/testserver +1 +[0-9a-f]+ +[0-9.]+[kM]B"),
                    HasSubstr("docker.io/library/busybox")));
}

TEST_F(NodectlAgentTest, SocketIsForRootOnly) {
  struct stat socket = {};
  ASSERT_EQ(::stat(agent_.socket().c_str(), &socket), 0);
  EXPECT_TRUE(S_ISSOCK(socket.st_mode));
  EXPECT_EQ(socket.st_uid, 0u);
  EXPECT_EQ(socket.st_mode & 0077, 0u);
}

}  // namespace
}  // namespace keelson::integration
