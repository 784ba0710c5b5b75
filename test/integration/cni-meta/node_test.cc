// SPDX-License-Identifier: Apache-2.0
// The plugins and the rest of a node: what they need of it, and that they leave others' rules
// alone.

#include <elf.h>
#include <sys/mount.h>

#include <cstring>

#include "test/integration/cni-meta/meta_harness.h"

namespace keelson::cni::testing {
namespace {

class Node : public MetaTest {
 protected:
  static constexpr char kPorts[] =
      R"("runtimeConfig":{"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]})";
  // The chain of a well-equipped pod, after the bridge.
  static std::vector<std::string> Chained(const std::string& dir) {
    return {Conf("portmap", kPorts), Conf("firewall"),
            Conf("bandwidth", R"("ingressRate":8000000,"ingressBurst":8000000,)"
                              R"("egressRate":8000000,"egressBurst":8000000)"),
            Conf("tuning", R"("dataDir":")" + dir + R"(/tuning","mtu":1400)"), Conf("sbr")};
  }
  void ThereAndBack() {
    const Pod pod = AddPod("p", R"("ipMasq":true,"macspoofchk":true)");
    for (const std::string& conf : Chained(dir())) Chain("ADD", conf, pod);
    for (const std::string& conf : Chained(dir())) Chain("CHECK", conf, pod);
    for (const std::string& conf : Chained(dir())) Chain("DEL", conf, pod);
    Ok("DEL", Net(R"("ipMasq":true,"macspoofchk":true)"), *pod.container);
  }
};

TEST_F(Node, NeedsNoProgramOrLibraryOfTheSystem) {
  // The test's own mount namespace: /usr is empty now, and with it /bin, /sbin and /lib.
  ASSERT_EQ(::mount("klempty", "/usr", "tmpfs", 0, nullptr), 0) << std::strerror(errno);
  ThereAndBack();
  ASSERT_EQ(::umount2("/usr", MNT_DETACH), 0);
}

TEST_F(Node, RulesOfOthersStayAsTheyAre) {
  NEEDS_TOOLS();
  // Of iptables-nft, of kube-proxy's nftables mode and of firewalld, in miniature.
  ASSERT_EQ(Output("iptables-nft -t nat -A POSTROUTING -s 10.244.0.0/16 -j MASQUERADE && "
                   "iptables-nft -t nat -N KUBE-SERVICES && "
                   "iptables-nft -t nat -A PREROUTING -j KUBE-SERVICES && "
                   "iptables-nft -A FORWARD -m conntrack --ctstate INVALID -j DROP"),
            "");
  ASSERT_EQ(Output("nft 'add table ip kube-proxy; add map ip kube-proxy service-ips "
                   "{ type ipv4_addr . inet_proto . inet_service : verdict; }; "
                   "add chain ip kube-proxy nat-prerouting "
                   "{ type nat hook prerouting priority -100; }; "
                   "add rule ip kube-proxy nat-prerouting ip daddr . meta l4proto . th dport "
                   "vmap @service-ips; add table inet firewalld; add chain inet firewalld "
                   "filter_FORWARD { type filter hook forward priority 10; policy accept; }; "
                   "add rule inet firewalld filter_FORWARD ct state established accept'"),
            "");
  const auto theirs = [] {
    return Output(
        "iptables-nft-save -t nat | grep -v '^[#:]'; iptables-nft-save -t filter | "
        "grep -v '^[#:]'; nft -s list table ip kube-proxy; nft -s list table inet firewalld");
  };
  const std::string before = theirs();
  ASSERT_NE(before.find("KUBE-SERVICES"), std::string::npos) << before;
  ThereAndBack();
  EXPECT_EQ(theirs(), before);
  // And a port map works among them.
  Container& world = AddWorld();
  const Pod pod = AddPod("web");
  Chain("ADD", Conf("portmap", kPorts), pod);
  EXPECT_EQ(SourceSeen(&world.ns(), pod.ns(), kTcp, "192.0.2.1", 8080, 80), "192.0.2.2");
  EXPECT_EQ(SourceSeen(nullptr, pod.ns(), kTcp, "127.0.0.1", 8080, 80), "10.88.0.1");
}

// Whoever lists the rules sees whose they are.
TEST_F(Node, EveryRuleNamesItsNetworkAndContainer) {
  NEEDS_TOOLS();
  const Pod pod = AddPod("pod-1", R"("ipMasq":true,"macspoofchk":true)");
  Chain("ADD", Conf("portmap", kPorts), pod);
  Chain("ADD", Conf("firewall"), pod);
  for (const char* table : {"inet keelson_hostport", "inet keelson_masquerade",
                            "inet keelson_firewall", "bridge keelson_macspoofchk"}) {
    const std::string text = Output(std::string("nft list table ") + table);
    EXPECT_NE(text.find("pod-1 eth0 klnet"), std::string::npos) << text;
  }
}

TEST_F(Node, EveryPluginSaysWhatItIs) {
  for (const PluginEntry& entry : AllPlugins()) {
    const std::string name(entry.name);
    const Outcome version = Running({name, "VERSION", R"({"cniVersion":"1.1.0"})", "", ""}).Wait();
    EXPECT_EQ(version.exit_code, 0) << name;
    EXPECT_EQ(version.json().Find("cniVersion")->text(), "1.1.0") << version.out;
    EXPECT_EQ(version.json().Find("supportedVersions")->items().size(), 7u) << version.out;
    const Outcome about = Running({name, "", "", "", ""}).Wait();
    EXPECT_EQ(about.exit_code, 0) << name;
    EXPECT_EQ(about.out, "") << name;
    EXPECT_EQ(about.err.find("CNI " + name + " plugin"), 0u) << about.err;
  }
}

// STATUS and GC came with 1.1.0, CHECK with 0.4.0.
TEST_F(Node, VerbsAreRefusedBeforeTheirTime) {
  const std::pair<const char*, const char*> cases[] = {
      {"STATUS", "1.0.0"}, {"GC", "1.0.0"}, {"CHECK", "0.3.1"}};
  for (const auto& [verb, version] : cases) {
    const Outcome o =
        Running({"bridge", verb, std::string(R"({"cniVersion":")") + version + R"(","name":"n"})",
                 "c", "/no/such"})
            .Wait();
    EXPECT_EQ(o.code(), 1) << verb << o.out;
  }
}

#ifdef NDEBUG
TEST_F(Node, TheBinaryIsStaticAndSmall) {
  const Or<std::string> file = ReadFile(KeelsonDir() + "/bridge", 64 << 20);
  ASSERT_TRUE(file.ok());
  Elf64_Ehdr head;
  std::memcpy(&head, file->data(), sizeof head);
  uint64_t loaded = 0;
  for (int i = 0; i < head.e_phnum; ++i) {
    Elf64_Phdr part;
    std::memcpy(&part, file->data() + head.e_phoff + i * sizeof part, sizeof part);
    EXPECT_NE(part.p_type, static_cast<uint32_t>(PT_INTERP)) << "wants a dynamic loader";
    if (part.p_type == PT_LOAD) loaded += part.p_filesz;
  }
  EXPECT_LT(loaded, 2u << 20);  // what is left once debug information is stripped
}
#endif

}  // namespace
}  // namespace keelson::cni::testing
