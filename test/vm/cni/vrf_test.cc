// SPDX-License-Identifier: Apache-2.0
// In the guest: the vrf plugin, for which the builder's kernel may have no device.

#include <linux/rtnetlink.h>

#include <algorithm>

#include "test/integration/cni/harness.h"

namespace keelson::cni::testing {
namespace {

class Vrf : public CniTest {
 protected:
  std::string Net(const std::string& bridge, const std::string& subnet) const {
    return R"({"cniVersion":"1.0.0","name":"klnet","type":"bridge","bridge":")" + bridge +
           R"(","isDefaultGateway":true,"ipam":)" + HostLocal(subnet) + "}";
  }
  static std::string Conf(const std::string& name, const std::string& more = "") {
    return R"({"cniVersion":"1.0.0","name":"klnet","type":"vrf","vrfname":")" + name + "\"" + more +
           "}";
  }
  static std::vector<std::string> LinksIn(const Container& c) {
    std::vector<std::string> names;
    for (const Link& l : *c.rtnl().Links()) names.push_back(l.name);
    return names;
  }
  static bool Has(const Container& c, const std::string& name) {
    const std::vector<std::string> links = LinksIn(c);
    return std::ranges::find(links, name) != links.end();
  }
  static bool HasDefaultRoute(const Container& c, int table) {
    const auto routes = *c.rtnl().Routes(AF_INET, table);
    return std::ranges::any_of(routes, [](const RouteSpec& r) { return r.dst.prefix == 0; });
  }
};

TEST_F(Vrf, TakesTheDeviceAndItsRoutesAndGivesThemUp) {
  Container& c = AddContainer("pod");
  const std::string net = Net("klbr0", "10.77.0.0/16");
  const Result r = Ok("ADD", net, c);
  ASSERT_TRUE(c.rtnl()
                  .AddAddress(c.rtnl().ByName("eth0")->index, *Cidr::Parse("fd77::2/64"),
                              2 /* IFA_F_NODAD */)
                  .ok());
  const std::string conf = Conf("klblue", R"(,"table":77)");
  const Result out = Ok("ADD", WithPrev(conf, r), c);
  EXPECT_EQ(out.ToJson("1.0.0")->Dump(), r.ToJson("1.0.0")->Dump());
  const Link vrf = *c.rtnl().ByName("klblue");
  EXPECT_EQ(vrf.kind, "vrf");
  EXPECT_EQ(vrf.vrf_table, 77);
  EXPECT_TRUE(vrf.up());
  EXPECT_EQ(c.rtnl().ByName("eth0")->master, vrf.index);
  EXPECT_TRUE(HasDefaultRoute(c, 77));
  EXPECT_FALSE(HasDefaultRoute(c, RT_TABLE_MAIN));
  const auto addresses = *c.rtnl().Addresses(c.rtnl().ByName("eth0")->index, AF_INET6);
  EXPECT_TRUE(std::ranges::any_of(
      addresses, [](const Address& a) { return a.cidr.ToString() == "fd77::2/64"; }));
  Ok("CHECK", WithPrev(conf, r), c);
  Ok("DEL", WithPrev(conf, r), c);
  EXPECT_FALSE(Has(c, "klblue"));
  EXPECT_EQ(c.rtnl().ByName("eth0")->master, 0);
  EXPECT_NE(Do("CHECK", WithPrev(conf, r), c).exit_code, 0);
  Ok("DEL", WithPrev(conf, r), c);
}

TEST_F(Vrf, StaysWhileAnotherDeviceIsInIt) {
  Container& c = AddContainer("pod");
  const Result a = Ok("ADD", Net("klbr0", "10.77.0.0/16"), c, "eth0");
  const Result b = Ok("ADD", Net("klbr1", "10.78.0.0/16"), c, "eth1");
  Ok("ADD", WithPrev(Conf("klred"), a), c, "eth0");
  Ok("ADD", WithPrev(Conf("klred"), b), c, "eth1");
  EXPECT_EQ(c.rtnl().ByName("klred")->vrf_table, 1);  // the lowest free one, as upstream
  Ok("DEL", WithPrev(Conf("klred"), a), c, "eth0");
  EXPECT_TRUE(Has(c, "klred"));
  Ok("CHECK", WithPrev(Conf("klred"), b), c, "eth1");
  Ok("DEL", WithPrev(Conf("klred"), b), c, "eth1");
  EXPECT_FALSE(Has(c, "klred"));
}

TEST_F(Vrf, RefusesAnotherTableAnotherKindAndADeviceThatIsTaken) {
  Container& c = AddContainer("pod");
  const Result r = Ok("ADD", Net("klbr0", "10.77.0.0/16"), c);
  Ok("ADD", WithPrev(Conf("klred", R"(,"table":50)"), r), c);
  EXPECT_NE(Do("ADD", WithPrev(Conf("klother"), r), c).msg().find("already a master set: klred"),
            std::string::npos);
  EXPECT_FALSE(Has(c, "klother"));
  const Result second = Ok("ADD", Net("klbr1", "10.78.0.0/16"), c, "eth1");
  EXPECT_NE(
      Do("ADD", WithPrev(Conf("klred", R"(,"table":51)"), second), c, "eth1").msg().find("table"),
      std::string::npos);
  EXPECT_NE(Do("ADD", WithPrev(Conf("lo"), second), c, "eth1").msg().find("not a VRF"),
            std::string::npos);
  c.Vanish();
  EXPECT_EQ(Do("DEL", Conf("klred"), c).exit_code, 0);
}

TEST_F(Vrf, AnswersAsGoDoes) {
  Compare how;
  how.since = "0.3.1";  // theirs begins there
  how.before = Net("klbr0", "10.77.0.0/16");
  ExpectSameAsGo(Conf("klblue", R"(,"table":77)"), how);
}

}  // namespace
}  // namespace keelson::cni::testing
