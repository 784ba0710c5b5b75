// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <set>

#include "cni-plugins/ipam/lease_store.h"
#include "cni-plugins/ipam/ranges.h"
#include "cni-plugins/ipam/resolv_conf.h"

namespace keelson::cni {
namespace {

Or<std::vector<RangeSet>> Parse(const std::string& ipam) {
  const Json json = *Json::Parse(R"({"ipam":{)" + ipam + "}}");
  Status error;
  std::vector<RangeSet> sets = ParseRangeSets(Reader(json, &error));
  if (!error.ok()) return error;
  return sets;
}

std::string ErrorOf(const std::string& ipam) {
  const auto sets = Parse(ipam);
  return sets.ok() ? "(fine)" : sets.status().message();
}

TEST(Ranges, GatewayAndBoundsHaveUpstreamsDefaults) {
  const auto sets = *Parse(R"("ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"fd00::/120"}]])");
  ASSERT_EQ(sets.size(), 2u);
  EXPECT_EQ(sets[0].ToString(), "10.1.2.1-10.1.2.254");
  EXPECT_EQ(sets[0].ranges[0].gateway.ToString(), "10.1.2.1");
  EXPECT_EQ(sets[1].ToString(), "fd00::1-fd00::ff");  // no broadcast address in IPv6
}

TEST(Ranges, TheSingleRangeComesBeforeTheList) {
  const auto sets =
      *Parse(R"("subnet":"10.1.0.0/24","rangeStart":"10.1.0.9","rangeEnd":"10.1.0.11",)"
             R"("gateway":"10.1.0.254","ranges":[[{"subnet":"10.2.0.0/24"}]])");
  ASSERT_EQ(sets.size(), 2u);
  EXPECT_EQ(sets[0].ToString(), "10.1.0.9-10.1.0.11");
  EXPECT_EQ(sets[0].ranges[0].gateway.ToString(), "10.1.0.254");
}

TEST(Ranges, ErrorsNameTheField) {
  const struct {
    const char* ipam;
    const char* starts;
  } kCases[] = {
      {R"("type":"host-local")", "ipam.ranges: no IP ranges"},
      {R"("ranges":[[]])", "ipam.ranges[0]: empty"},
      {R"("ranges":[[{}]])", "ipam.ranges[0][0].subnet: missing"},
      {R"("ranges":[[{"subnet":"10.0.0/8"}]])", "ipam.ranges[0][0].subnet: \"10.0.0/8\""},
      {R"("ranges":[[{"subnet":"10.0.0.1/8"}]])",
       "ipam.ranges[0][0].subnet: network has host bits"},
      {R"("ranges":[[{"subnet":"10.0.0.0/31"}]])",
       "ipam.ranges[0][0].subnet: network 10.0.0.0/31 is too"},
      {R"("ranges":[[{"subnet":"10.0.0.0/24","rangeStart":"10.0.1.1"}]])",
       "ipam.ranges[0][0].rangeStart"},
      {R"("ranges":[[{"subnet":"10.0.0.0/24","rangeEnd":"x"}]])", "ipam.ranges[0][0].rangeEnd"},
      {R"("ranges":[[{"subnet":"10.0.0.0/24","rangeStart":"10.0.0.9","rangeEnd":"10.0.0.8"}]])",
       "ipam.ranges[0][0].rangeStart"},
      {R"("ranges":[[{"subnet":"10.0.0.0/24","gateway":"gw"}]])", "ipam.ranges[0][0].gateway"},
      {R"("ranges":[[{"subnet":"10.0.0.0/24"},{"subnet":"fd00::/64"}]])",
       "ipam.ranges[0][1]: mixed"},
      {R"("ranges":[[{"subnet":"10.0.0.0/24"},{"subnet":"10.0.0.0/25"}]])",
       "ipam.ranges[0][1]: ranges"},
      {R"("ranges":[[{"subnet":"10.0.0.0/24"}],[{"subnet":"10.0.0.0/16"}]])",
       "ipam.ranges[1]: overlaps"},
      {R"("ranges":{"subnet":"10.0.0.0/24"})", "ipam.ranges"},
      {R"("subnet":7)", "ipam.subnet"},
  };
  for (const auto& c : kCases) EXPECT_EQ(ErrorOf(c.ipam).find(c.starts), 0u) << ErrorOf(c.ipam);
}

class PickTest : public ::testing::Test {
 protected:
  std::string Next(const std::string& last = "") {
    std::optional<Ip> from;
    if (!last.empty()) from = *Ip::Parse(last);
    const auto pick = PickAddress(set_, from, [&](const Ip& ip) { return taken_.contains(ip); });
    return pick ? pick->ip.ToString() : "none";
  }
  RangeSet set_ = (*Parse(
      R"("ranges":[[{"subnet":"10.0.0.0/29"},{"subnet":"10.0.1.0/24","rangeStart":"10.0.1.9",)"
      R"("rangeEnd":"10.0.1.10"}]])"))[0];
  std::set<Ip> taken_;
};

TEST_F(PickTest, GoesRoundAllRangesPastTheGateway) {
  std::string at, order;
  for (int i = 0; i < 8; ++i) order += (at = Next(at)) + " ";
  EXPECT_EQ(order, "10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6 10.0.1.9 10.0.1.10 10.0.0.2 ");
}

TEST_F(PickTest, SkipsWhatIsTakenAndFindsTheLastFreeOne) {
  for (const char* ip : {"10.0.0.2", "10.0.0.3", "10.0.0.5", "10.0.0.6", "10.0.1.9", "10.0.1.10"}) {
    taken_.insert(*Ip::Parse(ip));
  }
  for (const char* last : {"", "10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.1.10", "192.0.2.1"}) {
    EXPECT_EQ(Next(last), "10.0.0.4") << last;
  }
  taken_.insert(*Ip::Parse("10.0.0.4"));
  EXPECT_EQ(Next(), "none");
  EXPECT_EQ(Next("10.0.0.4"), "none");
}

TEST_F(PickTest, TheEndOfTheAddressSpaceIsAnEnd) {
  set_ =
      (*Parse(R"("ranges":[[{"subnet":"255.255.255.252/30","rangeEnd":"255.255.255.255"}]])"))[0];
  EXPECT_EQ(Next("255.255.255.255"), "255.255.255.254");
  EXPECT_EQ(Next("255.255.255.254"), "255.255.255.255");
}

TEST(Lease, TornContentIsNoLease) {
  using namespace std::string_literals;
  EXPECT_EQ(ParseLease("abc\r\neth0"), (LeaseOwner{"abc", "eth0"}));
  EXPECT_EQ(ParseLease("abc\r\neth0\n"), (LeaseOwner{"abc", "eth0"}));
  EXPECT_EQ(ParseLease("abc"), (LeaseOwner{"abc", ""}));
  for (const std::string& torn :
       {""s, " "s, "abc\r"s, "abc\r\n"s, "\r\neth0"s, "ab\0\0"s, "\0\0"s}) {
    EXPECT_FALSE(ParseLease(torn)) << torn;
  }
}

TEST(ResolvConf, KeepsWhatAResultCanSay) {
  const Dns dns = ParseResolvConf(
      "# c\n;c\n\nnameserver 1.1.1.1\n  nameserver\t2.2.2.2  \nsearch a b\nsearch c\ndomain d\n"
      "options ndots:5 edns0\nsortlist x\nnameserver\n");
  EXPECT_EQ(dns.nameservers, (std::vector<std::string>{"1.1.1.1", "2.2.2.2"}));
  EXPECT_EQ(dns.search, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(dns.domain, "d");
  EXPECT_EQ(dns.options, (std::vector<std::string>{"ndots:5", "edns0"}));
}

}  // namespace
}  // namespace keelson::cni
