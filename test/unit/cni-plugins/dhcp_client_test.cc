// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/ipam/dhcp_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <random>

#include "cni-plugins/ipam/dhcp_conf.h"
#include "cni-plugins/lib/os.h"

namespace keelson::cni::dhcp {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;

std::string Number(uint32_t v) {
  v = htonl(v);
  return {reinterpret_cast<const char*>(&v), 4};
}
std::string Raw(const std::string& ip) {
  const Ip parsed = *Ip::Parse(ip);
  return {reinterpret_cast<const char*>(parsed.data()), 4};
}

TEST(DhcpPacket, SurvivesTheRoundTrip) {
  Packet p;
  p.reply = true;
  p.xid = 0x12345678;
  p.broadcast = true;
  p.client = *Ip::Parse("10.0.0.1");
  p.yours = *Ip::Parse("10.0.0.2");
  p.mac = *Mac::Parse("02:01:02:03:04:05");
  p.options = {{kMessageType, "\x05"}, {kHostName, std::string(300, 'h')}};  // RFC 3396: two parts
  const std::string bytes = Encode(p);
  const std::optional<Packet> q = Decode(bytes);
  ASSERT_TRUE(q);
  EXPECT_EQ(q->xid, p.xid);
  EXPECT_TRUE(q->reply && q->broadcast);
  EXPECT_EQ(q->client, p.client);
  EXPECT_EQ(q->yours, p.yours);
  EXPECT_EQ(q->mac, p.mac);
  EXPECT_EQ(q->options, p.options);
}

TEST(DhcpPacket, DatagramsAreUnwrappedAndStrangersIgnored) {
  std::string d = BroadcastDatagram("payload!");
  EXPECT_FALSE(PayloadForClient(d));  // it is for the server
  d[23] = 68;
  EXPECT_EQ(PayloadForClient(d), "payload!");
  for (size_t n = 0; n < d.size(); ++n) EXPECT_FALSE(PayloadForClient(d.substr(0, n))) << n;
  std::string fragment = d;
  fragment[7] = 1;
  EXPECT_FALSE(PayloadForClient(fragment));
  std::string tcp = d;
  tcp[9] = 6;
  EXPECT_FALSE(PayloadForClient(tcp));
}

TEST(DhcpPacket, NoBytesFromTheNetworkDoHarm) {
  std::mt19937 random(1);
  const std::string good =
      Encode({true, 1, false, {}, {}, {}, {{kMessageType, "\x02"}, {kOverload, "\x03"}}});
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = good.substr(0, random() % (good.size() + 1));
    for (int k = random() % 8; k > 0 && !bytes.empty(); --k) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    if (const auto p = Decode(bytes)) (void)RoutesOf(*p);
    (void)PayloadForClient(bytes);
  }
}

TEST(DhcpPacket, ClasslessRoutesGoBeforeStaticOnesAndTheRouter) {
  Packet ack;
  ack.options[kRouters] = Raw("10.0.0.1");
  ack.options[kStaticRoutes] = Raw("172.16.0.0") + Raw("10.0.0.2");
  std::vector<Route> routes = RoutesOf(ack);
  ASSERT_EQ(routes.size(), 2u);
  EXPECT_EQ(routes[0].dst.ToString(), "172.16.0.0/16");
  EXPECT_EQ(routes[1].dst.ToString(), "0.0.0.0/0");
  ack.options[kClasslessRoutes] = "\x18\x0a\x02\x03"s + Raw("10.0.0.3") + "\0"s + Raw("10.0.0.4") +
                                  "\x20"s + Raw("10.9.9.9") + Raw("0.0.0.0");
  routes = RoutesOf(ack);
  ASSERT_EQ(routes.size(), 3u);
  EXPECT_EQ(routes[0].dst.ToString(), "10.2.3.0/24");
  EXPECT_EQ(routes[1].dst.ToString(), "0.0.0.0/0");
  EXPECT_EQ(routes[2].scope, 253);          // on the link
  ack.options[kClasslessRoutes] = "\x21"s;  // nonsense: as if it were not there
  EXPECT_EQ(RoutesOf(ack).size(), 2u);
}

class ClientTest : public ::testing::Test {
 protected:
  using State = Client::State;
  void SetUp() override { Take(client_.Start(now_)); }

  void Advance(std::chrono::milliseconds by) {
    const Clock::time_point end = now_ + by;
    while (client_.deadline() && *client_.deadline() <= end) {
      now_ = *client_.deadline();
      Take(client_.OnTime(now_));
    }
    now_ = end;
  }
  void Answer(MessageType type, std::map<uint8_t, std::string> options = {},
              const std::string& address = "10.0.0.9", uint32_t xid = 77) {
    Packet p;
    p.reply = true;
    p.xid = xid;
    p.mac = mac_;
    if (type != MessageType::kNak) p.yours = *Ip::Parse(address);
    p.options = std::move(options);
    p.options.try_emplace(kServerId, Raw("10.0.0.1"));
    p.options[kMessageType] = std::string(1, static_cast<char>(type));
    Take(client_.OnPacket(p, now_));
  }
  void Bind(uint32_t lease = 1000) {
    Answer(MessageType::kOffer);
    Answer(MessageType::kAck, {{kLeaseTime, Number(lease)}});
    ASSERT_EQ(client_.state(), State::kBound);
    sent_.clear();
  }
  void Take(std::vector<Outgoing> out) {
    for (Outgoing& o : out) sent_.push_back(std::move(o));
  }
  MessageType Last() const { return *sent_.back().packet.type(); }

  const Mac mac_ = *Mac::Parse("02:00:00:00:00:01");
  Clock::time_point now_{std::chrono::hours(5)};
  Client client_{{.client_id = "c/n/eth0",
                  .mac = mac_,
                  .broadcast = false,
                  .provide = {},
                  .request = {1, 3},
                  .resend_max = 8s,
                  .give_up_after = 60s},
                 77};
  std::vector<Outgoing> sent_;
};

TEST_F(ClientTest, TakesTheFirstOfferAndBinds) {
  EXPECT_EQ(Last(), MessageType::kDiscover);
  EXPECT_EQ(sent_.back().packet.options.at(kClientId), "\0c/n/eth0"s);
  Answer(MessageType::kOffer);
  EXPECT_EQ(Last(), MessageType::kRequest);
  EXPECT_EQ(sent_.back().packet.options.at(kRequestedIp), Raw("10.0.0.9"));
  EXPECT_EQ(sent_.back().packet.options.at(kServerId), Raw("10.0.0.1"));
  Answer(MessageType::kOffer);  // another server, too late
  Answer(MessageType::kAck);
  EXPECT_EQ(client_.state(), State::kBound);
  EXPECT_EQ(sent_.size(), 2u);
  EXPECT_FALSE(client_.talking());
}

TEST_F(ClientTest, IgnoresAnswersToOthers) {
  Answer(MessageType::kOffer, {}, "10.0.0.9", 78);
  Answer(MessageType::kAck);
  Answer(MessageType::kOffer, {{kServerId, ""}});
  Answer(MessageType::kOffer, {}, "0.0.0.0");
  EXPECT_EQ(client_.state(), State::kSelecting);
}

TEST_F(ClientTest, RepeatsWithGrowingPausesThenGivesUp) {
  Advance(15s);
  EXPECT_EQ(sent_.size(), 5u);  // at 0, 1, 3, 7, 15
  Advance(16s);
  EXPECT_EQ(sent_.size(), 7u);  // every 8 seconds from here
  Advance(60s);
  EXPECT_EQ(client_.state(), State::kFailed);
  EXPECT_FALSE(client_.deadline());
}

TEST_F(ClientTest, ARefusedRequestStartsOver) {
  Answer(MessageType::kOffer);
  Answer(MessageType::kNak);
  EXPECT_EQ(client_.state(), State::kSelecting);
  EXPECT_EQ(Last(), MessageType::kDiscover);
}

TEST_F(ClientTest, RenewsAtHalfTimeFromItsServer) {
  Bind();
  Advance(499s);
  EXPECT_TRUE(sent_.empty());
  Advance(1s);
  ASSERT_EQ(sent_.size(), 1u);
  EXPECT_EQ(client_.state(), State::kRenewing);
  EXPECT_EQ(sent_[0].server->ToString(), "10.0.0.1");
  EXPECT_EQ(sent_[0].packet.client.ToString(), "10.0.0.9");
  EXPECT_FALSE(sent_[0].packet.options.contains(kRequestedIp));
  Answer(MessageType::kAck, {{kLeaseTime, Number(1000)}});
  EXPECT_EQ(client_.state(), State::kBound);
  EXPECT_EQ(*client_.deadline(), now_ + 500s);
}

TEST_F(ClientTest, AsksEverybodyThenLosesTheLease) {
  Bind();
  Advance(850s);
  EXPECT_EQ(client_.state(), State::kRebinding);
  EXPECT_FALSE(sent_.back().server);
  Advance(149s);
  EXPECT_TRUE(client_.has_lease());
  Advance(1s);
  EXPECT_EQ(client_.state(), State::kLost);
  EXPECT_FALSE(client_.has_lease());
  EXPECT_FALSE(client_.deadline());
}

TEST_F(ClientTest, ANakOrAnotherAddressDoesNotMoveTheContainer) {
  Bind();
  Advance(500s);
  Answer(MessageType::kAck, {}, "10.0.0.10");
  EXPECT_EQ(client_.state(), State::kRenewing);
  Answer(MessageType::kNak);
  EXPECT_EQ(client_.state(), State::kLost);
}

TEST_F(ClientTest, StrangeTimesDoNotMakeItSpinOrSleepForEver) {
  Answer(MessageType::kOffer);
  Answer(MessageType::kAck, {{kLeaseTime, Number(0)}, {kRenewalTime, Number(99)}});
  EXPECT_GE(*client_.deadline(), now_ + 1s);
  Advance(5s);
  EXPECT_EQ(client_.state(), State::kLost);
}

TEST_F(ClientTest, AnEndlessLeaseIsKept) {
  Bind(0xffffffff);
  Advance(std::chrono::hours(24 * 365));
  EXPECT_EQ(client_.state(), State::kBound);
}

TEST_F(ClientTest, ReleaseNamesTheServerAndTheAddress) {
  Bind();
  const Outgoing out = client_.Release();
  EXPECT_EQ(out.packet.type(), MessageType::kRelease);
  EXPECT_EQ(out.packet.client.ToString(), "10.0.0.9");
  EXPECT_EQ(out.server->ToString(), "10.0.0.1");
  EXPECT_EQ(out.packet.options.at(kServerId), Raw("10.0.0.1"));
}

// systemd makes the socket that the plugin looks for, and starts the daemon that takes it over.
TEST(DhcpUnits, FitThePlugin) {
  const std::string units = KEELSON_SOURCE_DIR "/packaging/systemd/cni-dhcp.";
  const std::string socket = *ReadFile(units + "socket"), service = *ReadFile(units + "service");
  EXPECT_NE(socket.find("\nListenStream=" + Conf().socket_path + "\n"), std::string::npos);
  EXPECT_NE(socket.find("\nSocketMode=0600\n"), std::string::npos);
  EXPECT_NE(service.find("\nRequires=cni-dhcp.socket\n"), std::string::npos);
  EXPECT_NE(service.find("/dhcp daemon\n"), std::string::npos);
}

}  // namespace
}  // namespace keelson::cni::dhcp
