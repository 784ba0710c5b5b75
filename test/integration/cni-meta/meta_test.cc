// SPDX-License-Identifier: Apache-2.0
// firewall, tuning, sbr and masquerading with real devices and traffic.

#include <net/if.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "cni-plugins/lib/masq.h"
#include "test/integration/cni-meta/meta_harness.h"

namespace keelson::cni::testing {
namespace {

namespace fs = std::filesystem;

// ---- firewall -----------------------------------------------------------------------------------

class Firewall : public MetaTest {
 protected:
  static bool Reaches(const Pod& from, const Pod& to, Patience patience = kSoon) {
    return !SourceSeen(from.ns(), to.ns(), kTcp, to.ip(), 80, 80, patience).empty();
  }
  // A pod on a second bridge of the policy.
  Pod AddPodOn(const std::string& bridge, const std::string& subnet, const std::string& id) {
    Pod pod{&AddContainer(id), {}};
    pod.result =
        Ok("ADD",
           R"({"cniVersion":"1.0.0","name":")" + bridge + R"(","type":"bridge","bridge":")" +
               bridge + R"(","isDefaultGateway":true,"ipam":)" + HostLocal(subnet) + "}",
           *pod.container);
    return pod;
  }
};

TEST_F(Firewall, KeepsBridgesApart) {
  const Pod a = AddPodOn("klbra", "10.66.0.0/24", "a");
  const Pod a2 = AddPodOn("klbra", "10.66.0.0/24", "a2");
  const Pod b = AddPodOn("klbrb", "10.67.0.0/24", "b");
  EXPECT_TRUE(Reaches(a, b));
  const std::string policy = Conf("firewall", R"("ingressPolicy":"same-bridge")");
  for (const Pod* pod : {&a, &a2, &b}) Chain("ADD", policy, *pod);
  EXPECT_FALSE(Reaches(a, b, kNever));
  EXPECT_FALSE(Reaches(b, a, kNever));
  EXPECT_TRUE(Reaches(a, a2));
  EXPECT_FALSE(SourceSeen(nullptr, a.ns(), kTcp, a.ip(), 80, 80).empty());
  // One container's end does not open the others.
  Chain("DEL", policy, a);
  EXPECT_FALSE(Reaches(a2, b, kNever));
  Chain("CHECK", policy, b);
}

TEST_F(Firewall, IsolatesContainersOfOneBridge) {
  const Pod a = AddPodOn("klbra", "10.66.0.0/24", "a");
  const Pod b = AddPodOn("klbra", "10.66.0.0/24", "b");
  ASSERT_TRUE(WriteSysctl("net/bridge/bridge-nf-call-iptables", "1").ok());
  EXPECT_TRUE(Reaches(a, b));
  Chain("ADD", Conf("firewall", R"("ingressPolicy":"isolated","backend":"iptables")"), a);
  EXPECT_FALSE(Reaches(a, b, kNever));
}

TEST_F(Firewall, TheAdminChainGoesFirst) {
  NEEDS_TOOLS();
  const Pod a = AddPodOn("klbra", "10.66.0.0/24", "a");
  const Pod b = AddPodOn("klbrb", "10.67.0.0/24", "b");
  const std::string conf = Conf("firewall", R"("iptablesAdminChainName":"KL-ADMIN")");
  Chain("ADD", conf, a);
  EXPECT_TRUE(Reaches(a, b));
  ASSERT_EQ(Output("nft add rule inet keelson_firewall KL-ADMIN tcp dport 80 drop"), "");
  EXPECT_FALSE(Reaches(a, b, kNever));
  Chain("CHECK", conf, a);
  ASSERT_EQ(Output("nft flush chain inet keelson_firewall KL-ADMIN; "
                   "nft add rule inet keelson_firewall CNI-ADMIN tcp dport 80 drop"),
            "");
  EXPECT_FALSE(Reaches(a, b, kNever));
}

TEST_F(Firewall, ElementsComeAndGoWithTheContainer) {
  NEEDS_TOOLS();
  const Pod pod = AddPod("p");
  const std::string conf = Conf("firewall");
  Chain("ADD", conf, pod);
  EXPECT_NE(Ruleset().find("10.88.0.2 comment \"p eth0 klnet\""), std::string::npos);
  Chain("CHECK", conf, pod);
  EXPECT_EQ(Do("DEL", conf, *pod.container).exit_code, 0);
  EXPECT_EQ(ElementsOf("p"), 0);
  EXPECT_EQ(Do("CHECK", WithPrev(conf, pod.result), *pod.container).code(), 999);
  Chain("ADD", conf, pod);
  EXPECT_EQ(Do("GC", Conf("firewall", R"("cni.dev/valid-attachments":[])", "1.1.0"), *pod.container)
                .exit_code,
            0);
  EXPECT_EQ(ElementsOf("p"), 0);
}

TEST_F(Firewall, SaysWhoElseDropsForwardedPackets) {
  NEEDS_TOOLS();
  const Pod pod = AddPod("p");
  Chain("ADD", Conf("firewall"), pod);
  ASSERT_EQ(Output("nft add table ip filter; nft add chain ip filter FORWARD "
                   "'{ type filter hook forward priority 0; policy drop; }'"),
            "");
  const Outcome o = Do("CHECK", WithPrev(Conf("firewall"), pod.result), *pod.container);
  EXPECT_EQ(o.exit_code, 0);
  EXPECT_NE(o.err.find("ip filter FORWARD drops"), std::string::npos) << o.err;
}

// ---- tuning -------------------------------------------------------------------------------------

class Tuning : public MetaTest {
 protected:
  std::string Tuned(const std::string& more) const {
    return Conf("tuning", R"("dataDir":")" + dir() + R"(/tuning",)" + more);
  }
  static std::string Sysctl(const Pod& pod, const std::string& name) {
    const Or<std::string> v = pod.container->Run([&] { return ReadSysctl(name); });
    return v.ok() ? v->substr(0, v->find('\n')) : v.status().message();
  }
  static Link Device(const Pod& pod) { return *pod.container->rtnl().ByName("eth0"); }
};

TEST_F(Tuning, SetsAndDelRestores) {
  const Pod pod = AddPod("p");
  const Link before = Device(pod);
  const std::string conf =
      Tuned(R"("sysctl":{"net.core.somaxconn":"500","net.ipv4.conf.IFNAME.arp_filter":"1"},)"
            R"("mac":"c2:11:22:33:44:55","mtu":1400,"promisc":true,"allmulti":true,"txQLen":77)");
  const Result out = Chain("ADD", conf, pod);
  const auto eth0 = std::ranges::find(out.interfaces, "eth0", &Interface::name);
  EXPECT_EQ(eth0->mac, "c2:11:22:33:44:55");
  const Link tuned = Device(pod);
  EXPECT_EQ(tuned.mac.ToString(), "c2:11:22:33:44:55");
  EXPECT_EQ(tuned.mtu, 1400);
  EXPECT_EQ(tuned.tx_queue_len, 77);
  EXPECT_TRUE(tuned.flags & IFF_PROMISC);
  EXPECT_TRUE(tuned.flags & IFF_ALLMULTI);
  EXPECT_EQ(Sysctl(pod, "net/core/somaxconn"), "500");
  EXPECT_EQ(Sysctl(pod, "net/ipv4/conf/eth0/arp_filter"), "1");
  Chain("CHECK", conf, pod);
  Chain("DEL", conf, pod);
  const Link after = Device(pod);
  EXPECT_EQ(after.mac, before.mac);
  EXPECT_EQ(after.mtu, before.mtu);
  EXPECT_EQ(after.tx_queue_len, before.tx_queue_len);
  EXPECT_FALSE(after.flags & (IFF_PROMISC | IFF_ALLMULTI));
  EXPECT_TRUE(fs::is_empty(dir() + "/tuning"));
  Chain("DEL", conf, pod);
}

TEST_F(Tuning, TheGoPluginRestoresWhatWeSaved) {
  ASSERT_TRUE(HasGoPlugin("tuning")) << "install containernetworking-plugins";
  const Pod pod = AddPod("p");
  const Link before = Device(pod);
  const std::string conf = Tuned(R"("mtu":1300,"promisc":true)");
  Chain("ADD", conf, pod);
  Call call;
  call.plugin = "tuning";
  call.command = "DEL";
  call.conf = WithPrev(conf, pod.result);
  call.container_id = "p";
  call.netns = pod.container->path();
  call.bin_dir = kGoPlugins;
  EXPECT_EQ(Running(call).Wait().exit_code, 0);
  EXPECT_EQ(Device(pod).mtu, before.mtu);
  EXPECT_FALSE(Device(pod).flags & IFF_PROMISC);
}

TEST_F(Tuning, CheckFindsWhatChanged) {
  const Pod pod = AddPod("p");
  const std::string conf = Tuned(R"("mtu":1400,"sysctl":{"net.core.somaxconn":"500"})");
  Chain("ADD", conf, pod);
  ASSERT_TRUE(pod.container->Run([] { return WriteSysctl("net/core/somaxconn", "501"); }).ok());
  const std::string check = WithPrev(conf, pod.result);
  EXPECT_NE(Do("CHECK", check, *pod.container).msg().find("somaxconn"), std::string::npos);
  ASSERT_TRUE(pod.container->Run([] { return WriteSysctl("net/core/somaxconn", "500"); }).ok());
  Rtnl inside = pod.container->rtnl();
  ASSERT_TRUE(inside.Change(Device(pod).index, {.mtu = 1450}).ok());
  EXPECT_NE(Do("CHECK", check, *pod.container).msg().find("1450"), std::string::npos);
}

TEST_F(Tuning, AFailureTakesEverythingBack) {
  const Pod pod = AddPod("p");
  const std::string before = Sysctl(pod, "net/core/somaxconn");
  const std::string conf =
      Tuned(R"("sysctl":{"net.core.somaxconn":"500","net.no.such.thing":"1"},"mtu":1400)");
  EXPECT_EQ(Do("ADD", WithPrev(conf, pod.result), *pod.container).exit_code, 1);
  EXPECT_EQ(Sysctl(pod, "net/core/somaxconn"), before);
  EXPECT_EQ(Device(pod).mtu, 1500);
  EXPECT_FALSE(fs::exists(dir() + "/tuning"));
}

TEST_F(Tuning, TheAllowListDecides) {
  NEEDS_TOOLS();
  const Pod pod = AddPod("p");
  // The test has a mount namespace of its own; /etc/cni need not exist outside.
  ASSERT_EQ(Output("mkdir -p " + dir() + "/etc && mount -t tmpfs klcnb " + dir() +
                   "/etc && cp -a /etc/. " + dir() + "/etc/ 2>/dev/null; mount --bind " + dir() +
                   "/etc /etc && mkdir -p /etc/cni/tuning"),
            "");
  std::ofstream("/etc/cni/tuning/allowlist.conf") << "\n^net\\.core\\.somaxconn$\n";
  Chain("ADD", Tuned(R"("sysctl":{"net.core.somaxconn":"500"})"), pod);
  const Outcome o =
      Do("ADD", WithPrev(Tuned(R"("sysctl":{"net.ipv4.ip_forward":"1"})"), pod.result),
         *pod.container);
  EXPECT_EQ(o.code(), 7);
  EXPECT_NE(o.msg().find("net.ipv4.ip_forward"), std::string::npos) << o.msg();
  Output("umount /etc; umount " + dir() + "/etc");
}

TEST_F(Tuning, GcRemovesBackupsOfThisNetworkOnly) {
  const Pod pod = AddPod("p");
  Chain("ADD", Tuned(R"("mtu":1400)"), pod);
  std::ofstream(dir() + "/tuning/x_eth0.json") << R"({"mtu":1500})";  // the Go plugin's
  const std::string gc = Conf(
      "tuning", R"("dataDir":")" + dir() + R"(/tuning","cni.dev/valid-attachments":[])", "1.1.0");
  EXPECT_EQ(Do("GC", gc, *pod.container).exit_code, 0);
  EXPECT_FALSE(fs::exists(dir() + "/tuning/p_eth0.json"));
  EXPECT_TRUE(fs::exists(dir() + "/tuning/x_eth0.json"));
}

// ---- sbr ----------------------------------------------------------------------------------------

class Sbr : public MetaTest {
 protected:
  std::string In(const Pod& pod, const std::string& command) {
    return *pod.container->Run([&]() -> Or<std::string> { return Output(command); });
  }
};

TEST_F(Sbr, AnswersLeaveByTheirOwnTable) {
  NEEDS_TOOLS();
  const Pod pod = AddPod("p");
  Chain("ADD", Conf("sbr"), pod);
  EXPECT_NE(In(pod, "ip rule").find("from 10.88.0.2 lookup 100"), std::string::npos);
  EXPECT_NE(In(pod, "ip -6 rule").find("from fd88::2 lookup 101"), std::string::npos);
  const std::string table = In(pod, "ip route show table 100");
  EXPECT_NE(table.find("default via 10.88.0.1 dev eth0"), std::string::npos) << table;
  EXPECT_NE(table.find("10.88.0.0/24 dev eth0"), std::string::npos) << table;
  EXPECT_NE(In(pod, "ip -6 route show table 101").find("default via fd88::1"), std::string::npos);
  EXPECT_EQ(In(pod, "ip route show table main"), "");
  EXPECT_NE(In(pod, "ip route get 192.0.2.9 from 10.88.0.2").find("via 10.88.0.1"),
            std::string::npos);
  Chain("CHECK", Conf("sbr"), pod);
  Chain("DEL", Conf("sbr"), pod);
  EXPECT_EQ(In(pod, "ip rule").find("from 10.88.0.2"), std::string::npos);
  EXPECT_EQ(Do("CHECK", WithPrev(Conf("sbr"), pod.result), *pod.container).exit_code, 1);
  pod.container->Vanish();
  EXPECT_EQ(Do("DEL", Conf("sbr"), *pod.container).exit_code, 0);
}

TEST_F(Sbr, AGivenTableGetsRulesOnly) {
  NEEDS_TOOLS();
  const Pod pod = AddPod("p");
  const std::string conf = Conf("sbr", R"("table":300)");
  Chain("ADD", conf, pod);
  EXPECT_NE(In(pod, "ip rule").find("from 10.88.0.2 lookup 300"), std::string::npos);
  EXPECT_NE(In(pod, "ip route show table main").find("default"), std::string::npos);
  Chain("CHECK", conf, pod);
  Chain("DEL", conf, pod);
  EXPECT_EQ(In(pod, "ip rule").find("300"), std::string::npos);
}

TEST_F(Sbr, AFixedGatewayAndHintsAreHeeded) {
  NEEDS_TOOLS();
  const Pod pod = AddPod("p");
  Chain("ADD", Conf("sbr", R"("gateways":["10.88.0.254"],"addSourceHints":true)"), pod);
  EXPECT_NE(In(pod, "ip route show table 100").find("default via 10.88.0.254"), std::string::npos);
  const std::string main = In(pod, "ip route show table main");
  EXPECT_NE(main.find("10.88.0.0/24 dev eth0"), std::string::npos) << main;
  EXPECT_NE(main.find("src 10.88.0.2"), std::string::npos) << main;
  EXPECT_EQ(main.find("default"), std::string::npos) << main;
}

// ---- masquerading -------------------------------------------------------------------------------

class Masquerade : public MetaTest {};

TEST_F(Masquerade, HidesContainersFromTheWorldButNotFromEachOther) {
  Container& world = AddWorld();
  const Pod pod = AddPod("p", R"("ipMasq":true)");
  const Pod peer = AddPod("q", R"("ipMasq":true)");
  EXPECT_EQ(SourceSeen(pod.ns(), &world.ns(), kTcp, "192.0.2.2", 80, 80), "192.0.2.1");
  EXPECT_EQ(SourceSeen(pod.ns(), &world.ns(), kUdp, "2001:db8::2", 80, 80), "2001:db8::1");
  EXPECT_EQ(SourceSeen(pod.ns(), peer.ns(), kTcp, peer.ip(), 80, 80), pod.ip());
  EXPECT_EQ(SourceSeen(pod.ns(), peer.ns(), kTcp, peer.ip6(), 80, 80), pod.ip6());
}

TEST_F(Masquerade, EndsWithTheContainerOrWithGc) {
  const std::vector<Cidr> a = {*Cidr::Parse("10.1.0.2/24"), *Cidr::Parse("fd00::2/64")};
  const std::vector<Cidr> b = {*Cidr::Parse("10.1.0.3/16")};
  ASSERT_TRUE(MasqueradeAdd("klnet", "a", "eth0", a).ok());
  ASSERT_TRUE(MasqueradeAdd("klnet", "a", "eth0", a).ok());
  ASSERT_TRUE(MasqueradeAdd("klnet", "b", "eth0", b).ok());
  EXPECT_EQ(ElementsOf("a"), 8);  // four, and as many entries in the owners' book
  ASSERT_TRUE(MasqueradeDel("klnet", "a", "eth0").ok());
  ASSERT_TRUE(MasqueradeDel("klnet", "a", "eth0").ok());
  EXPECT_EQ(ElementsOf("a"), 0);
  ASSERT_TRUE(MasqueradeGc("klother", {}).ok());
  EXPECT_EQ(ElementsOf("b"), 4);
  const std::vector<Attachment> valid = {{"b", "eth0"}};
  ASSERT_TRUE(MasqueradeGc("klnet", valid).ok());
  EXPECT_EQ(ElementsOf("b"), 4);
  ASSERT_TRUE(MasqueradeGc("klnet", {}).ok());
  EXPECT_EQ(ElementsOf("b"), 0);
}

TEST_F(Masquerade, AnAddressReusedBelongsToTheNewContainer) {
  NEEDS_TOOLS();
  const std::vector<Cidr> address = {*Cidr::Parse("10.1.0.2/24")};
  ASSERT_TRUE(MasqueradeAdd("klnet", "old", "eth0", address).ok());
  ASSERT_TRUE(MasqueradeAdd("klnet", "new", "eth0", address).ok());
  ASSERT_TRUE(MasqueradeDel("klnet", "old", "eth0").ok());
  EXPECT_NE(Ruleset().find("elements = { 10.1.0.2 comment \"new eth0 klnet\" }"),
            std::string::npos);
}

}  // namespace
}  // namespace keelson::cni::testing
