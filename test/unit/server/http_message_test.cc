// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/http_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace keelson::kubelet {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(ParseTarget, PathAndQueryAreDecoded) {
  HttpRequest request;
  ASSERT_TRUE(ParseTarget("/a%20b/c?x=1+2&y=%2F&flag&&z=a=b", &request).ok());
  EXPECT_EQ(request.path, "/a b/c");
  EXPECT_THAT(request.query,
              ElementsAre(Pair("x", "1 2"), Pair("y", "/"), Pair("flag", ""), Pair("z", "a=b")));
  EXPECT_EQ(request.QueryValue("y"), "/");
  EXPECT_EQ(request.QueryValue("none"), std::nullopt);
}

TEST(ParseTarget, NonsenseIsRefused) {
  for (const char* target : {"", "*", "http://x/", "/%", "/%4", "/%zz", "/a%00b", "/?%"}) {
    HttpRequest request;
    EXPECT_FALSE(ParseTarget(target, &request).ok()) << target;
  }
}

TEST(MatchPattern, NamesTakeOneSegmentEach) {
  auto match = MatchPattern("/pods/{ns}/{name}", "/pods/default/web");
  ASSERT_TRUE(match.has_value());
  EXPECT_THAT(*match, ElementsAre(Pair("name", "web"), Pair("ns", "default")));
  EXPECT_FALSE(MatchPattern("/pods/{ns}/{name}", "/pods/default"));
  EXPECT_FALSE(MatchPattern("/pods/{ns}/{name}", "/pods/default/web/more"));
  EXPECT_FALSE(MatchPattern("/pods/{ns}/{name}", "/pods//web"));
  EXPECT_TRUE(MatchPattern("/pods", "/pods"));
  EXPECT_FALSE(MatchPattern("/pods", "/podsy"));
}

}  // namespace
}  // namespace keelson::kubelet
