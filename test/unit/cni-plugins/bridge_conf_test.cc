// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/main/bridge_conf.h"

#include <gtest/gtest.h>

namespace keelson::cni {
namespace {

Or<BridgeConf> Conf(const std::string& members, const std::string& args = "") {
  Request request;
  request.conf = *NetConf::Parse(R"({"cniVersion":"1.0.0","name":"n","type":"bridge")" +
                                 (members.empty() ? "" : "," + members) + "}");
  request.args.args = args;
  return ParseBridgeConf(request);
}

Cidr C(std::string_view text) { return *Cidr::Parse(text); }

Result Ipam(std::vector<std::string> addresses) {
  Result r;
  for (const std::string& a : addresses) r.ips.push_back({std::nullopt, C(a), std::nullopt});
  return r;
}

TEST(BridgeConf, DefaultsAreUpstreams) {
  const BridgeConf c = *Conf("");
  EXPECT_EQ(c.bridge, "cni0");
  EXPECT_FALSE(c.is_gateway || c.is_default_gateway || c.force_address || c.ip_masq || c.hairpin ||
               c.promisc || c.vlan_filtering || c.preserve_default_vlan || c.mac_spoof_check ||
               c.port_isolation || c.disable_container_interface || c.enable_dad);
}

TEST(BridgeConf, DefaultGatewayImpliesGateway) {
  EXPECT_TRUE(Conf(R"("isDefaultGateway":true)")->is_gateway);
}

TEST(BridgeConf, LastNamedHardwareAddressWins) {
  const std::string args = "IgnoreUnknown=1;MAC=02:00:00:00:00:01";
  const std::string cni = R"("args":{"cni":{"mac":"02:00:00:00:00:02"}})";
  const std::string runtime = R"("runtimeConfig":{"mac":"02:00:00:00:00:03"})";
  EXPECT_EQ(Conf("")->mac, std::nullopt);
  EXPECT_EQ(Conf("", args)->mac->ToString(), "02:00:00:00:00:01");
  EXPECT_EQ(Conf(cni, args)->mac->ToString(), "02:00:00:00:00:02");
  EXPECT_EQ(Conf(cni + "," + runtime, args)->mac->ToString(), "02:00:00:00:00:03");
  EXPECT_EQ(Conf("", "MAC=junk").status().message().find("CNI_ARGS: MAC: "), 0u);
}

TEST(BridgeConf, TrunksMayOverlap) {
  const BridgeConf c = *Conf(R"("vlanTrunk":[{"id":7},{"minID":5,"maxID":8},{"id":100}])");
  EXPECT_EQ(c.trunk, (std::vector<int>{5, 6, 7, 8, 100}));
  EXPECT_TRUE(c.vlan_filtering);
  EXPECT_TRUE(Conf(R"("vlanTrunk":[])")->vlan_filtering);  // given, though empty
}

TEST(BridgeConf, EitherMasqueradeBackendIsAccepted) {
  EXPECT_TRUE(Conf(R"("ipMasqBackend":"iptables")").ok());
  EXPECT_TRUE(Conf(R"("ipMasqBackend":"nftables")").ok());
  EXPECT_FALSE(Conf(R"("ipMasqBackend":"pf")").ok());
}

TEST(PlanGateways, FirstAddressOfTheNetworkIsTheGateway) {
  BridgeConf c;
  c.is_gateway = true;
  const BridgePlan p = PlanGateways(c, Ipam({"fd00::7/64", "10.1.2.3/16"}), 2);
  ASSERT_EQ(p.gateways.size(), 2u);
  EXPECT_EQ(p.gateways[0], C("10.1.0.1/16"));  // IPv4 first
  EXPECT_EQ(p.gateways[1], C("fd00::1/64"));
  EXPECT_EQ(p.result.ips[0].gateway->ToString(), "fd00::1");
  EXPECT_EQ(p.result.ips[1].interface, 2);
  EXPECT_TRUE(p.result.routes.empty());
}

TEST(PlanGateways, WithoutGatewayNothingIsInvented) {
  const BridgePlan p = PlanGateways(BridgeConf(), Ipam({"10.1.2.3/16"}), 2);
  EXPECT_TRUE(p.gateways.empty());
  EXPECT_FALSE(p.result.ips[0].gateway);
}

TEST(PlanGateways, OneDefaultRouteForEachFamilyWithoutOne) {
  BridgeConf c;
  c.is_gateway = c.is_default_gateway = true;
  Result ipam = Ipam({"10.1.2.3/16", "10.2.2.3/16", "fd00::7/64"});
  Route given;
  given.dst = C("::/0");
  given.gw = *Ip::Parse("fd00::99");
  ipam.routes.push_back(given);
  const BridgePlan p = PlanGateways(c, ipam, 2);
  ASSERT_EQ(p.result.routes.size(), 2u);
  EXPECT_EQ(p.result.routes[1].dst, C("0.0.0.0/0"));
  EXPECT_EQ(p.result.routes[1].gw->ToString(), "10.1.0.1");
}

TEST(PlanAddress, Cases) {
  const auto plan = [](std::vector<std::string> now, std::string_view want, bool force) {
    std::vector<Cidr> have;
    for (const std::string& n : now) have.push_back(C(n));
    return PlanAddress(have, C(want), force);
  };
  EXPECT_TRUE(plan({"10.0.0.1/16"}, "10.0.0.1/16", false).present);
  EXPECT_FALSE(plan({}, "10.0.0.1/16", false).conflict);
  EXPECT_TRUE(plan({"10.9.0.1/16"}, "10.0.0.1/16", false).conflict);  // IPv4: one address
  EXPECT_TRUE(plan({"10.0.0.1/24"}, "10.0.0.1/16", false).conflict);  // prefix differs
  EXPECT_EQ(plan({"10.9.0.1/16"}, "10.0.0.1/16", true).remove.size(), 1u);
  EXPECT_FALSE(plan({"fd01::1/64"}, "fd00::1/64", false).conflict);   // IPv6: apart
  EXPECT_TRUE(plan({"fd00::2/64"}, "fd00::1/64", false).conflict);    // IPv6: overlap
  EXPECT_FALSE(plan({"10.9.0.1/16"}, "fd00::1/64", false).conflict);  // other family
  EXPECT_TRUE(plan({"10.9.0.1/16", "10.0.0.1/16"}, "10.0.0.1/16", false).present);
}

}  // namespace
}  // namespace keelson::cni
