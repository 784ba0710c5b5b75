// SPDX-License-Identifier: Apache-2.0
// A network of the bridge plugin in namespaces of the test's own.
#pragma once

#include <string>

#include "test/integration/cni/harness.h"

namespace keelson::cni::testing {

class Bridge : public CniTest {
 protected:
  // A bridge network with `more` options and addresses of `subnet` (none if empty).
  std::string Net(const std::string& more = "", const std::string& subnet = "10.77.0.0/16",
                  const std::string& ipam_more = "") const {
    std::string conf = R"({"cniVersion":"1.0.0","name":"klnet","type":"bridge","bridge":"klbr0")";
    if (!more.empty()) conf += "," + more;
    if (!subnet.empty()) conf += R"(,"ipam":)" + HostLocal(subnet, ipam_more);
    return conf + "}";
  }
  static std::string AddressOf(const Result& r) { return r.ips.at(0).address.ip.ToString(); }

  // A namespace beyond the host: the host is 192.0.2.1 there, it is 192.0.2.2.
  Container& AddWorld() {
    Container& world = AddContainer("world");
    Rtnl h = host();
    LinkSpec near, far;
    near.name = "klworld";
    near.up = true;
    far.name = "eth0";
    far.netns = &world.ns();
    EXPECT_TRUE(h.MakeVeth(near, far).ok());
    Rtnl w = world.rtnl();
    EXPECT_TRUE(h.AddAddress(h.ByName("klworld")->index, *Cidr::Parse("192.0.2.1/24")).ok());
    const int index = w.ByName("eth0")->index;
    EXPECT_TRUE(w.AddAddress(index, *Cidr::Parse("192.0.2.2/24")).ok());
    EXPECT_TRUE(w.Change(index, {.up = true}).ok());
    RouteSpec back;
    back.dst = *Cidr::Parse("10.77.0.0/16");
    back.gw = *Ip::Parse("192.0.2.1");
    back.link = index;
    EXPECT_TRUE(w.AddRoute(back).ok());
    EXPECT_TRUE(h.WaitForUp(h.ByName("klworld")->index, 2000).ok());
    return world;
  }
};

}  // namespace keelson::cni::testing
