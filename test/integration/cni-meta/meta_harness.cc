// SPDX-License-Identifier: Apache-2.0
#include "test/integration/cni-meta/meta_harness.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/netfilter.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>

#include "cni-plugins/lib/nft.h"

namespace keelson::cni::testing {

void MetaTest::SetUp() {
  CniTest::SetUp();
  if (IsSkipped()) return;
  for (const char* conf : {"all", "default"}) {
    ASSERT_TRUE(WriteSysctl(std::string("net/ipv6/conf/") + conf + "/accept_dad", "0").ok());
  }
}

std::string MetaTest::Conf(const std::string& type, const std::string& more,
                           const std::string& version) {
  return R"({"cniVersion":")" + version + R"(","name":"klnet","type":")" + type + "\"" +
         (more.empty() ? "" : "," + more) + "}";
}

std::string MetaTest::Net(const std::string& more) const {
  return R"({"cniVersion":"1.0.0","name":"klnet","type":"bridge","bridge":"klbr0","isGateway":true)" +
         (more.empty() ? "" : "," + more) + R"(,"ipam":{"type":"host-local","dataDir":")" + dir() +
         R"(/leases","ranges":[[{"subnet":"10.88.0.0/24"}],[{"subnet":"fd88::/64"}]],)" +
         R"("routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}]}})";
}

MetaTest::Pod MetaTest::AddPod(const std::string& id, const std::string& more) {
  Pod pod{&AddContainer(id), {}};
  pod.result = Ok("ADD", Net(more), *pod.container);
  return pod;
}

Result MetaTest::Chain(const std::string& command, const std::string& conf, const Pod& pod) {
  return Ok(command, WithPrev(conf, pod.result), *pod.container);
}

Container& MetaTest::AddWorld() {
  Container& world = AddContainer("world");
  Rtnl h = host();
  LinkSpec near, far;
  near.name = "klworld";
  near.up = true;
  far.name = "eth0";
  far.netns = &world.ns();
  EXPECT_TRUE(h.MakeVeth(near, far).ok());
  Rtnl w = world.rtnl();
  const int inside = w.ByName("eth0")->index;
  const int outside = h.ByName("klworld")->index;
  EXPECT_TRUE(w.Change(inside, {.up = true}).ok());
  EXPECT_TRUE(h.AddAddress(outside, *Cidr::Parse("192.0.2.1/24")).ok());
  EXPECT_TRUE(w.AddAddress(inside, *Cidr::Parse("192.0.2.2/24")).ok());
  EXPECT_TRUE(h.AddAddress(outside, *Cidr::Parse("2001:db8::1/64"), IFA_F_NODAD).ok());
  EXPECT_TRUE(w.AddAddress(inside, *Cidr::Parse("2001:db8::2/64"), IFA_F_NODAD).ok());
  EXPECT_TRUE(h.WaitForUp(outside, 2000).ok());
  return world;
}

std::string MetaTest::Output(const std::string& command) {
  FILE* const pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::string text;
  std::array<char, 4096> buffer;
  while (const size_t n = ::fread(buffer.data(), 1, buffer.size(), pipe))
    text.append(buffer.data(), n);
  ::pclose(pipe);
  return text;
}

std::string MetaTest::Ruleset() { return Output("/usr/sbin/nft list ruleset"); }

bool MetaTest::HasTools() {
  return ::access("/usr/sbin/nft", X_OK) == 0 && ::access("/usr/sbin/ip", X_OK) == 0 &&
         ::access("/usr/sbin/tc", X_OK) == 0;
}

int MetaTest::ElementsOf(const std::string& id) {
  nft::Nft nft = std::move(*nft::Nft::Open());
  int count = 0;
  for (const char* table : {"keelson_hostport", "keelson_masquerade", "keelson_firewall"}) {
    for (const std::string& set : *nft.Sets(NFPROTO_INET, table)) {
      for (const nft::Element& e : *nft.List(NFPROTO_INET, table, set)) {
        count += nft::FindUser(e.user, nft::kComment).value_or("").starts_with(id + " ");
      }
    }
  }
  return count;
}

// ---- traffic ------------------------------------------------------------------------------------

namespace {

struct Sock {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_storage);
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

Sock Address(const Ip& ip, uint16_t port) {
  Sock s;
  if (ip.v4()) {
    auto* const a = reinterpret_cast<sockaddr_in*>(&s.storage);
    a->sin_family = AF_INET;
    a->sin_port = htons(port);
    std::memcpy(&a->sin_addr, ip.data(), 4);
    s.size = sizeof *a;
  } else {
    auto* const a = reinterpret_cast<sockaddr_in6*>(&s.storage);
    a->sin6_family = AF_INET6;
    a->sin6_port = htons(port);
    std::memcpy(&a->sin6_addr, ip.data(), 16);
    s.size = sizeof *a;
  }
  return s;
}

std::string Text(const Sock& s) {
  if (s.storage.ss_family == AF_INET) {
    return Ip::FromBytes(AF_INET, &reinterpret_cast<const sockaddr_in*>(&s.storage)->sin_addr)
        .ToString();
  }
  return Ip::FromBytes(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(&s.storage)->sin6_addr)
      .ToString();
}

Fd SocketIn(const NetNs* ns, int family, int type, int protocol = 0) {
  const auto make = [&]() -> Or<Fd> {
    return Fd(::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  };
  Or<Fd> fd = ns ? ns->Run(make) : make();
  return std::move(*fd);
}

bool Ready(const Fd& fd, short events, Patience patience) {
  pollfd p{fd.get(), events, 0};
  return ::poll(&p, 1, static_cast<int>(patience.count())) == 1 && (p.revents & events);
}

Fd Server(const NetNs* ns, int family, int type, uint16_t port, int protocol = 0) {
  Fd fd = SocketIn(ns, family, type, protocol);
  const int one = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  Sock any = Address(*Ip::Parse(family == AF_INET ? "0.0.0.0" : "::"), port);
  EXPECT_EQ(::bind(fd.get(), any.get(), any.size), 0) << std::strerror(errno);
  if (type == SOCK_STREAM) {
    EXPECT_EQ(::listen(fd.get(), 16), 0);
  }
  return fd;
}

// The answer has to come back too: half a path is none.
std::string TcpSource(const Fd& server, const Fd& client, Patience patience) {
  if (!Ready(server, POLLIN, patience)) return "";
  Sock source;
  const Fd peer(::accept4(server.get(), source.get(), &source.size, SOCK_CLOEXEC));
  if (!peer.valid() || ::send(peer.get(), "pong", 4, MSG_NOSIGNAL) != 4) return "";
  char buffer[8];
  if (!Ready(client, POLLIN, patience) || ::recv(client.get(), buffer, 8, 0) != 4) return "";
  return Text(source);
}

std::string UdpSourceOn(const Fd& server, const Fd& client, Patience patience) {
  if (::send(client.get(), "ping", 4, 0) != 4 || !Ready(server, POLLIN, patience)) return "";
  Sock source;
  char buffer[8];
  if (::recvfrom(server.get(), buffer, 8, 0, source.get(), &source.size) != 4) return "";
  ::sendto(server.get(), "pong", 4, 0, source.get(), source.size);
  if (!Ready(client, POLLIN, patience) || ::recv(client.get(), buffer, 8, 0) != 4) return "";
  return Text(source);
}

}  // namespace

std::string SourceSeen(const NetNs* from, const NetNs* to, const std::string& protocol,
                       const std::string& address, uint16_t port, uint16_t server_port,
                       Patience patience) {
  const int type = protocol == kUdp ? SOCK_DGRAM : SOCK_STREAM;
  const int number = protocol == kSctp ? IPPROTO_SCTP : 0;
  const Ip ip = *Ip::Parse(address);
  const Fd server = Server(to, ip.family(), type, server_port, number);
  const Fd client = SocketIn(from, ip.family(), type, number);
  Sock target = Address(ip, port);
  if (::connect(client.get(), target.get(), target.size) < 0 && errno != EINPROGRESS) return "";
  return type == SOCK_STREAM ? TcpSource(server, client, patience)
                             : UdpSourceOn(server, client, patience);
}

Fd UdpSocket(const NetNs* ns, const std::string& address, uint16_t port) {
  const Ip ip = *Ip::Parse(address);
  Fd fd = SocketIn(ns, ip.family(), SOCK_DGRAM);
  Sock here = Address(ip, port);
  EXPECT_EQ(::bind(fd.get(), here.get(), here.size), 0) << std::strerror(errno);
  return fd;
}

void SendTo(const Fd& fd, const std::string& address, uint16_t port) {
  Sock target = Address(*Ip::Parse(address), port);
  EXPECT_EQ(::sendto(fd.get(), "ping", 4, 0, target.get(), target.size), 4) << std::strerror(errno);
}

bool Receives(const Fd& fd, Patience patience) {
  char buffer[8];
  return Ready(fd, POLLIN, patience) && ::recv(fd.get(), buffer, 8, 0) == 4;
}

double Throughput(const NetNs* from, const NetNs* to, const std::string& address, size_t skip,
                  double seconds) {
  using Clock = std::chrono::steady_clock;
  const Fd server = UdpSocket(to, "0.0.0.0", 9999);
  const Fd client = SocketIn(from, AF_INET, SOCK_DGRAM);
  Sock target = Address(*Ip::Parse(address), 9999);
  EXPECT_EQ(::connect(client.get(), target.get(), target.size), 0);
  const std::string payload(1400, 'x');
  constexpr size_t kOverhead = 42;  // Ethernet, IPv4 and UDP headers count as traffic
  std::array<char, 2048> buffer;
  size_t seen = 0, counted = 0;
  std::optional<Clock::time_point> start;
  while (!start || Clock::now() - *start < std::chrono::duration<double>(seconds)) {
    for (int i = 0; i < 4; ++i) (void)::send(client.get(), payload.data(), payload.size(), 0);
    for (ssize_t n; (n = ::recv(server.get(), buffer.data(), buffer.size(), 0)) > 0;) {
      seen += static_cast<size_t>(n) + kOverhead;
      if (start) counted += static_cast<size_t>(n) + kOverhead;
      if (!start && seen >= skip) start = Clock::now();
    }
  }
  return static_cast<double>(counted) /
         std::chrono::duration<double>(Clock::now() - *start).count();
}

}  // namespace keelson::cni::testing
