// SPDX-License-Identifier: Apache-2.0
#include "cri/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/strings.h"

namespace keelson::cri {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using namespace std::chrono_literals;

std::vector<std::string> Users(const std::vector<rt::AuthConfig>& auths) {
  std::vector<std::string> users;
  for (const auto& auth : auths) users.push_back(auth.username() + ":" + auth.password());
  return users;
}

std::string Config(const std::string& entries) { return "{\"auths\": {" + entries + "}}"; }
std::string Entry(const std::string& key, const std::string& user) {
  return "\"" + key + "\": {\"username\": \"" + user + "\", \"password\": \"p\"}";
}

TEST(Keyring, LongerPathsComeFirst) {
  Keyring keys;
  ASSERT_TRUE(keys.AddConfigJson(Config(Entry("quay.io", "host") + "," +
                                        Entry("https://quay.io/coreos", "team") + "," +
                                        Entry("quay.io/core", "prefix")))
                  .ok());
  EXPECT_THAT(Users(keys.Lookup("quay.io/coreos/etcd")),
              ElementsAre("team:p", "prefix:p", "host:p"));
  EXPECT_THAT(Users(keys.Lookup("quay.io/other/x")), ElementsAre("host:p"));
}

TEST(Keyring, HostsMatchByLabelAndPort) {
  const struct {
    const char* key;
    const char* image;
    bool match;
  } cases[] = {
      {"*.kubernetes.io", "k8s.kubernetes.io/a", true},
      {"*.kubernetes.io", "a.b.kubernetes.io/a", false},
      {"*.kubernetes.io", "kubernetes.io/a", false},
      {"prefix.*.io", "prefix.kubernetes.io/a", true},
      {"pre*.kubernetes.io", "prefix.kubernetes.io/a", true},
      {"reg.io:5000", "reg.io:5000/a", true},
      {"reg.io", "reg.io:5000/a", false},
      {"reg.io:5000", "reg.io/a", false},
      {"http://reg.io/v2/", "reg.io/a", true},
      {"https://reg.io/v1/team", "reg.io/team/a", true},
      {"reg.io/team", "reg.io/other", false},
      {"[::1]:5000", "[::1]:5000/a", true},
      {"", "reg.io/a", false},
  };
  for (const auto& c : cases) {
    Keyring keys;
    ASSERT_TRUE(keys.AddConfigJson(Config(Entry(c.key, "u"))).ok());
    EXPECT_EQ(!keys.Lookup(c.image).empty(), c.match) << c.key << " " << c.image;
  }
}

TEST(Keyring, DockerHubHasOneEntryForAllItsNames) {
  Keyring keys;
  ASSERT_TRUE(keys.AddConfigJson(Config(Entry("https://index.docker.io/v1/", "hub"))).ok());
  for (const char* image : {"docker.io/library/busybox", "index.docker.io/a/b", "library/busybox"})
    EXPECT_THAT(Users(keys.Lookup(image)), ElementsAre("hub:p")) << image;
  EXPECT_THAT(keys.Lookup("quay.io/a"), IsEmpty());
}

TEST(Keyring, AuthIsBase64WithOrWithoutPadding) {
  for (const char* auth : {"dXNlcjpwYTpzcw==", "dXNlcjpwYTpzcw"}) {  // user:pa:ss
    Keyring keys;
    ASSERT_TRUE(keys.AddDockercfg(base::StrCat("{\"r.io\": {\"auth\": \"", auth, "\"}}")).ok());
    EXPECT_THAT(Users(keys.Lookup("r.io/a")), ElementsAre("user:pa:ss"));
  }
}

TEST(Keyring, BrokenTextAddsNothingAndTellsNothing) {
  for (const char* bad : {"", "[]", "{", "{\"auths\": []}", "{\"auths\": {\"a.io\": 3}}",
                          "{\"auths\": {\"a.io\": {\"auth\": \"c2VjcmV0\"}}}",  // no colon inside
                          "{\"auths\": {\"a.io\": {\"auth\": \"!!\"}}}"}) {
    Keyring keys;
    const auto status = keys.AddConfigJson(bad);
    EXPECT_EQ(base::Message(status), "error occurred while trying to unmarshal json") << bad;
    EXPECT_TRUE(keys.empty());
  }
  Keyring keys;
  EXPECT_TRUE(keys.AddConfigJson("{\"credsStore\": \"x\"}").ok());
  EXPECT_TRUE(keys.empty());
}

TEST(Keyring, PullSecretsInOrderByType) {
  const std::string one = Config(Entry("r.io", "one"));
  const std::string two = "{" + Entry("r.io", "two") + "}";
  auto keys = KeyringOf({{"Opaque", {{".dockerconfigjson", "{"}}},
                         {"kubernetes.io/dockerconfigjson", {{".dockerconfigjson", one}}},
                         {"kubernetes.io/dockercfg", {{".dockercfg", two}}},
                         {"kubernetes.io/dockercfg", {}}});
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_THAT(Users(keys->Lookup("r.io/a")), ElementsAre("one:p", "two:p"));
  EXPECT_FALSE(KeyringOf({{"kubernetes.io/dockercfg", {{".dockercfg", "{"}}}}).ok());
}

class NodeKeyringTest : public testing::Test {
 protected:
  NodeKeyringTest() {
    std::string dir = std::filesystem::temp_directory_path() / "klkeys.XXXXXX";
    dir_ = mkdtemp(dir.data());
    std::filesystem::create_directories(dir_ + "/root");
    std::filesystem::create_directories(dir_ + "/home/.docker");
  }
  ~NodeKeyringTest() override { std::filesystem::remove_all(dir_); }
  void Write(const std::string& path, const std::string& text) {
    std::ofstream(dir_ + "/" + path) << text;
  }
  NodeKeyring Keys() {
    auto places = NodeKeyring::DefaultPlaces(dir_ + "/root", dir_ + "/cwd", dir_ + "/home");
    places.config_json_dirs.pop_back();  // not this machine's own
    places.dockercfg_dirs.pop_back();
    return NodeKeyring(clock_, places);
  }
  base::VirtualClock clock_;
  std::string dir_;
};

TEST_F(NodeKeyringTest, FirstGoodFileCounts) {
  Write("root/.dockercfg", "{" + Entry("r.io", "cfg") + "}");
  EXPECT_THAT(Users(Keys().Lookup("r.io/a")), ElementsAre("cfg:p"));
  Write("home/.docker/config.json", Config(Entry("r.io", "home")));
  EXPECT_THAT(Users(Keys().Lookup("r.io/a")), ElementsAre("home:p"));
  Write("root/config.json", "broken");
  EXPECT_THAT(Users(Keys().Lookup("r.io/a")), ElementsAre("home:p"));
  Write("root/config.json", Config(Entry("r.io", "root")));
  EXPECT_THAT(Users(Keys().Lookup("r.io/a")), ElementsAre("root:p"));
}

TEST_F(NodeKeyringTest, FilesAreReadAgainAfterFiveMinutes) {
  auto keys = Keys();
  EXPECT_THAT(keys.Lookup("r.io/a"), IsEmpty());
  Write("root/config.json", Config(Entry("r.io", "new")));
  EXPECT_THAT(keys.Lookup("r.io/a"), IsEmpty());
  clock_.AdvanceToNext(clock_.Monotonic() + 5min);
  EXPECT_THAT(Users(keys.Lookup("r.io/a")), ElementsAre("new:p"));
}

TEST(DefaultPlaces, FollowUpstreamsOrder) {
  const auto places = NodeKeyring::DefaultPlaces("/var/lib/kubelet", "/", "/root");
  EXPECT_THAT(places.config_json_dirs,
              ElementsAre("/var/lib/kubelet", "/", "/root/.docker", "/.docker"));
  EXPECT_THAT(places.dockercfg_dirs, ElementsAre("/var/lib/kubelet", "/", "/root", "/"));
}

}  // namespace
}  // namespace keelson::cri
