// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <list>
#include <map>
#include <memory>
#include <string>

#include "cni-plugins/ipam/dhcp_conf.h"
#include "cni-plugins/ipam/dhcp_link.h"
#include "cni-plugins/lib/json.h"

namespace keelson::cni::dhcp {

// Between plugin and daemon: one JSON object each way over a stream socket, ended by closing the
// sending direction.
//   request  {"method": "allocate|release|check|status|gc", "containerID", "netns", "ifname",
//             "args", "config": <network configuration>}
//   answer   {"result": <result, version 1.1.0>} or {"error": {"code", "msg"}}
inline constexpr size_t kMaxMessage = 4 << 20;

struct DaemonOptions {
  std::string socket_path = "/run/cni/dhcp.sock";
  std::string host_prefix;  // before netns paths, for a daemon in a container
  std::string pid_file;
  bool broadcast = false;
  std::chrono::milliseconds resend_max{62000};
  std::chrono::milliseconds give_up_after{208000};
};

// Keeps leases for containers. One thread, one poll(2) loop; nothing blocks but netlink.
class Daemon {
 public:
  Daemon(DaemonOptions options, Fd listener);
  // Serves until SIGTERM or SIGINT. Leases stay with the server: containers go on using them.
  Status Run();

 private:
  struct Lease {
    std::string client_id;
    std::string network;
    Attachment attachment;
    int priority;
    Device device;
    Client client;
    Channel channel;  // open while talking
  };
  struct Connection {
    Fd fd;
    std::string in;
    std::string waits_for;  // client id of the lease it asked for
    bool done = false;
  };

  void Accept();
  void Read(Connection& c);
  void Serve(Connection& c);
  Status Handle(const Json& message, Connection& c);
  Status Allocate(const Request& request, Connection& c);
  Status Release(const std::string& client_id);
  Status Gc(const Request& request);
  void Answer(Connection& c, const Json& message);
  void AnswerResult(Connection& c, const Lease& lease);
  void AnswerError(Connection& c, const Status& status);

  // Sends what the client wants sent, and acts on the state it is in now.
  void Drive(Lease& lease, std::vector<Outgoing> out);
  void Settle(Lease& lease);
  void Wait();
  void SetTimer();
  void RunTimers();

  DaemonOptions options_;
  Fd listener_;
  Fd timer_;
  Fd signals_;
  bool stop_ = false;
  std::map<std::string, std::unique_ptr<Lease>> leases_;
  std::list<Connection> connections_;
};

// `dhcp daemon ...`; `argv` begins after "daemon". Flags as upstream's: -socketpath, -hostprefix,
// -pidfile, -broadcast, -timeout, -resendmax, -resendtimeout. Takes systemd's socket if given one.
int DaemonMain(int argc, char** argv);

}  // namespace keelson::cni::dhcp
