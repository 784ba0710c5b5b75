// SPDX-License-Identifier: Apache-2.0
// loopback: brings lo up in the container's namespace, whatever CNI_IFNAME says.

#include <sys/socket.h>

#include "cni-plugins/lib/link.h"
#include "cni-plugins/registry.h"

namespace keelson::cni {

namespace {

class Loopback final : public Plugin {
 public:
  Status Validate(const Request&) override { return {}; }

  Or<Result> Add(const Request& request) override {
    CNI_LET(const NetNs ns, NetNs::Open(request.args.netns));
    CNI_LET(Rtnl rtnl, Rtnl::OpenIn(ns));
    CNI_LET(const Link lo, rtnl.ByName("lo"));
    CNI_TRY(rtnl.Change(lo.index, {.up = true}));
    CNI_LET(const std::vector<Address> addresses, rtnl.Addresses(lo.index, AF_UNSPEC));
    Result result;
    result.interfaces.push_back({"lo", "00:00:00:00:00:00", 0, request.args.netns, "", ""});
    for (const bool v4 : {true, false}) {
      bool first = true;
      for (const Address& a : addresses) {
        if (a.cidr.ip.v4() != v4) continue;
        if (!IsLoopback(a.cidr.ip)) {
          return Status::Internal("loopback interface found with non-loopback address " +
                                  a.cidr.ip.ToString());
        }
        if (first) result.ips.push_back({0, a.cidr, std::nullopt});
        first = false;
      }
    }
    // As a later plugin of a chain it hands on what it was given.
    return request.conf.prev_result ? *request.conf.prev_result : result;
  }

  Status Del(const Request& request) override {
    if (request.args.netns.empty()) return {};
    Or<NetNs> ns = NetNs::Open(request.args.netns);
    if (!ns.ok()) return NetNs::IsGone(ns.status()) ? Status() : ns.status();
    CNI_LET(Rtnl rtnl, Rtnl::OpenIn(*ns));
    CNI_LET(const Link lo, rtnl.ByName("lo"));
    return rtnl.Change(lo.index, {.up = false});
  }

  Status Check(const Request& request) override {
    CNI_LET(const NetNs ns, NetNs::Open(request.args.netns));
    CNI_LET(Rtnl rtnl, Rtnl::OpenIn(ns));
    CNI_LET(const Link lo, rtnl.ByName("lo"));
    return lo.up() ? Status() : Status::Internal("loopback interface is down");
  }

 private:
  static bool IsLoopback(const Ip& ip) {
    return ip.v4() ? ip.data()[0] == 127 : ip == *Ip::Parse("::1");
  }
};

}  // namespace

std::unique_ptr<Plugin> MakeLoopback() { return std::make_unique<Loopback>(); }

}  // namespace keelson::cni
