// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include "kubelet/server/system_logs.h"
#include "test/unit/server/kubelet_server_fixture.h"

namespace keelson::kubelet {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST_F(KubeletServerTest, OnlyThoseWithACertificateComeIn) {
  Start();
  EXPECT_THAT(Get("/healthz"), AllOf(StartsWith("HTTP/1.1 200 "), EndsWith("\r\n\r\nok")));
  for (const char* path : {"/healthz", "/pods", "/exec/default/web/c", "/nothing"}) {
    const std::string answer = TlsClient(port_, {}).Get(path);
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 401 "), EndsWith("\r\n\r\nUnauthorized")));
  }
  const auth::Issued stranger = auth::Issue({.name = "alice"});
  TlsClientOptions mallory{.certificate_pem = stranger.Pem(), .key_pem = stranger.KeyPem()};
  EXPECT_THAT(TlsClient(port_, mallory).Get("/pods"), StartsWith("HTTP/1.1 401 "));
}

TEST_F(KubeletServerTest, WithoutAnAuthorizerNobodyMayDoAnything) {
  options_.guard.always_allow = false;
  Start();
  EXPECT_THAT(Get("/pods"),
              EndsWith("Authorization error (user=alice, verb=get, resource=nodes, "
                       "subresource=pods)"));
}

TEST_F(KubeletServerTest, ANewClientAuthorityCounts) {
  Start();
  EXPECT_THAT(Get("/pods"), StartsWith("HTTP/1.1 200 "));
  std::ofstream(dir_.At("ca.tmp")) << auth::Issue({.name = "other", .authority = true}).Pem();
  std::filesystem::rename(dir_.At("ca.tmp"), dir_.At("ca.crt"));
  std::string answer;
  for (int i = 0; i < 1000 && !answer.starts_with("HTTP/1.1 401"); ++i) answer = Get("/pods");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 401 "));
}

TEST_F(KubeletServerTest, WhatItTells) {
  Start();
  EXPECT_THAT(Get("/pods"), HasSubstr(R"("kind":"PodList")"));
  EXPECT_THAT(Get("/runningpods/"), HasSubstr(R"("name":"c","image":"busybox")"));
  EXPECT_THAT(Get("/configz"), HasSubstr(R"({"kubeletconfig":{)"));
  EXPECT_THAT(Get("/healthz?verbose"), EndsWith("[+]syncloop ok\nhealthz check passed\n"));
  EXPECT_THAT(Get("/healthz/ping"), EndsWith("\r\n\r\nok"));
  EXPECT_THAT(Get("/healthz/nope"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(Ask("DELETE", "/pods"), StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(Get("/nothing"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(Ask("POST", "/run/default/web/c?cmd=echo+a+b"), EndsWith("ran 3 words"));
  view_.health = absl::UnavailableError("no relist for 3m");
  EXPECT_THAT(Get("/healthz"), AllOf(StartsWith("HTTP/1.1 500 "), HasSubstr("[-]syncloop failed")));
}

TEST_F(KubeletServerTest, LogsOfContainersWithUpstreamsWords) {
  Start();
  view_.WriteLog(view_.LogPath("default", "web", "c"),
                 "2026-01-01T00:00:00.000000000Z stdout F one\n");
  EXPECT_THAT(Get("/containerLogs/default/web/c"), HasSubstr("one\n"));
  EXPECT_THAT(Get("/containerLogs/default/nope/c"), EndsWith("pod \"nope\" does not exist"));
  EXPECT_THAT(Get("/containerLogs/default/web/nope"),
              EndsWith("container \"nope\" not found in pod \"web\""));
  EXPECT_THAT(Get("/containerLogs/default/web/c?tailLines=x"),
              AllOf(StartsWith("HTTP/1.1 400 "), EndsWith(R"({"message": "Unable to decode query."})")));
  EXPECT_THAT(Get("/containerLogs/default/web/c?tailLines=-1"),
              AllOf(StartsWith("HTTP/1.1 422 "), EndsWith(R"({"message": "Invalid request."})")));
  EXPECT_THAT(Get("/containerLogs/default/web/c?stream=Stdout"),
              AllOf(StartsWith("HTTP/1.1 400 "),
                    EndsWith("unable to return the given log stream: \"Stdout\". Please enable "
                             "PodLogsQuerySplitStreams feature gate in kubelet")));
  EXPECT_THAT(Get("/containerLogs/default/web/c?stream=both"), StartsWith("HTTP/1.1 422 "));
  EXPECT_THAT(Get("/containerLogs/default/web/c?previous=true"),
              AllOf(StartsWith("HTTP/1.1 400 "), HasSubstr("previous terminated container")));
}

TEST_F(KubeletServerTest, SystemLogsStayBelowTheirRoot) {
  std::filesystem::create_symlink("../secret", dir_.At("log/up"));
  std::filesystem::create_symlink(dir_.At("secret"), dir_.At("log/absolute"));
  std::filesystem::create_symlink("syslog", dir_.At("log/link"));
  std::filesystem::create_symlink("..", dir_.At("log/out"));
  std::filesystem::create_symlink("loop", dir_.At("log/loop"));
  ASSERT_EQ(::mkfifo(dir_.At("log/pipe").c_str(), 0600), 0);
  Start();
  EXPECT_THAT(Get("/logs/syslog"), HasSubstr("a line\n"));
  EXPECT_THAT(Get("/logs/link"), HasSubstr("a line\n"));
  EXPECT_THAT(Get("/logs/"), AllOf(HasSubstr("<a href=\"sub/\">sub/</a>"), HasSubstr("syslog")));
  EXPECT_THAT(Get("/logs/out"), HasSubstr("syslog"));  // what leads up leads to the root
  EXPECT_THAT(Get("/logs/loop"), StartsWith("HTTP/1.1 500 "));  // as Go's file server
  for (const char* path : {"/logs/../secret", "/logs/%2e%2e/secret", "/logs/sub/../../secret",
                           "/logs//../secret", "/logs/up", "/logs/absolute", "/logs/pipe",
                           "/logs/..%2fsecret", "/logs/out/secret",
                           "/logs/sub/%00/../../../secret", "/logs/syslog/../../secret"}) {
    const std::string answer = Get(path);
    EXPECT_THAT(answer, Not(HasSubstr("secret"))) << path;
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 40")) << path;
  }
}

TEST_F(KubeletServerTest, SwitchedOffEndpointsSaySo) {
  options_.debugging_handlers = false;
  Start();
  for (const char* path : {"/run/a/b/c", "/exec/a/b/c", "/attach/a/b/c", "/portForward/a/b",
                           "/containerLogs/a/b/c", "/runningpods/", "/debug/pprof/", "/logs/"})
    EXPECT_THAT(Get(path), AllOf(StartsWith("HTTP/1.1 405 "),
                                 EndsWith("Debug endpoints are disabled.\n"))) << path;
  EXPECT_THAT(Get("/configz"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(Get("/healthz"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(KubeletServerTest, SingleSwitches) {
  options_.system_log_handler = options_.profiling_handler = false;
  Start();
  EXPECT_THAT(Get("/logs/syslog"), EndsWith("logs endpoint is disabled.\n"));
  EXPECT_THAT(Get("/debug/pprof/"), EndsWith("profiling endpoint is disabled.\n"));
}

TEST_F(KubeletServerTest, TheReadOnlyPortOnlyTells) {
  auto probe = ListenTcp(thread_.loop(), "127.0.0.1", 0);
  ASSERT_TRUE(probe.ok());
  const std::string name = (*probe)->Name();
  options_.read_only_port = static_cast<uint16_t>(std::stoi(name.substr(name.rfind(':') + 1)));
  probe->reset();
  Start();
  EXPECT_THAT(TcpClient(options_.read_only_port).Get("/pods"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(TcpClient(options_.read_only_port).Get("/configz"), StartsWith("HTTP/1.1 404 "));
  for (const char* path : {"/run/a/b/c", "/exec/a/b/c", "/attach/a/b/c", "/portForward/a/b",
                           "/containerLogs/a/b/c", "/runningpods/", "/debug/pprof/", "/logs/"})
    EXPECT_THAT(TcpClient(options_.read_only_port).Get(path),
                EndsWith("Debug endpoints are disabled.\n")) << path;
}

TEST_F(KubeletServerTest, ACipherSuiteNobodyKnowsIsFatal) {
  options_.certificate.tls.cipher_suites = {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_NO_SUCH"};
  server_ = std::make_unique<KubeletServer>(thread_.loop(), view_, runtime_, options_, nullptr,
                                            nullptr);
  thread_.Start();
  const absl::Status started = thread_.Await([this] { return server_->Start(); });
  EXPECT_TRUE(absl::IsInvalidArgument(started)) << started;
  EXPECT_THAT(std::string(started.message()), HasSubstr("TLS_NO_SUCH"));
}

TEST_F(KubeletServerTest, ATakenPortIsFatal) {
  Start();
  KubeletServerOptions same = options_;
  same.port = port_;
  KubeletServer second(thread_.loop(), view_, runtime_, same, nullptr, nullptr);
  const absl::Status started = thread_.Await([&] { return second.Start(); });
  EXPECT_THAT(std::string(started.message()), HasSubstr(std::to_string(port_)));
  EXPECT_TRUE(thread_.Await([&] { return CloseServer(second); }).ok());
}

TEST(SystemLogListing, NamesAreEscaped) {
  EXPECT_THAT(ListingHtml({"<b>\"&"}),
              HasSubstr("<a href=\"%3Cb%3E%22%26\">&lt;b&gt;&#34;&amp;</a>"));
}

}  // namespace
}  // namespace keelson::kubelet
