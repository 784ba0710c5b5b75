// SPDX-License-Identifier: Apache-2.0
// Images from a registry: when they are pulled, with which credentials, and what a failure looks like.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "test/integration/lib/agent_fixture.h"
#include "test/integration/lib/registry_fixture.h"

namespace keelson::integration {
namespace {

using namespace std::chrono_literals;
using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;

constexpr char kServer[] = "docker.io/keelson/testserver:1";

class ImagesTest : public testing::Test {
 protected:
  void SetUp() override { agent_.Start(); }
  void TearDown() override {
    agent_.Kill();
    TheContainerd().RemoveAllPods();
    for (const auto& image : pulled_)
      RunCommand({"ctr", "-a", TheContainerd().socket(), "-n", "k8s.io", "images", "rm", "--sync", image});
  }

  // `more` goes beside the container's image, such as its pull policy.
  void Put(const std::string& name, const std::string& image, const std::string& more) {
    pulled_.push_back(image);
    agent_.Put(name + ".yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name +
                                   "}\nspec:\n  terminationGracePeriodSeconds: 0\n  containers:\n"
                                   "  - {name: c, image: '" + image + "'" + more + ", args: [wait]}\n");
  }
  void Run(const std::string& name, const std::string& image, const std::string& more) {
    Put(name, image, more);
    ASSERT_TRUE(Eventually([&] { return IsRunning(name, "c"); })) << Describe(name);
  }
  void End(const std::string& name) {
    agent_.Remove(name + ".yaml");
    ASSERT_TRUE(Eventually([&] { return SandboxCount(name) == 0; }));
  }
  std::string Describe(const std::string& name) {
    return agent_.TryNodectl({"describe", "pod", name + "-klnode"}).output;
  }
  bool Says(const std::string& name, const std::string& text, std::chrono::seconds limit = 30s) {
    return Eventually([&] { return Describe(name).find(text) != std::string::npos; }, limit);
  }

  Agent agent_;
  std::vector<std::string> pulled_;
};

TEST_F(ImagesTest, AbsentImageIsPulledAndPresentOneIsNot) {
  Registry registry;
  const std::string image = registry.Push(kServer, "team/app:1");
  const int pushed = registry.ManifestsGiven("team/app:1");
  Run("first", image, ", imagePullPolicy: IfNotPresent");
  EXPECT_GT(registry.ManifestsGiven("team/app:1"), pushed);
  EXPECT_TRUE(Says("first", "Successfully pulled image \"" + image + "\""));
  EXPECT_THAT(agent_.Nodectl({"get", "images"}), HasSubstr(registry.address() + "/team/app"));
  registry.Stop();  // nobody is asked any more
  Run("second", image, ", imagePullPolicy: IfNotPresent");
  EXPECT_TRUE(Says("second", "already present on machine"));
  Run("never", image, ", imagePullPolicy: Never");
}

TEST_F(ImagesTest, AlwaysAsksTheRegistryForEachContainer) {
  Registry registry;
  const std::string image = registry.Push(kServer, "team/always:1");
  Run("one", image, ", imagePullPolicy: Always");
  const int first = registry.ManifestsGiven("team/always:1");
  Run("two", image, ", imagePullPolicy: Always");
  EXPECT_GT(registry.ManifestsGiven("team/always:1"), first);
}

TEST_F(ImagesTest, LatestMeansAlwaysAndATagMeansIfNotPresent) {
  Registry registry;
  const std::string latest = registry.Push(kServer, "team/both:latest");
  const std::string tagged = registry.Push(kServer, "team/both:2");
  Run("latest0", latest, "");
  Run("tagged0", tagged, "");
  const int of_latest = registry.ManifestsGiven("team/both:latest");
  const int of_tagged = registry.ManifestsGiven("team/both:2");
  Run("latest1", latest, "");
  Run("tagged1", tagged, "");
  EXPECT_GT(registry.ManifestsGiven("team/both:latest"), of_latest);
  EXPECT_EQ(registry.ManifestsGiven("team/both:2"), of_tagged);
}

TEST_F(ImagesTest, NeverDoesNotAskTheRegistry) {
  Registry registry;
  const std::string image = registry.Push(kServer, "team/never:1");
  const int pushed = registry.ManifestsGiven("team/never:1");
  Put("absent", image, ", imagePullPolicy: Never");
  EXPECT_TRUE(Says("absent", "ErrImageNeverPull"));
  EXPECT_EQ(registry.ManifestsGiven("team/never:1"), pushed);
}

// The first back-off is 10 s: the image is there before it is over.
TEST_F(ImagesTest, MissingImageBacksOffAndRunsOnceItIsThere) {
  Registry registry;
  const std::string image = registry.address() + "/team/late:1";
  Put("late", image, "");
  EXPECT_TRUE(Says("late", "ErrImagePull"));
  EXPECT_TRUE(Says("late", "ImagePullBackOff"));
  EXPECT_TRUE(Says("late", "Back-off pulling image \"" + image + "\""));
  EXPECT_THAT(Describe("late"), HasSubstr("Failed to pull image \"" + image + "\""));
  EXPECT_TRUE(Eventually([&] { return SandboxCount("late") == 1; }));
  registry.Push(kServer, "team/late:1");
  EXPECT_TRUE(Eventually([&] { return IsRunning("late", "c"); }));
  EXPECT_EQ(FindContainer("late", "c").attempt, 0u);
}

TEST_F(ImagesTest, RegistryThatIsDownIsNamed) {
  Registry registry;
  const std::string image = registry.Push(kServer, "team/down:1");
  registry.Stop();
  Put("down", image, "");
  EXPECT_TRUE(Says("down", "ErrImagePull"));
  EXPECT_THAT(Describe("down"), HasSubstr("connection refused"));
  Put("wrong", "Not:A:Name", "");
  EXPECT_TRUE(Says("wrong", "InvalidImageName"));
}

// User "keelson", password "secret". The file is read by the agent that starts after it was written.
TEST_F(ImagesTest, PrivateImageNeedsTheCredentialsOfTheNode) {
  Registry registry("keelson:$2b$05$CCCCCCCCCCCCCCCCCCCCC.pIKrLVkBX9/OvQMSygY1pWEVn72t6na\n");
  const std::string image = registry.Push(kServer, "team/private:1", "keelson:secret");
  Put("private", image, "");
  EXPECT_TRUE(Says("private", "ErrImagePull"));
  EXPECT_THAT(Describe("private"), AnyOf(HasSubstr("401"), HasSubstr("authorization")));
  agent_.Kill();
  std::ofstream(agent_.root() + "/config.json")
      << "{\"auths\": {\"" << registry.address() << "\": {\"auth\": \"a2VlbHNvbjpzZWNyZXQ=\"}}}";
  agent_.Start();
  EXPECT_TRUE(Eventually([&] { return IsRunning("private", "c"); })) << Describe("private");
}

}  // namespace
}  // namespace keelson::integration
