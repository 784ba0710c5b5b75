// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <cstring>

#include "cni-plugins/lib/nft.h"
#include "cni-plugins/lib/sha512.h"
#include "cni-plugins/meta/shaper.h"

namespace keelson::cni::nft {
namespace {

using namespace std::string_literals;

struct Message {
  nlmsghdr head;
  nfgenmsg gen;
  std::string body;
};

std::vector<Message> Split(std::string bytes) {
  std::vector<Message> messages;
  while (bytes.size() >= sizeof(nlmsghdr) + sizeof(nfgenmsg)) {
    Message m;
    std::memcpy(&m.head, bytes.data(), sizeof m.head);
    std::memcpy(&m.gen, bytes.data() + sizeof m.head, sizeof m.gen);
    EXPECT_EQ(m.head.nlmsg_len % 4, 0u);
    m.body = bytes.substr(20, m.head.nlmsg_len - 20);
    bytes.erase(0, m.head.nlmsg_len);
    messages.push_back(std::move(m));
  }
  EXPECT_TRUE(bytes.empty());
  return messages;
}

TEST(Batch, IsFramedAndNumbered) {
  Batch batch(NFPROTO_INET, "t", 7);
  batch.AddTable("comment", /*exclusive=*/true);
  batch.AddElement({"s", "key1", "", ""});
  batch.DeleteElement("s", "key2");
  EXPECT_EQ(batch.What(2), "add element to s (table t)");
  EXPECT_EQ(batch.What(9), "commit to table t");
  const auto messages = Split(batch.Finish());
  ASSERT_EQ(messages.size(), 5u);
  EXPECT_EQ(messages[0].head.nlmsg_type, NFNL_MSG_BATCH_BEGIN);
  EXPECT_EQ(messages[0].body, "\x08\0\x01\0\0\0\0\x07"s);  // NFNL_BATCH_GENID
  EXPECT_EQ(messages[1].head.nlmsg_type, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE);
  EXPECT_EQ(messages[1].head.nlmsg_flags, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL);
  EXPECT_EQ(messages[1].gen.nfgen_family, NFPROTO_INET);
  for (uint32_t i = 1; i < 4; ++i) EXPECT_EQ(messages[i].head.nlmsg_seq, i);
  EXPECT_EQ(messages[4].head.nlmsg_type, NFNL_MSG_BATCH_END);
}

TEST(Batch, WithoutAGenerationAcceptsAny) {
  Batch batch(NFPROTO_INET, "t");
  EXPECT_TRUE(batch.empty());
  EXPECT_EQ(Split(batch.Finish())[0].body, "");
}

TEST(Exprs, AreNestedNamesAndData) {
  Exprs e;
  e.Meta(NFT_META_L4PROTO, 1);
  const std::string want = "\x24\0\x01\x80"s +            // NFTA_LIST_ELEM, nested
                           "\x09\0\x01\0meta\0\0\0\0"s +  // NFTA_EXPR_NAME
                           "\x14\0\x02\x80"s +            // NFTA_EXPR_DATA, nested
                           "\x08\0\x02\0\0\0\0\x10"s +
                           "\x08\0\x01\0\0\0\0\x09"s;  // key 16, register NFT_REG32_01
  std::string got = e.bytes();
  ASSERT_EQ(got.size(), want.size());
  // The two attributes inside may come in either order.
  EXPECT_EQ(got.substr(0, 20), want.substr(0, 20));
  EXPECT_NE(got.find("\x08\0\x02\0\0\0\0\x10"s), std::string::npos);
  EXPECT_NE(got.find("\x08\0\x01\0\0\0\0\x09"s), std::string::npos);
}

TEST(Exprs, OrClearsThenSets) {
  Exprs e;
  e.Or(0, 0x20);
  EXPECT_NE(e.bytes().find(HostU32(~0x20u)), std::string::npos);
  EXPECT_NE(e.bytes().find(HostU32(0x20)), std::string::npos);
}

TEST(Values, FillRegisters) {
  EXPECT_EQ(Port(0x1234), "\x12\x34\0\0"s);
  EXPECT_EQ(Proto(17), "\x11\0\0\0"s);
  EXPECT_EQ(Ifname("eth0").size(), 16u);
  EXPECT_EQ(Ifname("averyveryverylongname").size(), 16u);
  EXPECT_EQ(PrefixMask(0, 4), "\0\0\0\0"s);
  EXPECT_EQ(PrefixMask(20, 4), "\xff\xff\xf0\0"s);
  EXPECT_EQ(PrefixMask(32, 4), "\xff\xff\xff\xff"s);
  EXPECT_EQ(PrefixMask(65, 16), std::string(8, '\xff') + "\x80" + std::string(7, '\0'));
  using enum Type;
  EXPECT_EQ(Concat({kIp4, kProtocol, kPort}).size, 12u);
  EXPECT_EQ(Concat({kIp4, kProtocol, kPort}).id, 7u << 12 | 12u << 6 | 13u);
  EXPECT_EQ(Concat({kIfname, kEther}).size, 24u);
}

TEST(Userdata, IsReadBackAndSurvivesNonsense) {
  std::string user;
  PutUser(&user, 0, "comment\0"s);
  PutUser(&user, 0x6b, std::string(32, 'x'));
  EXPECT_EQ(FindUser(user, 0x6b), std::string(32, 'x'));
  EXPECT_EQ(FindUser(user, 5), std::nullopt);
  EXPECT_EQ(FindUser(user.substr(0, 20), 0x6b), std::nullopt);
  EXPECT_EQ(FindUser("\x01\xff", 1), std::nullopt);
  EXPECT_EQ(CommentText("a\"b\\c\nd\xff"), "a_b_c_d_");
  EXPECT_EQ(CommentText(std::string(500, 'a')).size(), 127u);
}

}  // namespace
}  // namespace keelson::cni::nft

namespace keelson::cni {
namespace {

TEST(Sha512, KnownAnswers) {  // FIPS 180-4 examples
  EXPECT_EQ(Sha512Hex("abc").substr(0, 32), "ddaf35a193617abacc417349ae204131");
  EXPECT_EQ(Sha512Hex("").substr(0, 32), "cf83e1357eefb8bdf1542850d66d8007");
  EXPECT_EQ(Sha512Hex(std::string(112, 'a')).size(), 128u);
}

TEST(Shaper, NumbersAreUpstreamsAndNeverOverflow) {
  const ShaperNumbers n = NumbersFor({8000000, 800000});
  EXPECT_EQ(n.bytes_per_second, 1000000u);
  EXPECT_EQ(n.burst_bytes, 100000u);
  EXPECT_EQ(n.burst_ticks, 1562500u);                      // 0.1 s in 64 ns
  EXPECT_EQ(n.queue_bytes, 25000u + 100000u);              // 25 ms and the burst
  const ShaperNumbers slow = NumbersFor({1, 2147483647});  // what the kubelet gives as "no limit"
  EXPECT_EQ(slow.bytes_per_second, 1u);
  EXPECT_EQ(slow.burst_ticks, UINT32_MAX);
  const ShaperNumbers fast = NumbersFor({uint64_t{1} << 60, uint64_t{1} << 60});
  EXPECT_EQ(fast.burst_bytes, UINT32_MAX);
  EXPECT_EQ(fast.queue_bytes, UINT32_MAX);
}

}  // namespace
}  // namespace keelson::cni
