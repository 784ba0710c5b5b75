// SPDX-License-Identifier: Apache-2.0
// A refused configuration leaves nothing behind: no rule, no device, no file.

#include <filesystem>

#include "test/integration/cni-meta/meta_harness.h"
#include "test/unit/cni-plugins/ipam_and_meta_bad_configs.h"

namespace keelson::cni::testing {
namespace {

class BadIpamAndMeta : public MetaTest {};

TEST_F(BadIpamAndMeta, LeaveNoState) {
  NEEDS_TOOLS();
  Container& c = AddContainer("c");
  const std::vector<std::string> links = HostLinks();
  const bool had_leases = std::filesystem::exists("/var/lib/cni/networks/klbad");
  for (const BadConfig& bad : kBadIpamAndMeta) {
    Call call;
    call.plugin = bad.plugin;
    call.command = "ADD";
    call.conf = FullConfig(bad);
    call.container_id = c.id();
    call.netns = c.path();
    const Outcome o = Running(call).Wait();
    EXPECT_EQ(o.exit_code, 1) << bad.plugin << " " << bad.conf;
    EXPECT_EQ(o.code(), bad.code) << o.out;
    EXPECT_EQ(o.msg().find(bad.names), 0u) << o.out;
  }
  EXPECT_EQ(Ruleset(), "");
  EXPECT_EQ(HostLinks(), links);
  EXPECT_EQ(std::filesystem::exists("/var/lib/cni/networks/klbad"), had_leases);
  EXPECT_FALSE(std::filesystem::exists("/run/cni/tuning/c_eth0.json"));
}

// Without prevResult a chained plugin has nothing to work on, and says so.
TEST_F(BadIpamAndMeta, ChainedPluginsNeedAPreviousResult) {
  NEEDS_TOOLS();
  Container& c = AddContainer("c");
  const std::string limits = R"("ingressRate":1000,"ingressBurst":1000)";
  const std::pair<std::string, std::string> plugins[] = {
      {"portmap",
       R"("runtimeConfig":{"portMappings":[{"hostPort":1,"containerPort":1,"protocol":"tcp"}]})"},
      {"bandwidth", limits},
      {"firewall", ""},
      {"tuning", R"("mtu":1400)"},
      {"sbr", ""},
      {"vrf", R"("vrfname":"blue")"}};
  for (const auto& [plugin, more] : plugins) {
    const Outcome o = Do("ADD", Conf(plugin, more), c);
    EXPECT_EQ(o.code(), 7) << plugin << o.out;
    EXPECT_EQ(o.msg().find("prevResult"), 0u) << o.out;
  }
  EXPECT_EQ(Ruleset(), "");
}

TEST_F(BadIpamAndMeta, AMissingNamespaceIsAnErrorForAddAndFineForDel) {
  const Pod pod = AddPod("p");
  pod.container->Vanish();
  const std::pair<std::string, std::string> plugins[] = {
      {"portmap",
       R"("runtimeConfig":{"portMappings":[{"hostPort":1,"containerPort":1,"protocol":"tcp"}]})"},
      {"bandwidth", R"("egressRate":1000,"egressBurst":1000)"},
      {"firewall", ""},
      {"tuning", R"("mtu":1400)"},
      {"sbr", ""},
      {"vrf", R"("vrfname":"blue")"}};
  for (const auto& [plugin, more] : plugins) {
    EXPECT_EQ(Do("DEL", Conf(plugin, more), *pod.container).exit_code, 0) << plugin;
    EXPECT_EQ(Do("DEL", WithPrev(Conf(plugin, more), pod.result), *pod.container).exit_code, 0)
        << plugin;
  }
  for (const char* plugin : {"bandwidth", "tuning", "sbr", "vrf"}) {
    const std::string more = plugin == std::string("vrf") ? R"("vrfname":"blue")"
                             : plugin == std::string("bandwidth")
                                 ? R"("egressRate":1000,"egressBurst":1000)"
                                 : R"("mtu":1400)";
    const Outcome o = Do("ADD", WithPrev(Conf(plugin, more), pod.result), *pod.container);
    EXPECT_EQ(o.exit_code, 1) << plugin;
  }
}

}  // namespace
}  // namespace keelson::cni::testing
