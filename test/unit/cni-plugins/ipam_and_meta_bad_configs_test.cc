// SPDX-License-Identifier: Apache-2.0
#include "test/unit/cni-plugins/ipam_and_meta_bad_configs.h"

#include <gtest/gtest.h>

#include "cni-plugins/lib/skel.h"

namespace keelson::cni {
namespace {

Answer Call(const BadConfig& bad, const std::string& command) {
  const auto env = [&](const char* name) -> std::string {
    const std::string_view n = name;
    if (n == "CNI_COMMAND") return command;
    if (n == "CNI_CONTAINERID") return "c";
    if (n == "CNI_IFNAME") return "eth0";
    return n == "CNI_NETNS" || n == "CNI_PATH" ? "/no/such/place" : "";
  };
  return Serve(*FindPlugin(bad.plugin), env, [&]() -> Or<std::string> { return FullConfig(bad); });
}

TEST(IpamAndMeta, BadConfigurationsAreRefusedByName) {
  for (const BadConfig& bad : kBadIpamAndMeta) {
    const Answer answer = Call(bad, "ADD");
    const std::string where = std::string(bad.plugin) + " " + bad.conf + "\n" + answer.out;
    ASSERT_EQ(answer.exit_code, 1) << where;
    const Json json = *Json::Parse(answer.out);
    EXPECT_EQ(json.Find("code")->text(), std::to_string(bad.code)) << where;
    EXPECT_EQ(json.Find("msg")->text().find(bad.names), 0u) << where;
  }
}

// What one pod asks for is not judged when it ends, or it never would.
TEST(IpamAndMeta, WishesAreNotJudgedAtTheEnd) {
  int wishes = 0;
  for (const BadConfig& bad : kBadIpamAndMeta) {
    const std::string_view names = bad.names;
    const bool wish =
        names.starts_with("runtimeConfig.") && !names.starts_with("runtimeConfig.ipR");
    if (!wish) continue;
    ++wishes;
    for (const char* command : {"DEL", "GC", "STATUS"}) {
      Request request;
      request.args.command = command;
      request.conf = *NetConf::Parse(FullConfig(bad));
      const Status s = FindPlugin(bad.plugin)->make()->Validate(request);
      EXPECT_TRUE(s.ok()) << command << " " << bad.plugin << " " << bad.conf << s.message();
    }
  }
  EXPECT_GE(wishes, 5);
}

}  // namespace
}  // namespace keelson::cni
