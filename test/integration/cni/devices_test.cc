// SPDX-License-Identifier: Apache-2.0
// loopback, ptp, macvlan, host-device and tap with real traffic, and against the Go plugins.
// ipvlan, vlan and dummy need a kernel with more options: test/vm/cni.

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "test/integration/cni/harness.h"

namespace keelson::cni::testing {
namespace {

class Devices : public CniTest {
 protected:
  std::string Conf(const std::string& type, const std::string& more,
                   const std::string& ipam = "") const {
    std::string conf = R"({"cniVersion":"1.0.0","name":"klnet","type":")" + type + "\"";
    if (!more.empty()) conf += "," + more;
    if (!ipam.empty()) conf += R"(,"ipam":)" + ipam;
    return conf + "}";
  }
  static std::string Static(const std::string& address) {
    return R"({"type":"static","addresses":[{"address":")" + address + "\"}]}";
  }
  static std::string AddressOf(const Result& r) { return r.ips.at(0).address.ip.ToString(); }

  // kluplink on the host with its other end, 10.66.0.1/24, in the container "world".
  Container& AddUplink(const std::string& world_address = "10.66.0.1/24") {
    Container& world = AddContainer("world");
    Rtnl h = host();
    LinkSpec near, far;
    near.name = "kluplink";
    near.up = true;
    far.name = "eth0";
    far.netns = &world.ns();
    EXPECT_TRUE(h.MakeVeth(near, far).ok());
    Rtnl w = world.rtnl();
    const int index = w.ByName("eth0")->index;
    EXPECT_TRUE(w.AddAddress(index, *Cidr::Parse(world_address)).ok());
    EXPECT_TRUE(w.Change(index, {.up = true}).ok());
    EXPECT_TRUE(h.WaitForUp(h.ByName("kluplink")->index, 2000).ok());
    return world;
  }
};

// ---- loopback -----------------------------------------------------------------------------------

TEST_F(Devices, LoopbackGoesUpAndDown) {
  Container& c = AddContainer("c");
  Rtnl inside = c.rtnl();
  ASSERT_TRUE(inside.Change(inside.ByName("lo")->index, {.up = false}).ok());
  const std::string conf = Conf("loopback", "");
  const Result r = Ok("ADD", conf, c, "lo");
  EXPECT_TRUE(inside.ByName("lo")->up());
  EXPECT_TRUE(TcpWorks(&c.ns(), &c.ns(), "127.0.0.1"));
  Ok("CHECK", WithPrev(conf, r), c, "lo");
  Ok("DEL", conf, c, "lo");
  EXPECT_FALSE(inside.ByName("lo")->up());
  EXPECT_EQ(Do("CHECK", WithPrev(conf, r), c, "lo").exit_code, 1);
  c.Vanish();
  EXPECT_EQ(Do("DEL", conf, c, "lo").exit_code, 0);
}

TEST_F(Devices, LoopbackAnswersAsGoDoes) {
  // Before 1.0.0 it forgets to name the family of an address, which the specification asks for.
  for (const char* ifname : {"lo", "eth7"}) {  // the name does not matter
    ExpectSameAsGo(Conf("loopback", ""), {.ifname = ifname, .since = "1.0.0"});
  }
}

// ---- ptp ----------------------------------------------------------------------------------------

TEST_F(Devices, PtpContainersTalkThroughTheHost) {
  Container& a = AddContainer("a");
  Container& b = AddContainer("b");
  const std::string net = Conf("ptp", R"("mtu":1390)", HostLocal("10.77.0.0/16"));
  const Result ra = Ok("ADD", net, a);
  const std::string at_a = AddressOf(ra), at_b = AddressOf(Ok("ADD", net, b));
  EXPECT_EQ(UdpSource(&a.ns(), &b.ns(), at_b), at_a);
  EXPECT_TRUE(TcpWorks(nullptr, &b.ns(), at_b));
  EXPECT_EQ(UdpSource(&b.ns(), nullptr, "10.77.0.1"), at_b);
  EXPECT_EQ(a.rtnl().ByName("eth0")->mtu, 1390);
  Ok("CHECK", WithPrev(net, ra), a);
  Ok("DEL", net, a);
  Ok("DEL", net, a);
  Ok("DEL", net, b);
  EXPECT_EQ(HostLinks(), std::vector<std::string>{"lo"});
  EXPECT_TRUE(host().Routes(AF_INET)->empty());
}

TEST_F(Devices, PtpSpeaksBothFamiliesAtOnce) {
  Container& a = AddContainer("a");
  Container& b = AddContainer("b");
  const std::string net = Conf("ptp", "",
                               R"({"type":"host-local","dataDir":")" + dir() +
                                   R"(/leases","ranges":[[{"subnet":"10.77.0.0/24"}],)"
                                   R"([{"subnet":"fd77::/64"}]]})");
  Ok("ADD", net, a);
  const Result rb = Ok("ADD", net, b);
  ASSERT_EQ(rb.ips.size(), 2u);
  EXPECT_NE(UdpSource(&a.ns(), &b.ns(), rb.ips[0].address.ip.ToString()), "");
  EXPECT_NE(UdpSource(&a.ns(), &b.ns(), rb.ips[1].address.ip.ToString()), "");
}

TEST_F(Devices, PtpMasqueradesWhenAsked) {
  Container& world = AddUplink("192.0.2.2/24");
  Rtnl h = host();
  ASSERT_TRUE(h.AddAddress(h.ByName("kluplink")->index, *Cidr::Parse("192.0.2.1/24")).ok());
  Container& c = AddContainer("c");
  const std::string net = Conf("ptp", R"("ipMasq":true)",
                               HostLocal("10.77.0.0/16", R"("routes":[{"dst":"0.0.0.0/0"}])"));
  Ok("ADD", net, c);
  EXPECT_EQ(UdpSource(&c.ns(), &world.ns(), "192.0.2.2"), "192.0.2.1");
  Ok("DEL", net, c);
}

TEST_F(Devices, PtpAnswersAsGoDoes) {
  ExpectSameAsGo(Conf("ptp", R"("dns":{"search":["x"]})",
                      HostLocal("10.77.0.0/16", R"("routes":[{"dst":"0.0.0.0/0"}])")));
}

// ---- macvlan ------------------------------------------------------------------------------------

TEST_F(Devices, MacvlanReachesItsMastersNetwork) {
  Container& world = AddUplink();
  Container& c = AddContainer("c");
  const std::string net = Conf("macvlan",
                               R"("master":"kluplink","mac":"02:aa:bb:cc:dd:01",)"
                               R"("mtu":1400,"bcqueuelen":2000)",
                               HostLocal("10.66.0.0/24"));
  const Result r = Ok("ADD", net, c);
  EXPECT_EQ(r.interfaces.at(0).mac, "02:aa:bb:cc:dd:01");
  EXPECT_EQ(c.rtnl().ByName("eth0")->mtu, 1400);
  EXPECT_EQ(UdpSource(&c.ns(), &world.ns(), "10.66.0.1"), AddressOf(r));
  EXPECT_TRUE(TcpWorks(&world.ns(), &c.ns(), AddressOf(r)));
  Ok("CHECK", WithPrev(net, r), c);
  EXPECT_NE(
      Do("CHECK", WithPrev(WithMember(net, "mode", Json("private")), r), c).msg().find("mode"),
      std::string::npos);
  Ok("DEL", net, c);
  Ok("DEL", net, c);
  EXPECT_FALSE(c.rtnl().ByName("eth0").ok());
}

TEST_F(Devices, MacvlanModesSeparateOrJoinSiblings) {
  AddUplink();
  for (const bool joined : {true, false}) {
    Container& a = AddContainer("a");
    Container& b = AddContainer("b");
    const std::string net = Conf(
        "macvlan",
        std::string(R"("master":"kluplink","mode":")") + (joined ? "bridge" : "private") + "\"",
        HostLocal("10.66.0.0/24"));
    Ok("ADD", net, a);
    const std::string at_b = AddressOf(Ok("ADD", net, b));
    EXPECT_EQ(UdpSource(&a.ns(), &b.ns(), at_b, 5353, joined ? kSoon : kNever) != "", joined);
    Ok("DEL", net, a);
    Ok("DEL", net, b);
  }
}

TEST_F(Devices, MacvlanHasTheModeAskedFor) {
  AddUplink();
  const std::pair<const char*, uint32_t> modes[] = {{"private", MACVLAN_MODE_PRIVATE},
                                                    {"vepa", MACVLAN_MODE_VEPA},
                                                    {"bridge", MACVLAN_MODE_BRIDGE},
                                                    {"passthru", MACVLAN_MODE_PASSTHRU}};
  for (const auto& [mode, number] : modes) {
    Container& c = AddContainer("c");
    const std::string net =
        Conf("macvlan", std::string(R"("master":"kluplink","mode":")") + mode + "\"");
    const Result r = Ok("ADD", net, c);
    EXPECT_EQ(c.rtnl().ByName("eth0")->mode, static_cast<int>(number)) << mode;
    Ok("CHECK", WithPrev(net, r), c);
    Ok("DEL", net, c);
  }
}

TEST_F(Devices, MacvlanTakesTheDefaultRoutesDeviceAsMaster) {
  Container& world = AddUplink();
  Rtnl h = host();
  const int uplink = h.ByName("kluplink")->index;
  Container& c = AddContainer("c");
  const std::string net = Conf("macvlan", "", HostLocal("10.66.0.0/24"));
  EXPECT_EQ(Do("ADD", net, c).msg().find("master: not given"), 0u);
  ASSERT_TRUE(h.AddAddress(uplink, *Cidr::Parse("10.66.0.200/24")).ok());
  RouteSpec out;
  out.dst = *Cidr::Parse("0.0.0.0/0");
  out.gw = *Ip::Parse("10.66.0.1");
  out.link = uplink;
  ASSERT_TRUE(h.AddRoute(out).ok());
  Ok("ADD", net, c);
  EXPECT_NE(UdpSource(&c.ns(), &world.ns(), "10.66.0.1"), "");
}

TEST_F(Devices, MacvlanMasterMayBeInTheContainer) {
  AddUplink();
  Container& c = AddContainer("c");
  Rtnl h = host();
  ASSERT_TRUE(h.Change(h.ByName("kluplink")->index, {.netns = &c.ns()}).ok());
  Rtnl inside = c.rtnl();
  ASSERT_TRUE(inside.Change(inside.ByName("kluplink")->index, {.up = true}).ok());
  const std::string net =
      Conf("macvlan", R"("master":"kluplink","linkInContainer":true)", HostLocal("10.66.0.0/24"));
  const Result r = Ok("ADD", net, c);
  EXPECT_EQ(inside.ByName("eth0")->parent, inside.ByName("kluplink")->index);
  Ok("CHECK", WithPrev(net, r), c);
}

TEST_F(Devices, MacvlanRefusesWhatItsMasterCannotDo) {
  AddUplink();
  Container& c = AddContainer("c");
  EXPECT_EQ(Do("ADD", Conf("macvlan", R"("master":"kluplink","mtu":9000)"), c).msg(),
            "mtu: invalid MTU 9000, must be [0, master MTU(1500)]");
  EXPECT_EQ(Do("ADD", Conf("macvlan", R"("master":"nosuch")"), c).msg().find("master: "), 0u);
  EXPECT_FALSE(c.rtnl().ByName("eth0").ok());
}

TEST_F(Devices, MacvlanAnswersAsGoDoes) {
  AddUplink();
  ExpectSameAsGo(Conf("macvlan", R"("master":"kluplink")", HostLocal("10.66.0.0/24")));
  ExpectSameAsGo(Conf("macvlan", R"("master":"kluplink","dns":{"domain":"d"})"));
}

// ---- host-device --------------------------------------------------------------------------------

TEST_F(Devices, HostDeviceMovesInAndBack) {
  Container& world = AddUplink();
  Rtnl h = host();
  const std::string mac = h.ByName("kluplink")->mac.ToString();
  for (const std::string& how :
       {std::string(R"("device":"kluplink")"), R"("hwaddr":")" + mac + "\"",
        std::string(R"("kernelpath":"/sys/devices/virtual")")}) {  // its first one
    Container& c = AddContainer("c");
    const std::string net = Conf("host-device", how, HostLocal("10.66.0.0/24"));
    const Result r = Ok("ADD", net, c);
    EXPECT_EQ(r.interfaces.at(0).mac, mac);
    EXPECT_FALSE(h.ByName("kluplink").ok());
    EXPECT_EQ(UdpSource(&c.ns(), &world.ns(), "10.66.0.1"), AddressOf(r));
    Ok("CHECK", WithPrev(net, r), c);
    Ok("DEL", net, c);
    ASSERT_TRUE(h.ByName("kluplink").ok()) << "not back under its name";
    EXPECT_EQ(h.ByName("kluplink")->alias, "");
    Ok("DEL", net, c);
    ASSERT_TRUE(h.Change(h.ByName("kluplink")->index, {.up = true}).ok());
    ASSERT_TRUE(h.WaitForUp(h.ByName("kluplink")->index, 2000).ok());
  }
}

TEST_F(Devices, HostDeviceStaysWhereItWasWhenAddFails) {
  AddUplink();
  Rtnl h = host();
  ASSERT_TRUE(h.Change(h.ByName("kluplink")->index, {.alias = "precious"}).ok());
  Container& c = AddContainer("c");
  const std::string net = Conf("host-device", R"("device":"kluplink")",
                               R"({"type":"host-local","dataDir":")" + dir() +
                                   R"(/leases","ranges":[[{"subnet":"10.66.0.0/30",)"
                                   R"("rangeStart":"10.66.0.2","rangeEnd":"10.66.0.2"}]]})");
  Ok("ADD", net, c);
  Ok("DEL", net, c);
  ASSERT_TRUE(h.Change(h.ByName("kluplink")->index, {.up = true, .alias = "precious"}).ok());
  // Somebody else holds the only address.
  Container& other = AddContainer("other");
  Ok("ADD", Conf("macvlan", R"("master":"kluplink")", Json::Parse(net)->Find("ipam")->Dump()),
     other);
  EXPECT_EQ(Do("ADD", net, c).exit_code, 1);
  ASSERT_TRUE(h.ByName("kluplink").ok());
  EXPECT_TRUE(h.ByName("kluplink")->up());
  EXPECT_EQ(h.ByName("kluplink")->alias, "precious");
}

TEST_F(Devices, HostDeviceAnswersAsGoDoes) {
  AddUplink();
  ExpectSameAsGo(Conf("host-device", R"("device":"kluplink")", HostLocal("10.66.0.0/24")));
  ExpectSameAsGo(Conf("host-device", R"("device":"kluplink")"));
}

// Node owners switch plugins under running containers, both ways.
TEST_F(Devices, GoUndoesWhatWeDidAndWeWhatItDid) {
  ASSERT_TRUE(HasGoPlugin("host-device")) << "install containernetworking-plugins";
  AddUplink();
  Container& c = AddContainer("c");
  const std::string net = Conf("host-device", R"("device":"kluplink")", HostLocal("10.66.0.0/24"));
  for (const bool ours_first : {true, false}) {
    Call add{"host-device", "ADD", net, "c", c.path()},
        del{"host-device", "DEL", net, "c", c.path()};
    (ours_first ? del : add).bin_dir = kGoPlugins;
    EXPECT_TRUE(Running(add).Wait().ok());
    EXPECT_FALSE(host().ByName("kluplink").ok());
    EXPECT_TRUE(Running(del).Wait().ok());
    EXPECT_TRUE(host().ByName("kluplink").ok());
  }
}

// ---- tap ----------------------------------------------------------------------------------------

// Opens the tap as a virtual machine's backend would.
Or<Fd> OpenTap(const Container& c, bool multi_queue) {
  return c.Run([&]() -> Or<Fd> {
    Fd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
    ifreq r{};
    std::strcpy(r.ifr_name, "eth0");
    r.ifr_flags = IFF_TAP | IFF_NO_PI;
    if (multi_queue) r.ifr_flags |= IFF_MULTI_QUEUE;
    if (::ioctl(fd.get(), TUNSETIFF, &r) < 0) return Status::Errno(errno, "TUNSETIFF");
    return fd;
  });
}

TEST_F(Devices, TapIsThereForItsBackend) {
  Container& c = AddContainer("c");
  const std::string net = Conf("tap", R"("mac":"02:00:00:00:00:42","mtu":1400,"owner":0,"group":0)",
                               HostLocal("10.66.0.0/24"));
  const Result r = Ok("ADD", net, c);
  EXPECT_EQ(r.interfaces.at(0).mac, "02:00:00:00:00:42");
  EXPECT_EQ(c.rtnl().ByName("eth0")->mtu, 1400);
  EXPECT_EQ(c.rtnl().ByName("eth0")->kind, "tun");
  Or<Fd> backend = OpenTap(c, false);
  ASSERT_TRUE(backend.ok()) << backend.status().message();
  ASSERT_TRUE(c.rtnl().WaitForUp(c.rtnl().ByName("eth0")->index, 2000).ok());
  // A datagram to a neighbour comes out as a frame: first the question who has the address.
  EXPECT_EQ(UdpSource(&c.ns(), &c.ns(), "10.66.0.99", 5353, Patience(50)), "");
  char frame[2048];
  ssize_t n = 0;
  bool arp = false;
  while ((n = ::read(backend->get(), frame, sizeof frame)) > 0) {
    arp |= n >= 14 && frame[12] == 0x08 && frame[13] == 0x06;
  }
  EXPECT_TRUE(arp);
  Ok("CHECK", WithPrev(net, r), c);
  Ok("DEL", net, c);
  EXPECT_FALSE(c.rtnl().ByName("eth0").ok());
}

TEST_F(Devices, TapCanHaveManyQueuesAndABridge) {
  Container& c = AddContainer("c");
  Rtnl inside = c.rtnl();
  LinkSpec bridge;
  bridge.name = "br0";
  bridge.kind = "bridge";
  ASSERT_TRUE(inside.Make(bridge).ok());
  const std::string net = Conf("tap", R"("multiQueue":true,"bridge":"br0")");
  Ok("ADD", net, c);
  EXPECT_EQ(inside.ByName("eth0")->master, inside.ByName("br0")->index);
  EXPECT_TRUE(inside.ByName("eth0")->up());
  EXPECT_TRUE(OpenTap(c, true).ok());
  EXPECT_FALSE(OpenTap(c, false).ok());
  Ok("DEL", net, c);
  EXPECT_EQ(Do("ADD", Conf("tap", R"("bridge":"nobridge")"), c).msg().find("bridge: "), 0u);
  EXPECT_FALSE(inside.ByName("eth0").ok());
}

TEST_F(Devices, TapAnswersAsGoDoes) {
  ExpectSameAsGo(Conf("tap", R"("mtu":1400,"owner":0,"group":0)", HostLocal("10.66.0.0/24")));
  ExpectSameAsGo(Conf("tap", ""));
}

TEST_F(Devices, TapNeedsSelinuxForALabel) {
  if (::access("/sys/fs/selinux/enforce", F_OK) == 0) GTEST_SKIP() << "SELinux is here";
  Container& c = AddContainer("c");
  const Outcome o = Do("ADD", Conf("tap", R"("selinuxContext":"system_u:system_r:x_t:s0")"), c);
  EXPECT_EQ(o.code(), 7);
  EXPECT_EQ(o.msg().find("selinuxContext: "), 0u) << o.msg();
  EXPECT_FALSE(c.rtnl().ByName("eth0").ok());
}

}  // namespace
}  // namespace keelson::cni::testing
