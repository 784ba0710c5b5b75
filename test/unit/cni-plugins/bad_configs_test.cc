// SPDX-License-Identifier: Apache-2.0
#include "test/unit/cni-plugins/bad_configs.h"

#include <gtest/gtest.h>

#include "cni-plugins/lib/skel.h"

namespace keelson::cni {
namespace {

// The namespace does not exist: were the configuration not refused first, the error would say so.
TEST(BadConfigs, GiveTheSpecificationsCodeAndNameTheField) {
  EXPECT_GE(BadConfigs().size(), 40u);
  for (const BadConfig& bad : BadConfigs()) {
    const auto env = [](const char* name) -> std::string {
      const std::string_view n = name;
      if (n == "CNI_COMMAND") return "ADD";
      if (n == "CNI_CONTAINERID") return "c";
      if (n == "CNI_IFNAME") return "eth0";
      return n == "CNI_NETNS" || n == "CNI_PATH" ? "/no/such/place" : "";
    };
    const Answer answer =
        Serve(*FindPlugin(bad.plugin), env, [&]() -> Or<std::string> { return FullConfig(bad); });
    const std::string where = std::string(bad.plugin) + " " + bad.conf + "\n" + answer.out;
    ASSERT_EQ(answer.exit_code, 1) << where;
    const Json json = *Json::Parse(answer.out);
    EXPECT_EQ(json.Find("code")->text(), std::to_string(bad.code)) << where;
    const std::string& message = json.Find("msg")->text();
    EXPECT_EQ(message.find(bad.names), 0u) << where;
  }
}

}  // namespace
}  // namespace keelson::cni
