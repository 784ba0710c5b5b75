// SPDX-License-Identifier: Apache-2.0
// dhcp: asks the daemon of this node (`dhcp daemon`) for a lease; it renews it until DEL.
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>

#include "cni-plugins/ipam/dhcp_daemon.h"
#include "cni-plugins/lib/types.h"

namespace keelson::cni {

namespace {

// Longer than the daemon waits for servers; it answers in any case unless it hangs.
constexpr int kAnswerSeconds = 300;

Or<Fd> Connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());  // length checked by ParseConf
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval limit{kAnswerSeconds, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
    return Status::Errno(errno, "error dialing DHCP daemon: connect " + path);
  }
  return fd;
}

Or<Json> Exchange(const Fd& fd, const Json& message) {
  CNI_TRY(WriteAll(fd.get(), message.Dump()).Within("ask DHCP daemon"));
  ::shutdown(fd.get(), SHUT_WR);
  CNI_LET(const std::string text, ReadAll(fd.get(), dhcp::kMaxMessage));
  Or<Json> answer = Json::Parse(text);
  if (!answer.ok()) return Status::Internal("DHCP daemon went away without an answer");
  Status error;
  const Reader failure = Reader(*answer, &error)["error"];
  if (!failure.given()) return answer;
  const int64_t code = failure["code"].Int(999, 1, INT32_MAX);
  return Status(static_cast<Code>(code), failure["msg"].String());
}

std::string AbsolutePath(const std::string& path) {
  if (path.empty() || path[0] == '/') return path;
  const std::unique_ptr<char, decltype(&::free)> cwd(::getcwd(nullptr, 0), &::free);
  return cwd ? std::string(cwd.get()) + "/" + path : path;  // the daemon works elsewhere
}

Or<Json> Ask(const Fd& fd, const std::string& method, const Request& request) {
  Json message = Json::Object();
  message.Set("method", Json(method));
  message.Set("containerID", Json(request.args.container_id));
  message.Set("netns", Json(AbsolutePath(request.args.netns)));
  message.Set("ifname", Json(request.args.ifname));
  message.Set("args", Json(request.args.args));
  message.Set("config", request.conf.json);
  return Exchange(fd, message);
}

bool NobodyThere(const Status& s) {
  return s.sys_errno() == ENOENT || s.sys_errno() == ECONNREFUSED;
}

class Dhcp : public Plugin {
 public:
  Status Validate(const Request& request) override {
    return dhcp::ParseConf(request.conf, request.args).status();
  }

  Or<Result> Add(const Request& request) override {
    CNI_LET(const dhcp::Conf conf, dhcp::ParseConf(request.conf, request.args));
    const Or<Fd> fd = Connect(conf.socket_path);
    if (!fd.ok()) return Status(Code::kTryAgainLater, fd.status().message());
    return Lease(*fd, "allocate", request);
  }

  // Without a daemon nobody keeps the lease alive: it ends by itself.
  Status Del(const Request& request) override { return Tell("release", request); }
  Status Gc(const Request& request, const std::vector<Attachment>&) override {
    return Tell("gc", request);
  }

  Status Check(const Request& request) override {
    CNI_LET(const dhcp::Conf conf, dhcp::ParseConf(request.conf, request.args));
    CNI_LET(const Fd fd, Connect(conf.socket_path));
    CNI_LET(const Result lease, Lease(fd, "check", request));
    if (!request.conf.prev_result) return {};
    for (const IpConfig& ip : lease.ips) {
      const bool found = std::ranges::any_of(request.conf.prev_result->ips, [&](const IpConfig& p) {
        return p.address == ip.address;
      });
      if (!found) {
        return Status::Internal("dhcp: the lease is for " + ip.address.ToString() +
                                ", which prevResult lacks");
      }
    }
    return {};
  }

  Status Ready(const Request& request) override {
    CNI_LET(const dhcp::Conf conf, dhcp::ParseConf(request.conf, request.args));
    const Or<Fd> fd = Connect(conf.socket_path);
    const Status s = fd.ok() ? Ask(*fd, "status", request).status() : fd.status();
    return s.ok() ? s : Status(Code::kPluginNotAvailable, s.message());
  }

 private:
  static Or<Result> Lease(const Fd& fd, const std::string& method, const Request& request) {
    CNI_LET(const Json answer, Ask(fd, method, request));
    const Json* const result = answer.Find("result");
    if (!result) return Status::Internal("DHCP daemon answered without a result");
    return Result::FromJson(*result, kNewestVersion);
  }

  static Status Tell(const std::string& method, const Request& request) {
    CNI_LET(const dhcp::Conf conf, dhcp::ParseConf(request.conf, request.args));
    const Or<Fd> fd = Connect(conf.socket_path);
    if (!fd.ok() && NobodyThere(fd.status())) {
      std::fprintf(stderr, "dhcp: no daemon at %s, leaving the lease to expire\n",
                   conf.socket_path.c_str());
      return {};
    }
    if (!fd.ok()) return fd.status();
    return Ask(*fd, method, request).status();
  }
};

}  // namespace

std::unique_ptr<Plugin> MakeDhcp() { return std::make_unique<Dhcp>(); }

}  // namespace keelson::cni
