// SPDX-License-Identifier: Apache-2.0
// Bad input leaves nothing: no device, no lease, no rule.

#include "test/integration/cni/harness.h"
#include "test/unit/cni-plugins/bad_configs.h"

namespace keelson::cni::testing {
namespace {

class BadInput : public CniTest {
 protected:
  std::string State(const Container& c) {
    std::string all;
    for (const std::string& name : HostLinks()) all += name + " ";
    for (const Link& l : *c.rtnl().Links()) all += "c:" + l.name + " ";
    for (const std::string& file : *ListDir(dir())) all += "f:" + file + " ";
    for (const char* file : {"/proc/net/ip_tables_names", "/proc/sys/net/ipv4/ip_forward"}) {
      Or<std::string> text = ReadFile(file);
      if (text.ok()) all += *text;
    }
    return all;
  }
};

TEST_F(BadInput, ConfigurationsGiveTheirCodeAndLeaveNothing) {
  Container& c = AddContainer("c");
  const std::string before = State(c);
  for (const BadConfig& bad : BadConfigs()) {
    const Outcome o = Running({bad.plugin, "ADD", FullConfig(bad), "c", c.path()}).Wait();
    EXPECT_EQ(o.exit_code, 1) << bad.plugin << " " << bad.conf;
    EXPECT_EQ(o.code(), bad.code) << bad.plugin << " " << bad.conf << o.out;
    EXPECT_EQ(o.msg().find(bad.names), 0u) << bad.conf << o.out;
    EXPECT_EQ(State(c), before) << bad.plugin << " " << bad.conf;
  }
}

TEST_F(BadInput, EnvironmentsGiveCodeFourAndNameTheVariable) {
  Container& c = AddContainer("c");
  const std::string before = State(c);
  const std::string conf = R"({"cniVersion":"1.0.0","name":"n","type":"bridge","ipam":)" +
                           HostLocal("10.5.0.0/24") + "}";
  const struct {
    Call call;
    const char* names;
  } kCases[] = {
      {{"bridge", "ADD", conf, "", c.path()}, "CNI_CONTAINERID"},
      {{"bridge", "ADD", conf, "../../x", c.path()}, "CNI_CONTAINERID"},
      {{"bridge", "ADD", conf, "c", ""}, "CNI_NETNS"},
      {{"bridge", "ADD", conf, "c", "/no/such"}, "CNI_NETNS"},
      {{"bridge", "ADD", conf, "c", dir()}, "CNI_NETNS"},
      {{"bridge", "ADD", conf, "c", "/proc/self/ns/mnt"}, "CNI_NETNS"},
      {{"bridge", "ADD", conf, "c", c.path(), "with/slash"}, "CNI_IFNAME"},
      {{"bridge", "ADD", conf, "c", c.path(), "muchmuchtoolongname"}, "CNI_IFNAME"},
      {{"bridge", "ADD", conf, "c", c.path(), "lo"}, "CNI_IFNAME"},
      {{"bridge", "EAT", conf, "c", c.path()}, "CNI_COMMAND"},
      {{"loopback", "ADD", conf, "c", "/no/such"}, "CNI_NETNS"},
      {{"host-local", "ADD", conf, "", c.path()}, "CNI_CONTAINERID"},
  };
  for (const auto& t : kCases) {
    const Outcome o = Running(t.call).Wait();
    EXPECT_EQ(o.exit_code, 1) << t.names;
    EXPECT_EQ(o.code(), 4) << t.names << o.out;
    EXPECT_NE(o.msg().find(t.names), std::string::npos) << o.out;
    EXPECT_EQ(State(c), before) << t.names << o.out;
  }
}

TEST_F(BadInput, TheHostsOwnNamespaceIsRefused) {
  const std::string conf = R"({"cniVersion":"1.0.0","name":"n","type":"loopback"})";
  const Outcome o = Running({"loopback", "DEL", conf, "c", "/proc/self/ns/net", "lo"}).Wait();
  EXPECT_EQ(o.code(), 8);
  EXPECT_TRUE(host().ByName("lo")->up());
}

}  // namespace
}  // namespace keelson::cni::testing
