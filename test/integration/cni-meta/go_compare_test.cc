// SPDX-License-Identifier: Apache-2.0
// IPAM and meta plugins answer as the Go plugins of the same name do, in every version.

#include "test/integration/cni-meta/meta_harness.h"

namespace keelson::cni::testing {
namespace {

class BesideGo : public MetaTest {
 protected:
  // After the bridge plugin, whose result goes on.
  Compare Chained(const std::string& since = "0.3.0") const {
    Compare how;
    how.before = Net();
    how.since = since;
    return how;
  }
  void ExpectSameIpam(const std::string& type, const std::string& members,
                      const std::string& more = "") {
    ExpectSameAsGo(Conf(type, more + R"("ipam":{"type":")" + type + "\"," + members + "}"));
  }
};

TEST_F(BesideGo, HostLocal) {
  const std::string dir_member = R"("dataDir":")" + dir() + R"(/leases",)";
  ExpectSameIpam("host-local",
                 dir_member +
                     R"("ranges":[[{"subnet":"10.90.0.0/24"}],[{"subnet":"fd90::/64"}]],)"
                     R"("routes":[{"dst":"0.0.0.0/0"},{"dst":"10.1.0.0/16","gw":"10.90.0.9"}])");
  ExpectSameIpam("host-local", dir_member + R"("subnet":"10.90.0.0/29","rangeStart":"10.90.0.3")",
                 R"("args":{"cni":{"ips":["10.90.0.4"]}},)");
  ExpectSameIpam("host-local", dir_member + R"("subnet":"10.90.0.0/24")",
                 R"("runtimeConfig":{"ips":["10.90.0.5/24"]},)");
}

TEST_F(BesideGo, Static) {
  ExpectSameIpam("static",
                 R"("addresses":[{"address":"10.1.1.5/24","gateway":"10.1.1.1"},)"
                 R"({"address":"fd00::5/64"}],"routes":[{"dst":"0.0.0.0/0","gw":"10.1.1.9"}],)"
                 R"("dns":{"nameservers":["10.9.9.9"],"search":["a.b"]})");
  ExpectSameIpam("static", R"("addresses":[{"address":"10.1.1.5/24"}])",
                 R"("runtimeConfig":{"ips":["10.2.0.5/16","fd00::6/64"]},)");
  ExpectSameIpam("static", R"("addresses":[{"address":"10.1.1.5/24"}])",
                 R"("args":{"cni":{"ips":["10.3.0.5/16"]}},)");
}

TEST_F(BesideGo, Portmap) {
  NEEDS_TOOLS();  // theirs runs iptables
  ExpectSameAsGo(Conf("portmap", R"("runtimeConfig":{"portMappings":[)"
                                 R"({"hostPort":8080,"containerPort":80,"protocol":"tcp"}]})"),
                 Chained());
  ExpectSameAsGo(Conf("portmap"), Chained());
}

TEST_F(BesideGo, Bandwidth) {
  ExpectSameAsGo(Conf("bandwidth", R"("ingressRate":1000000,"ingressBurst":1000000,)"
                                   R"("egressRate":1000000,"egressBurst":1000000)"),
                 Chained());
  ExpectSameAsGo(Conf("bandwidth"), Chained());
}

TEST_F(BesideGo, Firewall) {
  NEEDS_TOOLS();
  ExpectSameAsGo(Conf("firewall", R"("backend":"iptables")"), Chained("0.4.0"));
}

TEST_F(BesideGo, Tuning) {
  ExpectSameAsGo(Conf("tuning", R"("dataDir":")" + dir() +
                                    R"(/tuning","mac":"c2:11:22:33:44:55","mtu":1400,)"
                                    R"("sysctl":{"net.core.somaxconn":"500"})"),
                 Chained());
}

TEST_F(BesideGo, Sbr) { ExpectSameAsGo(Conf("sbr"), Chained()); }

// Node owners switch under running containers, both ways.
TEST_F(BesideGo, EitherChecksAndRemovesWhatTheOtherMade) {
  ASSERT_TRUE(HasGoPlugin("bridge")) << "install containernetworking-plugins";
  const std::string bridge = Net(R"("hairpinMode":true,"mtu":1400)");
  const std::string tuning =
      Conf("tuning", R"("dataDir":")" + dir() + R"(/tuning","mtu":1300,"promisc":true)");
  const std::string limits = Conf("bandwidth", R"("ingressRate":1000000,"ingressBurst":1000000,)"
                                               R"("egressRate":1000000,"egressBurst":1000000)");
  const std::string ptp =
      WithMember(WithMember(Net(), "type", Json("ptp")), "isGateway", Json(false));
  const std::string sbr = Conf("sbr");
  const std::vector<std::string> chains[] = {{bridge, tuning, limits}, {bridge, sbr}, {ptp}};
  for (const bool ours_first : {true, false}) {
    for (const std::vector<std::string>& chain : chains) {
      Container& c = AddContainer("c");
      Json previous;
      const auto call = [&](const std::string& command, const std::string& conf, bool ours) {
        Call call{Json::Parse(conf)->Find("type")->text(), command, conf, "c", c.path()};
        if (!previous.is_null()) call.conf = WithMember(conf, "prevResult", previous);
        call.bin_dir = ours ? "" : kGoPlugins;
        const Outcome o = Running(call).Wait();
        EXPECT_EQ(o.exit_code, 0) << (ours ? "ours " : "theirs ") << command << call.conf << o.out;
        return o.json();
      };
      for (const std::string& conf : chain) previous = call("ADD", conf, ours_first);
      for (const std::string& conf : chain) {
        // Their bridge looks for its routes where sbr took them from.
        if (chain.back() != sbr || conf == sbr) call("CHECK", conf, !ours_first);
      }
      for (size_t i = chain.size(); i-- > 0;) call("DEL", chain[i], !ours_first);
      std::vector<std::string> left = HostLinks();
      std::erase(left, "klbr0");
      EXPECT_EQ(left, std::vector<std::string>{"lo"}) << chain[0] << ours_first;
      for (const std::string& name : *ListDir(dir() + "/leases/klnet")) {
        EXPECT_FALSE(Ip::Parse(name).ok()) << name << " is still leased";
      }
    }
  }
}

// What 1.1.0 added to routes reaches the kernel whatever the configuration's version, but not by
// way of 0.2.0, in which an IPAM plugin cannot say it.
TEST_F(BesideGo, OptionsOfRoutesAreHeededSinceZeroThree) {
  for (const char* version : {"0.2.0", "0.3.1", "1.0.0", "1.1.0"}) {
    Container& c = AddContainer("c");
    const std::string conf =
        R"({"cniVersion":")" + std::string(version) +
        R"(","name":"klnet","type":"bridge","bridge":"klbr0","ipam":)" +
        HostLocal("10.91.0.0/24",
                  R"("routes":[{"dst":"10.6.0.0/16","gw":"10.91.0.1","mtu":1300,"advmss":1200,)"
                  R"("priority":77},{"dst":"10.7.0.0/16","gw":"10.91.0.1","table":99}])") +
        "}";
    Ok("ADD", conf, c);
    const bool heeded = std::string(version) != "0.2.0";
    const auto in = [&](int table) { return *c.rtnl().Routes(AF_INET, table); };
    for (const RouteSpec& r : in(RT_TABLE_MAIN)) {
      if (r.dst.ToString() == "10.6.0.0/16") {
        EXPECT_EQ(r.priority, heeded ? 77 : 0) << version;
        EXPECT_EQ(r.mtu, heeded ? 1300 : 0) << version;
        EXPECT_EQ(r.advmss, heeded ? 1200 : 0) << version;
      }
      EXPECT_EQ(heeded && r.dst.ToString() == "10.7.0.0/16", false) << version;
    }
    EXPECT_EQ(in(99).size(), heeded ? 1u : 0u) << version;
    Ok("DEL", conf, c);
  }
}

}  // namespace
}  // namespace keelson::cni::testing
