// SPDX-License-Identifier: Apache-2.0
// host-local on a real directory, beside the Go plugin on the same one.

#include <fcntl.h>
#include <sys/file.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "test/integration/cni-meta/meta_harness.h"

namespace keelson::cni::testing {
namespace {

namespace fs = std::filesystem;

class HostLocalFiles : public MetaTest {
 protected:
  void SetUp() override {
    MetaTest::SetUp();
    if (!IsSkipped()) netns_ = AddContainer("any").path();
  }
  // The plugin alone, as an IPAM delegate is called. `go`: Debian's Go plugin does it.
  Outcome Ipam(const std::string& command, const std::string& id, bool go = false,
               const std::string& ranges = kRange, const std::string& more = "") {
    Call call;
    call.plugin = "host-local";
    call.command = command;
    call.conf = ConfFor(ranges, more);
    call.container_id = id;
    call.netns = netns_;
    call.args = args_;
    if (command == "CHECK") call.conf = WithMember(call.conf, "prevResult", NoAddresses());
    call.bin_dir = go ? kGoPlugins : "";
    return Running(call).Wait();
  }
  std::string ConfFor(const std::string& ranges, const std::string& more = "") const {
    const std::string version =
        more.find("valid-attachments") == std::string::npos ? "1.0.0" : "1.1.0";
    return R"({"cniVersion":")" + version + R"(","name":"klnet","type":"bridge",)" + more +
           (more.empty() ? "" : ",") + R"("ipam":{"type":"host-local","dataDir":")" + dir() +
           R"(/leases",)" + ranges + "}}";
  }
  static Json NoAddresses() { return *Json::Parse(R"({"cniVersion":"1.0.0","ips":[]})"); }
  static std::string AddressIn(const Outcome& o) {
    const Json json = o.json();
    const Json* const ips = json.Find("ips");
    return ips && !ips->items().empty() ? ips->items()[0].Find("address")->text() : o.out;
  }
  std::string File(const std::string& name) const { return dir() + "/leases/klnet/" + name; }
  std::string Content(const std::string& name) const {
    const Or<std::string> text = ReadFile(File(name));
    return text.ok() ? *text : "(none)";
  }
  void Write(const std::string& name, const std::string& text) const {
    fs::create_directories(dir() + "/leases/klnet");
    std::ofstream(File(name), std::ios::binary) << text;
  }
  std::set<std::string> Leased() const {
    std::set<std::string> names;
    for (const auto& e : fs::directory_iterator(dir() + "/leases/klnet")) {
      if (Ip::Parse(e.path().filename().string()).ok()) names.insert(e.path().filename());
    }
    return names;
  }
  static constexpr char kRange[] = R"("ranges":[[{"subnet":"10.90.0.0/24"}]])";
  static constexpr char kTiny[] = R"("ranges":[[{"subnet":"10.90.0.0/29"}]])";  // .2 to .6
  std::string args_;
  std::string netns_;  // host-local never looks inside
};

TEST_F(HostLocalFiles, HaveTheGoPluginsLayout) {
  EXPECT_EQ(AddressIn(Ipam("ADD", "one")), "10.90.0.2/24");
  EXPECT_EQ(Content("10.90.0.2"), "one\r\neth0");
  EXPECT_EQ(Content("last_reserved_ip.0"), "10.90.0.2");
  EXPECT_EQ(fs::status(File("10.90.0.2")).permissions(), fs::perms(0600));
  EXPECT_EQ(fs::status(dir() + "/leases/klnet").permissions(), fs::perms(0755));
  EXPECT_TRUE(fs::exists(File("lock")));
}

TEST_F(HostLocalFiles, TheGoPluginTakesOverAndBack) {
  ASSERT_TRUE(HasGoPlugin("host-local")) << "install containernetworking-plugins";
  EXPECT_EQ(AddressIn(Ipam("ADD", "ours")), "10.90.0.2/24");
  EXPECT_EQ(AddressIn(Ipam("ADD", "theirs", /*go=*/true)), "10.90.0.3/24");
  EXPECT_EQ(AddressIn(Ipam("ADD", "ours2")), "10.90.0.4/24");
  EXPECT_EQ(Content("10.90.0.3"), "theirs\r\neth0");
  EXPECT_EQ(Ipam("CHECK", "theirs").exit_code, 0);
  EXPECT_EQ(Ipam("CHECK", "ours", /*go=*/true).exit_code, 0);
  EXPECT_NE(Ipam("ADD", "theirs").exit_code, 0);  // both refuse a second address
  EXPECT_NE(Ipam("ADD", "ours", /*go=*/true).exit_code, 0);
  EXPECT_EQ(Ipam("DEL", "ours", /*go=*/true).exit_code, 0);
  EXPECT_EQ(Ipam("DEL", "theirs").exit_code, 0);
  EXPECT_EQ(Leased(), std::set<std::string>{"10.90.0.4"});
  // Round robin goes on where the other left off.
  EXPECT_EQ(AddressIn(Ipam("ADD", "next", /*go=*/true)), "10.90.0.5/24");
  EXPECT_EQ(AddressIn(Ipam("ADD", "after")), "10.90.0.6/24");
}

TEST_F(HostLocalFiles, TheGoPluginWaitsForOurLockAndWeForTheirs) {
  ASSERT_TRUE(HasGoPlugin("host-local")) << "install containernetworking-plugins";
  fs::create_directories(dir() + "/leases/klnet");
  for (const bool go : {false, true}) {
    Fd lock(::open(File("lock").c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0750));
    ASSERT_EQ(::flock(lock.get(), LOCK_EX), 0);
    Call call;
    call.plugin = "host-local";
    call.command = "ADD";
    call.conf = ConfFor(kRange);
    call.container_id = go ? "g" : "k";
    call.netns = netns_;
    call.bin_dir = go ? kGoPlugins : "";
    const auto start = std::chrono::steady_clock::now();
    Running waiting(call);
    // It cannot have finished: the lock is ours until here.
    while (std::chrono::steady_clock::now() - start < std::chrono::milliseconds(60)) {
      EXPECT_TRUE(Leased().empty() || go);
    }
    lock = Fd();
    const Outcome o = waiting.Wait();
    EXPECT_EQ(o.exit_code, 0) << o.out;
    EXPECT_GE(o.took, std::chrono::milliseconds(60));
  }
}

TEST_F(HostLocalFiles, ResultsAreTheGoPluginsByteForByteOnceParsed) {
  ASSERT_TRUE(HasGoPlugin("host-local")) << "install containernetworking-plugins";
  std::ofstream(dir() + "/resolv.conf")
      << "# comment\nnameserver 1.2.3.4\n; more\nsearch a.b c.d\noptions ndots:2\ndomain x.y\n";
  const std::string routes =
      R"(,"routes":[{"dst":"0.0.0.0/0"},{"dst":"10.1.0.0/16","gw":"10.90.0.9"}])";
  const std::string cases[] = {
      kRange,
      R"("subnet":"10.90.1.0/24","rangeStart":"10.90.1.100","rangeEnd":"10.90.1.101","gateway":"10.90.1.254")" +
          routes,
      R"("ranges":[[{"subnet":"10.91.0.0/24"},{"subnet":"10.92.0.0/24"}],[{"subnet":"fd00:1::/64"}]])" +
          routes,
      std::string(R"("subnet":"10.90.3.0/30","resolvConf":")") + dir() + R"(/resolv.conf")",
  };
  for (const std::string& ranges : cases) {
    const Outcome ours = Ipam("ADD", "a", false, ranges);
    EXPECT_EQ(Ipam("DEL", "a", false, ranges).exit_code, 0);
    fs::remove_all(dir() + "/leases");
    const Outcome theirs = Ipam("ADD", "a", true, ranges);
    EXPECT_EQ(ours.json().Dump(), theirs.json().Dump()) << ranges;
    fs::remove_all(dir() + "/leases");
  }
}

TEST_F(HostLocalFiles, ATornFileIsFreedWithAWarning) {
  for (const char* torn : {"", "only\r", "only\r\n", "\r\neth0"}) {
    Write("10.90.0.2", torn);
    fs::remove(File("last_reserved_ip.0"));
    const Outcome o = Ipam("ADD", "one");
    EXPECT_EQ(AddressIn(o), "10.90.0.2/24");
    EXPECT_NE(o.err.find("10.90.0.2 is torn"), std::string::npos) << o.err;
    EXPECT_EQ(Ipam("DEL", "one").exit_code, 0);
  }
  Write("10.90.0.2", std::string("one\0\0\0", 6));
  fs::remove(File("last_reserved_ip.0"));
  EXPECT_EQ(AddressIn(Ipam("ADD", "two")), "10.90.0.2/24");
  Write("last_reserved_ip.0", "garbage");
  EXPECT_EQ(AddressIn(Ipam("ADD", "three")), "10.90.0.3/24");
}

TEST_F(HostLocalFiles, AnOldFileWithoutAnInterfaceIsALease) {
  Write("10.90.0.2", "old");
  EXPECT_EQ(AddressIn(Ipam("ADD", "new")), "10.90.0.3/24");
  EXPECT_EQ(Ipam("CHECK", "old").exit_code, 0);
  EXPECT_EQ(Ipam("DEL", "old").exit_code, 0);
  EXPECT_EQ(Leased(), std::set<std::string>{"10.90.0.3"});
}

TEST_F(HostLocalFiles, LeasesFromBeforeARebootAreReclaimed) {
  for (int i = 0; i < 5; ++i)
    EXPECT_EQ(Ipam("ADD", "c" + std::to_string(i), false, kTiny).exit_code, 0);
  EXPECT_EQ(Ipam("ADD", "full", false, kTiny).code(), 11);
  // The power is cut; nobody sends DEL.
  std::string boot = Content("keelson_boot");
  Write("keelson_boot", "11111111-2222-3333-4444-555555555555" + boot.substr(36));
  Write("10.90.0.3", "somebody-else\r\neth0");  // not of our making: stays
  EXPECT_EQ(AddressIn(Ipam("ADD", "fresh", false, kTiny)), "10.90.0.2/29");
  EXPECT_EQ(Leased(), (std::set<std::string>{"10.90.0.2", "10.90.0.3"}));
}

TEST_F(HostLocalFiles, WithinABootNothingIsReclaimed) {
  for (int i = 0; i < 5; ++i)
    EXPECT_EQ(Ipam("ADD", "c" + std::to_string(i), false, kTiny).exit_code, 0);
  EXPECT_EQ(Leased().size(), 5u);
  EXPECT_EQ(Ipam("ADD", "more", false, kTiny).code(), 11);
  EXPECT_EQ(Ipam("STATUS", "", false, kTiny, R"("cni.dev/valid-attachments":[])").code(), 50);
  EXPECT_EQ(Ipam("DEL", "c3", false, kTiny).exit_code, 0);
  EXPECT_EQ(AddressIn(Ipam("ADD", "more", false, kTiny)), "10.90.0.5/29");
}

TEST_F(HostLocalFiles, GcFreesLeasesOfContainersThatAreGone) {
  for (const char* id : {"a", "b", "c"}) EXPECT_EQ(Ipam("ADD", id).exit_code, 0);
  Write("10.90.0.9", "old");
  const std::string valid = R"("cni.dev/valid-attachments":[{"containerID":"b","ifname":"eth0"},)"
                            R"({"containerID":"c","ifname":"eth1"}])";
  EXPECT_EQ(Ipam("GC", "", false, kRange, valid).exit_code, 0);
  EXPECT_EQ(Leased(), std::set<std::string>{"10.90.0.3"});
}

TEST_F(HostLocalFiles, DelWithoutADirectoryMakesNone) {
  EXPECT_EQ(Ipam("DEL", "nobody").exit_code, 0);
  EXPECT_FALSE(fs::exists(dir() + "/leases"));
  EXPECT_NE(Ipam("CHECK", "nobody").exit_code, 0);
}

TEST_F(HostLocalFiles, RequestedAddressesAreGivenOrRefused) {
  args_ = "IgnoreUnknown=1;K8S_POD_NAME=x;IP=10.90.0.77";
  EXPECT_EQ(AddressIn(Ipam("ADD", "one")), "10.90.0.77/24");
  EXPECT_EQ(Ipam("ADD", "two").exit_code, 1);  // taken
  args_ = "";
  EXPECT_EQ(
      AddressIn(Ipam("ADD", "two", false, kRange, R"("runtimeConfig":{"ips":["10.90.0.78/24"]})")),
      "10.90.0.78/24");
  EXPECT_EQ(
      AddressIn(Ipam("ADD", "three", false, kRange, R"("args":{"cni":{"ips":["10.90.0.79"]}})")),
      "10.90.0.79/24");
  const Outcome outside =
      Ipam("ADD", "four", false, kRange, R"("runtimeConfig":{"ips":["10.99.0.1"]})");
  EXPECT_NE(outside.msg().find("10.99.0.1"), std::string::npos) << outside.msg();
  EXPECT_EQ(Leased().size(), 3u);  // the refused one gave back what it had
  args_ = "COLOUR=red";
  EXPECT_NE(Ipam("ADD", "five").msg().find("COLOUR"), std::string::npos);
}

TEST_F(HostLocalFiles, AFailingSecondRangeGivesTheFirstAddressBack) {
  const std::string two = R"("ranges":[[{"subnet":"10.90.0.0/24"}],[{"subnet":"10.91.0.0/30"}]])";
  EXPECT_EQ(Ipam("ADD", "one", false, two).exit_code, 0);
  EXPECT_EQ(Ipam("ADD", "two", false, two).code(), 11);
  EXPECT_EQ(Leased(), (std::set<std::string>{"10.90.0.2", "10.91.0.2"}));
}

TEST_F(HostLocalFiles, SixtyFourAtOnceGetDifferentAddressesAndGiveThemBack) {
  const auto all = [&](const std::string& command) {
    std::vector<Running> calls;
    for (int i = 0; i < 64; ++i) {
      Call call;
      call.plugin = "host-local";
      call.command = command;
      call.conf = ConfFor(kRange);
      call.container_id = "c" + std::to_string(i);
      call.netns = netns_;
      call.bin_dir = i % 4 == 0 && HasGoPlugin("host-local") ? kGoPlugins : "";  // some of theirs
      calls.emplace_back(call);
    }
    for (Running& r : calls) {
      const Outcome o = r.Wait();
      EXPECT_EQ(o.exit_code, 0) << o.out;
    }
  };
  all("ADD");
  EXPECT_EQ(Leased().size(), 64u);
  all("DEL");
  EXPECT_EQ(Leased().size(), 0u);
}

TEST_F(HostLocalFiles, ALinkInTheDirectoryIsNotFollowed) {
  fs::create_directories(dir() + "/leases/klnet");
  std::ofstream(dir() + "/precious") << "precious";
  fs::create_symlink(dir() + "/precious", File("last_reserved_ip.0"));
  EXPECT_EQ(Ipam("ADD", "one").exit_code, 1);
  EXPECT_EQ(*ReadFile(dir() + "/precious"), "precious");
  EXPECT_TRUE(Leased().empty());
}

// A crash at any moment leaves neither a lock that is held nor an address that nobody can have.
TEST_F(HostLocalFiles, KilledAtAnyMomentItLeavesAUsableDirectory) {
  constexpr int kRounds = 60;
  for (int i = 0; i < kRounds; ++i) {
    Call call;
    call.plugin = "host-local";
    call.command = "ADD";
    call.conf = ConfFor(kRange);
    call.container_id = "k" + std::to_string(i);
    call.netns = netns_;
    const auto start = std::chrono::steady_clock::now();
    Running victim(call);
    while (std::chrono::steady_clock::now() - start < std::chrono::microseconds(25 * i)) {
    }
    victim.Kill();
    victim.Wait();
  }
  const Outcome after = Ipam("ADD", "after");
  EXPECT_EQ(after.exit_code, 0) << after.out;
  EXPECT_LT(after.took, std::chrono::seconds(5));  // nobody waits for a lock's time limit
  for (int i = 0; i < kRounds; ++i) {
    EXPECT_EQ(Ipam("DEL", "k" + std::to_string(i)).exit_code, 0);
  }
  EXPECT_EQ(Leased().size(), 1u);
}

}  // namespace
}  // namespace keelson::cni::testing
