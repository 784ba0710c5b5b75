// SPDX-License-Identifier: Apache-2.0
#include "cri/dns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/unit/cri/pods.h"

namespace keelson::cri {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

TEST(ResolvConf, IsReadAsTheResolverReadsIt) {
  const auto conf = *ParseResolvConf(
      "# comment\n"
      "nameserver 10.0.0.1\r\n"
      "  nameserver\t10.0.0.2 trailing\n"
      "search old.example\n"
      "search a.example. . b.example\n"
      "options ndots:1 rotate\n"
      "options ndots:3\n"
      "domain ignored\n"
      "\n"
      "nameserver ::1");
  EXPECT_THAT(conf.servers, ElementsAre("10.0.0.1", "10.0.0.2", "::1"));
  EXPECT_THAT(conf.searches, ElementsAre("a.example", "b.example"));
  EXPECT_THAT(conf.options, ElementsAre("ndots:3", "rotate"));
  EXPECT_FALSE(ParseResolvConf("nameserver\n").ok());
  EXPECT_TRUE(ParseResolvConf("").ok());
}

class PodDnsTest : public testing::Test {
 protected:
  PodDnsTest() {
    node_.host = ResolvConf{{"1.1.1.1"}, {"corp.example"}, {"rotate"}};
    node_.cluster_dns = {"10.96.0.10"};
    node_.cluster_domain = "cluster.local";
  }
  void Make(const std::string& spec) {
    dns_ = MakePodDns(PodWithSpec(spec), node_);
    servers_ = {dns_.config.servers().begin(), dns_.config.servers().end()};
    searches_ = {dns_.config.searches().begin(), dns_.config.searches().end()};
    options_ = {dns_.config.options().begin(), dns_.config.options().end()};
  }

  DnsSettings node_;
  PodDns dns_;
  std::vector<std::string> servers_, searches_, options_;
};

TEST_F(PodDnsTest, ClusterFirstAsksTheCluster) {
  Make("  dnsPolicy: ClusterFirst\n");
  EXPECT_THAT(servers_, ElementsAre("10.96.0.10"));
  EXPECT_THAT(searches_, ElementsAre("default.svc.cluster.local", "svc.cluster.local",
                                     "cluster.local", "corp.example"));
  EXPECT_THAT(options_, ElementsAre("ndots:5"));
  EXPECT_THAT(dns_.warnings, IsEmpty());
}

TEST_F(PodDnsTest, HostNetworkPodsAskTheHostUnlessToldOtherwise) {
  Make("  dnsPolicy: ClusterFirst\n  hostNetwork: true\n");
  EXPECT_THAT(servers_, ElementsAre("1.1.1.1"));
  EXPECT_THAT(options_, ElementsAre("rotate"));
  Make("  dnsPolicy: ClusterFirstWithHostNet\n  hostNetwork: true\n");
  EXPECT_THAT(servers_, ElementsAre("10.96.0.10"));
}

TEST_F(PodDnsTest, WithoutClusterDnsThePodIsToldAndAsksTheHost) {
  node_.cluster_dns.clear();
  Make("  dnsPolicy: ClusterFirst\n");
  EXPECT_THAT(servers_, ElementsAre("1.1.1.1"));
  ASSERT_THAT(dns_.warnings, SizeIs(1));
  EXPECT_EQ(dns_.warnings[0].reason, "MissingClusterDNS");
  EXPECT_EQ(dns_.warnings[0].message,
            "pod: \"web_default(u1)\". kubelet does not have ClusterDNS IP configured and cannot "
            "create Pod using \"ClusterFirst\" policy. Falling back to \"Default\" policy.");
}

TEST_F(PodDnsTest, NoResolvConfMeansNoLookups) {
  node_.host.reset();
  Make("  dnsPolicy: Default\n");
  EXPECT_THAT(servers_, ElementsAre("127.0.0.1"));
  EXPECT_THAT(searches_, ElementsAre("."));
  node_.node_ips = {"10.0.0.5", "fd00::5"};
  Make("  dnsPolicy: Default\n");
  EXPECT_THAT(servers_, ElementsAre("127.0.0.1", "::1"));
}

TEST_F(PodDnsTest, DnsConfigIsAddedOnce) {
  Make(R"(  dnsPolicy: Default
  dnsConfig:
    nameservers: [1.1.1.1, 9.9.9.9]
    searches: [corp.example, x.example]
    options: [{name: ndots, value: "2"}, {name: rotate}, {name: edns0}]
)");
  EXPECT_THAT(servers_, ElementsAre("1.1.1.1", "9.9.9.9"));
  EXPECT_THAT(searches_, ElementsAre("corp.example", "x.example"));
  EXPECT_THAT(options_, ElementsAre("rotate", "ndots:2", "edns0"));
  Make("  dnsPolicy: None\n  dnsConfig: {nameservers: [9.9.9.9]}\n");
  EXPECT_THAT(servers_, ElementsAre("9.9.9.9"));
  EXPECT_THAT(searches_, IsEmpty());
}

TEST_F(PodDnsTest, LimitsCutAndWarn) {
  std::string searches;
  for (int i = 0; i < 40; ++i) searches += "d" + std::to_string(i) + ".example, ";
  Make(
      "  dnsPolicy: None\n  dnsConfig:\n    nameservers: [1.1.1.1, 2.2.2.2, 3.3.3.3, 4.4.4.4]\n"
      "    searches: [" +
      searches + std::string(254, 'x') + "]\n");
  EXPECT_THAT(servers_, ElementsAre("1.1.1.1", "2.2.2.2", "3.3.3.3"));
  EXPECT_THAT(searches_, SizeIs(32));
  ASSERT_THAT(dns_.warnings, SizeIs(2));
  EXPECT_EQ(dns_.warnings[0].message,
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied "
            "nameserver line is: 1.1.1.1 2.2.2.2 3.3.3.3");
  EXPECT_EQ(dns_.warnings[1].reason, "DNSConfigForming");
}

TEST_F(PodDnsTest, TooLongSearchesGo) {
  std::string searches;
  for (int i = 0; i < 12; ++i) searches += std::string(240, char('a' + i)) + ", ";
  Make("  dnsPolicy: None\n  dnsConfig: {searches: [" + searches + std::string(254, 'x') + "]}\n");
  EXPECT_THAT(searches_, SizeIs(8));  // 8 * 241 - 1 = 1927; a ninth would make 2168
  EXPECT_THAT(dns_.warnings, SizeIs(1));
}

TEST(Hostname, FollowsTheSpec) {
  const std::string long_name = std::string(62, 'a') + "-bcd";
  const struct {
    std::string spec, host, domain;
  } cases[] = {
      {"  hostname: h\n", "h", ""},
      {"  subdomain: sub\n", "web", "sub.default.svc.cluster.local"},
      {"  hostname: h\n  subdomain: sub\n", "h", "sub.default.svc.cluster.local"},
      {"  hostnameOverride: a.b.c\n  subdomain: sub\n", "a.b.c", ""},
      {"  hostnameOverride: " + long_name + "\n", std::string(62, 'a'), ""},
  };
  for (const auto& c : cases) {
    auto name = MakePodHostname(PodWithSpec(c.spec), "cluster.local");
    ASSERT_TRUE(name.ok()) << name.status();
    EXPECT_EQ(name->host, c.host);
    EXPECT_EQ(name->domain, c.domain);
  }
  for (const char* bad :
       {"  hostname: a.b\n", "  hostname: -a\n", "  subdomain: UP\n", "  hostnameOverride: a..b\n"})
    EXPECT_FALSE(MakePodHostname(PodWithSpec(bad), "cluster.local").ok()) << bad;
}

TEST(Hostname, KernelGetsTheFullNameOnlyWhenAskedAndWhenItFits) {
  const PodHostname name{"web", "sub.default.svc.cluster.local"};
  EXPECT_EQ(*KernelHostname(PodWithSpec("  restartPolicy: Always\n"), name), "web");
  EXPECT_EQ(*KernelHostname(PodWithSpec("  setHostnameAsFQDN: true\n"), name),
            "web.sub.default.svc.cluster.local");
  EXPECT_EQ(*KernelHostname(PodWithSpec("  hostNetwork: true\n"), name), "");
  const auto status = KernelHostname(PodWithSpec("  setHostnameAsFQDN: true\n"),
                                     {std::string(40, 'h'), "sub.default.svc.cluster.local"});
  EXPECT_THAT(std::string(base::Message(status.status())),
              testing::HasSubstr("is too long (64 characters is the max, 70 characters"));
}

TEST(Hosts, FilesAreUpstreams) {
  const v1::Pod pod = PodWithSpec(
      "  hostAliases: [{ip: 10.1.1.1, hostnames: [a, b]}, {ip: 10.1.1.2, hostnames: [c]}]\n");
  const std::string aliases = "\n# Entries added by HostAliases.\n10.1.1.1\ta\tb\n10.1.1.2\tc\n";
  EXPECT_EQ(ManagedHosts(pod, {"web", ""}, {"10.88.0.2", "fd00::2"}),
            "# Kubernetes-managed hosts file.\n"
            "127.0.0.1\tlocalhost\n"
            "::1\tlocalhost ip6-localhost ip6-loopback\n"
            "fe00::0\tip6-localnet\n"
            "fe00::0\tip6-mcastprefix\n"
            "fe00::1\tip6-allnodes\n"
            "fe00::2\tip6-allrouters\n"
            "10.88.0.2\tweb\n"
            "fd00::2\tweb\n" +
                aliases);
  EXPECT_THAT(ManagedHosts(pod, {"web", "s.d"}, {"10.88.0.2"}),
              testing::HasSubstr("10.88.0.2\tweb.s.d\tweb\n"));
  EXPECT_EQ(NodeHosts(pod, "127.0.0.1 localhost\n"),
            "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n" + aliases);
}

}  // namespace
}  // namespace keelson::cri
