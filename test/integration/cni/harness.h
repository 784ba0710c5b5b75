// SPDX-License-Identifier: Apache-2.0
#pragma once

// A host of our own for each test: a fresh network namespace (and mount namespace) that the test
// process moves into, containers as further namespaces, and plugins run as a runtime runs them.
// Needs root; Skip() says so otherwise.

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cni-plugins/lib/link.h"
#include "cni-plugins/lib/netns.h"
#include "cni-plugins/lib/types.h"

namespace keelson::cni::testing {

// What a plugin's process answered.
struct Outcome {
  int exit_code = -1;
  std::string out;
  std::string err;
  std::chrono::microseconds took{};
  bool ok() const { return exit_code == 0; }
  Json json() const;  // of `out`; null if it is not JSON
  int code() const;   // of an error
  std::string msg() const;
};

struct Call {
  std::string plugin;
  std::string command;
  std::string conf;
  std::string container_id;
  std::string netns;
  std::string ifname = "eth0";
  std::string args = {};
  std::string bin_dir = {};  // empty: ours
};

// Starts a plugin; Wait() collects. Several may run at once.
class Running {
 public:
  explicit Running(const Call& call);
  Running(Running&&) = default;
  Outcome Wait();
  // Takes the process away in the middle of whatever it does; Wait() is still due.
  void Kill();

 private:
  pid_t pid_ = -1;
  Fd out_;
  Fd err_;
  std::chrono::steady_clock::time_point start_;
};

// A container: a network namespace bound to a file.
class Container {
 public:
  Container(std::string id, std::string path);
  ~Container();
  const std::string& id() const { return id_; }
  const std::string& path() const { return path_; }
  const NetNs& ns() const { return *ns_; }
  Rtnl rtnl() const;  // a socket inside
  template <typename F>
  auto Run(F&& f) const {
    return ns_->Run(std::forward<F>(f));
  }
  // Takes the namespace away, as after a crash of the runtime.
  void Vanish();

 private:
  std::string id_;
  std::string path_;
  std::optional<NetNs> ns_;
};

class CniTest : public ::testing::Test {
 protected:
  static constexpr char kGoPlugins[] = "/usr/lib/cni";  // Debian's containernetworking-plugins

  void SetUp() override;
  void TearDown() override;

  Container& AddContainer(const std::string& id);
  // Runs a verb for `c` and expects success for Ok().
  Outcome Do(const std::string& command, const std::string& conf, const Container& c,
             const std::string& ifname = "eth0");
  Result Ok(const std::string& command, const std::string& conf, const Container& c,
            const std::string& ifname = "eth0");
  // The same with `prevResult` put into the configuration (CHECK, DEL, chained ADD).
  static std::string WithPrev(const std::string& conf, const Result& previous);
  static std::string WithMember(const std::string& conf, const std::string& name, Json value);
  // How to compare: with CNI_IFNAME, from which cniVersion on, and after which other plugin (of
  // ours), whose result is then prevResult.
  struct Compare {
    std::string ifname = "eth0";
    std::string since = "0.3.0";
    std::string before = {};
  };
  // Ours and the Go plugin of each reference here answer ADD with the same JSON in every version.
  void ExpectSameAsGo(const std::string& conf, const Compare& how);
  void ExpectSameAsGo(const std::string& conf) { ExpectSameAsGo(conf, Compare()); }
  static bool HasGoPlugin(const std::string& name);
  static std::string KeelsonDir();

  Rtnl host();  // a socket in the test's host namespace
  std::vector<std::string> HostLinks();
  std::string dir() const { return dir_; }  // private, removed at the end
  // host-local over `subnet`, leases below dir(); with more members of the ipam object if given.
  std::string HostLocal(const std::string& subnet, const std::string& more = "") const;

 private:
  // What the plugin of `bin_dir` (empty: ours) answers to ADD for a fresh container, in a canonical
  // form with what differs by chance replaced; DEL follows.
  std::string Answer(const std::string& conf, const std::string& bin_dir, const Compare& how);

  std::string dir_;
  std::map<std::string, std::unique_ptr<Container>> containers_;
};

// ---- traffic ------------------------------------------------------------------------------------
// `from` and `to` are namespaces; nullptr is the host. All wait at most `patience`.

using Patience = std::chrono::milliseconds;
inline constexpr Patience kSoon{2000};
inline constexpr Patience kNever{250};  // how long we look for what should not come

// Sends a datagram to `address`:`port`, where somebody in `to` listens on all addresses, and back.
// The address the receiver saw, or empty if nothing came.
std::string UdpSource(const NetNs* from, const NetNs* to, const std::string& address,
                      uint16_t port = 5353, Patience patience = kSoon);
// Whether a TCP connection carries a greeting there and back.
bool TcpWorks(const NetNs* from, const NetNs* to, const std::string& address, uint16_t port = 8080,
              Patience patience = kSoon);

// Raw frames on `ifname` of `ns` for what sockets cannot show. Non-blocking packet socket.
Fd PacketSocket(const NetNs* ns, const std::string& ifname);

}  // namespace keelson::cni::testing
