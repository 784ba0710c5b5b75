// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/lib/skel.h"

#include <gtest/gtest.h>

#include <map>

namespace keelson::cni {
namespace {

std::string g_called;  // the verb the plugin was asked for last

class FakePlugin final : public Plugin {
 public:
  Status Validate(const Request& request) override {
    return request.conf.type == "bad" ? Status::Invalid("type: bad") : Status();
  }
  Or<Result> Add(const Request&) override {
    g_called = "ADD";
    Result r;
    r.ips.push_back({std::nullopt, *Cidr::Parse("10.0.0.2/24"), std::nullopt});
    return r;
  }
  Status Del(const Request&) override { return Note("DEL"); }
  Status Check(const Request&) override { return Note("CHECK"); }
  Status Ready(const Request&) override {
    g_called = "STATUS";
    return {Code::kPluginNotAvailable, "not now", "why"};
  }
  Status Gc(const Request&, const std::vector<Attachment>& valid) override {
    return Note("GC " + std::to_string(valid.size()));
  }

 private:
  static Status Note(std::string what) {
    g_called = std::move(what);
    return {};
  }
};

class Skel : public testing::Test {
 protected:
  Skel() {
    g_called.clear();
    env_ = {{"CNI_CONTAINERID", "c1"},
            {"CNI_NETNS", "/no/such/netns"},
            {"CNI_IFNAME", "eth0"},
            {"CNI_PATH", "/opt/cni/bin"}};
  }
  Answer Call(const std::string& command) {
    const PluginEntry entry{"fake", [] { return std::unique_ptr<Plugin>(new FakePlugin); }};
    env_["CNI_COMMAND"] = command;
    return Serve(
        entry, [&](const char* name) { return env_[name]; },
        [&]() -> Or<std::string> { return stdin_; });
  }
  // Code of the error that `command` gives, 0 for success.
  int ErrorOf(const std::string& command) {
    const Answer answer = Call(command);
    if (answer.exit_code == 0) return 0;
    EXPECT_EQ(answer.exit_code, 1);
    Or<Json> json = Json::Parse(answer.out);
    EXPECT_TRUE(json.ok()) << answer.out;
    message_ = json->Find("msg")->text();
    return std::stoi(json->Find("code")->text());
  }

  std::map<std::string, std::string> env_;
  std::string stdin_ = R"({"cniVersion":"1.1.0","name":"n","type":"fake"})";
  std::string message_;
};

TEST_F(Skel, NoCommandPrintsAboutOnStderrOnly) {
  const Answer answer = Call("");
  EXPECT_EQ(answer.exit_code, 0);
  EXPECT_EQ(answer.out, "");
  EXPECT_EQ(answer.err.find("CNI fake plugin"), 0u);
  EXPECT_NE(answer.err.find("CNI protocol versions supported: 0.1.0, "), std::string::npos);
}

TEST_F(Skel, VersionNeedsNeitherEnvironmentNorStdin) {
  env_.clear();
  stdin_ = "not JSON";
  const Answer answer = Call("VERSION");
  EXPECT_EQ(answer.exit_code, 0);
  EXPECT_EQ(answer.out,
            "{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[\"0.1.0\",\"0.2.0\",\"0.3.0\","
            "\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]}\n");
}

TEST_F(Skel, MissingVariablesAreAllNamed) {
  env_.clear();
  EXPECT_EQ(ErrorOf("ADD"), 4);
  EXPECT_EQ(message_,
            "required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH] missing");
}

TEST_F(Skel, DelWorksWithoutANamespaceAndGcWithoutAContainer) {
  env_["CNI_NETNS"] = "";
  EXPECT_EQ(ErrorOf("DEL"), 0);
  EXPECT_EQ(g_called, "DEL");
  env_ = {{"CNI_PATH", "/p"}};
  stdin_ = R"({"cniVersion":"1.1.0","name":"n","cni.dev/valid-attachments":)"
           R"([{"containerID":"a","ifname":"b"}]})";
  EXPECT_EQ(ErrorOf("GC"), 0);
  EXPECT_EQ(g_called, "GC 1");
}

TEST_F(Skel, HostileNamesAreRefusedAndNamed) {
  for (const char* id : {"../x", "a b", "-a", ".hidden", "a\nb"}) {
    env_["CNI_CONTAINERID"] = id;
    EXPECT_EQ(ErrorOf("DEL"), 4) << id;
    EXPECT_EQ(message_.find("CNI_CONTAINERID"), 0u) << id;
  }
  env_["CNI_CONTAINERID"] = "c";
  for (const char* ifname : {"sixteencharacter", "a/b", "a:b", "a b", ".", "..", "a\tb"}) {
    env_["CNI_IFNAME"] = ifname;
    EXPECT_EQ(ErrorOf("DEL"), 4) << ifname;
    EXPECT_EQ(message_.find("CNI_IFNAME"), 0u) << ifname;
  }
  EXPECT_EQ(g_called, "");
}

TEST_F(Skel, MissingNamespaceFailsAddBeforeThePluginRuns) {
  EXPECT_EQ(ErrorOf("ADD"), 4);
  EXPECT_EQ(message_.find("CNI_NETNS: \"/no/such/netns\""), 0u) << message_;
  EXPECT_EQ(g_called, "");
  env_["CNI_NETNS"] = "/dev/null";
  EXPECT_EQ(ErrorOf("ADD"), 4);
  EXPECT_EQ(ErrorOf("DEL"), 4);  // a mistake, not a namespace that has gone
}

TEST_F(Skel, OwnNamespaceIsRefusedUnlessOverridden) {
  env_["CNI_NETNS"] = "/proc/self/ns/net";
  EXPECT_EQ(ErrorOf("ADD"), 8);
  EXPECT_EQ(g_called, "");
  for (const char* yes : {"true", "TRUE", "1"}) {
    env_["CNI_NETNS_OVERRIDE"] = yes;
    EXPECT_EQ(ErrorOf("ADD"), 0);
  }
}

TEST_F(Skel, BadConfigurationIsToldBeforeAnythingElse) {
  stdin_ = R"({"cniVersion":"1.1.0","name":"n","type":"bad"})";
  EXPECT_EQ(ErrorOf("ADD"), 7);
  EXPECT_EQ(message_, "type: bad");
}

TEST_F(Skel, VerbsNeedTheirVersion) {
  const auto with = [&](const std::string& version) {
    stdin_ = R"({"cniVersion":")" + version + R"(","name":"n","prevResult":{}})";
  };
  env_["CNI_NETNS"] = "/proc/self/ns/net";
  env_["CNI_NETNS_OVERRIDE"] = "1";
  with("0.3.1");
  EXPECT_EQ(ErrorOf("CHECK"), 1);
  with("0.4.0");
  EXPECT_EQ(ErrorOf("CHECK"), 0);
  EXPECT_EQ(ErrorOf("GC"), 1);
  EXPECT_EQ(ErrorOf("STATUS"), 1);
  with("1.1.0");
  EXPECT_EQ(ErrorOf("STATUS"), 50);
  EXPECT_EQ(message_, "not now");
}

TEST_F(Skel, CheckNeedsPrevResult) {
  EXPECT_EQ(ErrorOf("CHECK"), 7);
  EXPECT_EQ(message_, "prevResult: required by CHECK");
}

TEST_F(Skel, UnknownCommandsAndBrokenInput) {
  EXPECT_EQ(ErrorOf("FROBNICATE"), 4);
  stdin_ = "";
  EXPECT_EQ(ErrorOf("ADD"), 6);
}

TEST_F(Skel, ErrorsAreSpelledInTheVersionAsked) {
  stdin_ = R"({"cniVersion":"0.4.0","name":"n","type":"bad"})";
  EXPECT_EQ(Call("ADD").out,
            "{\n    \"cniVersion\": \"0.4.0\",\n    \"code\": 7,\n    \"msg\": \"type: bad\"\n}");
}

TEST_F(Skel, ResultIsTheOnlyThingOnStdout) {
  env_["CNI_NETNS"] = "/proc/self/ns/net";
  env_["CNI_NETNS_OVERRIDE"] = "1";
  stdin_ = R"({"cniVersion":"0.2.0","name":"n"})";
  const Answer answer = Call("ADD");
  EXPECT_EQ(answer.err, "");
  EXPECT_EQ(Json::Parse(answer.out)->Dump(),
            R"({"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.2/24"},"dns":{}})");
  EXPECT_EQ(Call("DEL").out, "");
}

}  // namespace
}  // namespace keelson::cni
