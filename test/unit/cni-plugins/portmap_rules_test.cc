// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/meta/portmap_rules.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <algorithm>
#include <set>

#include "cni-plugins/lib/nft_match.h"

namespace keelson::cni {
namespace {

NetConf Net(const std::string& members) {
  return *NetConf::Parse(R"({"cniVersion":"1.0.0","name":"n","type":"portmap")" +
                         (members.empty() ? "" : "," + members) + "}");
}
PortmapConf Conf(const std::string& members) {
  const Or<PortmapConf> conf = ParsePortmapConf(Net(members));
  EXPECT_TRUE(conf.ok()) << conf.status().message();
  return conf.ok() ? *conf : PortmapConf();
}
std::string Mappings(const std::string& list) {
  return R"("runtimeConfig":{"portMappings":[)" + list + "]}";
}

class Elements : public ::testing::Test {
 protected:
  const std::vector<MappingTarget> targets_ = {
      {*Cidr::Parse("10.1.0.5/24"), *Ip::Parse("10.1.0.1")},
      {*Cidr::Parse("fd00::5/64"), *Ip::Parse("fd00::1")}};
  OwnedElements For(const std::string& members) {
    return HostportElements(Conf(members), targets_);
  }
  static std::set<std::string> Sets(const OwnedElements& e) {
    std::set<std::string> names;
    for (const nft::Element& x : e.elements) names.insert(x.set);
    return names;
  }
  using Names = std::set<std::string>;
};

TEST_F(Elements, AMappingIsForBothFamiliesUnlessItsAddressSaysOtherwise) {
  const std::string map = R"({"hostPort":80,"containerPort":8080,"protocol":"tcp")";
  EXPECT_EQ(Sets(For(Mappings(map + "}"))), (Names{"hostport4", "hostport6", "local4", "local6",
                                                   "masquerade4_24", "masquerade6_64"}));
  EXPECT_EQ(Sets(For(Mappings(map + R"(,"hostIP":"0.0.0.0"})"))),
            (Names{"hostport4", "local4", "masquerade4_24"}));
  EXPECT_EQ(Sets(For(Mappings(map + R"(,"hostIP":"::"})"))),
            (Names{"hostport6", "local6", "masquerade6_64"}));
  EXPECT_EQ(Sets(For(Mappings(map + R"(,"hostIP":"192.0.2.1"})"))),
            (Names{"hostip4", "masquerade4_24"}));
  EXPECT_EQ(Sets(For(Mappings(map + R"(,"hostIP":"127.0.0.1"})"))),
            (Names{"hostip4", "localip4", "masquerade4_24"}));
  EXPECT_EQ(Sets(For(Mappings(map + R"(,"hostIP":"::1"})"))),
            (Names{"hostip6", "localip6", "masquerade6_64"}));
}

TEST_F(Elements, OptionsChooseTheSets) {
  const std::string map =
      Mappings(R"({"hostPort":80,"containerPort":8080,"protocol":"udp","hostIP":"0.0.0.0"})");
  EXPECT_EQ(Sets(For(R"("snat":false,)" + map)), Names{"hostport4"});
  EXPECT_EQ(Sets(For(R"("masqAll":true,)" + map)), (Names{"hostport4", "local4", "masquerade4_0"}));
  EXPECT_EQ(Sets(For(R"("markMasqBit":7,)" + map)),
            (Names{"hostport4", "local4", "masquerade4_24", "mark4_24_7"}));
  const Names with_conditions = Sets(For(R"("conditionsV4":["!","-d","192.0.2.0/24"],)" + map));
  EXPECT_EQ(with_conditions.size(), 3u);
  EXPECT_FALSE(with_conditions.contains("hostport4"));
  EXPECT_TRUE(with_conditions.contains("masquerade4_24"));
}

TEST_F(Elements, KeysAndDataAreTheWireFormat) {
  using namespace std::string_literals;
  const OwnedElements e =
      For(Mappings(R"({"hostPort":258,"containerPort":772,"protocol":"tcp","hostIP":"0.0.0.0"})"));
  const auto in = [&](const std::string& set) {
    return *std::ranges::find(e.elements, set, &nft::Element::set);
  };
  EXPECT_EQ(in("hostport4").key, "\x06\0\0\0\x01\x02\0\0"s);
  EXPECT_EQ(in("hostport4").data, "\x0a\x01\0\x05\x03\x04\0\0"s);
  EXPECT_EQ(in("local4").data, "\x0a\x01\0\x01"s);
  EXPECT_EQ(in("masquerade4_24").key, "\x0a\x01\0\0"s + "\x06\0\0\0"s + "\x01\x02\0\0"s +
                                          "\x0a\x01\0\x05"s + "\x03\x04\0\0"s);
}

TEST_F(Elements, EverySetExistsWithItsSizesAndEachKeyOnce) {
  const OwnedElements e =
      For(R"("markMasqBit":3,"conditionsV6":["-s","fd00::/8"],)" +
          Mappings(R"({"hostPort":1,"containerPort":1,"protocol":"tcp"},)"
                   R"({"hostPort":1,"containerPort":1,"protocol":"tcp"},)"
                   R"({"hostPort":1,"containerPort":1,"protocol":"udp"},)"
                   R"({"hostPort":1,"containerPort":2,"protocol":"sctp","hostIP":"192.0.2.1"})"));
  std::vector<nft::Set> sets = HostportTable().sets;
  for (const ExtraSet& x : e.extra) sets.push_back(x.set);
  std::set<std::pair<std::string, std::string>> seen;
  for (const nft::Element& x : e.elements) {
    const auto set = std::ranges::find(sets, x.set, &nft::Set::name);
    ASSERT_NE(set, sets.end()) << x.set;
    EXPECT_EQ(x.key.size(), set->key.size) << x.set;
    EXPECT_EQ(x.data.size(), set->data.size) << x.set;
    EXPECT_TRUE(seen.emplace(x.set, x.key).second) << x.set;
  }
}

TEST_F(Elements, UdpServicesAreReadBackFromThem) {
  const OwnedElements e =
      For(Mappings(R"({"hostPort":53,"containerPort":5353,"protocol":"udp"},)"
                   R"({"hostPort":54,"containerPort":5353,"protocol":"udp","hostIP":"192.0.2.1"},)"
                   R"({"hostPort":80,"containerPort":8080,"protocol":"tcp"})"));
  const std::vector<UdpService> services = UdpServices(e.elements);
  ASSERT_EQ(services.size(), 3u);
  EXPECT_TRUE(services[0].v4 && services[0].port == 53 && !services[0].address);
  EXPECT_EQ(services[1].address->ToString(), "192.0.2.1");
  EXPECT_EQ(services[1].port, 54);
  EXPECT_FALSE(services[2].v4);
}

TEST(HostportTable, ChainsJumpOnlyToChainsThatExistAndTagsAreUnique) {
  const TableLayout& t = HostportTable();
  std::set<std::string> chains, tags;
  for (const nft::Chain& c : t.chains) chains.insert(c.name);
  for (const nft::Rule& r : t.rules) {
    EXPECT_TRUE(chains.contains(r.chain)) << r.chain;
    EXPECT_TRUE(tags.insert(r.tag).second) << r.tag;
    EXPECT_EQ(nft::CommentText(r.tag), r.tag);
  }
}

TEST(Addresses, OnlyThoseOnTheContainersInterfaceCount) {
  const Json json = *Json::Parse(
      R"({"cniVersion":"1.0.0","interfaces":[{"name":"br0"},{"name":"eth0","sandbox":"/ns"},)"
      R"({"name":"eth0"}],"ips":[{"interface":0,"address":"10.0.0.1/24"},)"
      R"({"interface":2,"address":"10.0.0.2/24"},{"interface":1,"address":"10.0.0.3/24"},)"
      R"({"interface":1,"address":"10.0.0.4/24"},{"address":"fd00::3/64"}]})");
  const auto found = ContainerAddresses(*Result::FromJson(json, "1.0.0"), "eth0");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].address.ToString(), "10.0.0.3/24");
  EXPECT_EQ(found[1].address.ToString(), "fd00::3/64");
}

// ---- conditions ---------------------------------------------------------------------------------

std::string Described(const std::vector<std::string>& words, bool v4 = true) {
  const auto c = ParseConditions(words, v4);
  return c.ok() ? Fingerprint(*c) : c.status().message();
}

TEST(Conditions, BothSpellingsMeanTheSame) {
  EXPECT_EQ(Described({"!", "-d", "192.0.2.0/24"}), Described({"ip daddr != 192.0.2.0/24"}));
  EXPECT_EQ(Described({"-s", "192.0.2.1"}), Described({"ip", "saddr", "192.0.2.1/32"}));
  EXPECT_EQ(Described({"-i", "eth+"}), Described({"iifname", "\"eth*\""}));
  EXPECT_EQ(Described({"! -i", "eth0"}), Described({"meta iifname != eth0"}));
  EXPECT_EQ(Described({"-m", "mark", "--mark", "0x10"}), Described({"meta mark == 16"}));
  EXPECT_EQ(Described({"-s", "10.0.0.0/8", "-m", "comment", "--comment", "x"}),
            Described({"-s", "10.0.0.0/8"}));
  EXPECT_EQ(Described({}), "");
  EXPECT_EQ(Described({""}), "");
}

TEST(Conditions, WhatIsNotUnderstoodIsQuoted) {
  for (const auto& words : std::vector<std::vector<std::string>>{{"-m", "geoip"},
                                                                 {"-p", "tcp"},
                                                                 {"-s"},
                                                                 {"-s", "nonsense"},
                                                                 {"-s", "fd00::/8"},
                                                                 {"ip6", "saddr", "fd00::1"},
                                                                 {"ip", "protocol", "tcp"},
                                                                 {"tcp", "dport", "80"},
                                                                 {"-i", "../../etc"},
                                                                 {"-i", "averyveryverylongname"},
                                                                 {"--mark", "0x1ffffffff"}}) {
    EXPECT_EQ(Described(words).find("condition \""), 0u) << Described(words);
  }
}

}  // namespace
}  // namespace keelson::cni
