// SPDX-License-Identifier: Apache-2.0
#include "test/integration/cni/harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace keelson::cni::testing {

namespace fs = std::filesystem;

Json Outcome::json() const {
  Or<Json> j = Json::Parse(out);
  return j.ok() ? *j : Json();
}

int Outcome::code() const {
  const Json j = json();
  const Json* code = j.Find("code");
  return code ? std::stoi(code->text()) : 0;
}

std::string Outcome::msg() const {
  const Json j = json();
  const Json* msg = j.Find("msg");
  return msg ? msg->text() : out;
}

// ---- processes ----------------------------------------------------------------------------------

Running::Running(const Call& call) : start_(std::chrono::steady_clock::now()) {
  const std::string dir = call.bin_dir.empty() ? KEELSON_CNI_DIR : call.bin_dir;
  const std::string path = dir + "/" + call.plugin;
  std::vector<std::string> env = {"CNI_COMMAND=" + call.command,
                                  "CNI_CONTAINERID=" + call.container_id,
                                  "CNI_NETNS=" + call.netns,
                                  "CNI_IFNAME=" + call.ifname,
                                  "CNI_ARGS=" + call.args,
                                  "CNI_PATH=" + dir,
                                  "PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  std::vector<char*> envp;
  for (std::string& e : env) envp.push_back(e.data());
  envp.push_back(nullptr);
  Fd in(::memfd_create("stdin", MFD_CLOEXEC));
  EXPECT_TRUE(WriteAll(in.get(), call.conf).ok());
  ::lseek(in.get(), 0, SEEK_SET);
  int out[2], err[2];
  EXPECT_EQ(::pipe2(out, O_CLOEXEC), 0);
  EXPECT_EQ(::pipe2(err, O_CLOEXEC), 0);
  out_ = Fd(out[0]);
  err_ = Fd(err[0]);
  const Fd child_out(out[1]), child_err(err[1]);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, in.get(), 0);
  ::posix_spawn_file_actions_adddup2(&actions, child_out.get(), 1);
  ::posix_spawn_file_actions_adddup2(&actions, child_err.get(), 2);
  std::string name = path;
  char* argv[] = {name.data(), nullptr};
  EXPECT_EQ(::posix_spawn(&pid_, path.c_str(), &actions, nullptr, argv, envp.data()), 0) << path;
  ::posix_spawn_file_actions_destroy(&actions);
}

void Running::Kill() { ::kill(pid_, SIGKILL); }

Outcome Running::Wait() {
  Outcome o;
  o.out = *ReadAll(out_.get(), 16 << 20);
  o.err = *ReadAll(err_.get(), 16 << 20);
  int status = 0;
  ::waitpid(pid_, &status, 0);
  o.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  o.took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() -
                                                                 start_);
  return o;
}

// ---- containers ---------------------------------------------------------------------------------

Container::Container(std::string id, std::string path)
    : id_(std::move(id)), path_(std::move(path)) {
  const NetNs home = *NetNs::Current();
  EXPECT_EQ(::unshare(CLONE_NEWNET), 0);
  const Fd file(::open(path_.c_str(), O_CREAT | O_RDONLY | O_CLOEXEC, 0600));
  EXPECT_EQ(::mount("/proc/self/ns/net", path_.c_str(), nullptr, MS_BIND, nullptr), 0);
  EXPECT_EQ(::setns(home.fd(), CLONE_NEWNET), 0);
  Or<NetNs> ns = NetNs::Open(path_);
  EXPECT_TRUE(ns.ok());
  ns_ = std::move(*ns);
  Rtnl inside = rtnl();
  EXPECT_TRUE(inside.Change(inside.ByName("lo")->index, {.up = true}).ok());
}

Container::~Container() {
  if (ns_) Vanish();
}

Rtnl Container::rtnl() const { return *Rtnl::OpenIn(*ns_); }

void Container::Vanish() {
  ns_.reset();
  ::umount2(path_.c_str(), MNT_DETACH);
  ::unlink(path_.c_str());
}

void CniTest::SetUp() {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_EQ(::unshare(CLONE_NEWNET | CLONE_NEWNS), 0);
  ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  char name[] = "/tmp/klcniXXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  dir_ = name;
  // sysfs shows the devices of the namespace it was mounted in.
  ASSERT_EQ(::mount("sysfs", "/sys", "sysfs", 0, nullptr), 0);
  Rtnl h = host();
  ASSERT_TRUE(h.Change(h.ByName("lo")->index, {.up = true}).ok());
}

void CniTest::TearDown() {
  containers_.clear();
  if (!dir_.empty()) fs::remove_all(dir_);
}

Container& CniTest::AddContainer(const std::string& id) {
  auto& slot = containers_[id];
  slot.reset();  // the old one, at the same path, goes first
  slot = std::make_unique<Container>(id, dir_ + "/" + id + ".netns");
  return *slot;
}

Outcome CniTest::Do(const std::string& command, const std::string& conf, const Container& c,
                    const std::string& ifname) {
  Call call;
  call.plugin = Json::Parse(conf)->Find("type")->text();
  call.command = command;
  call.conf = conf;
  call.container_id = c.id();
  call.netns = c.path();
  call.ifname = ifname;
  return Running(call).Wait();
}

Result CniTest::Ok(const std::string& command, const std::string& conf, const Container& c,
                   const std::string& ifname) {
  const Outcome o = Do(command, conf, c, ifname);
  EXPECT_EQ(o.exit_code, 0) << command << " " << conf << "\n" << o.out << o.err;
  EXPECT_EQ(o.err, "") << command << " " << conf;
  if (!o.ok() || o.out.empty()) return {};
  const Json j = o.json();
  Or<Result> r = Result::FromJson(j, j.Find("cniVersion")->text());
  EXPECT_TRUE(r.ok()) << o.out;
  return r.ok() ? *r : Result();
}

std::string CniTest::WithMember(const std::string& conf, const std::string& name, Json value) {
  Json j = *Json::Parse(conf);
  j.Set(name, std::move(value));
  return j.Dump();
}

std::string CniTest::WithPrev(const std::string& conf, const Result& previous) {
  const std::string version = Json::Parse(conf)->Find("cniVersion")->text();
  return WithMember(conf, "prevResult", *previous.ToJson(version));
}

// ---- beside the Go plugins ----------------------------------------------------------------------

namespace {

// Members in order of their names, which mean nothing in JSON; an empty "dns" is as good as none.
std::string Canonical(const Json& json) {
  if (json.is_array()) {
    std::string text = "[";
    for (const Json& item : json.items()) text += Canonical(item) + ",";
    return text + "]";
  }
  if (!json.is_object()) return json.Dump();
  std::map<std::string, std::string> sorted;
  for (const Json::Member& m : json.members()) sorted[m.name] = Canonical(m.value);
  if (const auto dns = sorted.find("dns"); dns != sorted.end() && dns->second == "{\n}") {
    sorted.erase(dns);
  }
  std::string text = "{\n";
  for (const auto& [name, value] : sorted) text += name + ": " + value + "\n";
  return text + "}";
}

void ReplaceAll(std::string* text, const std::string& what, const std::string& with) {
  for (size_t at = 0; !what.empty() && (at = text->find(what, at)) != std::string::npos;) {
    text->replace(at, what.size(), with);
    at += with.size();
  }
}

// Debian 12's Go plugins (1.1) and, where test/integration/cni/fetch-go-plugins got them, the
// newest (1.9), which speak 1.1.0.
struct Reference {
  std::string dir;
  std::vector<std::string> versions;
};

std::vector<Reference> References(const std::string& debian, const std::string& plugin) {
  std::vector<Reference> all;
  const auto take = [&](const std::string& dir, std::vector<std::string> versions) {
    if (::access((dir + "/" + plugin).c_str(), X_OK) == 0) all.push_back({dir, versions});
  };
  take(std::string(KEELSON_CNI_DIR) + "/../cni-reference",
       {"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"});
  // An emulated machine is slow: there the newest has to do.
  if (!all.empty() && std::getenv("KEELSON_CNI_ONE_REFERENCE")) return all;
  take(debian, {"0.3.0", "0.3.1", "0.4.0", "1.0.0"});
  return all;
}

}  // namespace

std::string CniTest::Answer(const std::string& conf, const std::string& bin_dir,
                            const Compare& how) {
  Container& c = AddContainer("c");
  const std::string version = Json::Parse(conf)->Find("cniVersion")->text();
  const std::string first =
      how.before.empty() ? "" : WithMember(how.before, "cniVersion", Json(version));
  std::string full = conf;
  if (!first.empty()) full = WithMember(conf, "prevResult", Do("ADD", first, c, how.ifname).json());
  Call call{Json::Parse(conf)->Find("type")->text(), "ADD", full, "c", c.path(), how.ifname};
  call.bin_dir = bin_dir;
  const Outcome o = Running(call).Wait();
  EXPECT_TRUE(o.ok()) << bin_dir << " " << full << o.out << o.err;
  std::string text = Canonical(o.json());
  if (const Or<Result> r = Result::FromJson(o.json(), version); r.ok()) {
    for (const Interface& i : r->interfaces) {
      ReplaceAll(&text, i.mac, "MAC");
      if (i.name.starts_with("veth")) ReplaceAll(&text, i.name, "HOSTEND");
    }
  }
  call.command = "DEL";
  const Outcome del = Running(call).Wait();
  EXPECT_TRUE(del.ok()) << del.out;
  if (!first.empty()) Ok("DEL", first, c, how.ifname);
  // The next one gets the same address again.
  std::error_code ignored;
  fs::remove_all(dir_ + "/leases", ignored);
  return text;
}

void CniTest::ExpectSameAsGo(const std::string& conf, const Compare& how) {
  const std::string type = Json::Parse(conf)->Find("type")->text();
  const std::vector<Reference> references = References(kGoPlugins, type);
  if (references.empty()) GTEST_SKIP() << "no Go plugin " << type;
  for (const Reference& reference : references) {
    for (const std::string& version : reference.versions) {
      if (!VersionAtLeast(version, how.since)) continue;
      const std::string versioned = WithMember(conf, "cniVersion", Json(version));
      EXPECT_EQ(Answer(versioned, "", how), Answer(versioned, reference.dir, how))
          << reference.dir << " " << versioned;
    }
  }
}

bool CniTest::HasGoPlugin(const std::string& name) {
  return ::access((std::string(kGoPlugins) + "/" + name).c_str(), X_OK) == 0;
}

std::string CniTest::KeelsonDir() { return KEELSON_CNI_DIR; }

Rtnl CniTest::host() { return *Rtnl::Open(); }

std::vector<std::string> CniTest::HostLinks() {
  std::vector<std::string> names;
  for (const Link& l : *host().Links()) names.push_back(l.name);
  return names;
}

std::string CniTest::HostLocal(const std::string& subnet, const std::string& more) const {
  return R"({"type":"host-local","dataDir":")" + dir_ + R"(/leases","ranges":[[{"subnet":")" +
         subnet + R"("}]])" + (more.empty() ? "" : "," + more) + "}";
}

// ---- traffic ------------------------------------------------------------------------------------

namespace {

struct Sock {
  sockaddr_storage storage{};
  socklen_t size = 0;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

Sock Address(const Ip& ip, uint16_t port) {
  Sock s;
  if (ip.v4()) {
    auto* a = reinterpret_cast<sockaddr_in*>(&s.storage);
    a->sin_family = AF_INET;
    a->sin_port = htons(port);
    std::memcpy(&a->sin_addr, ip.data(), 4);
    s.size = sizeof *a;
  } else {
    auto* a = reinterpret_cast<sockaddr_in6*>(&s.storage);
    a->sin6_family = AF_INET6;
    a->sin6_port = htons(port);
    std::memcpy(&a->sin6_addr, ip.data(), 16);
    s.size = sizeof *a;
  }
  return s;
}

std::string Text(const Sock& s) {
  if (s.storage.ss_family == AF_INET) {
    const auto* a = reinterpret_cast<const sockaddr_in*>(&s.storage);
    return Ip::FromBytes(AF_INET, &a->sin_addr).ToString();
  }
  const auto* a = reinterpret_cast<const sockaddr_in6*>(&s.storage);
  return Ip::FromBytes(AF_INET6, &a->sin6_addr).ToString();
}

Fd SocketIn(const NetNs* ns, int family, int type) {
  const auto make = [&]() -> Or<Fd> {
    return Fd(::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  };
  return ns ? *ns->Run(make) : *make();
}

Fd Listener(const NetNs* ns, const Ip& like, int type, uint16_t port) {
  Fd fd = SocketIn(ns, like.family(), type);
  const int one = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  Sock any = Address(like.Masked(0), port);
  EXPECT_EQ(::bind(fd.get(), any.get(), any.size), 0) << std::strerror(errno);
  if (type == SOCK_STREAM) {
    EXPECT_EQ(::listen(fd.get(), 16), 0);
  }
  return fd;
}

bool Ready(const Fd& fd, short events, Patience patience) {
  pollfd p{fd.get(), events, 0};
  return ::poll(&p, 1, static_cast<int>(patience.count())) == 1 && (p.revents & events);
}

}  // namespace

std::string UdpSource(const NetNs* from, const NetNs* to, const std::string& address, uint16_t port,
                      Patience patience) {
  const Ip ip = *Ip::Parse(address);
  const Fd server = Listener(to, ip, SOCK_DGRAM, port);
  const Fd client = SocketIn(from, ip.family(), SOCK_DGRAM);
  Sock target = Address(ip, port);
  if (::sendto(client.get(), "ping", 4, 0, target.get(), target.size) < 0) return "";
  if (!Ready(server, POLLIN, patience)) return "";
  Sock source;
  source.size = sizeof source.storage;
  char buffer[16];
  if (::recvfrom(server.get(), buffer, sizeof buffer, 0, source.get(), &source.size) != 4)
    return "";
  ::sendto(server.get(), "pong", 4, 0, source.get(), source.size);
  if (!Ready(client, POLLIN, patience)) return "";
  return ::recv(client.get(), buffer, sizeof buffer, 0) == 4 ? Text(source) : "";
}

bool TcpWorks(const NetNs* from, const NetNs* to, const std::string& address, uint16_t port,
              Patience patience) {
  const Ip ip = *Ip::Parse(address);
  const Fd server = Listener(to, ip, SOCK_STREAM, port);
  const Fd client = SocketIn(from, ip.family(), SOCK_STREAM);
  Sock target = Address(ip, port);
  if (::connect(client.get(), target.get(), target.size) < 0 && errno != EINPROGRESS) return false;
  if (!Ready(server, POLLIN, patience)) return false;
  const Fd peer(::accept4(server.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  char buffer[16];
  if (!peer.valid() || !Ready(client, POLLOUT, patience)) return false;
  if (::send(client.get(), "ping", 4, MSG_NOSIGNAL) != 4 || !Ready(peer, POLLIN, patience)) {
    return false;
  }
  if (::recv(peer.get(), buffer, sizeof buffer, 0) != 4) return false;
  if (::send(peer.get(), "pong", 4, MSG_NOSIGNAL) != 4 || !Ready(client, POLLIN, patience)) {
    return false;
  }
  return ::recv(client.get(), buffer, sizeof buffer, 0) == 4;
}

Fd PacketSocket(const NetNs* ns, const std::string& ifname) {
  const auto make = [&]() -> Or<Fd> {
    Fd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL)));
    sockaddr_ll where{};
    where.sll_family = AF_PACKET;
    where.sll_protocol = htons(ETH_P_ALL);
    where.sll_ifindex = static_cast<int>(::if_nametoindex(ifname.c_str()));
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&where), sizeof where) < 0) {
      return Status::Errno(errno, "packet socket on " + ifname);
    }
    return fd;
  };
  Or<Fd> fd = ns ? ns->Run(make) : make();
  EXPECT_TRUE(fd.ok()) << fd.status().message();
  return fd.ok() ? std::move(*fd) : Fd();
}

}  // namespace keelson::cni::testing
