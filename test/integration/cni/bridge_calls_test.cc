// SPDX-License-Identifier: Apache-2.0
// What the bridge plugin answers to the calls of a runtime, and what each of them leaves behind.

#include <sys/stat.h>
#include <unistd.h>

#include "test/integration/cni/bridge_fixture.h"

namespace keelson::cni::testing {
namespace {

TEST_F(Bridge, ResultIsTheGoPluginsInEveryVersion) {
  ASSERT_TRUE(HasGoPlugin("bridge")) << "install containernetworking-plugins";
  const auto normal = [](const std::string& text, const Result& r) {
    std::string s = text;
    const auto replace = [&](const std::string& what, const std::string& with) {
      for (size_t at; !what.empty() && (at = s.find(what)) != std::string::npos;) {
        s.replace(at, what.size(), with);
      }
    };
    for (const Interface& i : r.interfaces) {
      replace(i.mac, "MAC");
      if (i.name.starts_with("veth")) replace(i.name, "HOSTEND");
    }
    return s;
  };
  for (const char* version : {"0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"}) {
    std::string seen[2];
    for (const bool ours : {false, true}) {
      Container& c = AddContainer("c");
      Call call{
          "bridge", "ADD",
          WithMember(Net(R"("isDefaultGateway":true,"mtu":1400,"dns":{"nameservers":["10.9.9.9"]})",
                         "10.77.0.0/16", R"("routes":[{"dst":"10.88.0.0/16"}])"),
                     "cniVersion", Json(version)),
          "c", c.path()};
      if (!ours) call.bin_dir = kGoPlugins;
      const Outcome o = Running(call).Wait();
      ASSERT_TRUE(o.ok()) << o.out;
      seen[ours] = normal(o.out, *Result::FromJson(o.json(), version));
      call.command = "DEL";
      ASSERT_TRUE(Running(call).Wait().ok());
      // The next one gets the same address again.
      ASSERT_TRUE(host().Delete(host().ByName("klbr0")->index).ok());
      ::unlink((dir() + "/leases/klnet/last_reserved_ip.0").c_str());
    }
    EXPECT_EQ(seen[true], seen[false]) << version;
  }
}

TEST_F(Bridge, DelLeavesNothingAndMayBeRepeated) {
  Container& a = AddContainer("a");
  const std::string net = Net(R"("isGateway":true,"ipMasq":true)");
  const Result r = Ok("ADD", net, a);
  EXPECT_EQ(HostLinks().size(), 3u);
  Ok("DEL", WithPrev(net, r), a);
  // At once: not only the container's end, the bridge's port as well.
  EXPECT_EQ(HostLinks(), (std::vector<std::string>{"lo", "klbr0"}));
  EXPECT_FALSE(a.rtnl().ByName("eth0").ok());
  Ok("DEL", net, a);
  Ok("ADD", net, a);  // the name is free again
}

TEST_F(Bridge, DelToleratesAMissingNamespace) {
  Container& a = AddContainer("a");
  const std::string net = Net(R"("isGateway":true,"ipMasq":true)", "10.77.0.0/30");
  Ok("ADD", net, a);
  a.Vanish();
  EXPECT_EQ(Do("DEL", net, a).exit_code, 0);
  Container& b = AddContainer("b");  // the only address of a /30 besides the gateway is free again
  EXPECT_EQ(AddressOf(Ok("ADD", net, b)), "10.77.0.2");
  Call without{"bridge", "DEL", net, "b", ""};
  EXPECT_EQ(Running(without).Wait().exit_code, 0);
}

TEST_F(Bridge, WishesOfTheConfigurationsArgsAreGranted) {
  Container& c = AddContainer("c");
  const Result r =
      Ok("ADD", Net(R"("args":{"cni":{"mac":"c2:11:22:33:44:77","ips":["10.77.0.99"]}})"), c);
  EXPECT_EQ(r.interfaces[2].mac, "c2:11:22:33:44:77");
  EXPECT_EQ(AddressOf(r), "10.77.0.99");
  EXPECT_EQ(
      AddressOf(Ok("ADD", Net(R"("runtimeConfig":{"ips":["10.77.0.98/16"]})"), AddContainer("d"))),
      "10.77.0.98");
  Container& e = AddContainer("e");
  Call call{"bridge", "ADD", Net(), "e", e.path(), "eth0", "IgnoreUnknown=1;IP=10.77.0.97"};
  EXPECT_EQ(AddressOf(*Result::FromJson(Running(call).Wait().json(), "1.0.0")), "10.77.0.97");
}

// A pod whose wishes could not be granted must still be able to end.
TEST_F(Bridge, DelDoesNotJudgeWishes) {
  Container& c = AddContainer("c");
  const std::string net = Net(R"("runtimeConfig":{"mac":"nonsense","ips":["nor this"]},)"
                              R"("args":{"cni":{"mac":"nonsense","ips":["nor this"]}})");
  EXPECT_EQ(Do("ADD", net, c).code(), 7);
  Ok("DEL", net, c);
  Call call{"bridge", "DEL", Net(), "c", c.path(), "eth0", "IgnoreUnknown=1;MAC=no;IP=no"};
  EXPECT_EQ(Running(call).Wait().exit_code, 0);
}

TEST_F(Bridge, CheckSeesWhatIsMissing) {
  Container& c = AddContainer("c");
  const std::string plain =
      Net(R"("isGateway":true)", "10.77.0.0/16", R"("routes":[{"dst":"0.0.0.0/0"}])");
  const auto fresh = [&] {
    if (c.rtnl().ByName("eth0").ok()) Ok("DEL", plain, c);
    const std::string net = WithPrev(plain, Ok("ADD", plain, c));
    Ok("CHECK", net, c);
    return net;
  };
  std::string net = fresh();
  Rtnl inside = c.rtnl();
  const auto index = [&] { return inside.ByName("eth0")->index; };
  const auto address = inside.Addresses(index(), AF_INET)->at(0).cidr;
  ASSERT_TRUE(inside.DeleteAddress(index(), address).ok());
  EXPECT_NE(Do("CHECK", net, c).msg().find(address.ToString()), std::string::npos);

  net = fresh();
  for (const RouteSpec& r : *inside.Routes(AF_INET)) {
    if (r.dst.prefix != 0) continue;
    ASSERT_TRUE(inside.DeleteRoute(r).ok());
  }
  EXPECT_NE(Do("CHECK", net, c).msg().find("0.0.0.0/0"), std::string::npos);

  net = fresh();
  const auto port_of = [](const std::string& conf) {
    const Json j = *Json::Parse(conf);
    return j.Find("prevResult")->Find("interfaces")->items()[1].Find("name")->text();
  };
  ASSERT_TRUE(host().Change(host().ByName(port_of(net))->index, {.master = 0}).ok());
  EXPECT_NE(Do("CHECK", net, c).msg().find("not a port of bridge"), std::string::npos);

  net = fresh();
  ASSERT_TRUE(host().SetPort(host().ByName(port_of(net))->index, true, std::nullopt).ok());
  EXPECT_NE(Do("CHECK", net, c).msg().find("hairpinMode is on"), std::string::npos);

  net = fresh();
  ASSERT_TRUE(host().SetPort(host().ByName(port_of(net))->index, std::nullopt, true).ok());
  EXPECT_NE(Do("CHECK", net, c).msg().find("portIsolation is on"), std::string::npos);

  net = fresh();
  const Cidr gateway = *Cidr::Parse("10.77.0.1/16");
  ASSERT_TRUE(host().DeleteAddress(host().ByName("klbr0")->index, gateway).ok());
  EXPECT_NE(Do("CHECK", net, c).msg().find("gateway 10.77.0.1/16 is not on klbr0"),
            std::string::npos);

  net = fresh();
  ASSERT_TRUE(inside.Change(index(), {.mac = *Mac::Parse("02:00:00:00:00:77")}).ok());
  EXPECT_NE(Do("CHECK", net, c).msg().find("has address 02:00:00:00:00:77"), std::string::npos);

  net = fresh();
  ASSERT_TRUE(inside.Delete(index()).ok());
  EXPECT_EQ(Do("CHECK", net, c).exit_code, 1);
}

TEST_F(Bridge, SixtyFourAtOnceLoseAndLeaveNothing) {
  constexpr int kCount = 64;
  const std::string net = Net(R"("isGateway":true,"ipMasq":true,"hairpinMode":true)");
  std::vector<Container*> all;
  for (int i = 0; i < kCount; ++i) all.push_back(&AddContainer("c" + std::to_string(i)));
  const auto run_all = [&](const std::string& command) {
    std::vector<Running> running;
    for (Container* c : all) running.emplace_back(Call{"bridge", command, net, c->id(), c->path()});
    std::vector<Outcome> outcomes;
    for (Running& r : running) outcomes.push_back(r.Wait());
    return outcomes;
  };
  std::map<std::string, std::string> by_address;
  const std::vector<Outcome> added = run_all("ADD");
  for (int i = 0; i < kCount; ++i) {
    ASSERT_TRUE(added[i].ok()) << added[i].out << added[i].err;
    by_address[AddressOf(*Result::FromJson(added[i].json(), "1.0.0"))] = all[i]->id();
  }
  EXPECT_EQ(by_address.size(), static_cast<size_t>(kCount));  // nobody shares an address
  EXPECT_EQ(HostLinks().size(), kCount + 2u);
  EXPECT_TRUE(TcpWorks(&all[0]->ns(), &all[63]->ns(),
                       AddressOf(*Result::FromJson(added[63].json(), "1.0.0"))));
  for (const Outcome& o : run_all("DEL")) EXPECT_TRUE(o.ok()) << o.out << o.err;
  EXPECT_EQ(HostLinks(), (std::vector<std::string>{"lo", "klbr0"}));
  EXPECT_EQ(AddressOf(Ok("ADD", Net(), *all[0])).substr(0, 6), "10.77.");
  size_t leases = 0;
  const std::vector<std::string> names = *ListDir(dir() + "/leases/klnet");
  for (const std::string& name : names) leases += name.starts_with("10.77.");
  EXPECT_EQ(leases, 1u);
}

TEST_F(Bridge, FailedAddLeavesNothing) {
  Container& a = AddContainer("a");
  Container& b = AddContainer("b");
  const std::string net = Net(R"("isGateway":true)", "10.77.0.0/30");
  Ok("ADD", net, a);
  const auto links = HostLinks();
  EXPECT_EQ(Do("ADD", net, b).exit_code, 1);  // range exhausted
  EXPECT_EQ(HostLinks(), links);
  EXPECT_FALSE(b.rtnl().ByName("eth0").ok());
  // A name taken in the container.
  LinkSpec taken;
  taken.name = "eth0";
  taken.kind = "ifb";
  ASSERT_TRUE(b.rtnl().Make(taken).ok());
  Ok("DEL", net, a);
  const Outcome o = Do("ADD", net, b);
  EXPECT_EQ(o.code(), 4);
  EXPECT_EQ(o.msg().find("CNI_IFNAME"), 0u);
  EXPECT_EQ(HostLinks(), (std::vector<std::string>{"lo", "klbr0"}));
  EXPECT_EQ(AddressOf(Ok("ADD", net, a)), "10.77.0.2");  // still free
}

TEST_F(Bridge, SomethingElseOfThatNameIsNotTaken) {
  LinkSpec other;
  other.name = "klbr0";
  other.kind = "ifb";
  ASSERT_TRUE(host().Make(other).ok());
  const Outcome o = Do("ADD", Net(), AddContainer("c"));
  EXPECT_EQ(o.code(), 7);
  EXPECT_EQ(o.msg(), "bridge: \"klbr0\" already exists but is not a bridge");
}

TEST_F(Bridge, GcReleasesWhatIsNotListed) {
  Container& a = AddContainer("a");
  Container& b = AddContainer("b");
  const std::string net =
      WithMember(Net(R"("isGateway":true,"ipMasq":true)"), "cniVersion", Json("1.1.0"));
  Ok("ADD", net, a);
  Ok("ADD", net, b);
  Json valid = Json::Array();
  Json one = Json::Object();
  one.Set("containerID", Json("b"));
  one.Set("ifname", Json("eth0"));
  valid.Append(one);
  Call gc{"bridge", "GC", WithMember(net, "cni.dev/valid-attachments", valid), "", ""};
  const Outcome o = Running(gc).Wait();
  EXPECT_TRUE(o.ok()) << o.out;
  std::vector<std::string> leases;
  for (const std::string& name : *ListDir(dir() + "/leases/klnet")) {
    if (name.starts_with("10.77.")) leases.push_back(name);
  }
  EXPECT_EQ(leases, std::vector<std::string>{"10.77.0.3"});
}

TEST_F(Bridge, StatusSaysYes) {
  Call call{"bridge", "STATUS", WithMember(Net(), "cniVersion", Json("1.1.0")), "", ""};
  const Outcome o = Running(call).Wait();
  EXPECT_EQ(o.exit_code, 0) << o.out;
  EXPECT_EQ(o.out, "");
}

TEST_F(Bridge, ForeignIpamIsFoundInThePathAndExecuted) {
  ASSERT_TRUE(HasGoPlugin("static")) << "install containernetworking-plugins";
  // Under a name that is not ours, so that it cannot be answered in process.
  const std::string path = dir() + "/bin";
  ASSERT_EQ(::mkdir(path.c_str(), 0700), 0);
  ASSERT_EQ(::symlink((std::string(kGoPlugins) + "/static").c_str(), (path + "/klforeign").c_str()),
            0);
  ASSERT_EQ(::symlink((KeelsonDir() + "/bridge").c_str(), (path + "/bridge").c_str()), 0);
  Container& c = AddContainer("c");
  Call call{
      "bridge", "ADD",
      WithMember(Net("", ""), "ipam",
                 *Json::Parse(R"({"type":"klforeign","addresses":[{"address":"10.77.9.9/16"}]})")),
      "c", c.path()};
  call.bin_dir = path;
  const Outcome o = Running(call).Wait();
  ASSERT_TRUE(o.ok()) << o.out;
  EXPECT_EQ(AddressOf(*Result::FromJson(o.json(), "1.0.0")), "10.77.9.9");
  call.conf = WithMember(call.conf, "ipam", *Json::Parse(R"({"type":"klforeign"})"));
  call.command = "DEL";
  EXPECT_TRUE(Running(call).Wait().ok());
  call.conf = WithMember(call.conf, "ipam", *Json::Parse(R"({"type":"nowhere"})"));
  call.command = "ADD";
  EXPECT_EQ(Running(call).Wait().msg().find("ipam.type: failed to find plugin \"nowhere\""), 0u);
  call.conf = WithMember(call.conf, "ipam", *Json::Parse(R"({"type":"../bin/klforeign"})"));
  EXPECT_EQ(Running(call).Wait().code(), 7);
  EXPECT_EQ(HostLinks(), (std::vector<std::string>{"lo", "klbr0"}));
}

}  // namespace
}  // namespace keelson::cni::testing
