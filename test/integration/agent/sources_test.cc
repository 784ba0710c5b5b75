// SPDX-License-Identifier: Apache-2.0
// Where pods come from: files written in every way, a single file, a web server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "test/integration/lib/agent_fixture.h"
#include "test/integration/sources/test_server.h"

namespace keelson::integration {
namespace {

namespace fs = std::filesystem;
using kubelet::sources::TestServer;
using testing::HasSubstr;

std::string Spec(const std::string& args) {
  return "spec:\n  terminationGracePeriodSeconds: 0\n  containers:\n"
         "  - {name: c, image: docker.io/keelson/testserver:1, args: [" + args + "]}\n";
}
std::string Pod(const std::string& name, const std::string& args = "wait") {
  return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + "}\n" + Spec(args);
}

bool Runs(const std::string& pod) {
  return Eventually([&] { return IsRunning(pod, "c"); });
}
bool Gone(const std::string& pod) {
  return Eventually([&] { return SandboxCount(pod) == 0; });
}
bool Replaced(const std::string& pod, const std::string& old_id) {
  return Eventually([&] {
    const Found now = FindContainer(pod, "c");
    return now.running && now.id != old_id && SandboxCount(pod) == 1;
  });
}
std::string IdOf(const std::string& pod) { return FindContainer(pod, "c").id; }
int Count(const std::string& text, const std::string& word) {
  int count = 0;
  for (size_t at = 0; (at = text.find(word, at)) != text.npos; at += word.size()) ++count;
  return count;
}

class DirectorySourceTest : public testing::Test {
 protected:
  void SetUp() override { agent_.Start(); }

  Agent agent_;
};

TEST_F(DirectorySourceTest, FileWrittenInPlaceIsReadOnceItIsWhole) {
  std::ofstream file(agent_.manifests() + "/written.yaml");
  file << Pod("written").substr(0, 60) << std::flush;
  agent_.Put("other.yaml", Pod("other"));
  ASSERT_TRUE(Runs("other"));
  file << Pod("written").substr(60) << std::flush;
  file.close();
  ASSERT_TRUE(Runs("written"));
  const std::string first = IdOf("written");
  std::ofstream(agent_.manifests() + "/written.yaml") << Pod("written", "wait, again");
  EXPECT_TRUE(Replaced("written", first));
}

TEST_F(DirectorySourceTest, JsonIsAManifestAndHiddenFilesAreNot) {
  agent_.Put(".hidden.yaml", Pod("hidden"));
  agent_.Put("pod.json", R"({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "json"}, "spec": {
    "containers": [{"name": "c", "image": "docker.io/keelson/testserver:1", "args": ["wait"]}]}})");
  EXPECT_TRUE(Runs("json"));
  EXPECT_EQ(SandboxCount("hidden"), 0);
}

TEST_F(DirectorySourceTest, RenamedAwayIsRemoved) {
  agent_.Put("moved.yaml", Pod("moved"));
  ASSERT_TRUE(Runs("moved"));
  fs::rename(agent_.manifests() + "/moved.yaml", agent_.dir() + "/moved.yaml");
  EXPECT_TRUE(Gone("moved"));
}

TEST_F(DirectorySourceTest, BrokenFileIsReportedOnceWithItsLineAndKeepsItsPod) {
  agent_.Put("edited.yaml", Pod("edited"));
  ASSERT_TRUE(Runs("edited"));
  const std::string before = IdOf("edited");
  agent_.Put("edited.yaml", Pod("edited") + "  restartPolicy: [\n");
  agent_.Put("marker.yaml", Pod("marker"));
  ASSERT_TRUE(Runs("marker"));
  // Looked at again, but not spoken of again.
  fs::last_write_time(agent_.manifests() + "/edited.yaml", fs::file_time_type::clock::now());
  agent_.Put("marker2.yaml", Pod("marker2"));
  ASSERT_TRUE(Runs("marker2"));
  EXPECT_EQ(IdOf("edited"), before);
  EXPECT_TRUE(IsRunning("edited", "c"));
  const std::string log = agent_.Log();
  EXPECT_EQ(Count(log, "Cannot use a manifest"), 1) << log;
  EXPECT_THAT(log, HasSubstr("/edited.yaml:9: YAML: "));
  agent_.Put("edited.yaml", Pod("edited", "wait, mended"));
  EXPECT_TRUE(Replaced("edited", before));
}

TEST_F(DirectorySourceTest, UidStaysOverARestartAndChangesWithTheContent) {
  const auto uid = [&] {
    const std::string json = agent_.Nodectl({"get", "pods", "same-klnode", "-o", "json"});
    const size_t at = json.find("\"uid\": \"");
    return json.substr(at + 8, json.find('"', at + 8) - at - 8);
  };
  agent_.Put("same.yaml", Pod("same"));
  ASSERT_TRUE(Runs("same"));
  const std::string first = uid(), container = IdOf("same");
  ASSERT_FALSE(first.empty());
  agent_.Kill();
  agent_.Start();
  ASSERT_TRUE(Eventually([&] { return agent_.TryNodectl({"get", "pods", "same-klnode"}).exit_code == 0; }));
  EXPECT_EQ(uid(), first);
  EXPECT_EQ(IdOf("same"), container);
  agent_.Put("same.yaml", Pod("same", "wait, changed"));
  ASSERT_TRUE(Replaced("same", container));
  EXPECT_NE(uid(), first);
}

TEST(SingleFileTest, FileIsThePodAsLongAsItIsThere) {
  const std::string file = TheContainerd().dir() + "/single.yaml";
  const auto put = [&](const std::string& yaml) {
    std::ofstream(file + ".next") << yaml;
    fs::rename(file + ".next", file);
  };
  put(Pod("single"));
  Agent agent({.flags = {"--pod-manifest-path=" + file}});
  agent.Start();
  ASSERT_TRUE(Runs("single"));
  const std::string first = IdOf("single");
  put(Pod("single", "wait, changed"));
  EXPECT_TRUE(Replaced("single", first));
  fs::remove(file);
  EXPECT_TRUE(Gone("single"));
  put(Pod("single"));
  EXPECT_TRUE(Runs("single"));
  fs::remove(file);
}

// What the web server says, changed while it serves.
class Page {
 public:
  void Set(std::string answer) {
    std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
  }
  std::string Get() const {
    std::lock_guard lock(mutex_);
    return answer_;
  }

 private:
  mutable std::mutex mutex_;
  std::string answer_;  // guarded by mutex_
};

TEST(UrlSourceTest, PodsFollowTheServerAndOutliveIt) {
  Page page;
  page.Set(TestServer::Answer(Pod("remote")));
  auto server = std::make_unique<TestServer>([&](const std::string&) { return page.Get(); });
  const int port = server->port();
  Agent agent({.config = "httpCheckFrequency: 50ms\n",
               .flags = {"--manifest-url=" + server->Url(), "--manifest-url-header=X-Node:one",
                         "--manifest-url-header=X-Node:two"}});
  agent.Put("local.yaml", Pod("local"));
  agent.Start();
  ASSERT_TRUE(Runs("remote") && Runs("local"));
  const std::string first = IdOf("remote");
  EXPECT_THAT(server->Requests()[0], HasSubstr("GET /pod HTTP/1.1\r\n"));
  EXPECT_THAT(server->Requests()[0], HasSubstr("X-Node: one\r\n"));
  EXPECT_THAT(server->Requests()[0], HasSubstr("X-Node: two\r\n"));
  EXPECT_THAT(agent.Nodectl({"get", "pods", "remote-klnode", "-o", "json"}),
              HasSubstr("\"kubernetes.io/config.source\": \"http\""));

  page.Set(TestServer::Answer("oops", "", "500 Internal Server Error"));
  const size_t asked = server->Requests().size();
  ASSERT_TRUE(Eventually([&] { return server->Requests().size() >= asked + 3; }));
  server.reset();  // nothing listens at all
  agent.Put("marker.yaml", Pod("marker"));
  ASSERT_TRUE(Runs("marker"));
  EXPECT_EQ(IdOf("remote"), first);
  EXPECT_TRUE(IsRunning("remote", "c"));

  page.Set(TestServer::Answer("apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: remote}\n"
                              "  spec: {containers: [{name: c, image: 'docker.io/keelson/testserver:1', "
                              "args: [changed]}], terminationGracePeriodSeconds: 0}\n"
                              "- metadata: {name: second}\n"
                              "  spec: {containers: [{name: c, image: 'docker.io/keelson/testserver:1', "
                              "args: [wait]}], terminationGracePeriodSeconds: 0}\n"));
  server = std::make_unique<TestServer>([&](const std::string&) { return page.Get(); }, nullptr, port);
  EXPECT_TRUE(Replaced("remote", first));
  EXPECT_TRUE(Runs("second"));

  page.Set(TestServer::Answer(Pod("second")));
  EXPECT_TRUE(Gone("remote"));
  EXPECT_TRUE(IsRunning("local", "c"));
}

}  // namespace
}  // namespace keelson::integration
