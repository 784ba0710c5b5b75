// SPDX-License-Identifier: Apache-2.0
// dhcp: plugin, daemon and a small server on one bridge.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "cni-plugins/ipam/dhcp_packet.h"
#include "test/integration/cni-meta/meta_harness.h"

namespace keelson::cni::testing {
namespace {

using dhcp::MessageType;
using dhcp::Packet;

// Answers on `ifname` of a namespace, one message at a time, as the test says.
class DhcpServer {
 public:
  DhcpServer(const NetNs& ns, const std::string& ifname) {
    Or<Fd> fd = ns.Run([&]() -> Or<Fd> {
      Fd s(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      const int one = 1;
      ::setsockopt(s.get(), SOL_SOCKET, SO_BROADCAST, &one, sizeof one);
      ::setsockopt(s.get(), SOL_SOCKET, SO_BINDTODEVICE, ifname.c_str(),
                   static_cast<socklen_t>(ifname.size() + 1));
      sockaddr_in any{};
      any.sin_family = AF_INET;
      any.sin_port = htons(67);
      EXPECT_EQ(::bind(s.get(), reinterpret_cast<sockaddr*>(&any), sizeof any), 0);
      return s;
    });
    fd_ = std::move(*fd);
  }

  // The next message, which must be of `type`; nullopt if none comes.
  std::optional<Packet> Expect(MessageType type, Patience patience = Patience(5000)) {
    pollfd p{fd_.get(), POLLIN, 0};
    if (::poll(&p, 1, static_cast<int>(patience.count())) != 1) return std::nullopt;
    char buffer[2048];
    socklen_t size = sizeof from_;
    const ssize_t n =
        ::recvfrom(fd_.get(), buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from_), &size);
    std::optional<Packet> packet =
        dhcp::Decode({buffer, static_cast<size_t>(std::max<ssize_t>(n, 0))});
    EXPECT_TRUE(packet && packet->type() == type) << "another message came";
    return packet;
  }

  void Reply(const Packet& to, MessageType type, std::map<uint8_t, std::string> options = {}) {
    Packet p;
    p.reply = true;
    p.xid = to.xid;
    p.mac = to.mac;
    if (type != MessageType::kNak) p.yours = *Ip::Parse("10.55.0.42");
    p.options = {{dhcp::kServerId, Raw("10.55.0.1")},
                 {dhcp::kSubnetMask, Raw("255.255.255.0")},
                 {dhcp::kRouters, Raw("10.55.0.1")},
                 {dhcp::kLeaseTime, Number(3600)}};
    p.options.merge(options);
    for (const auto& [code, value] : options) p.options[code] = value;
    p.options[dhcp::kMessageType] = std::string(1, static_cast<char>(type));
    const std::string bytes = dhcp::Encode(p);
    sockaddr_in target = from_;
    if (to.client.IsZero()) target.sin_addr.s_addr = INADDR_BROADCAST;
    EXPECT_EQ(::sendto(fd_.get(), bytes.data(), bytes.size(), 0,
                       reinterpret_cast<sockaddr*>(&target), sizeof target),
              static_cast<ssize_t>(bytes.size()))
        << std::strerror(errno);
  }

  void GiveLease(std::map<uint8_t, std::string> options = {}) {
    const auto discover = Expect(MessageType::kDiscover);
    ASSERT_TRUE(discover);
    Reply(*discover, MessageType::kOffer, options);
    const auto request = Expect(MessageType::kRequest);
    ASSERT_TRUE(request);
    EXPECT_EQ(request->options.at(dhcp::kRequestedIp), Raw("10.55.0.42"));
    last_id = request->options.at(dhcp::kClientId);
    Reply(*request, MessageType::kAck, options);
  }

  static std::string Raw(const std::string& ip) {
    const Ip parsed = *Ip::Parse(ip);
    return {reinterpret_cast<const char*>(parsed.data()), 4};
  }
  static std::string Number(uint32_t v) {
    v = htonl(v);
    return {reinterpret_cast<const char*>(&v), 4};
  }

  std::string last_id;

 private:
  Fd fd_;
  sockaddr_in from_{};
};

class Dhcp : public MetaTest {
 protected:
  void SetUp() override {
    MetaTest::SetUp();
    if (IsSkipped()) return;
    Rtnl h = host();
    LinkSpec bridge;
    bridge.name = "klbr0";
    bridge.kind = "bridge";
    bridge.up = true;
    ASSERT_TRUE(h.Make(bridge).ok());
    Container& box = AddContainer("server");
    LinkSpec near, far;
    near.name = "klserver";
    near.master = h.ByName("klbr0")->index;
    near.up = true;
    far.name = "eth0";
    far.netns = &box.ns();
    ASSERT_TRUE(h.MakeVeth(near, far).ok());
    Rtnl s = box.rtnl();
    const int index = s.ByName("eth0")->index;
    ASSERT_TRUE(s.AddAddress(index, *Cidr::Parse("10.55.0.1/24")).ok());
    ASSERT_TRUE(s.Change(index, {.up = true}).ok());
    ASSERT_TRUE(s.WaitForUp(index, 2000).ok());
    server_ = std::make_unique<DhcpServer>(box.ns(), "eth0");
  }

  void TearDown() override {
    StopDaemon();
    MetaTest::TearDown();
  }

  std::string Socket() const { return dir() + "/dhcp.sock"; }

  // As systemd starts it: with the socket, so that nobody has to wait for it.
  void StartDaemon(const std::vector<std::string>& flags = {}, const std::string& bin_dir = "") {
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, Socket().c_str(), sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(fd.get(), 64), 0);
    const std::string path = (bin_dir.empty() ? KeelsonDir() : bin_dir) + "/dhcp";
    daemon_ = ::fork();
    if (daemon_ != 0) return;
    ::dup2(fd.get(), 3);
    ::fcntl(3, F_SETFD, 0);  // in case it was number 3 all along
    ::setenv("LISTEN_FDS", "1", 1);
    ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
    std::vector<char*> argv = {const_cast<char*>(path.c_str()), const_cast<char*>("daemon")};
    for (const std::string& f : flags) argv.push_back(const_cast<char*>(f.c_str()));
    argv.push_back(nullptr);
    ::execv(path.c_str(), argv.data());
    ::_exit(127);
  }

  // `clean`: and it must say so; theirs just dies.
  void StopDaemon(bool clean = true) {
    if (daemon_ <= 0) return;
    ::kill(daemon_, SIGTERM);
    int status = 0;
    ::waitpid(daemon_, &status, 0);
    EXPECT_TRUE(!clean || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) << status;
    daemon_ = -1;
  }

  std::string Net(const std::string& more = "") const {
    return R"({"cniVersion":"1.0.0","name":"klnet","type":"bridge","bridge":"klbr0","ipam":)"
           R"({"type":"dhcp","daemonSocketPath":")" +
           Socket() + "\"" + more + "}}";
  }

  Running Start(const std::string& command, const std::string& conf, const Container& c) {
    Call call;
    call.plugin = "bridge";
    call.command = command;
    call.conf = conf;
    call.container_id = c.id();
    call.netns = c.path();
    return Running(call);
  }

  // ADD with the server at hand.
  Result AddWithLease(Container& c, std::map<uint8_t, std::string> options = {}) {
    Running add = Start("ADD", Net(), c);
    server_->GiveLease(std::move(options));
    const Outcome o = add.Wait();
    EXPECT_EQ(o.exit_code, 0) << o.out << o.err;
    const Or<Result> r = Result::FromJson(o.json(), "1.0.0");
    return r.ok() ? *r : Result();
  }

  std::unique_ptr<DhcpServer> server_;
  pid_t daemon_ = -1;
};

TEST_F(Dhcp, AContainerGetsWhatTheServerGives) {
  StartDaemon();
  Container& c = AddContainer("pod");
  const Result r =
      AddWithLease(c, {{dhcp::kClasslessRoutes, std::string("\x10\x0a\x01\x0a\x37\0\x09", 7)}});
  ASSERT_EQ(r.ips.size(), 1u);
  EXPECT_EQ(r.ips[0].address.ToString(), "10.55.0.42/24");
  EXPECT_EQ(r.ips[0].gateway->ToString(), "10.55.0.1");
  ASSERT_EQ(r.routes.size(), 1u);  // classless routes make the router and static ones moot
  EXPECT_EQ(r.routes[0].dst.ToString(), "10.1.0.0/16");
  EXPECT_EQ(r.routes[0].gw->ToString(), "10.55.0.9");
  EXPECT_EQ(server_->last_id, std::string(1, '\0') + "pod/klnet/eth0");
  EXPECT_EQ(Do("CHECK", WithPrev(Net(), r), c).exit_code, 0);
  const Outcome del = Do("DEL", WithPrev(Net(), r), c);
  EXPECT_EQ(del.exit_code, 0) << del.out;
}

TEST_F(Dhcp, ALeaseIsRenewedAndReleased) {
  StartDaemon();
  Container& c = AddContainer("pod");
  AddWithLease(c, {{dhcp::kRenewalTime, DhcpServer::Number(1)}});
  const auto renewal = server_->Expect(MessageType::kRequest);  // after a second
  ASSERT_TRUE(renewal);
  EXPECT_EQ(renewal->client.ToString(), "10.55.0.42");
  EXPECT_FALSE(renewal->options.contains(dhcp::kServerId));
  server_->Reply(*renewal, MessageType::kAck, {{dhcp::kRenewalTime, DhcpServer::Number(1)}});
  const auto again = server_->Expect(MessageType::kRequest);
  ASSERT_TRUE(again);
  server_->Reply(*again, MessageType::kAck);
  // The bridge plugin asks its IPAM to release after the device is gone: then nothing can be sent.
  Call call;
  call.plugin = "dhcp";
  call.command = "DEL";
  call.conf = Net();
  call.container_id = c.id();
  call.netns = c.path();
  EXPECT_EQ(Running(call).Wait().exit_code, 0);
  const auto release = server_->Expect(MessageType::kRelease);
  ASSERT_TRUE(release);
  EXPECT_EQ(release->client.ToString(), "10.55.0.42");
}

TEST_F(Dhcp, ARefusedRenewalTakesTheInterfaceDown) {
  StartDaemon();
  Container& c = AddContainer("pod");
  const Result r = AddWithLease(c, {{dhcp::kRenewalTime, DhcpServer::Number(1)}});
  Rtnl watch = c.rtnl();
  ASSERT_TRUE(watch.netlink().Join(1 /* RTNLGRP_LINK */).ok());
  const auto renewal = server_->Expect(MessageType::kRequest);
  ASSERT_TRUE(renewal);
  server_->Reply(*renewal, MessageType::kNak);
  EXPECT_TRUE(
      watch.netlink()
          .WaitFor(3000, "link down", [&](nlmsghdr*) { return !c.rtnl().ByName("eth0")->up(); })
          .ok());
  EXPECT_NE(Do("CHECK", WithPrev(Net(), r), c).exit_code, 0);
}

TEST_F(Dhcp, WithoutAServerAddFailsAndLeavesNothing) {
  StartDaemon({"-resendtimeout", "300ms", "-resendmax=100ms"});
  Container& c = AddContainer("pod");
  const Outcome o = Do("ADD", Net(), c);
  EXPECT_EQ(o.code(), 11) << o.out;
  EXPECT_FALSE(c.rtnl().ByName("eth0").ok());
}

TEST_F(Dhcp, WithoutADaemonOnlyAddAndStatusFail) {
  Container& c = AddContainer("pod");
  EXPECT_EQ(Do("ADD", Net(), c).code(), 11);
  EXPECT_EQ(Do("DEL", Net(), c).exit_code, 0);
  const std::string conf = WithMember(Net(), "cniVersion", Json("1.1.0"));
  EXPECT_EQ(Do("STATUS", conf, c).code(), 50);
  StartDaemon();
  EXPECT_EQ(Do("STATUS", conf, c).exit_code, 0);
}

TEST_F(Dhcp, TheDaemonDoesNotKeepADeadNamespaceAlive) {
  StartDaemon();
  Container& c = AddContainer("pod");
  AddWithLease(c);
  const std::vector<std::string> before = HostLinks();
  Rtnl watch = host();
  ASSERT_TRUE(watch.netlink().Join(1).ok());
  c.Vanish();
  // The kernel takes the veth with the namespace, if nobody holds that.
  EXPECT_TRUE(
      watch.netlink()
          .WaitFor(3000, "veth gone", [&](nlmsghdr*) { return HostLinks().size() < before.size(); })
          .ok());
  EXPECT_EQ(Do("DEL", Net(), c).exit_code, 0);
}

TEST_F(Dhcp, GcReleasesLeasesOfContainersNotListed) {
  StartDaemon();
  Container& c = AddContainer("pod");
  AddWithLease(c);
  Call call;
  call.plugin = "dhcp";
  call.command = "GC";
  call.conf = WithMember(WithMember(Net(), "cniVersion", Json("1.1.0")),
                         "cni.dev/valid-attachments", Json::Array());
  EXPECT_EQ(Running(call).Wait().exit_code, 0);
  EXPECT_TRUE(server_->Expect(MessageType::kRelease));
}

// The same server, asked by their plugin and daemon, and by ours.
TEST_F(Dhcp, AnswersAsGoDoes) {
  ASSERT_TRUE(HasGoPlugin("dhcp")) << "install containernetworking-plugins";
  std::string seen[2];
  for (const bool ours : {false, true}) {
    ::unlink(Socket().c_str());
    StartDaemon({}, ours ? "" : kGoPlugins);
    Container& c = AddContainer("pod");
    Call call{"bridge", "ADD", Net(), "pod", c.path()};
    call.bin_dir = ours ? "" : kGoPlugins;
    Running add(call);
    server_->GiveLease({{dhcp::kClasslessRoutes, std::string("\x10\x0a\x01\x0a\x37\0\x09", 7)}});
    const Outcome o = add.Wait();
    ASSERT_EQ(o.exit_code, 0) << o.out << o.err;
    const Json json = o.json();
    for (const char* member : {"cniVersion", "ips", "routes", "dns"}) {
      const Json* const value = json.Find(member);
      seen[ours] += std::string(member) + (value ? value->Dump() : "(none)") + "\n";
    }
    call.command = "DEL";
    EXPECT_EQ(Running(call).Wait().exit_code, 0);
    StopDaemon(/*clean=*/ours);
  }
  EXPECT_EQ(seen[true], seen[false]);
}

TEST_F(Dhcp, OptionsOfTheConfigurationReachTheServer) {
  StartDaemon();
  Container& c = AddContainer("pod");
  Call call;
  call.plugin = "bridge";
  call.command = "ADD";
  call.conf = Net(R"(,"provide":[{"option":"host-name","value":"web"},)"
                  R"({"option":"60","fromArg":"K8S_POD_NAME"}],)"
                  R"("request":[{"skipDefault":true},{"option":"subnet-mask"},{"option":"6"}])");
  call.container_id = c.id();
  call.netns = c.path();
  call.args = "IgnoreUnknown=1;K8S_POD_NAME=web-0";
  Running add(call);
  const auto discover = server_->Expect(MessageType::kDiscover);
  ASSERT_TRUE(discover);
  EXPECT_EQ(discover->options.at(dhcp::kHostName), "web");
  EXPECT_EQ(discover->options.at(dhcp::kVendorClass), "web-0");
  EXPECT_EQ(discover->options.at(dhcp::kParameterList), "\x01\x06");
  server_->Reply(*discover, MessageType::kOffer);
  const auto request = server_->Expect(MessageType::kRequest);
  ASSERT_TRUE(request);
  server_->Reply(*request, MessageType::kAck);
  EXPECT_EQ(add.Wait().exit_code, 0);
}

}  // namespace
}  // namespace keelson::cni::testing
