// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cni-plugins/lib/ip.h"
#include "cni-plugins/lib/netlink.h"
#include "cni-plugins/lib/netns.h"
#include "cni-plugins/lib/status.h"
#include "cni-plugins/lib/types.h"

namespace keelson::cni {

// A network device as the kernel describes it now.
struct Link {
  int index = 0;
  std::string name;
  std::string alias;
  std::string kind;  // "veth", "bridge", ...; empty for physical devices
  Mac mac;
  bool has_mac = false;
  uint16_t type = 0;   // ARPHRD_*
  uint32_t flags = 0;  // IFF_*
  int mtu = 0;
  int master = 0;
  int parent = 0;         // IFLA_LINK: a veth's peer, a VLAN's lower device
  int parent_netns = -1;  // IFLA_LINK_NETNSID: where `parent` counts; -1: here
  int operstate = 0;      // IF_OPER_*
  int tx_queue_len = 0;
  int promiscuity = 0;
  std::optional<bool> vlan_filtering;  // bridges
  std::optional<int> vlan_id;          // vlan
  std::optional<int> mode;             // MACVLAN_MODE_* or IPVLAN_MODE_*
  std::optional<int> vrf_table;        // vrf
  std::optional<bool> port_hairpin;    // bridge ports
  std::optional<bool> port_isolated;   // bridge ports
  bool up() const;
};

// What to make. Members left empty are the kernel's choice.
struct LinkSpec {
  std::string name;
  std::string kind;
  std::optional<Mac> mac;
  int mtu = 0;
  int master = 0;
  int parent = 0;                // IFLA_LINK, in the socket's namespace
  const NetNs* netns = nullptr;  // made there; default: the socket's
  bool up = false;
  std::string alias;
  std::function<void(Message&)> info;  // fills IFLA_INFO_DATA
};

// What to change about a device; one message, all or (nearly) nothing.
struct LinkChange {
  std::optional<bool> up = {};
  std::optional<std::string> name = {};
  std::optional<std::string> alias = {};
  std::optional<Mac> mac = {};
  std::optional<int> mtu = {};
  std::optional<int> master = {};  // 0: none
  std::optional<int> tx_queue_len = {};
  std::optional<bool> promisc = {};
  std::optional<bool> allmulti = {};
  const NetNs* netns = nullptr;  // moves it there
};

struct RouteSpec {
  Cidr dst;  // host bits are ignored
  std::optional<Ip> gw;
  int link = 0;
  int table = 0;  // 0: main
  int priority = 0;
  int mtu = 0;
  int advmss = 0;
  int scope = 0;             // RT_SCOPE_*; universe by default, like the Go plugins
  std::optional<Ip> source;  // preferred source
};

struct Address {
  Cidr cidr;
  int flags = 0;  // IFA_F_*
  int scope = 0;  // RT_SCOPE_*
};

// Links, addresses and routes of one network namespace (that of its socket).
// sys_errno() tells what the kernel said; ENODEV for a link that is not there.
class Rtnl {
 public:
  static Or<Rtnl> Open();
  static Or<Rtnl> OpenIn(const NetNs& ns);

  Or<Link> ByName(const std::string& name);
  Or<Link> ByIndex(int index);
  Or<std::vector<Link>> Links();
  static bool IsMissing(const Status& status);  // "no such link"

  Status Make(const LinkSpec& spec);
  // A pair; `peer` may be in another namespace than `host`. Only `host` can be up from the start.
  Status MakeVeth(const LinkSpec& host, const LinkSpec& peer);
  Status Change(int index, const LinkChange& change);
  // OK if it was gone already.
  Status Delete(int index);
  // The same, but returns once nobody can see or use the device (nor a veth's peer) any more; the
  // kernel frees its memory later. Delete() waits for that, some 15 ms (an RCU barrier), and a
  // system call cannot be left: a child process that does nothing else waits in our place.
  Status DeleteSoon(int index);

  // Bridge port options; those not given stay as they are.
  Status SetPort(int index, std::optional<bool> hairpin, std::optional<bool> isolated);
  // Adds or removes the VLANs [first, last] of a port, or with `self` of the bridge itself.
  Status PortVlan(int index, bool add, int first, int last, bool pvid, bool untagged, bool self);
  // VLANs of a port now.
  Or<std::vector<int>> PortVlans(int index);

  Or<std::vector<Address>> Addresses(int index, int family /* AF_UNSPEC: all */);
  Status AddAddress(int index, const Cidr& address, uint32_t flags = 0);
  Status DeleteAddress(int index, const Cidr& address);
  // Afterwards no address of `index` is tentative (duplicate address detection is over). An error
  // names an address found to be in use elsewhere.
  Status WaitForDad(int index, int timeout_ms);
  // Afterwards the link's operational state is up; waits for the kernel to say so.
  Status WaitForUp(int index, int timeout_ms);

  // An IPv6 route with the same destination becomes another path, as with the Go plugins. EEXIST
  // for the very same route.
  Status AddRoute(const RouteSpec& route);
  // Routes of all tables (or one), local and multicast ones left out.
  Or<std::vector<RouteSpec>> Routes(int family, int table = 0);
  Status DeleteRoute(const RouteSpec& route);

  Netlink& netlink() { return nl_; }

 private:
  explicit Rtnl(Netlink nl) : nl_(std::move(nl)) {}
  Netlink nl_;
};

}  // namespace keelson::cni
