// SPDX-License-Identifier: Apache-2.0
// Results in every version of the specification, and configurations.

#include <gtest/gtest.h>

#include "cni-plugins/lib/types.h"

namespace keelson::cni {
namespace {

Cidr C(std::string_view text) { return *Cidr::Parse(text); }
Ip I(std::string_view text) { return *Ip::Parse(text); }

Result Sample() {
  Result r;
  r.interfaces.push_back({"br0", "02:00:00:00:00:01", 1400, "", "", ""});
  r.interfaces.push_back({"eth0", "02:00:00:00:00:02", 1400, "/run/netns/x", "/s.sock", "0000:01"});
  r.ips.push_back({1, C("10.1.0.5/16"), I("10.1.0.1")});
  r.ips.push_back({1, C("fd00::5/64"), std::nullopt});
  Route route;
  route.dst = C("0.0.0.0/0");
  route.gw = I("10.1.0.1");
  route.mtu = 1300;
  route.advmss = 1200;
  route.priority = 5;
  route.table = 100;
  route.scope = 253;
  r.routes.push_back(route);
  r.dns.nameservers = {"10.1.0.1"};
  r.dns.search = {"a.example"};
  return r;
}

std::string Spelled(std::string_view version) {
  Or<Json> j = Sample().ToJson(version);
  return j.ok() ? j->Dump() : j.status().message();
}

TEST(Result, NewestVersionSaysEverything) {
  EXPECT_EQ(
      Spelled("1.1.0"),
      R"({"cniVersion":"1.1.0","interfaces":[{"name":"br0","mac":"02:00:00:00:00:01","mtu":1400},)"
      R"({"name":"eth0","mac":"02:00:00:00:00:02","mtu":1400,"sandbox":"/run/netns/x",)"
      R"("socketPath":"/s.sock","pciID":"0000:01"}],)"
      R"("ips":[{"interface":1,"address":"10.1.0.5/16","gateway":"10.1.0.1"},)"
      R"({"interface":1,"address":"fd00::5/64"}],)"
      R"("routes":[{"dst":"0.0.0.0/0","gw":"10.1.0.1","mtu":1300,"advmss":1200,"priority":5,)"
      R"("table":100,"scope":253}],)"
      R"("dns":{"nameservers":["10.1.0.1"],"search":["a.example"]}})");
}

// Options of routes are the specification's since 1.1.0, but the Go plugins have always passed them
// on.
TEST(Result, OneZeroLeavesOutWhatInterfacesHadLater) {
  EXPECT_EQ(Spelled("1.0.0"),
            R"({"cniVersion":"1.0.0","interfaces":[{"name":"br0","mac":"02:00:00:00:00:01"},)"
            R"({"name":"eth0","mac":"02:00:00:00:00:02","sandbox":"/run/netns/x"}],)"
            R"("ips":[{"interface":1,"address":"10.1.0.5/16","gateway":"10.1.0.1"},)"
            R"({"interface":1,"address":"fd00::5/64"}],)"
            R"("routes":[{"dst":"0.0.0.0/0","gw":"10.1.0.1","mtu":1300,"advmss":1200,"priority":5,)"
            R"("table":100,"scope":253}],)"
            R"("dns":{"nameservers":["10.1.0.1"],"search":["a.example"]}})");
}

TEST(Result, AnEmptyDnsIsNotMentionedSinceOneOne) {
  Result r;
  EXPECT_EQ(r.ToJson("1.1.0")->Dump(), R"({"cniVersion":"1.1.0"})");
  EXPECT_EQ(r.ToJson("1.0.0")->Dump(), R"({"cniVersion":"1.0.0","dns":{}})");
}

TEST(Result, BeforeOneZeroAddressesNameTheirFamily) {
  for (const char* version : {"0.3.0", "0.3.1", "0.4.0"}) {
    const std::string text = Spelled(version);
    EXPECT_NE(text.find(R"({"version":"4","interface":1,"address":"10.1.0.5/16")"),
              std::string::npos);
    EXPECT_NE(text.find(R"({"version":"6","interface":1,"address":"fd00::5/64"})"),
              std::string::npos);
  }
}

TEST(Result, OldestVersionsHaveOneAddressOfAFamily) {
  for (const std::string version : {"0.1.0", "0.2.0"}) {
    EXPECT_EQ(Spelled(version),
              R"({"cniVersion":")" + version +
                  R"(","ip4":{"ip":"10.1.0.5/16","gateway":"10.1.0.1",)"
                  R"("routes":[{"dst":"0.0.0.0/0","gw":"10.1.0.1"}]},"ip6":{"ip":"fd00::5/64"},)"
                  R"("dns":{"nameservers":["10.1.0.1"],"search":["a.example"]}})");
  }
  EXPECT_FALSE(Result().ToJson("0.2.0").ok());  // nothing to say without an address
  EXPECT_TRUE(Result().ToJson("0.3.0").ok());
}

TEST(Result, EveryVersionReadsWhatItWrote) {
  for (const std::string_view version : SupportedVersions()) {
    const Json written = *Sample().ToJson(version);
    Or<Result> read = Result::FromJson(written, version);
    ASSERT_TRUE(read.ok()) << version << read.status().message();
    EXPECT_EQ(read->ToJson(version)->Dump(), written.Dump());
  }
}

TEST(Result, BadPlacesAreNamed) {
  const auto error = [](std::string_view text) {
    return Result::FromJson(*Json::Parse(text), "1.0.0").status().message();
  };
  EXPECT_EQ(error(R"({"ips":[{"address":"10.0.0.1"}]})"),
            "ips[0].address: \"10.0.0.1\" is not an address with a prefix");
  EXPECT_EQ(error(R"({"ips":[{"address":"10.0.0.1/8","interface":3}]})"),
            "ips[0].interface: 3 is not between 0 and -1");
  EXPECT_EQ(error(R"({"routes":[{"dst":"0.0.0.0/0","gw":"x"}]})"),
            "routes[0].gw: \"x\" is not an IP address");
}

// ---- configuration ------------------------------------------------------------------------------

TEST(NetConf, AbsentVersionMeansTheFirst) {
  EXPECT_EQ(NetConf::Parse(R"({"name":"n","type":"t"})")->cni_version, "0.1.0");
}

TEST(NetConf, PrevResultMayBeOlderThanTheConfiguration) {
  Or<NetConf> conf = NetConf::Parse(
      R"({"cniVersion":"1.0.0","name":"n","prevResult":)"
      R"({"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.2/24","routes":[{"dst":"0.0.0.0/0"}]}}})");
  ASSERT_TRUE(conf.ok()) << conf.status().message();
  EXPECT_EQ(conf->prev_result->ips[0].address, C("10.0.0.2/24"));
  EXPECT_EQ(conf->prev_result->routes.size(), 1u);
}

TEST(NetConf, ErrorsCarryTheSpecificationsCodes) {
  const auto code = [](std::string_view text) { return NetConf::Parse(text).status().code(); };
  EXPECT_EQ(code("{"), Code::kDecoding);
  EXPECT_EQ(code("[]"), Code::kDecoding);
  EXPECT_EQ(code(R"({"cniVersion":"9.9.9","name":"n"})"), Code::kIncompatibleVersion);
  EXPECT_EQ(code(R"({"cniVersion":"1.0.0"})"), Code::kInvalidConfig);
  EXPECT_EQ(code(R"({"cniVersion":"1.0.0","name":"a/b"})"), Code::kInvalidConfig);
  EXPECT_EQ(code(R"({"cniVersion":"1.0.0","name":".."})"), Code::kInvalidConfig);
  EXPECT_EQ(code(R"({"cniVersion":"1.0.0","name":"n","prevResult":{"ips":1}})"),
            Code::kInvalidConfig);
}

TEST(NetConf, ValidAttachmentsOfGc) {
  const NetConf conf = *NetConf::Parse(
      R"({"cniVersion":"1.1.0","name":"n","cni.dev/valid-attachments":[{"containerID":"c","ifname":"e"}]})");
  EXPECT_EQ(*ValidAttachments(conf), (std::vector<Attachment>{{"c", "e"}}));
}

TEST(Args, PairsOfCniArgs) {
  Args args;
  args.args = "IgnoreUnknown=1;MAC=c2:b0:57:49:47:f1;K8S_POD_NAME=a=b;empty=;junk";
  EXPECT_EQ(args.Arg("MAC"), "c2:b0:57:49:47:f1");
  EXPECT_EQ(args.Arg("K8S_POD_NAME"), "a=b");
  EXPECT_EQ(args.Arg("empty"), "");
  EXPECT_EQ(args.Arg("mac"), std::nullopt);
  EXPECT_EQ(args.Arg("junk"), std::nullopt);
}

}  // namespace
}  // namespace keelson::cni
