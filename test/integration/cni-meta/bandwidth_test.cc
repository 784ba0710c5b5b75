// SPDX-License-Identifier: Apache-2.0
// bandwidth with real traffic, measured.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "test/integration/cni-meta/meta_harness.h"

namespace keelson::cni::testing {
namespace {

class Bandwidth : public MetaTest {
 protected:
  static constexpr double kBits = 16e6;
  static constexpr size_t kBurst = 20000;  // bytes
  static std::string Limits(const std::string& more = "") {
    return Conf("bandwidth", more + R"("runtimeConfig":{"bandwidth":{)"
                                    R"("ingressRate":16000000,"ingressBurst":160000,)"
                                    R"("egressRate":16000000,"egressBurst":160000}})");
  }
  // A sender that does not get the processor leaves rate unused, so up to three tries; no try may
  // be too fast.
  static void ExpectRate(const NetNs* from, const NetNs* to, const std::string& address) {
    double part = 0;
    for (int i = 0; i < 3 && part < 0.9; ++i) {
      part = Throughput(from, to, address, 2 * kBurst, 1.0) * 8 / kBits;
      EXPECT_LE(part, 1.1);
    }
    EXPECT_GE(part, 0.9);
  }
  bool HasIfb() {
    const std::vector<std::string> links = HostLinks();
    return std::ranges::any_of(links, [](const std::string& l) { return l.starts_with("bwp"); });
  }
};

TEST_F(Bandwidth, LimitsBothDirectionsToTheConfiguredRate) {
  const Pod pod = AddPod("slow");
  const Result out = Chain("ADD", Limits(), pod);
  ASSERT_EQ(out.interfaces.size(), pod.result.interfaces.size() + 1);
  EXPECT_TRUE(out.interfaces.back().name.starts_with("bwp"));
  ExpectRate(nullptr, pod.ns(), pod.ip());
  ExpectRate(pod.ns(), nullptr, "10.88.0.1");
  Chain("CHECK", Limits(), pod);
}

TEST_F(Bandwidth, LeavesUnshapedSubnetsAlone) {
  const Pod pod = AddPod("slow");
  const std::string conf = Limits(R"("unshapedSubnets":["10.88.0.1/32"],)");
  Chain("ADD", conf, pod);
  const Pod peer = AddPod("peer");
  ExpectRate(peer.ns(), pod.ns(), pod.ip());
  ExpectRate(pod.ns(), peer.ns(), peer.ip());
  EXPECT_GT(Throughput(nullptr, pod.ns(), pod.ip(), 2 * kBurst, 0.2) * 8, 3 * kBits);
  EXPECT_GT(Throughput(pod.ns(), nullptr, "10.88.0.1", 2 * kBurst, 0.2) * 8, 3 * kBits);
  Chain("CHECK", conf, pod);
}

TEST_F(Bandwidth, ShapesOnlyShapedSubnets) {
  const Pod pod = AddPod("slow");
  const std::string conf = Limits(R"("shapedSubnets":["10.88.0.1/32","fd00::/8"],)");
  Chain("ADD", conf, pod);
  const Pod peer = AddPod("peer");
  ExpectRate(nullptr, pod.ns(), pod.ip());
  EXPECT_GT(Throughput(peer.ns(), pod.ns(), pod.ip(), 2 * kBurst, 0.2) * 8, 3 * kBits);
  Chain("CHECK", conf, pod);
}

// How many datagrams of 1000 bytes on the wire arrive within half a second, of 100 sent at once.
int ArriveAtOnce(const NetNs* from, const NetNs* to, const std::string& address) {
  const Fd server = UdpSocket(to, "0.0.0.0", 9998);
  const Fd client = UdpSocket(from, "0.0.0.0", 9997);
  SendTo(client, address, 9998);  // the neighbour's address is known afterwards
  EXPECT_TRUE(Receives(server, kSoon));
  sockaddr_in target{};
  target.sin_family = AF_INET;
  target.sin_port = htons(9998);
  ::inet_pton(AF_INET, address.c_str(), &target.sin_addr);
  const std::string payload(1000 - 42, 'x');
  for (int i = 0; i < 100; ++i) {
    ::sendto(client.get(), payload.data(), payload.size(), 0,
             reinterpret_cast<const sockaddr*>(&target), sizeof target);
  }
  int seen = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
  std::array<char, 2048> buffer;
  while (std::chrono::steady_clock::now() < end) {
    pollfd p{server.get(), POLLIN, 0};
    if (::poll(&p, 1, 20) != 1) continue;
    seen += ::recv(server.get(), buffer.data(), buffer.size(), 0) > 0;
  }
  return seen;
}

// The rate alone would let two through.
TEST_F(Bandwidth, ABurstPassesAtOnce) {
  for (const int burst : {10, 50}) {
    const Pod pod = AddPod("bursty" + std::to_string(burst));
    const std::string bits = std::to_string(burst * 8000);
    const std::string conf = Conf("bandwidth", R"("ingressRate":32000,"ingressBurst":)" + bits +
                                                   R"(,"egressRate":32000,"egressBurst":)" + bits);
    Chain("ADD", conf, pod);
    EXPECT_NEAR(ArriveAtOnce(nullptr, pod.ns(), pod.ip()), burst + 1, 8) << burst;
    EXPECT_NEAR(ArriveAtOnce(pod.ns(), nullptr, "10.88.0.1"), burst + 1, 8) << burst;
    Chain("DEL", conf, pod);
  }
}

TEST_F(Bandwidth, DelAndGcRemoveTheIfb) {
  const Pod pod = AddPod("slow");
  Chain("ADD", Limits(), pod);
  EXPECT_TRUE(HasIfb());
  const auto gc = [&](const std::string& valid) {
    return Do("GC", Conf("bandwidth", R"("cni.dev/valid-attachments":[)" + valid + "]", "1.1.0"),
              *pod.container)
        .exit_code;
  };
  EXPECT_EQ(gc(R"({"containerID":"slow","ifname":"eth0"})"), 0);
  EXPECT_TRUE(HasIfb());
  EXPECT_EQ(gc(""), 0);
  EXPECT_FALSE(HasIfb());
  EXPECT_NE(Do("CHECK", WithPrev(Limits(), pod.result), *pod.container).exit_code, 0);
  EXPECT_EQ(Do("DEL", Conf("bandwidth"), *pod.container).exit_code, 0);
}

TEST_F(Bandwidth, AFailedAddLeavesThingsAsTheyWere) {
  NEEDS_TOOLS();
  const Pod pod = AddPod("slow");
  const std::string bare = Output("tc qdisc show; tc filter show dev klbr0");
  // The ifb's name is taken, which shows after the veth has been shaped.
  Chain("ADD", Limits(), pod);
  const std::string ifb = Output("ip -o link show type ifb");
  Chain("DEL", Limits(), pod);
  const std::string veth = pod.result.interfaces.at(1).name;
  Output("tc qdisc del dev " + veth + " root; tc qdisc del dev " + veth + " ingress");
  ASSERT_EQ(Output("tc qdisc show; tc filter show dev klbr0"), bare);
  const size_t at = ifb.find("bwp");
  ASSERT_EQ(Output("ip link add " + ifb.substr(at, 15) + " type dummy 2>/dev/null || ip link add " +
                   ifb.substr(at, 15) + " type veth peer name klpeer"),
            "");
  const std::string before = Output("tc qdisc show");
  EXPECT_EQ(Do("ADD", WithPrev(Limits(), pod.result), *pod.container).exit_code, 1);
  EXPECT_EQ(Output("tc qdisc show"), before);
}

TEST_F(Bandwidth, ASecondAddFailsAndTheFirstGoesOn) {
  const Pod pod = AddPod("slow");
  Chain("ADD", Limits(), pod);
  EXPECT_EQ(Do("ADD", WithPrev(Limits(), pod.result), *pod.container).exit_code, 1);
  Chain("CHECK", Limits(), pod);
}

TEST_F(Bandwidth, UsesTheDeviceNameOfTheGoPlugin) {
  ASSERT_TRUE(HasGoPlugin("bandwidth")) << "install containernetworking-plugins";
  const Pod pod = AddPod("slow");
  Chain("ADD", Limits(), pod);
  Call call;
  call.plugin = "bandwidth";
  call.command = "DEL";
  call.conf = WithPrev(Limits(), pod.result);
  call.container_id = pod.container->id();
  call.netns = pod.container->path();
  call.bin_dir = kGoPlugins;
  EXPECT_EQ(Running(call).Wait().exit_code, 0);
  EXPECT_FALSE(HasIfb());
}

}  // namespace
}  // namespace keelson::cni::testing
