// SPDX-License-Identifier: Apache-2.0
#include "kubelet/client/kubeconfig.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"
#include "kubelet/client/proxy.h"
#include "kubelet/client/rate_limit.h"
#include "kubelet/client/watch_frames.h"
#include "proto/k8s/pod.pb.h"

namespace keelson::kubelet::client {
namespace {

using base::StrCat;
using std::chrono::milliseconds;
using ::testing::HasSubstr;

// A file with this cluster and this user.
std::string File(const std::string& cluster, const std::string& user) {
  return StrCat(
      "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- name: c\n  context: "
      "{cluster: k, user: u, namespace: ns1}\nclusters:\n- name: k\n  cluster: ",
      cluster, "\nusers:\n- name: u\n  user: ", user, "\n");
}
absl::StatusOr<KubeConfig> Parse(const std::string& cluster, const std::string& user) {
  proto::DecodeOptions options;
  options.source = "kc";
  return ParseKubeConfig(File(cluster, user), "/etc/kubernetes/", options);
}

TEST(KubeConfigTest, ReadsClusterAndUserOfTheCurrentContext) {
  const auto config = Parse(
      "{server: 'https://10.0.0.1:6443/', certificate-authority: pki/ca.crt, tls-server-name: api, "
      "proxy-url: 'http://p:3128'}",
      "{client-certificate: kubelet.pem, client-key: /keys/kubelet.pem}");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->cluster.server, "https://10.0.0.1:6443");
  EXPECT_EQ(config->cluster.ca.file, "/etc/kubernetes/pki/ca.crt");
  EXPECT_EQ(config->cluster.tls_server_name, "api");
  EXPECT_EQ(config->cluster.proxy_url, "http://p:3128");
  EXPECT_EQ(config->user.certificate.file, "/etc/kubernetes/kubelet.pem");
  EXPECT_EQ(config->user.key.file, "/keys/kubelet.pem");
  EXPECT_EQ(config->ns, "ns1");
  EXPECT_TRUE(config->warnings.empty());
}

TEST(KubeConfigTest, ReadsDataTokensAndPlugins) {
  auto config = Parse("{server: 'https://a', certificate-authority-data: UEVN}", "{token: t}");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->cluster.ca.data, "PEM");
  EXPECT_EQ(config->user.token, "t");
  config =
      Parse("{server: 'https://a'}",
            "{exec: {apiVersion: client.authentication.k8s.io/v1, command: bin/get-token, args: "
            "[x], env: [{name: A, value: B}], interactiveMode: Never, provideClusterInfo: true}}");
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_TRUE(config->user.exec.has_value());
  EXPECT_EQ(config->user.exec->command, "/etc/kubernetes/bin/get-token");
  EXPECT_EQ(config->user.exec->args, std::vector<std::string>{"x"});
  EXPECT_TRUE(config->user.exec->provide_cluster_info);
}

TEST(KubeConfigTest, ImpersonationAndUnknownMembersAreIgnoredAloud) {
  const auto config = Parse("{server: 'https://a', colour: red}", "{token: t, as: admin}");
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->warnings.size(), 2u);
  EXPECT_THAT(config->warnings[0], HasSubstr("impersonation is ignored"));
  EXPECT_THAT(config->warnings[1], HasSubstr("colour"));
}

TEST(KubeConfigTest, WhatIsWrongIsSaidWithItsPlace) {
  struct {
    std::string cluster, user, words;
  } cases[] = {
      {"{}", "{}", "kc: clusters[k].cluster.server is not set"},
      {"{server: 'ftp://a'}", "{}", "expected an https URL"},
      {"{server: 'https://a', proxy-url: 'ftp://x'}", "{}", "proxy-url \"ftp://x\""},
      {"{server: 'https://a', insecure-skip-tls-verify: true, certificate-authority: x}", "{}",
       "insecure-skip-tls-verify"},
      {"{server: 'https://a'}", "{client-certificate: x}", "one is set without the other"},
      {"{server: 'https://a'}", "{token: x, username: joe}", "only one of them"},
      {"{server: 'https://a'}", "{auth-provider: {name: gcp}}", "use exec"},
      {"{server: 'https://a'}", "{exec: {apiVersion: v1, command: x}}", "exec.apiVersion \"v1\""},
      {"{server: 'https://a'}", "{exec: {apiVersion: client.authentication.k8s.io/v1, command: x}}",
       "interactiveMode"},
      {"{server: 'https://a'}",
       "{exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: Always}}",
       "no terminal"},
      {"{server: 'https://a'}",
       "{token: t, exec: {apiVersion: client.authentication.k8s.io/v1, command: x, "
       "interactiveMode: Never}}",
       "not together with other credentials"},
  };
  for (const auto& c : cases) {
    const auto config = Parse(c.cluster, c.user);
    EXPECT_FALSE(config.ok()) << c.words;
    EXPECT_THAT(std::string(base::Message(config.status())), HasSubstr(c.words));
  }
  const auto none = ParseKubeConfig("current-context: x", "/", {});
  EXPECT_THAT(std::string(base::Message(none.status())), HasSubstr("\"x\": no such context"));
}

TEST(KubeConfigTest, WhatBootstrapWritesIsReadAgain) {
  ClusterConfig cluster;
  cluster.server = "https://a:6443";
  cluster.ca.data = "PEM";
  const auto text = WriteKubeConfig(cluster, "/var/lib/kubelet/pki/current.pem");
  ASSERT_TRUE(text.ok());
  const auto config = ParseKubeConfig(*text, "/", {});
  ASSERT_TRUE(config.ok()) << config.status() << *text;
  EXPECT_EQ(config->cluster.ca.data, "PEM");
  EXPECT_EQ(config->user.certificate.file, "/var/lib/kubelet/pki/current.pem");
  EXPECT_EQ(config->user.key.file, "/var/lib/kubelet/pki/current.pem");
}

TEST(ProxyTest, FollowsTheEnvironmentAsGoDoes) {
  struct {
    std::string url, no_proxy, proxy;
  } cases[] = {
      {"https://api.example.com", "", "http://p:1"},
      {"http://api.example.com", "", ""},
      {"https://localhost:6443", "", ""},
      {"https://127.0.0.5", "", ""},
      {"https://[::1]:6443", "", ""},
      {"https://api.example.com", "*", ""},
      {"https://api.example.com", "example.com", ""},
      {"https://api.example.com", "other, .example.com", ""},
      {"https://example.com", ".example.com", "http://p:1"},
      {"https://example.com", "*.example.com", "http://p:1"},
      {"https://badexample.com", "example.com", "http://p:1"},
      {"https://api.example.com:6443", "example.com:6443", ""},
      {"https://api.example.com:6443", "example.com:443", "http://p:1"},
      {"https://10.1.2.3", "10.0.0.0/8", ""},
      {"https://11.1.2.3", "10.0.0.0/8", "http://p:1"},
      {"https://10.1.2.3", "10.1.2.3", ""},
      {"https://[fd00::1]", "fd00::/16", ""},
      {"https://10.1.2.3", "::/0", "http://p:1"},
  };
  for (const auto& c : cases) {
    const ProxyEnvironment environment{"p:1", "", c.no_proxy};
    EXPECT_EQ(ProxyFor(ParseServer(c.url), "", environment), c.proxy) << c.url << " " << c.no_proxy;
  }
  EXPECT_EQ(ProxyFor(ParseServer("https://localhost"), "socks5://x:1", {}), "socks5://x:1");
}

TEST(ServerTest, IsTakenApart) {
  const ServerAddress server = ParseServer("https://[fd00::1]:6443/base");
  EXPECT_EQ(server.host, "fd00::1");
  EXPECT_EQ(server.port, 6443);
  EXPECT_EQ(server.path, "/base");
  EXPECT_EQ(ParseServer("https://a").port, 443);
  EXPECT_EQ(ParseServer("https://a:x").port, 0);
  EXPECT_EQ(ParseServer("https://user@a").port, 0);
}

TEST(TokenBucketTest, HoldsBackWhatExceedsTheRate) {
  TokenBucket bucket(10, 2);
  base::MonoTime now;
  EXPECT_EQ(bucket.Reserve(now), base::Nanos(0));
  EXPECT_EQ(bucket.Reserve(now), base::Nanos(0));
  EXPECT_EQ(bucket.Reserve(now), milliseconds(100));
  EXPECT_EQ(bucket.Reserve(now), milliseconds(200));
  EXPECT_EQ(bucket.Reserve(now + std::chrono::seconds(60)), base::Nanos(0));
  TokenBucket endless(0, 1);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(endless.Reserve(now), base::Nanos(0));
}

TEST(FrameReaderTest, CutsWhereverBytesBreak) {
  const std::string frames("\0\0\0\2ab\0\0\0\0\0\0\0\3xyz", 17);
  for (size_t cut = 0; cut <= frames.size(); ++cut) {
    FrameReader reader(Encoding::kProtobuf, 100);
    std::vector<std::string> got;
    for (const std::string& piece : {frames.substr(0, cut), frames.substr(cut)}) {
      reader.Add(piece);
      for (;;) {
        const auto next = reader.Next();
        ASSERT_TRUE(next.ok());
        if (!*next) break;
        got.push_back(**next);
      }
    }
    EXPECT_EQ(got, (std::vector<std::string>{"ab", "", "xyz"})) << cut;
  }
  FrameReader lines(Encoding::kJson, 5);
  lines.Add("{}\n{1}\n");
  EXPECT_EQ(**lines.Next(), "{}");
  EXPECT_EQ(**lines.Next(), "{1}");
  lines.Add("123456");
  EXPECT_TRUE(absl::IsResourceExhausted(lines.Next().status()));
  FrameReader large(Encoding::kProtobuf, 5);
  large.Add(std::string("\xff\xff\xff\xff", 4));
  EXPECT_TRUE(absl::IsResourceExhausted(large.Next().status()));
}

TEST(WatchEventTest, AnErrorEventIsAnApiError) {
  const auto event = DecodeWatchEvent(
      Encoding::kJson,
      R"({"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}})",
      ResourceOf<k8s::v1::Pod>(), "WATCH x");
  EXPECT_TRUE(IsGone(event.status())) << event.status();
  EXPECT_FALSE(DecodeWatchEvent(Encoding::kJson, "{\"type\":\"ODD\",\"object\":{}}",
                                ResourceOf<k8s::v1::Pod>(), "WATCH x")
                   .ok());
}

TEST(ResourceTest, PathsAreEscaped) {
  EXPECT_EQ(ResourceOf<k8s::v1::Pod>().Path("a/b", "c?d", "status"),
            "/api/v1/namespaces/a%2Fb/pods/c%3Fd/status");
}

}  // namespace
}  // namespace keelson::kubelet::client
