// SPDX-License-Identifier: Apache-2.0
// The daemon's command line and socket.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "cni-plugins/ipam/dhcp_daemon.h"

namespace keelson::cni::dhcp {

namespace {

constexpr int kSystemdSocket = 3;  // sd_listen_fds(3): the first descriptor passed

// Go's durations, as far as one unit: "10s", "500ms", "2m".
std::optional<std::chrono::milliseconds> Duration(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  if (error != std::errc() || number < 0 || number > 1000000) return std::nullopt;
  if (unit == "ms") return std::chrono::milliseconds(number);
  if (unit == "s") return std::chrono::seconds(number);
  if (unit == "m") return std::chrono::minutes(number);
  if (unit == "h") return std::chrono::hours(number);
  return std::nullopt;
}

Status SetOption(const std::string& name, const std::string& value, DaemonOptions* o) {
  if (name == "socketpath") {
    o->socket_path = value;
  } else if (name == "hostprefix") {
    o->host_prefix = value;
  } else if (name == "pidfile") {
    o->pid_file = value;
  } else {
    const auto duration = Duration(value);
    if (!duration)
      return Status::Invalid("-" + name + ": \"" + value + "\" is no duration like 10s");
    // Upstream's -timeout limits one try of a client that blocks; ours is limited as a whole.
    if (name == "timeout" || name == "resendtimeout") {
      o->give_up_after = name == "timeout" ? std::max(o->give_up_after, *duration) : *duration;
    }
    if (name == "resendmax") o->resend_max = *duration;
  }
  return {};
}

Or<DaemonOptions> ParseOptions(int argc, char** argv) {
  static constexpr std::string_view kNames[] = {"socketpath", "hostprefix", "pidfile",
                                                "timeout",    "resendmax",  "resendtimeout"};
  DaemonOptions options;
  for (int i = 0; i < argc; ++i) {
    std::string_view word = argv[i];
    if (!word.starts_with('-')) return Status::Invalid("unexpected argument " + std::string(word));
    word.remove_prefix(word.starts_with("--") ? 2 : 1);
    const size_t equals = word.find('=');
    const std::string name(word.substr(0, equals));
    std::string value = equals == word.npos ? "" : std::string(word.substr(equals + 1));
    if (name == "broadcast") {
      if (value != "" && value != "true" && value != "false") {
        return Status::Invalid("-broadcast: true or false");
      }
      options.broadcast = value != "false";
      continue;
    }
    bool known = false;
    for (const std::string_view n : kNames) known |= n == name;
    if (!known) return Status::Invalid("unknown flag -" + name);
    if (equals == word.npos) {
      if (++i == argc) return Status::Invalid("-" + name + ": needs a value");
      value = argv[i];
    }
    CNI_TRY(SetOption(name, value, &options));
  }
  return options;
}

bool SystemdGaveSocket() {
  const char* const pid = std::getenv("LISTEN_PID");
  const char* const count = std::getenv("LISTEN_FDS");
  return pid && count && std::to_string(::getpid()) == pid && std::string_view(count) == "1";
}

Or<Fd> Listen(const std::string& path) {
  if (SystemdGaveSocket()) {
    ::fcntl(kSystemdSocket, F_SETFD, FD_CLOEXEC);
    ::fcntl(kSystemdSocket, F_SETFL, O_NONBLOCK);
    return Fd(kSystemdSocket);
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return Status::Invalid("-socketpath: too long");
  std::memcpy(address.sun_path, path.data(), path.size());
  const std::string dir = path.substr(0, path.rfind('/'));
  if (!dir.empty() && ::mkdir(dir.c_str(), 0700) < 0 && errno != EEXIST) {
    return Status::Errno(errno, "mkdir " + dir);
  }
  ::unlink(path.c_str());  // of a daemon that died; one that lives loses its clients, as upstream's
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const mode_t before = ::umask(0177);
  const int rc = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  ::umask(before);
  if (rc < 0) return Status::Errno(error, "bind " + path);
  if (::listen(fd.get(), SOMAXCONN) < 0) return Status::Errno(errno, "listen on " + path);
  return fd;
}

Status WritePidFile(const std::string& path) {
  if (path.empty()) return {};
  if (path[0] != '/') return Status::Invalid("-pidfile: \"" + path + "\" is not an absolute path");
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd.valid()) return Status::Errno(errno, "-pidfile: open " + path);
  return WriteAll(fd.get(), std::to_string(::getpid()));
}

Status Main(int argc, char** argv) {
  CNI_LET(DaemonOptions options, ParseOptions(argc, argv));
  CNI_LET(Fd listener, Listen(options.socket_path));
  CNI_TRY(WritePidFile(options.pid_file));
  const std::string path = SystemdGaveSocket() ? "" : options.socket_path;
  Daemon daemon(std::move(options), std::move(listener));
  const Status s = daemon.Run();
  if (!path.empty()) ::unlink(path.c_str());
  return s;
}

}  // namespace

int DaemonMain(int argc, char** argv) {
  const Status s = Main(argc, argv);
  if (!s.ok()) std::fprintf(stderr, "dhcp daemon: %s\n", s.message().c_str());
  return s.ok() ? 0 : 1;
}

}  // namespace keelson::cni::dhcp
