// SPDX-License-Identifier: Apache-2.0
// Credential provider plugins: their configuration, what they are asked and what they may answer,
// with real programs.
#include "cri/credential_plugins.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sstream>

#include "cri/credential_provider_config.h"
#include "proto/k8s/credential_provider.pb.h"
#include "test/unit/base/fixture.h"

namespace keelson::cri {
namespace {

using base::StrCat;
using base::Task;
using std::chrono::minutes;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kV1[] = "credentialprovider.kubelet.k8s.io/v1";

std::string Answer(const std::string& rest, const std::string& version = kV1) {
  return StrCat(R"({"kind":"CredentialProviderResponse","apiVersion":")", version, "\",", rest, "}");
}

TEST(PluginAnswerTest, SaysWhoMayPullAndForHowLong) {
  const auto answer = ParsePluginAnswer(
      Answer(R"("cacheKeyType":"Registry","cacheDuration":"90s",)"
             R"("auth":{"*.example.com":{"username":"u","password":"p"}})"),
      kV1);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->cache_key, PluginAnswer::CacheKey::kRegistry);
  EXPECT_EQ(answer->cache_duration, std::chrono::seconds(90));
  EXPECT_EQ(answer->auth.at("*.example.com").password(), "p");
  EXPECT_FALSE(ParsePluginAnswer(Answer(R"("cacheKeyType":"Image")"), kV1)->cache_duration);
}

TEST(PluginAnswerTest, WhatIsNoAnswerIsRefusedWithoutQuotingIt) {
  const std::string kBad[] = {
      "secret!",
      "[]",
      Answer(R"("cacheKeyType":"Image","auth":{"secret!":7})"),
      Answer(R"("cacheKeyType":"Node","auth":{"x":{"password":"secret!"}})"),
      Answer(R"("auth":{"x":{"password":"secret!"}})"),
      Answer(R"("cacheKeyType":"Image")", "credentialprovider.kubelet.k8s.io/v1beta1"),
  };
  for (const std::string& text : kBad) {
    const auto answer = ParsePluginAnswer(text, kV1);
    EXPECT_FALSE(answer.ok()) << text;
    EXPECT_EQ(answer.status().message().find("secret!"), absl::string_view::npos)
        << answer.status();
  }
}

class PluginsTest : public ::testing::Test {
 protected:
  PluginsTest() { KEELSON_CHECK(base::MakeDirs(dir_ / "bin", 0755).ok()); }

  // A plugin that notes each run with what it was told, and prints `answer`.
  void Install(const std::string& name, const std::string& answer, int exit_code = 0) {
    const std::string script =
        StrCat("#!/bin/sh\nread -r request\nprintf '%s %s %s\\n' \"$1\" \"$MARK\" \"$request\" >> ",
               dir_ / "runs", "\ncat <<'END'\n", answer, "\nEND\nexit ", exit_code, "\n");
    ASSERT_TRUE(base::WriteFileAtomic(dir_ / StrCat("bin/", name), script, 0755).ok());
  }
  void Configure(const std::string& providers, const std::string& file = "config.yaml") {
    ASSERT_TRUE(base::WriteFileAtomic(
                    dir_ / file,
                    StrCat("apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\n",
                           "providers:\n", providers),
                    0600)
                    .ok());
  }
  static std::string Provider(const std::string& name, const std::string& images,
                              const std::string& more = "") {
    return StrCat("- name: ", name, "\n  apiVersion: ", kV1, "\n  matchImages: [", images,
                  "]\n  defaultCacheDuration: 10m\n", more);
  }
  void Load() {
    auto loaded = CredentialPlugins::Load(loop_, dir_ / "config.yaml", dir_ / "bin");
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    plugins_ = *std::move(loaded);
  }
  std::string LoadError() {
    return std::string(
        CredentialPlugins::Load(loop_, dir_ / "config.yaml", dir_ / "bin").status().message());
  }
  // Users found for an image, in order.
  std::vector<std::string> Users(const std::string& repository, PullPod pod = {}) {
    std::vector<std::string> users;
    for (const auto& auth : base::RunOnLoop(loop_, plugins_->Lookup(repository, pod)))
      users.push_back(auth.username());
    return users;
  }
  std::vector<std::string> Runs() {
    std::vector<std::string> lines;
    std::istringstream in(base::ReadFile(dir_ / "runs").value_or(""));
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }

  base::TempDir dir_;
  base::Loop loop_;
  std::unique_ptr<CredentialPlugins> plugins_;
};

TEST_F(PluginsTest, APluginIsAskedForItsImagesOnce) {
  Install("keys", Answer(R"("cacheKeyType":"Image","auth":{"reg.example.com/a":{"username":"u"}})"));
  Configure(Provider("keys", "\"*.example.com\"",
                     "  args: [get]\n  env: [{name: MARK, value: set}]\n"));
  Load();
  EXPECT_THAT(Users("reg.other.org/a/b"), IsEmpty());
  EXPECT_THAT(Runs(), IsEmpty());
  EXPECT_THAT(Users("reg.example.com/a/b"), ElementsAre("u"));
  EXPECT_THAT(Users("reg.example.com/a/b"), ElementsAre("u"));
  ASSERT_EQ(Runs().size(), 1u);
  EXPECT_THAT(Runs()[0], HasSubstr("get set "));
  EXPECT_THAT(Runs()[0], HasSubstr(R"("kind":"CredentialProviderRequest")"));
  EXPECT_THAT(Runs()[0], HasSubstr(R"("image":"reg.example.com/a/b")"));
  EXPECT_THAT(Users("reg.example.com/b"), IsEmpty()) << "its answer is for other images";
  EXPECT_EQ(Runs().size(), 2u);
}

TEST_F(PluginsTest, AnAnswerMayHoldForARegistryOrForAll) {
  Install("reg", Answer(R"("cacheKeyType":"Registry","auth":{"*.example.com":{"username":"r"}})"));
  Configure(Provider("reg", "\"*.example.com\""));
  Load();
  EXPECT_THAT(Users("a.example.com/x"), ElementsAre("r"));
  EXPECT_THAT(Users("a.example.com/y"), ElementsAre("r"));
  EXPECT_EQ(Runs().size(), 1u);
  EXPECT_THAT(Users("b.example.com/y"), ElementsAre("r"));
  EXPECT_EQ(Runs().size(), 2u);
  Install("reg", Answer(R"("cacheKeyType":"Global","auth":{"*.example.com":{"username":"g"}})"));
  Load();
  EXPECT_THAT(Users("a.example.com/x"), ElementsAre("g"));
  EXPECT_THAT(Users("b.example.com/x"), ElementsAre("g"));
  EXPECT_EQ(Runs().size(), 3u);
}

TEST_F(PluginsTest, AnAnswerThatDoesNotKeepIsAskedForAgain) {
  Install("keys", Answer(R"("cacheKeyType":"Image","cacheDuration":"0s",)"
                         R"("auth":{"a.example.com":{"username":"u"}})"));
  Configure(Provider("keys", "a.example.com"));
  Load();
  EXPECT_THAT(Users("a.example.com/x"), ElementsAre("u"));
  EXPECT_THAT(Users("a.example.com/x"), ElementsAre("u"));
  EXPECT_EQ(Runs().size(), 2u);
}

TEST_F(PluginsTest, APluginThatFailsHoldsUpNoOther) {
  Install("bad", "rubbish", 3);
  Install("old", Answer(R"("cacheKeyType":"Image")", "credentialprovider.kubelet.k8s.io/v1beta1"));
  Install("good", Answer(R"("cacheKeyType":"Image","auth":{"a.example.com":{"username":"u"}})"));
  Configure(StrCat(Provider("bad", "a.example.com"), Provider("old", "a.example.com"),
                   Provider("good", "a.example.com")));
  Load();
  EXPECT_THAT(Users("a.example.com/x"), ElementsAre("u"));
}

TEST_F(PluginsTest, EqualQuestionsAtATimeRunItOnce) {
  Install("keys", Answer(R"("cacheKeyType":"Image","auth":{"a.example.com":{"username":"u"}})"));
  Configure(Provider("keys", "a.example.com"));
  Load();
  std::vector<Task<std::vector<rt::AuthConfig>>> tasks;
  for (int i = 0; i < 5; ++i) tasks.push_back(plugins_->Lookup("a.example.com/x", {}));
  const auto all = base::RunOnLoop(loop_, base::Gather(loop_, std::move(tasks)));
  for (const auto& found : all) EXPECT_EQ(found.size(), 1u);
  EXPECT_EQ(Runs().size(), 1u);
}

class Accounts : public ServiceAccountSource {
 public:
  Task<absl::StatusOr<Account>> Find(std::string ns, std::string name) override {
    Account account;
    account.uid = StrCat("uid-of-", ns, "/", name);
    account.annotations = annotations;
    co_return account;
  }
  Task<absl::StatusOr<std::string>> Token(PullPod pod, std::string audience) override {
    co_return StrCat("token-", pod.name, "-for-", audience);
  }
  std::map<std::string, std::string> annotations;
};

constexpr char kTokens[] =
    "  tokenAttributes:\n    serviceAccountTokenAudience: reg\n    cacheType: ServiceAccount\n"
    "    requireServiceAccount: true\n    requiredServiceAccountAnnotationKeys: [example.com/id]\n";

TEST_F(PluginsTest, APluginMayActForTheServiceAccount) {
  Install("keys", Answer(R"("cacheKeyType":"Image","auth":{"a.example.com":{"username":"u"}})"));
  Configure(Provider("keys", "a.example.com", kTokens));
  Load();
  EXPECT_THAT(Users("a.example.com/x", {"ns", "p1", "1", "sa"}), IsEmpty()) << "nobody knows it";
  Accounts accounts;
  plugins_->set_service_accounts(&accounts);
  EXPECT_THAT(Users("a.example.com/x", {"ns", "p1", "1", "sa"}), IsEmpty()) << "it did not opt in";
  accounts.annotations = {{"example.com/id", "77"}, {"other", "x"}};
  EXPECT_THAT(Users("a.example.com/x", {"ns", "p1", "1", ""}), IsEmpty()) << "required";
  EXPECT_THAT(Runs(), IsEmpty());
  EXPECT_THAT(Users("a.example.com/x", {"ns", "p1", "1", "sa"}), ElementsAre("u"));
  EXPECT_THAT(Users("a.example.com/x", {"ns", "p2", "2", "sa"}), ElementsAre("u"));
  ASSERT_EQ(Runs().size(), 1u) << "both are the same account";
  EXPECT_THAT(Runs()[0], HasSubstr(R"("serviceAccountToken":"token-p1-for-reg")"));
  EXPECT_THAT(Runs()[0], HasSubstr(R"("serviceAccountAnnotations":{"example.com/id":"77"})"));
  EXPECT_THAT(Users("a.example.com/x", {"other", "p3", "3", "sa"}), ElementsAre("u"));
  EXPECT_EQ(Runs().size(), 2u) << "another account's answer is not shared";
}

TEST_F(PluginsTest, ATokenThatIsThePasswordIsNotKeptForTheAccount) {
  Install("keys", Answer(R"("cacheKeyType":"Image","auth":)"
                         R"({"a.example.com":{"username":"u","password":"token-p1-for-reg"}})"));
  Configure(Provider("keys", "a.example.com", kTokens));
  Load();
  Accounts accounts;
  accounts.annotations = {{"example.com/id", "77"}};
  plugins_->set_service_accounts(&accounts);
  EXPECT_THAT(Users("a.example.com/x", {"ns", "p1", "1", "sa"}), IsEmpty());
}

TEST_F(PluginsTest, AWrongConfigurationIsExplained) {
  Install("keys", "");
  EXPECT_THAT(LoadError(), HasSubstr("config.yaml"));
  const struct {
    std::string provider, says;
  } kCases[] = {
      {Provider("gone", "a.example.com"), "bin/gone"},
      {Provider("../keys", "a.example.com"), "cannot be empty, '.' or '..', nor contain '/'"},
      {Provider("keys", ""), "at least 1 item in matchImages"},
      {Provider("keys", "\"https://a.example.com\""), "match image is invalid"},
      {Provider("keys", "a") + Provider("keys", "b"), "Duplicate value: \"keys\""},
      {Provider("keys", "a", "  colour: blue\n"), "colour"},
      {"- {name: keys, apiVersion: v1, matchImages: [a], defaultCacheDuration: 1m}\n",
       "providers.apiVersion: Unsupported value: \"v1\""},
      {StrCat("- {name: keys, apiVersion: ", kV1, ", matchImages: [a]}\n"),
       "defaultCacheDuration: Required value"},
      {Provider("keys", "a", "  tokenAttributes: {serviceAccountTokenAudience: x}\n"),
       "cacheType: Unsupported value"},
  };
  for (const auto& c : kCases) {
    Configure(c.provider);
    EXPECT_THAT(LoadError(), HasSubstr(c.says));
  }
}

TEST_F(PluginsTest, ADirectoryOfConfigurationsIsReadInOrder) {
  ASSERT_TRUE(base::MakeDirs(dir_ / "conf", 0755).ok());
  Configure(Provider("b", "b"), "conf/20.yml");
  Configure(Provider("a", "a"), "conf/10.yaml");
  Configure(Provider("c", "c"), "conf/30.txt");
  const auto config = LoadProviders(dir_ / "conf");
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->providers_size(), 2);
  EXPECT_EQ(config->providers(0).name(), "a");
  EXPECT_EQ(config->providers(1).name(), "b");
}

}  // namespace
}  // namespace keelson::cri
