// SPDX-License-Identifier: Apache-2.0
// The bridge plugin with real frames. What this kernel may lack (VLANs) is in test/vm/cni.

#include <linux/if.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <sys/socket.h>

#include "test/integration/cni/bridge_fixture.h"

namespace keelson::cni::testing {
namespace {

// A broadcast frame with an ethertype for local experiments and the source address `from`.
std::string Frame(const Mac& from) {
  std::string f(6, '\xff');
  f.append(reinterpret_cast<const char*>(from.bytes.data()), 6);
  f += "\x88\xb5";
  f += "keelson";
  f.resize(60);
  return f;
}

// Whether `frame` arrives (other than as our own outgoing copy) at `socket`.
bool Arrives(const Fd& socket, const std::string& frame, Patience patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (std::chrono::steady_clock::now() < deadline) {
    const auto left =
        std::chrono::duration_cast<Patience>(deadline - std::chrono::steady_clock::now());
    pollfd p{socket.get(), POLLIN, 0};
    if (::poll(&p, 1, static_cast<int>(left.count()) + 1) != 1) return false;
    char buffer[2048];
    sockaddr_ll from{};
    socklen_t size = sizeof from;
    const ssize_t n = ::recvfrom(socket.get(), buffer, sizeof buffer, 0,
                                 reinterpret_cast<sockaddr*>(&from), &size);
    if (n == static_cast<ssize_t>(frame.size()) && from.sll_pkttype != PACKET_OUTGOING &&
        frame == std::string(buffer, static_cast<size_t>(n))) {
      return true;
    }
  }
  return false;
}

TEST_F(Bridge, ContainersReachEachOtherAndTheHost) {
  Container& a = AddContainer("a");
  Container& b = AddContainer("b");
  const std::string net = Net(R"("isGateway":true)");
  const std::string at_a = AddressOf(Ok("ADD", net, a)), at_b = AddressOf(Ok("ADD", net, b));
  EXPECT_EQ(UdpSource(&a.ns(), &b.ns(), at_b), at_a);
  EXPECT_TRUE(TcpWorks(&b.ns(), &a.ns(), at_a));
  EXPECT_EQ(UdpSource(nullptr, &a.ns(), at_a), "10.77.0.1");
  EXPECT_EQ(UdpSource(&a.ns(), nullptr, "10.77.0.1"), at_a);
}

TEST_F(Bridge, WithoutGatewayTheHostHasNoAddress) {
  Container& a = AddContainer("a");
  const Result r = Ok("ADD", Net(), a);
  EXPECT_EQ(r.ips[0].gateway->ToString(), "10.77.0.1");  // host-local's own answer
  Rtnl h = host();
  EXPECT_TRUE(h.Addresses(h.ByName("klbr0")->index, AF_INET)->empty());
}

TEST_F(Bridge, DefaultGatewayLeadsOutAndMasqueradingHidesTheContainer) {
  Container& world = AddWorld();
  Container& plain = AddContainer("plain");
  Container& hidden = AddContainer("hidden");
  const std::string at_plain = AddressOf(Ok("ADD", Net(R"("isDefaultGateway":true)"), plain));
  const std::string masq =
      Net(R"("isDefaultGateway":true,"ipMasq":true,"ipMasqBackend":"iptables")");
  Ok("ADD", masq, hidden);
  EXPECT_EQ(UdpSource(&plain.ns(), &world.ns(), "192.0.2.2"), at_plain);
  EXPECT_EQ(UdpSource(&hidden.ns(), &world.ns(), "192.0.2.2"), "192.0.2.1");
  EXPECT_TRUE(TcpWorks(&hidden.ns(), &world.ns(), "192.0.2.2"));
  // Within its own network it is itself.
  EXPECT_NE(UdpSource(&hidden.ns(), &plain.ns(), at_plain), "10.77.0.1");
  Ok("DEL", masq, hidden);
  Ok("ADD", Net(R"("isDefaultGateway":true)"), hidden);
  EXPECT_NE(UdpSource(&hidden.ns(), &world.ns(), "192.0.2.2"), "192.0.2.1");
}

TEST_F(Bridge, AnotherAddressOfTheBridgeIsReplacedOnlyByForce) {
  Container& a = AddContainer("a");
  Container& b = AddContainer("b");
  Ok("ADD", Net(R"("isGateway":true)"), a);
  const std::string other = Net(R"("isGateway":true)", "10.78.0.0/16");
  const Outcome refused = Do("ADD", other, b);
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_NE(refused.msg().find("already has an IP address different from 10.78.0.1/16"),
            std::string::npos)
      << refused.msg();
  EXPECT_FALSE(b.rtnl().ByName("eth0").ok());
  Ok("ADD", Net(R"("isGateway":true,"forceAddress":true)", "10.78.0.0/16"), b);
  Rtnl h = host();
  const auto addresses = *h.Addresses(h.ByName("klbr0")->index, AF_INET);
  ASSERT_EQ(addresses.size(), 1u);
  EXPECT_EQ(addresses[0].cidr.ToString(), "10.78.0.1/16");
}

TEST_F(Bridge, HairpinReflectsFramesToTheirSender) {
  for (const bool hairpin : {false, true}) {
    Container& c = AddContainer("c");
    Ok("ADD", Net(hairpin ? R"("hairpinMode":true)" : ""), c);
    const Fd socket = PacketSocket(&c.ns(), "eth0");
    const std::string frame = Frame(c.rtnl().ByName("eth0")->mac);
    ASSERT_EQ(::send(socket.get(), frame.data(), frame.size(), 0), 60);
    EXPECT_EQ(Arrives(socket, frame, hairpin ? kSoon : kNever), hairpin);
    Ok("DEL", Net(), c);
  }
}

TEST_F(Bridge, SpoofedSourceAddressesAreDropped) {
  Container& a = AddContainer("a");
  Container& b = AddContainer("b");
  const std::string net = Net(R"("macspoofchk":true)");
  Ok("ADD", net, a);
  Ok("ADD", Net(), b);
  const Fd from = PacketSocket(&a.ns(), "eth0"), to = PacketSocket(&b.ns(), "eth0");
  const std::string own = Frame(a.rtnl().ByName("eth0")->mac);
  const std::string forged = Frame(*Mac::Parse("02:de:ad:be:ef:01"));
  ::send(from.get(), own.data(), own.size(), 0);
  EXPECT_TRUE(Arrives(to, own, kSoon));
  ::send(from.get(), forged.data(), forged.size(), 0);
  EXPECT_FALSE(Arrives(to, forged, kNever));
  // The unchecked neighbour may still forge.
  ::send(to.get(), forged.data(), forged.size(), 0);
  EXPECT_TRUE(Arrives(from, forged, kSoon));
  Ok("DEL", net, a);
}

TEST_F(Bridge, IsolatedPortsReachTheHostOnly) {
  Container& a = AddContainer("a");
  Container& b = AddContainer("b");
  Container& open = AddContainer("open");
  const std::string net = Net(R"("isGateway":true,"portIsolation":true)");
  const std::string at_a = AddressOf(Ok("ADD", net, a)), at_b = AddressOf(Ok("ADD", net, b));
  const std::string at_open = AddressOf(Ok("ADD", Net(R"("isGateway":true)"), open));
  EXPECT_EQ(UdpSource(&a.ns(), &b.ns(), at_b, 5353, kNever), "");
  EXPECT_EQ(UdpSource(&a.ns(), nullptr, "10.77.0.1"), at_a);
  EXPECT_EQ(UdpSource(&a.ns(), &open.ns(), at_open), at_a);
}

TEST_F(Bridge, PromiscuousBridgeAndMtu) {
  Container& c = AddContainer("c");
  const std::string net = Net(R"("promiscMode":true,"mtu":1337)");
  const Result r = Ok("ADD", net, c);
  Rtnl h = host();
  EXPECT_TRUE(h.ByName("klbr0")->flags & IFF_PROMISC);
  EXPECT_EQ(c.rtnl().ByName("eth0")->mtu, 1337);
  EXPECT_EQ(h.ByName(r.interfaces[1].name)->mtu, 1337);
  EXPECT_EQ(h.ByName("klbr0")->mtu, 1337);
  Ok("CHECK", WithPrev(net, r), c);
  EXPECT_EQ(Do("CHECK", WithPrev(Net(R"("mtu":1337)"), r), c).exit_code, 1);
}

TEST_F(Bridge, DisabledContainerInterfaceStaysDown) {
  Container& c = AddContainer("c");
  const std::string net = Net(R"("disableContainerInterface":true)", "");
  const Result r = Ok("ADD", net, c);
  EXPECT_TRUE(r.ips.empty());
  EXPECT_FALSE(c.rtnl().ByName("eth0")->up());
  Ok("CHECK", WithPrev(net, r), c);
}

TEST_F(Bridge, LayerTwoInterfaceIsUpWithoutAddresses) {
  Container& c = AddContainer("c");
  const Result r = Ok("ADD", Net("", ""), c);
  EXPECT_TRUE(r.ips.empty());
  EXPECT_TRUE(c.rtnl().ByName("eth0")->up());
}

TEST_F(Bridge, HardwareAddressIsTheOneRequested) {
  Container& c = AddContainer("c");
  const Result r = Ok("ADD", Net(R"("runtimeConfig":{"mac":"c2:11:22:33:44:55"})"), c);
  EXPECT_EQ(r.interfaces[2].mac, "c2:11:22:33:44:55");
  EXPECT_EQ(c.rtnl().ByName("eth0")->mac.ToString(), "c2:11:22:33:44:55");
  Container& d = AddContainer("d");
  Call call{"bridge", "ADD", Net(), "d", d.path(), "eth0", "IgnoreUnknown=1;MAC=c2:11:22:33:44:66"};
  ASSERT_TRUE(Running(call).Wait().ok());
  EXPECT_EQ(d.rtnl().ByName("eth0")->mac.ToString(), "c2:11:22:33:44:66");
}

TEST_F(Bridge, Ipv6WorksAtOnceAndWithDuplicateDetection) {
  for (const bool dad : {false, true}) {
    Container& a = AddContainer("a");
    Container& b = AddContainer("b");
    const std::string net =
        Net(std::string(R"("isDefaultGateway":true)") + (dad ? R"(,"enabledad":true)" : ""),
            "fd77::/64");
    Ok("ADD", net, a);
    const std::string at_b = AddressOf(Ok("ADD", net, b));
    EXPECT_NE(UdpSource(&a.ns(), &b.ns(), at_b), "");
    EXPECT_EQ(*b.Run([] { return ReadSysctl("net/ipv6/conf/eth0/accept_dad"); }), dad ? "1" : "0");
    for (const Address& address : *b.rtnl().Addresses(b.rtnl().ByName("eth0")->index, AF_INET6)) {
      EXPECT_FALSE(address.flags & 0x40) << "tentative: " << address.cidr.ToString();
    }
    Ok("DEL", net, a);
    Ok("DEL", net, b);
  }
}

TEST_F(Bridge, ItsAddressDoesNotFollowItsPorts) {
  Container& first = AddContainer("first");
  const std::string net = Net();  // no gateway: where upstream would let it float
  Ok("ADD", net, first);
  const Mac mac = host().ByName("klbr0")->mac;
  for (int i = 0; i < 8; ++i) Ok("ADD", net, AddContainer("c" + std::to_string(i)));
  Ok("DEL", net, first);
  EXPECT_EQ(host().ByName("klbr0")->mac, mac);
}

}  // namespace
}  // namespace keelson::cni::testing
