// SPDX-License-Identifier: Apache-2.0
#pragma once

// A bridge network with a world beyond the host, and what chained plugins add to it.

#include <string>
#include <vector>

#include "test/integration/cni/harness.h"

namespace keelson::cni::testing {

inline constexpr char kTcp[] = "tcp";
inline constexpr char kUdp[] = "udp";
inline constexpr char kSctp[] = "sctp";

class MetaTest : public CniTest {
 protected:
  // IPv6 addresses are usable at once: duplicate address detection is the bridge's test.
  void SetUp() override;
  // Configuration of the plugin `type` in the network klnet; `more` are members.
  static std::string Conf(const std::string& type, const std::string& more = "",
                          const std::string& version = "1.0.0");
  // The bridge plugin's, with gateway and default routes of both families.
  std::string Net(const std::string& more = "") const;
  // A container on the bridge and what the bridge plugin said of it.
  struct Pod {
    Container* container;
    Result result;
    const NetNs* ns() const { return &container->ns(); }
    std::string ip() const { return result.ips.at(0).address.ip.ToString(); }
    std::string ip6() const { return result.ips.at(1).address.ip.ToString(); }
  };
  Pod AddPod(const std::string& id, const std::string& more = "");
  // Runs `command` of a chained plugin for the pod with prevResult, expecting success.
  Result Chain(const std::string& command, const std::string& conf, const Pod& pod);
  // 192.0.2.2 and 2001:db8::2, a namespace that the host reaches at .1 and ::1.
  Container& AddWorld();
  // `nft list ruleset`, which also shows that nft can read what we write.
  static std::string Ruleset();
  // Whether nft, ip and tc are here, with which some tests look or interfere. A guest has none.
  static bool HasTools();
  static std::string Output(const std::string& command);
  // How many elements of our tables have a comment that begins with `id`.
  static int ElementsOf(const std::string& id);
};

// The address that a server in `to` on `server_port` sees when somebody in `from` asks
// `address`:`port`; empty if no answer comes back. nullptr: the host.
std::string SourceSeen(const NetNs* from, const NetNs* to, const std::string& protocol,
                       const std::string& address, uint16_t port, uint16_t server_port,
                       Patience patience = kSoon);

// A UDP socket bound in `ns`, for flows that go on.
Fd UdpSocket(const NetNs* ns, const std::string& address, uint16_t port);
void SendTo(const Fd& fd, const std::string& address, uint16_t port);
bool Receives(const Fd& fd, Patience patience);

// Bytes per second that arrive when `from` sends UDP to `address` as fast as it can, counted from
// `skip` bytes on (the burst) until `seconds` have passed.
double Throughput(const NetNs* from, const NetNs* to, const std::string& address, size_t skip,
                  double seconds);

#define NEEDS_TOOLS() \
  if (!HasTools()) GTEST_SKIP() << "nft, ip or tc is not installed"

}  // namespace keelson::cni::testing
