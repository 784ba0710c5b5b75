// SPDX-License-Identifier: Apache-2.0
// portmap with real traffic: who reaches a mapped port, and as whom.

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>

#include "cni-plugins/lib/nft.h"
#include "test/integration/cni-meta/meta_harness.h"

namespace keelson::cni::testing {
namespace {

constexpr char kMappings[] = R"("runtimeConfig":{"portMappings":[)"
                             R"({"hostPort":8080,"containerPort":80,"protocol":"tcp"},)"
                             R"({"hostPort":5300,"containerPort":53,"protocol":"udp"}]})";

class Portmap : public MetaTest {
 protected:
  // Conf("portmap") with mappings 8080/tcp -> 80 and 5300/udp -> 53.
  static std::string Mapped(const std::string& more = "") {
    return Conf("portmap", more.empty() ? kMappings : more + "," + kMappings);
  }
  static std::string Single(const std::string& mapping, const std::string& more = "") {
    return Conf("portmap", (more.empty() ? "" : more + ",") +
                               R"("runtimeConfig":{"portMappings":[)" + mapping + "]}");
  }
  static std::string Seen(const NetNs* from, const Pod& pod, const std::string& protocol,
                          const std::string& address, Patience patience = kSoon) {
    return protocol == kTcp ? SourceSeen(from, pod.ns(), kTcp, address, 8080, 80, patience)
                            : SourceSeen(from, pod.ns(), kUdp, address, 5300, 53, patience);
  }
  static void BridgeNetfilter(bool on) {
    ASSERT_TRUE(WriteSysctl("net/bridge/bridge-nf-call-iptables", on ? "1" : "0").ok());
  }
  // Chains and rules, without the elements of maps.
  static std::string Skeleton() {
    return Output("/usr/sbin/nft -s -t list table inet keelson_hostport");
  }
  static int ElementsIn(const std::string& set) {
    return static_cast<int>(nft::Nft::Open()->List(NFPROTO_INET, "keelson_hostport", set)->size());
  }
};

TEST_F(Portmap, OthersReachThePortWithTheirOwnAddress) {
  Container& world = AddWorld();
  const Pod pod = AddPod("web");
  const Result out = Chain("ADD", Mapped(), pod);
  EXPECT_EQ(out.ToJson("1.0.0")->Dump(), pod.result.ToJson("1.0.0")->Dump());
  for (const char* protocol : {kTcp, kUdp}) {
    EXPECT_EQ(Seen(&world.ns(), pod, protocol, "192.0.2.1"), "192.0.2.2") << protocol;
    EXPECT_EQ(Seen(&world.ns(), pod, protocol, "2001:db8::1"), "2001:db8::2") << protocol;
  }
}

TEST_F(Portmap, TheHostReachesThePortAtEachOfItsAddresses) {
  AddWorld();
  const Pod pod = AddPod("web");
  Chain("ADD", Mapped(), pod);
  for (const char* protocol : {kTcp, kUdp}) {
    EXPECT_EQ(Seen(nullptr, pod, protocol, "192.0.2.1"), "192.0.2.1") << protocol;
    EXPECT_EQ(Seen(nullptr, pod, protocol, "10.88.0.1"), "10.88.0.1") << protocol;
    EXPECT_EQ(Seen(nullptr, pod, protocol, "2001:db8::1"), "2001:db8::1") << protocol;
  }
}

TEST_F(Portmap, LocalhostWorksWithoutRouteLocalnet) {
  const Pod pod = AddPod("web");
  Chain("ADD", Mapped(), pod);
  for (const char* protocol : {kTcp, kUdp}) {
    EXPECT_EQ(Seen(nullptr, pod, protocol, "127.0.0.1"), "10.88.0.1") << protocol;
    EXPECT_EQ(Seen(nullptr, pod, protocol, "127.1.2.3"), "10.88.0.1") << protocol;
    EXPECT_EQ(Seen(nullptr, pod, protocol, "::1"), "fd88::1") << protocol;
  }
  for (const std::string& link : HostLinks()) {
    EXPECT_EQ(ReadSysctl("net/ipv4/conf/" + link + "/route_localnet")->substr(0, 1), "0") << link;
  }
}

TEST_F(Portmap, ServicesOfTheHostOnLocalhostStayReachable) {
  const Pod pod = AddPod("web");
  Chain("ADD", Mapped(), pod);
  EXPECT_EQ(SourceSeen(nullptr, nullptr, kTcp, "127.0.0.1", 8081, 8081), "127.0.0.1");
  EXPECT_EQ(SourceSeen(nullptr, nullptr, kUdp, "127.0.0.1", 8080, 8080), "127.0.0.1");
  EXPECT_EQ(SourceSeen(nullptr, nullptr, kTcp, "::1", 8081, 8081), "::1");
}

TEST_F(Portmap, NeighboursAndTheContainerItselfComeBackThroughTheHost) {
  AddWorld();
  const Pod pod = AddPod("web", R"("hairpinMode":true)");
  const Pod other = AddPod("other");
  Chain("ADD", Mapped(), pod);
  for (const bool filtered_bridge : {true, false}) {
    BridgeNetfilter(filtered_bridge);
    for (const char* protocol : {kTcp, kUdp}) {
      for (const Pod* from : {&other, &pod}) {
        EXPECT_EQ(Seen(from->ns(), pod, protocol, "192.0.2.1"), "10.88.0.1") << filtered_bridge;
        EXPECT_EQ(Seen(from->ns(), pod, protocol, "10.88.0.1"), "10.88.0.1") << filtered_bridge;
      }
    }
  }
}

TEST_F(Portmap, DirectTrafficBetweenContainersKeepsItsSource) {
  const Pod pod = AddPod("web");
  const Pod other = AddPod("other");
  Chain("ADD", Mapped(R"("masqAll":true)"), pod);
  EXPECT_EQ(SourceSeen(other.ns(), pod.ns(), kTcp, pod.ip(), 80, 80), other.ip());
}

TEST_F(Portmap, WithoutSnatNothingIsMasqueraded) {
  Container& world = AddWorld();
  const Pod pod = AddPod("web", R"("hairpinMode":true)");
  Chain("ADD", Mapped(R"("snat":false)"), pod);
  EXPECT_EQ(Seen(&world.ns(), pod, kTcp, "192.0.2.1"), "192.0.2.2");
  EXPECT_EQ(Seen(pod.ns(), pod, kUdp, "192.0.2.1", kNever), "");
  EXPECT_EQ(Seen(nullptr, pod, kTcp, "127.0.0.1", kNever), "");
}

TEST_F(Portmap, MasqAllHidesEverybody) {
  Container& world = AddWorld();
  const Pod pod = AddPod("web");
  Chain("ADD", Mapped(R"("masqAll":true)"), pod);
  for (const char* protocol : {kTcp, kUdp}) {
    EXPECT_EQ(Seen(&world.ns(), pod, protocol, "192.0.2.1"), "10.88.0.1") << protocol;
    EXPECT_EQ(Seen(nullptr, pod, protocol, "127.0.0.1"), "10.88.0.1") << protocol;
  }
}

TEST_F(Portmap, AHostIpLimitsTheMappingToIt) {
  Container& world = AddWorld();
  const Pod pod = AddPod("web");
  Chain("ADD",
        Single(R"({"hostPort":8080,"containerPort":80,"protocol":"tcp","hostIP":"192.0.2.1"})"),
        pod);
  EXPECT_EQ(Seen(&world.ns(), pod, kTcp, "192.0.2.1"), "192.0.2.2");
  EXPECT_EQ(Seen(nullptr, pod, kTcp, "10.88.0.1", kNever), "");
  EXPECT_EQ(Seen(nullptr, pod, kTcp, "127.0.0.1", kNever), "");
  EXPECT_EQ(Seen(&world.ns(), pod, kTcp, "2001:db8::1", kNever), "");
}

// A mapping for localhost is for the host alone, though the packet of a neighbour that names a
// loopback address is as easily made (CVE-2020-8558 and its kin).
TEST_F(Portmap, NeighboursCannotReachAPortMappedOnLocalhost) {
  Container& world = AddWorld();
  const Pod pod = AddPod("web");
  Chain("ADD",
        Single(R"({"hostPort":8080,"containerPort":80,"protocol":"tcp","hostIP":"127.0.0.1"})"),
        pod);
  EXPECT_EQ(Seen(nullptr, pod, kTcp, "127.0.0.1"), "10.88.0.1");
  Rtnl w = world.rtnl();
  // The neighbour routes 127.0.0.1 to the host, and its kernel lets it.
  ASSERT_TRUE(world.Run([] { return WriteSysctl("net/ipv4/conf/all/route_localnet", "1"); }).ok());
  ASSERT_TRUE(w.DeleteAddress(w.ByName("lo")->index, *Cidr::Parse("127.0.0.1/8")).ok());
  RouteSpec route;
  route.dst = *Cidr::Parse("127.0.0.1/32");
  route.gw = *Ip::Parse("192.0.2.1");
  route.link = w.ByName("eth0")->index;
  ASSERT_TRUE(w.AddRoute(route).ok());
  EXPECT_EQ(Seen(&world.ns(), pod, kTcp, "127.0.0.1", kNever), "");
  // Even on a host that a Go plugin left with route_localnet, its own services stay its own.
  ASSERT_TRUE(WriteSysctl("net/ipv4/conf/all/route_localnet", "1").ok());
  EXPECT_EQ(SourceSeen(&world.ns(), nullptr, kUdp, "127.0.0.1", 7777, 7777, kNever), "");
}

TEST_F(Portmap, ConditionsDecideWhichPacketsAreMapped) {
  Container& world = AddWorld();
  const Pod pod = AddPod("web");
  for (const char* conditions :
       {R"(["!","-s","192.0.2.0/24"])", R"(["ip saddr != 192.0.2.0/24"])"}) {
    const std::string conf = Mapped(R"("conditionsV4":)" + std::string(conditions));
    Chain("ADD", conf, pod);
    EXPECT_EQ(Seen(&world.ns(), pod, kTcp, "192.0.2.1", kNever), "") << conditions;
    EXPECT_EQ(Seen(&world.ns(), pod, kTcp, "2001:db8::1"), "2001:db8::2") << conditions;
    EXPECT_EQ(Seen(nullptr, pod, kTcp, "127.0.0.1"), "10.88.0.1") << conditions;
    Chain("CHECK", conf, pod);
    Chain("DEL", conf, pod);
  }
}

TEST_F(Portmap, ConfiguredMarkIsOnTrafficToBeMasqueraded) {
  NEEDS_TOOLS();
  AddWorld();
  const Pod pod = AddPod("web");
  const Pod other = AddPod("other");
  Chain("ADD", Mapped(R"("markMasqBit":5)"), pod);
  ASSERT_EQ(Output("nft add table inet klcnb; nft add chain inet klcnb f "
                   "'{ type filter hook forward priority 0; }'; "
                   "nft add rule inet klcnb f meta mark 0x20 counter name x 2>/dev/null; "
                   "nft add rule inet klcnb f meta mark and 0x20 == 0x20 counter"),
            "");
  BridgeNetfilter(false);
  EXPECT_EQ(Seen(other.ns(), pod, kTcp, "192.0.2.1"), "10.88.0.1");
  EXPECT_EQ(Output("nft list chain inet klcnb f").find("packets 0 "), std::string::npos);
}

TEST_F(Portmap, AnUdpFlowFollowsTheMappingAtOnce) {
  Container& world = AddWorld();
  const Pod pod = AddPod("web");
  const Fd server = UdpSocket(pod.ns(), "0.0.0.0", 53);
  const Fd client = UdpSocket(&world.ns(), "192.0.2.2", 40000);
  SendTo(client, "192.0.2.1", 5300);  // nobody there: the host tracks the flow without translation
  EXPECT_FALSE(Receives(server, kNever));
  Chain("ADD", Mapped(), pod);
  SendTo(client, "192.0.2.1", 5300);
  EXPECT_TRUE(Receives(server, kSoon));
  Chain("DEL", Mapped(), pod);
  SendTo(client, "192.0.2.1", 5300);  // the old flow would still lead to the container
  EXPECT_FALSE(Receives(server, kNever));
}

TEST_F(Portmap, TheLastOneToClaimAPortHasItAndTheFirstOnesEndChangesNothing) {
  Container& world = AddWorld();
  const Pod old_pod = AddPod("old");
  const Pod new_pod = AddPod("new");
  Chain("ADD", Mapped(), old_pod);
  Chain("ADD", Mapped(), new_pod);
  EXPECT_EQ(Seen(&world.ns(), new_pod, kTcp, "192.0.2.1"), "192.0.2.2");
  const Outcome check = Do("CHECK", WithPrev(Mapped(), old_pod.result), *old_pod.container);
  EXPECT_NE(check.msg().find("taken over by new"), std::string::npos) << check.msg();
  Chain("DEL", Mapped(), old_pod);
  EXPECT_EQ(Seen(&world.ns(), new_pod, kTcp, "192.0.2.1"), "192.0.2.2");
  EXPECT_EQ(ElementsOf("old"), 0);
  Chain("CHECK", Mapped(), new_pod);
}

TEST_F(Portmap, DelNeedsNeitherResultNorMappingsNorNamespace) {
  Pod pod = AddPod("web");
  Chain("ADD", Mapped(), pod);
  EXPECT_GT(ElementsOf("web"), 0);
  pod.container->Vanish();
  EXPECT_EQ(Do("DEL", Conf("portmap"), *pod.container).exit_code, 0);
  EXPECT_EQ(ElementsOf("web"), 0);
  EXPECT_EQ(Do("DEL", Conf("portmap"), *pod.container).exit_code, 0);
}

TEST_F(Portmap, AddedAgainItHasTheNewMappingsOnly) {
  const Pod pod = AddPod("web");
  Chain("ADD", Mapped(), pod);
  Chain("ADD", Single(R"({"hostPort":8080,"containerPort":81,"protocol":"tcp"})"), pod);
  EXPECT_EQ(SourceSeen(nullptr, pod.ns(), kTcp, "10.88.0.1", 8080, 81), "10.88.0.1");
  EXPECT_EQ(ElementsIn("hostport4"), 1);
}

TEST_F(Portmap, NoMappingsTouchNothing) {
  NEEDS_TOOLS();
  const Pod pod = AddPod("web");
  Chain("ADD", Conf("portmap"), pod);
  EXPECT_EQ(Ruleset().find("keelson_hostport"), std::string::npos);
  Chain("CHECK", Conf("portmap"), pod);
}

TEST_F(Portmap, CheckFindsWhatIsMissing) {
  NEEDS_TOOLS();
  const Pod pod = AddPod("web");
  Chain("ADD", Mapped(), pod);
  Chain("CHECK", Mapped(), pod);
  const std::string conf = WithPrev(Mapped(), pod.result);
  ASSERT_EQ(Output("nft delete element inet keelson_hostport hostport4 '{ tcp . 8080 }'"), "");
  EXPECT_NE(Do("CHECK", conf, *pod.container).msg().find("hostport4"), std::string::npos);
  Chain("ADD", Mapped(), pod);
  ASSERT_EQ(Output("nft flush chain inet keelson_hostport prerouting"), "");
  EXPECT_NE(Do("CHECK", conf, *pod.container).msg().find("prerouting"), std::string::npos);
  ASSERT_EQ(Output("nft flush ruleset"), "");
  EXPECT_EQ(Do("CHECK", conf, *pod.container).code(), 999);
  Chain("ADD", Mapped(), pod);  // and comes back from it
  EXPECT_EQ(Seen(nullptr, pod, kTcp, "127.0.0.1"), "10.88.0.1");
}

TEST_F(Portmap, GcRemovesThoseNotListed) {
  const Pod keep = AddPod("keep");
  const Pod gone = AddPod("gone");
  Chain("ADD", Single(R"({"hostPort":1001,"containerPort":80,"protocol":"tcp"})"), keep);
  Chain("ADD", Single(R"({"hostPort":1002,"containerPort":80,"protocol":"sctp"})"), gone);
  const std::string gc =
      Conf("portmap", R"("cni.dev/valid-attachments":[{"containerID":"keep","ifname":"eth0"}])",
           "1.1.0");
  EXPECT_EQ(Do("GC", gc, *keep.container).exit_code, 0);
  EXPECT_EQ(ElementsOf("gone"), 0);
  Chain("CHECK", Single(R"({"hostPort":1001,"containerPort":80,"protocol":"tcp"})"), keep);
  // Another network's GC knows nothing of them.
  const std::string other = R"({"cniVersion":"1.1.0","name":"klother","type":"portmap",)"
                            R"("cni.dev/valid-attachments":[]})";
  EXPECT_EQ(Do("GC", other, *keep.container).exit_code, 0);
  EXPECT_GT(ElementsOf("keep"), 0);
}

TEST_F(Portmap, TenThousandMappingsCostNoMoreThanTen) {
  const Pod crowd = AddPod("crowd");
  const Pod pod = AddPod("web");
  const auto medians = [&] {
    std::vector<std::chrono::microseconds> adds, dels;
    for (int i = 0; i < 9; ++i) {
      adds.push_back(Do("ADD", WithPrev(Mapped(), pod.result), *pod.container).took);
      EXPECT_EQ(Seen(nullptr, pod, kTcp, "10.88.0.1"), "10.88.0.1");
      dels.push_back(Do("DEL", WithPrev(Mapped(), pod.result), *pod.container).took);
    }
    std::ranges::sort(adds);
    std::ranges::sort(dels);
    return std::pair(adds[4].count(), dels[4].count());
  };
  const auto alone = medians();
  const std::string skeleton = Skeleton();
  constexpr int kBatch = 500;
  std::string list;
  for (int i = 0; i < 10000; ++i) {
    list += (list.empty() ? "" : ",");
    list +=
        R"({"hostPort":)" + std::to_string(20000 + i) + R"(,"containerPort":80,"protocol":"tcp"})";
    if ((i + 1) % kBatch != 0) continue;
    Pod part = crowd;
    part.container = &AddContainer("crowd" + std::to_string(i));
    Chain("ADD", Single(list, R"("snat":false)"), part);
    list.clear();
  }
  EXPECT_EQ(ElementsIn("hostport4"), 10000);
  EXPECT_EQ(Skeleton(), skeleton);  // not one rule or chain more
  const auto crowded = medians();
  std::printf(
      "medians alone: ADD %ld us, DEL %ld us; with 10,000 mappings: ADD %ld us, DEL %ld us\n",
      static_cast<long>(alone.first), static_cast<long>(alone.second),
      static_cast<long>(crowded.first), static_cast<long>(crowded.second));
  // Anything that looks at each mapping would take a hundred times as long.
  EXPECT_LT(crowded.first, 3 * alone.first + 5000);
  EXPECT_LT(crowded.second, 3 * alone.second + 5000);
}

TEST_F(Portmap, SixtyFourAtOnceLoseNothingAndLeaveNothing) {
  const Pod pod = AddPod("web");
  constexpr int kMany = 64;
  const auto all = [&](const std::string& command) {
    std::vector<Running> calls;
    for (int i = 0; i < kMany; ++i) {
      Call call;
      call.plugin = "portmap";
      call.command = command;
      call.conf = WithPrev(Single(R"({"hostPort":)" + std::to_string(3000 + i) +
                                  R"(,"containerPort":80,"protocol":"tcp"})"),
                           pod.result);
      call.container_id = "c" + std::to_string(i);
      call.netns = pod.container->path();
      calls.emplace_back(call);
    }
    for (Running& r : calls) {
      const Outcome o = r.Wait();
      EXPECT_EQ(o.exit_code, 0) << o.out << o.err;
    }
  };
  all("ADD");
  EXPECT_EQ(ElementsIn("hostport4"), kMany);
  all("DEL");
  EXPECT_EQ(ElementsIn("owners"), 0);
  EXPECT_EQ(ElementsIn("hostport4"), 0);
  EXPECT_EQ(ElementsIn("masquerade4_24"), 0);
}

TEST_F(Portmap, SctpIsMappedToo) {
  NEEDS_TOOLS();
  const Pod pod = AddPod("web");
  const std::string conf = Single(R"({"hostPort":9000,"containerPort":90,"protocol":"SCTP"})");
  Chain("ADD", conf, pod);
  EXPECT_NE(Ruleset().find("sctp . 9000 comment \"web eth0 klnet\" : 10.88.0.2 . 90"),
            std::string::npos)
      << Ruleset();
  Chain("CHECK", conf, pod);
}

// The builder's kernel may lack SCTP; the guest's has it.
TEST_F(Portmap, SctpReachesItsPort) {
  if (!Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_SCTP)).valid()) {
    GTEST_SKIP() << "no SCTP in this kernel";
  }
  Container& world = AddWorld();
  const Pod pod = AddPod("web");
  const std::string conf = Single(R"({"hostPort":9000,"containerPort":90,"protocol":"sctp"})");
  Chain("ADD", conf, pod);
  EXPECT_EQ(SourceSeen(&world.ns(), pod.ns(), kSctp, "192.0.2.1", 9000, 90), "192.0.2.2");
  EXPECT_EQ(SourceSeen(nullptr, pod.ns(), kSctp, "192.0.2.1", 9000, 90), "192.0.2.1");
  Chain("DEL", conf, pod);
  EXPECT_EQ(SourceSeen(&world.ns(), pod.ns(), kSctp, "192.0.2.1", 9000, 90, kNever), "");
}

TEST_F(Portmap, TheFilterOfOthersStillHasItsSay) {
  NEEDS_TOOLS();
  Container& world = AddWorld();
  const Pod pod = AddPod("web");
  Chain("ADD", Mapped(), pod);
  ASSERT_EQ(Output("nft add table ip filter; nft add chain ip filter FORWARD "
                   "'{ type filter hook forward priority 0; policy drop; }'"),
            "");
  EXPECT_EQ(Seen(&world.ns(), pod, kTcp, "192.0.2.1", kNever), "");
  ASSERT_EQ(Output("nft delete table ip filter"), "");
  EXPECT_EQ(Seen(&world.ns(), pod, kTcp, "192.0.2.1"), "192.0.2.2");
}

}  // namespace
}  // namespace keelson::cni::testing
