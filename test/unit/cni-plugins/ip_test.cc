// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/lib/ip.h"

#include <gtest/gtest.h>

namespace keelson::cni {
namespace {

Ip I(std::string_view text) { return *Ip::Parse(text); }

TEST(Ip, ReadsAndWritesBothFamilies) {
  for (const char* text :
       {"0.0.0.0", "10.1.2.3", "255.255.255.255", "::", "fd00::1", "2001:db8::5:0:1"}) {
    ASSERT_TRUE(Ip::Parse(text).ok()) << text;
    EXPECT_EQ(I(text).ToString(), text);
  }
  EXPECT_EQ(I("::ffff:10.0.0.1").ToString(), "10.0.0.1");
  for (const char* text : {"", "1.2.3", "1.2.3.256", "01.2.3.4", "g::", "1.2.3.4 ", "10.0.0.1/8"}) {
    EXPECT_FALSE(Ip::Parse(text).ok()) << text;
  }
}

TEST(Ip, CountsAcrossByteBoundaries) {
  EXPECT_EQ(I("10.0.0.255").Next(), I("10.0.1.0"));
  EXPECT_EQ(I("10.0.1.0").Prev(), I("10.0.0.255"));
  EXPECT_EQ(I("255.255.255.255").Next(), I("0.0.0.0"));
  EXPECT_EQ(I("fd00::ffff:ffff:ffff:ffff").Next(), I("fd00:0:0:1::"));
  EXPECT_EQ(I("::").Plus(0x1'0000'0001ull), I("::1:0:1"));
}

TEST(Ip, MasksAndOrders) {
  EXPECT_EQ(I("10.1.255.7").Masked(17), I("10.1.128.0"));
  EXPECT_EQ(I("10.1.2.3").Broadcast(22), I("10.1.3.255"));
  EXPECT_EQ(I("fd00:1:2:3::9").Masked(48), I("fd00:1:2::"));
  EXPECT_LT(I("9.9.9.9"), I("10.0.0.0"));
  EXPECT_LT(I("255.0.0.0"), I("::"));
}

TEST(Cidr, KeepsHostBits) {
  const Cidr c = *Cidr::Parse("10.1.2.3/16");
  EXPECT_EQ(c.ToString(), "10.1.2.3/16");
  EXPECT_EQ(c.Network(), I("10.1.0.0"));
  EXPECT_TRUE(c.Contains(I("10.1.255.255")));
  EXPECT_FALSE(c.Contains(I("10.2.0.0")));
  EXPECT_FALSE(c.Contains(I("::")));
}

TEST(Cidr, RefusesWhatIsNotOne) {
  for (const char* text : {"", "10.0.0.1", "10.0.0.1/", "10.0.0.1/33", "10.0.0.1/-1", "10.0.0.1/+8",
                           "10.0.0.1/8x", "::/129", "/8", "10.0.0.1/0008", "a/b"}) {
    EXPECT_FALSE(Cidr::Parse(text).ok()) << text;
  }
  EXPECT_EQ(Cidr::Parse("::ffff:10.0.0.0/104")->ToString(), "10.0.0.0/8");
}

TEST(Mac, ReadsAndWrites) {
  EXPECT_EQ(Mac::Parse("C2:b0:57:49:47:f1")->ToString(), "c2:b0:57:49:47:f1");
  EXPECT_EQ(Mac::Parse("c2-b0-57-49-47-f1")->ToString(), "c2:b0:57:49:47:f1");
  for (const char* text :
       {"", "c2:b0:57:49:47", "c2:b0:57:49:47:f1:00", "c2:b0:57:49:47:g1", "c2b057:49:47:f1:0"}) {
    EXPECT_FALSE(Mac::Parse(text).ok()) << text;
  }
}

}  // namespace
}  // namespace keelson::cni
