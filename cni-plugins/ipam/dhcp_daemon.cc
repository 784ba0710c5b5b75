// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/ipam/dhcp_daemon.h"

#include <poll.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace keelson::cni::dhcp {

namespace {

constexpr size_t kMaxConnections = 4096;
constexpr size_t kMaxLeases = 65536;

void Log(const std::string& id, const std::string& text) {
  std::fprintf(stderr, "%s: %s\n", id.c_str(), text.c_str());
}

uint32_t RandomXid() {
  uint32_t xid = 0;
  (void)::getrandom(&xid, sizeof xid, 0);  // cannot fail for four bytes
  return xid;
}

Or<Request> ParseRequest(const Json& message) {
  Status error;
  const Reader root(message, &error);
  Request request;
  request.args.container_id = root["containerID"].String();
  request.args.netns = root["netns"].String();
  request.args.ifname = root["ifname"].String();
  request.args.args = root["args"].String();
  const Reader conf = root["config"];
  if (!conf.given()) return Status::Invalid("config: missing");
  if (!error.ok()) return error;
  CNI_LET(request.conf, NetConf::Parse(conf.json()->Dump()));
  return request;
}

std::string IdOf(const Request& r) {
  return ClientId(r.args.container_id, r.conf.name, r.args.ifname);
}

}  // namespace

Daemon::Daemon(DaemonOptions options, Fd listener)
    : options_(std::move(options)),
      listener_(std::move(listener)),
      timer_(::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK)) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGINT);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  signals_ = Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

Status Daemon::Run() {
  if (!timer_.valid() || !signals_.valid()) return Status::Errno(errno, "timerfd, signalfd");
  while (!stop_) {
    SetTimer();
    Wait();
    RunTimers();
    connections_.remove_if([](const Connection& c) { return c.done; });
  }
  return {};
}

void Daemon::SetTimer() {
  std::optional<Clock::time_point> next;
  for (const auto& [id, lease] : leases_) {
    const auto due = lease->client.deadline();
    if (due && (!next || *due < *next)) next = due;
  }
  itimerspec spec{};
  if (next) {
    const auto ns = std::max<int64_t>(next->time_since_epoch().count(), 1);
    spec.it_value.tv_sec = ns / 1000000000;
    spec.it_value.tv_nsec = ns % 1000000000;
  }
  ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
}

void Daemon::Wait() {
  std::vector<pollfd> fds = {
      {signals_.get(), POLLIN, 0}, {timer_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
  std::vector<Connection*> peers;
  for (Connection& c : connections_) {
    // Once the request is in, only the peer's death is of interest.
    fds.push_back({c.fd.get(), static_cast<short>(c.waits_for.empty() ? POLLIN : 0), 0});
    peers.push_back(&c);
  }
  std::vector<std::string> talkers;
  for (const auto& [id, lease] : leases_) {
    if (!lease->channel.open()) continue;
    fds.push_back({lease->channel.fd(), POLLIN, 0});
    talkers.push_back(id);
  }
  if (::poll(fds.data(), fds.size(), -1) < 0) return;  // EINTR
  stop_ = fds[0].revents != 0;
  if (fds[1].revents) {
    uint64_t expirations;
    (void)::read(timer_.get(), &expirations, sizeof expirations);
  }
  for (size_t i = 0; i < peers.size(); ++i) {
    if (fds[3 + i].revents) Read(*peers[i]);
  }
  for (size_t i = 0; i < talkers.size(); ++i) {
    if (!fds[3 + peers.size() + i].revents) continue;
    const auto it = leases_.find(talkers[i]);
    if (it == leases_.end() || !it->second->channel.open()) continue;  // released meanwhile
    Lease& lease = *it->second;
    std::vector<Outgoing> out;
    lease.channel.Receive([&](const Packet& p) {
      for (Outgoing& o : lease.client.OnPacket(p, Clock::now())) out.push_back(std::move(o));
    });
    Drive(lease, std::move(out));
  }
  if (fds[2].revents) Accept();
}

// ---- requests -----------------------------------------------------------------------------------

void Daemon::Accept() {
  while (connections_.size() < kMaxConnections) {
    Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd.valid()) return;
    ucred peer{};
    socklen_t size = sizeof peer;
    ::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size);
    if (peer.uid != ::geteuid()) continue;  // the socket's mode should have kept it out
    connections_.push_back({std::move(fd), "", "", false});
  }
}

void Daemon::Read(Connection& c) {
  if (!c.waits_for.empty()) {  // POLLHUP: the plugin was killed; nobody will ever use the lease
    c.done = true;
    (void)Release(c.waits_for);
    return;
  }
  char buffer[16384];
  while (true) {
    const ssize_t n = ::recv(c.fd.get(), buffer, sizeof buffer, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) {
      c.done = true;
      return;
    }
    if (n == 0) return Serve(c);
    c.in.append(buffer, static_cast<size_t>(n));
    if (c.in.size() > kMaxMessage) {
      c.done = true;
      return;
    }
  }
}

void Daemon::Serve(Connection& c) {
  const Or<Json> message = Json::Parse(c.in);
  const Status s = message.ok() ? Handle(*message, c) : message.status();
  if (!s.ok()) AnswerError(c, s);
}

Status Daemon::Handle(const Json& message, Connection& c) {
  Status error;
  const std::string method = Reader(message, &error)["method"].String();
  if (!error.ok()) return error;
  if (method == "status") {
    Answer(c, Json::Object());
    return {};
  }
  CNI_LET(const Request request, ParseRequest(message));
  if (method == "allocate") return Allocate(request, c);
  if (method == "check") {
    const auto it = leases_.find(IdOf(request));
    if (it == leases_.end() || !it->second->client.has_lease()) {
      return Status::Internal("dhcp: no lease is kept for " + IdOf(request));
    }
    AnswerResult(c, *it->second);
    return {};
  }
  if (method == "release") {
    CNI_TRY(Release(IdOf(request)));
  } else if (method == "gc") {
    CNI_TRY(Gc(request));
  } else {
    return Status::Invalid("method: \"" + method + "\" is unknown");
  }
  Answer(c, Json::Object());
  return {};
}

Status Daemon::Allocate(const Request& request, Connection& c) {
  CNI_LET(const Conf conf, ParseConf(request.conf, request.args));
  const std::string id = IdOf(request);
  if (const auto it = leases_.find(id); it != leases_.end()) {
    if (it->second->client.has_lease()) {
      AnswerResult(c, *it->second);
    } else {
      c.waits_for = id;
    }
    return {};
  }
  if (leases_.size() >= kMaxLeases) return {Code::kTryAgainLater, "dhcp: too many leases"};
  CNI_LET(Device device,
          Device::Find(options_.host_prefix + request.args.netns, request.args.ifname));
  ClientOptions options;
  options.client_id = id;
  options.mac = device.mac();
  options.broadcast = options_.broadcast;
  options.provide = conf.provide;
  options.request = conf.request;
  options.resend_max = options_.resend_max;
  options.give_up_after = options_.give_up_after;
  auto lease = std::make_unique<Lease>(Lease{id,
                                             request.conf.name,
                                             {request.args.container_id, request.args.ifname},
                                             conf.priority,
                                             std::move(device),
                                             Client(std::move(options), RandomXid()),
                                             Channel()});
  CNI_LET(lease->channel, Channel::Open(lease->device));
  Log(id, "acquiring lease");
  c.waits_for = id;
  Lease& l = *(leases_[id] = std::move(lease));
  Drive(l, l.client.Start(Clock::now()));
  return {};
}

Status Daemon::Release(const std::string& client_id) {
  const auto it = leases_.find(client_id);
  if (it == leases_.end()) return {};
  Lease& lease = *it->second;
  if (lease.client.has_lease()) {
    // Best effort, as the protocol has it: a container that is gone cannot send any more.
    Or<Channel> channel = Channel::Open(lease.device);
    Status s = channel.status();
    if (channel.ok()) s = channel->Send(lease.device, lease.client.Release());
    Log(client_id, s.ok() ? "lease released" : "lease left to expire: " + s.message());
  }
  for (Connection& c : connections_) {
    if (c.waits_for != client_id || c.done) continue;
    AnswerError(c, {Code::kTryAgainLater, "dhcp: released while it was asked for"});
  }
  leases_.erase(it);
  return {};
}

Status Daemon::Gc(const Request& request) {
  CNI_LET(const std::vector<Attachment> valid, ValidAttachments(request.conf));
  std::vector<std::string> stale;
  for (const auto& [id, lease] : leases_) {
    if (lease->network != request.conf.name) continue;
    if (std::ranges::find(valid, lease->attachment) == valid.end()) stale.push_back(id);
  }
  for (const std::string& id : stale) CNI_TRY(Release(id));
  return {};
}

// ---- answers ------------------------------------------------------------------------------------

// An answer is a few hundred bytes, which a fresh socket's buffer takes at once.
void Daemon::Answer(Connection& c, const Json& message) {
  const std::string text = message.Dump();
  (void)::send(c.fd.get(), text.data(), text.size(), MSG_NOSIGNAL);  // failing: nobody listens
  c.done = true;
}

void Daemon::AnswerError(Connection& c, const Status& status) {
  Json error = Json::Object();
  error.Set("code", Json(static_cast<int>(status.code())));
  error.Set("msg", Json(status.message()));
  Json message = Json::Object();
  message.Set("error", std::move(error));
  Answer(c, message);
}

void Daemon::AnswerResult(Connection& c, const Lease& lease) {
  const Packet& ack = *lease.client.ack();
  const std::optional<Ip> mask = ack.Address(kSubnetMask);
  if (!mask)
    return AnswerError(c, Status::Internal("DHCP option subnet mask not found in DHCPACK"));
  int prefix = 0;
  while (prefix < 32 && mask->data()[prefix / 8] & (0x80 >> prefix % 8)) ++prefix;
  Result result;
  IpConfig ip;
  ip.address = {ack.yours, prefix};
  ip.gateway = ack.Address(kRouters);
  result.ips.push_back(std::move(ip));
  result.routes = RoutesOf(ack);
  for (Route& r : result.routes) {
    if (lease.priority != 0) r.priority = lease.priority;
  }
  Or<Json> json = result.ToJson(kNewestVersion);
  if (!json.ok()) return AnswerError(c, json.status());
  Json message = Json::Object();
  message.Set("result", std::move(*json));
  Answer(c, message);
}

// ---- leases -------------------------------------------------------------------------------------

void Daemon::Drive(Lease& lease, std::vector<Outgoing> out) {
  if (!out.empty() && !lease.channel.open()) {
    Or<Channel> channel = Channel::Open(lease.device);
    if (!channel.ok()) {
      Log(lease.client_id, "lease dropped: " + channel.status().message());
      leases_.erase(lease.client_id);  // `lease` is gone
      return;
    }
    lease.channel = std::move(*channel);
  }
  for (const Outgoing& o : out) {
    const Status s = lease.channel.Send(lease.device, o);
    if (!s.ok()) Log(lease.client_id, s.message());  // the repeat tries again
  }
  Settle(lease);
}

void Daemon::Settle(Lease& lease) {
  if (lease.client.talking()) return;
  lease.channel = Channel();
  const std::string id = lease.client_id;
  const Client::State state = lease.client.state();
  for (Connection& c : connections_) {
    if (c.waits_for != id || c.done) continue;
    if (state == Client::State::kBound) AnswerResult(c, lease);
    if (state != Client::State::kBound) {
      AnswerError(c, {Code::kTryAgainLater, "dhcp: no DHCP server gave a lease on " +
                                                lease.attachment.ifname + " in time"});
    }
  }
  if (state == Client::State::kBound)
    return Log(id, "lease bound to " + lease.client.ack()->yours.ToString());
  if (state == Client::State::kLost) {
    const Status s = lease.device.TakeDown();
    Log(id, "lease lost, interface taken down" + (s.ok() ? "" : ": " + s.message()));
  }
  leases_.erase(id);
}

void Daemon::RunTimers() {
  const Clock::time_point now = Clock::now();
  std::vector<std::string> due;
  for (const auto& [id, lease] : leases_) {
    const auto deadline = lease->client.deadline();
    if (deadline && *deadline <= now) due.push_back(id);
  }
  for (const std::string& id : due) {
    const auto it = leases_.find(id);
    if (it != leases_.end()) Drive(*it->second, it->second->client.OnTime(now));
  }
}

}  // namespace keelson::cni::dhcp
