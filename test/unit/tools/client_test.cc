// SPDX-License-Identifier: Apache-2.0
#include "tools/nodectl/client.h"

#include <gtest/gtest.h>

#include "base/strings.h"

namespace keelson::nodectl {
namespace {

TEST(Client, TargetsAreEncoded) {
  EXPECT_EQ(Target("/pods/a b", {{"x", "1&2"}, {"y", "/ä"}}), "/pods/a%20b?x=1%262&y=%2F%C3%A4");
}

TEST(Client, MissingSocketSaysThatTheAgentDoesNotRunAndWhere) {
  auto body = Client("/tmp/kl-none/nodectl.sock").Get("/pods");
  EXPECT_TRUE(absl::IsUnavailable(body.status()));
  const std::string text(base::Message(body.status()));
  EXPECT_NE(text.find("agent is not running"), text.npos);
  EXPECT_NE(text.find("/tmp/kl-none/nodectl.sock"), text.npos);
  EXPECT_NE(text.find("--socket"), text.npos);
}

}  // namespace
}  // namespace keelson::nodectl
