// SPDX-License-Identifier: Apache-2.0
// In the guest: VLANs of the bridge, and the plugins vlan, ipvlan and dummy.

#include <linux/if_link.h>
#include <sys/socket.h>

#include <algorithm>

#include "test/integration/cni/harness.h"

namespace keelson::cni::testing {
namespace {

class Vm : public CniTest {
 protected:
  std::string Conf(const std::string& type, const std::string& more,
                   const std::string& ipam = "") const {
    std::string conf = R"({"cniVersion":"1.0.0","name":"klnet","type":")" + type + "\"";
    if (!more.empty()) conf += "," + more;
    if (!ipam.empty()) conf += R"(,"ipam":)" + ipam;
    return conf + "}";
  }
  std::string BridgeNet(const std::string& more, bool addresses = true) const {
    return Conf("bridge", R"("bridge":"klbr0",)" + more,
                addresses ? HostLocal("10.77.0.0/16") : "");
  }
  static std::string AddressOf(const Result& r) { return r.ips.at(0).address.ip.ToString(); }

  // The VLANs of a container's port, sorted.
  std::vector<int> PortVlans(const Result& r) {
    Rtnl h = host();
    std::vector<int> vlans = *h.PortVlans(h.ByName(r.interfaces.at(1).name)->index);
    std::ranges::sort(vlans);
    return vlans;
  }
  // `lower`.`id` with `address` in a container.
  void AddVlanDevice(const Container& c, const std::string& lower, int id,
                     const std::string& address) {
    Rtnl rtnl = c.rtnl();
    LinkSpec spec;
    spec.name = "v" + std::to_string(id);
    spec.kind = "vlan";
    spec.parent = rtnl.ByName(lower)->index;
    spec.up = true;
    spec.info = [&](Message& m) { m.U16(IFLA_VLAN_ID, static_cast<uint16_t>(id)); };
    ASSERT_TRUE(rtnl.Make(spec).ok());
    ASSERT_TRUE(rtnl.AddAddress(rtnl.ByName(spec.name)->index, *Cidr::Parse(address)).ok());
  }
  // kluplink on the host, eth0 in "world".
  Container& AddUplink() {
    Container& world = AddContainer("world");
    Rtnl h = host();
    LinkSpec near, far;
    near.name = "kluplink";
    near.up = true;
    far.name = "eth0";
    far.netns = &world.ns();
    EXPECT_TRUE(h.MakeVeth(near, far).ok());
    Rtnl w = world.rtnl();
    EXPECT_TRUE(w.Change(w.ByName("eth0")->index, {.up = true}).ok());
    EXPECT_TRUE(h.WaitForUp(h.ByName("kluplink")->index, 5000).ok());
    return world;
  }
};

// ---- bridge VLANs -------------------------------------------------------------------------------

TEST_F(Vm, BridgeVlansAreSeparate) {
  Container& a = AddContainer("a");
  Container& b = AddContainer("b");
  Container& other = AddContainer("other");
  const Result ra = Ok("ADD", BridgeNet(R"("vlan":100)"), a);
  const std::string at_b = AddressOf(Ok("ADD", BridgeNet(R"("vlan":100)"), b));
  const std::string at_other = AddressOf(Ok("ADD", BridgeNet(R"("vlan":200)"), other));
  EXPECT_TRUE(*host().ByName("klbr0")->vlan_filtering);
  EXPECT_EQ(PortVlans(ra), std::vector<int>{100});
  const std::string checked = WithPrev(BridgeNet(R"("vlan":100)"), ra);
  Ok("CHECK", checked, a);
  EXPECT_NE(Do("CHECK", WithPrev(BridgeNet(R"("vlan":300)"), ra), a).msg().find("VLAN 300"),
            std::string::npos);
  EXPECT_EQ(UdpSource(&a.ns(), &b.ns(), at_b), AddressOf(ra));
  EXPECT_EQ(UdpSource(&a.ns(), &other.ns(), at_other, 5353, kNever), "");
}

TEST_F(Vm, BridgeDefaultVlanIsKeptOnRequest) {
  const Result kept =
      Ok("ADD", BridgeNet(R"("vlan":100,"preserveDefaultVlan":true)"), AddContainer("a"));
  EXPECT_EQ(PortVlans(kept), (std::vector<int>{1, 100}));
  const Result plain = Ok("ADD", BridgeNet(R"("isGateway":false)"), AddContainer("b"));
  EXPECT_EQ(PortVlans(plain), std::vector<int>{1});
}

TEST_F(Vm, BridgeVlanHasAGatewayOfItsOwn) {
  Container& a = AddContainer("a");
  Container& b = AddContainer("b");
  const std::string net = BridgeNet(R"("vlan":100,"isGateway":true)");
  const Result ra = Ok("ADD", net, a);
  ASSERT_EQ(ra.interfaces.size(), 4u);
  EXPECT_EQ(ra.interfaces[3].name, "klbr0.100");
  EXPECT_EQ(UdpSource(&a.ns(), nullptr, "10.77.0.1"), AddressOf(ra));
  Ok("ADD", net, b);  // uses the device that is there
  EXPECT_NE(UdpSource(&b.ns(), nullptr, "10.77.0.1"), "");
  EXPECT_TRUE(host().Addresses(host().ByName("klbr0")->index, AF_INET)->empty());
  Ok("DEL", net, a);
  EXPECT_NE(UdpSource(&b.ns(), nullptr, "10.77.0.1"), "");
  Ok("DEL", net, b);
}

TEST_F(Vm, BridgeTrunkCarriesTaggedFrames) {
  Container& access = AddContainer("access");
  Container& trunk = AddContainer("trunk");
  Container& native = AddContainer("native");
  const std::string at_access = AddressOf(Ok("ADD", BridgeNet(R"("vlan":101)"), access));
  const Result rt =
      Ok("ADD", BridgeNet(R"("vlanTrunk":[{"minID":100,"maxID":102},{"id":200}])", false), trunk);
  EXPECT_EQ(PortVlans(rt), (std::vector<int>{1, 100, 101, 102, 200}));
  AddVlanDevice(trunk, "eth0", 101, "10.77.1.1/16");
  EXPECT_EQ(UdpSource(&trunk.ns(), &access.ns(), at_access), "10.77.1.1");
  // Not a member of 103; untagged frames are VLAN 1.
  AddVlanDevice(trunk, "eth0", 103, "10.79.1.1/16");
  Container& far = AddContainer("far");
  Ok("ADD",
     Conf("bridge", R"("bridge":"klbr0","vlan":103)",
          R"({"type":"static","addresses":[{"address":"10.79.0.9/16"}]})"),
     far);
  EXPECT_EQ(UdpSource(&trunk.ns(), &far.ns(), "10.79.0.9", 5353, kNever), "");
  const std::string at_native = AddressOf(Ok("ADD", BridgeNet(R"("mtu":1500)"), native));
  Rtnl t = trunk.rtnl();
  ASSERT_TRUE(t.Delete(t.ByName("v101")->index).ok());
  ASSERT_TRUE(t.AddAddress(t.ByName("eth0")->index, *Cidr::Parse("10.77.1.2/16")).ok());
  EXPECT_EQ(UdpSource(&trunk.ns(), &native.ns(), at_native), "10.77.1.2");
}

TEST_F(Vm, BridgeTrunkMayHaveANativeVlan) {
  const Result r = Ok("ADD", BridgeNet(R"("vlan":7,"vlanTrunk":[{"id":8}])"), AddContainer("a"));
  EXPECT_EQ(PortVlans(r), (std::vector<int>{7, 8}));
}

TEST_F(Vm, BridgeVlansAnswerAsGoDoes) {
  ExpectSameAsGo(BridgeNet(R"("vlan":7,"isGateway":true,"preserveDefaultVlan":true,)"
                           R"("vlanTrunk":[{"minID":100,"maxID":102}])"));
}

TEST_F(Vm, BridgeNameTooLongForItsVlanDeviceIsRefused) {
  const Outcome o = Do("ADD",
                       Conf("bridge", R"("bridge":"klbridge0123","vlan":1000,"isGateway":true)",
                            HostLocal("10.77.0.0/16")),
                       AddContainer("a"));
  EXPECT_EQ(o.code(), 7);
  EXPECT_EQ(o.msg().find("bridge: "), 0u);
  EXPECT_EQ(HostLinks().size(), 1u) << "left a device";
}

// ---- vlan ---------------------------------------------------------------------------------------

TEST_F(Vm, VlanDeviceTagsItsTraffic) {
  Container& world = AddUplink();
  AddVlanDevice(world, "eth0", 5, "10.66.0.1/24");
  Container& c = AddContainer("c");
  const std::string net =
      Conf("vlan", R"("master":"kluplink","vlanId":5,"mtu":1400)", HostLocal("10.66.0.0/24"));
  const Result r = Ok("ADD", net, c);
  EXPECT_EQ(c.rtnl().ByName("eth0")->vlan_id, 5);
  EXPECT_EQ(c.rtnl().ByName("eth0")->mtu, 1400);
  EXPECT_EQ(UdpSource(&c.ns(), &world.ns(), "10.66.0.1"), AddressOf(r));
  Ok("CHECK", WithPrev(net, r), c);
  EXPECT_EQ(Do("CHECK", WithPrev(WithMember(net, "vlanId", Json(6)), r), c).exit_code, 1);
  Ok("DEL", net, c);
  Ok("DEL", net, c);
  // Another VLAN hears nothing.
  const Result other = Ok("ADD", WithMember(net, "vlanId", Json(6)), c);
  EXPECT_EQ(UdpSource(&c.ns(), &world.ns(), "10.66.0.1", 5353, kNever), "");
  (void)other;
}

TEST_F(Vm, VlanMasterMayBeInTheContainer) {
  AddUplink();
  Container& c = AddContainer("c");
  ASSERT_TRUE(host().Change(host().ByName("kluplink")->index, {.netns = &c.ns()}).ok());
  ASSERT_TRUE(c.rtnl().Change(c.rtnl().ByName("kluplink")->index, {.up = true}).ok());
  const std::string net = Conf("vlan", R"("master":"kluplink","vlanId":5,"linkInContainer":true)",
                               HostLocal("10.66.0.0/24"));
  const Result r = Ok("ADD", net, c);
  Ok("CHECK", WithPrev(net, r), c);
  EXPECT_EQ(Do("ADD", Conf("vlan", R"("master":"kluplink","vlanId":5)", HostLocal("10.66.0.0/24")),
               AddContainer("d"))
                .msg()
                .find("master: "),
            0u);
}

// ---- ipvlan -------------------------------------------------------------------------------------

TEST_F(Vm, IpvlanSharesItsMastersAddress) {
  Container& world = AddUplink();
  Rtnl w = world.rtnl();
  ASSERT_TRUE(w.AddAddress(w.ByName("eth0")->index, *Cidr::Parse("10.66.0.1/24")).ok());
  for (const char* mode : {"l2", "l3", "l3s"}) {
    Container& a = AddContainer("a");
    Container& b = AddContainer("b");
    const std::string net =
        Conf("ipvlan", std::string(R"("master":"kluplink","mode":")") + mode + "\"",
             HostLocal("10.66.0.0/24"));
    const Result ra = Ok("ADD", net, a), rb = Ok("ADD", net, b);
    EXPECT_EQ(ra.interfaces.at(0).mac, host().ByName("kluplink")->mac.ToString());
    EXPECT_EQ(UdpSource(&a.ns(), &b.ns(), AddressOf(rb)), AddressOf(ra)) << mode;
    if (std::string(mode) == "l2") {
      EXPECT_EQ(UdpSource(&a.ns(), &world.ns(), "10.66.0.1"), AddressOf(ra));
    }
    Ok("CHECK", WithPrev(net, ra), a);
    const std::string changed =
        WithMember(net, "mode", Json(std::string(mode) == "l3" ? "l2" : "l3"));
    EXPECT_EQ(Do("CHECK", WithPrev(changed, ra), a).exit_code, 1) << mode;
    Ok("DEL", net, a);
    Ok("DEL", net, b);
    Ok("DEL", net, b);
  }
}

TEST_F(Vm, IpvlanChainedSitsOnWhatCameBefore) {
  AddUplink();
  Container& c = AddContainer("c");
  Result previous;
  previous.interfaces.push_back({"kluplink", "", 0, "", "", ""});
  previous.ips.push_back({0, *Cidr::Parse("10.66.0.77/24"), std::nullopt});
  const Result r = Ok("ADD", WithPrev(Conf("ipvlan", ""), previous), c);
  EXPECT_EQ(AddressOf(r), "10.66.0.77");
  EXPECT_EQ(r.interfaces.at(0).name, "eth0");
  EXPECT_EQ(c.rtnl().Addresses(c.rtnl().ByName("eth0")->index, AF_INET)->at(0).cidr.ToString(),
            "10.66.0.77/24");
}

TEST_F(Vm, IpvlanAndVlanAnswerAsGoDoes) {
  AddUplink();
  ExpectSameAsGo(Conf("vlan", R"("master":"kluplink","vlanId":5)", HostLocal("10.66.0.0/24")));
  ExpectSameAsGo(Conf("ipvlan", R"("master":"kluplink","mode":"l3","dns":{"domain":"d"})",
                      HostLocal("10.66.0.0/24", R"("routes":[{"dst":"10.9.0.0/16"}])")));
}

// ---- dummy --------------------------------------------------------------------------------------

TEST_F(Vm, DummyKeepsItsAddressReachableInside) {
  Container& c = AddContainer("c");
  const std::string net = Conf("dummy", "", HostLocal("10.66.0.0/24"));
  const Result r = Ok("ADD", net, c, "dummy7");
  EXPECT_TRUE(c.rtnl().ByName("dummy7")->up());
  EXPECT_TRUE(TcpWorks(&c.ns(), &c.ns(), AddressOf(r)));
  Ok("CHECK", WithPrev(net, r), c, "dummy7");
  ASSERT_TRUE(c.rtnl().Change(c.rtnl().ByName("dummy7")->index, {.up = false}).ok());
  EXPECT_EQ(Do("CHECK", WithPrev(net, r), c, "dummy7").exit_code, 1);
  Ok("DEL", net, c, "dummy7");
  Ok("DEL", net, c, "dummy7");
}

TEST_F(Vm, DummyAnswersAsGoDoes) { ExpectSameAsGo(Conf("dummy", "", HostLocal("10.66.0.0/24"))); }

}  // namespace
}  // namespace keelson::cni::testing
