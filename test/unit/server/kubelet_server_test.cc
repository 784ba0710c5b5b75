// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/kubelet_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "base/strings.h"
#include "base/thread.h"
#include "base/websocket.h"
#include "kubelet/server/spdy.h"
#include "kubelet/server/streaming.h"
#include "kubelet/server/system_logs.h"
#include "kubelet/server/upgrade.h"
#include "test/unit/auth/certificates.h"
#include "test/unit/cri/stub_runtime.h"
#include "test/unit/server/fake_node_view.h"
#include "test/unit/server/raw_client.h"
#include "test/unit/server/tls_client.h"

namespace keelson::kubelet {
namespace {

using base::Task;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// The runtime's streaming server: takes one connection at a time and does what the test says.
class Backend {
 public:
  Backend() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(::listen(fd_.get(), 8), 0);
    socklen_t size = sizeof(address);
    ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  std::string Url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/exec/token?x=1"; }
  void Accept() {
    peer_.reset(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const timeval patience{20, 0};  // nothing waits longer in a test that passes
    ::setsockopt(peer_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  }
  void Send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t put = ::send(peer_.get(), text.data(), text.size(), MSG_NOSIGNAL);
      ASSERT_GT(put, 0);
      text.remove_prefix(static_cast<size_t>(put));
    }
  }
  std::string ReadUntil(std::string_view text) {
    std::string in;
    char block[4096];
    while (in.find(text) == in.npos) {
      const ssize_t got = ::recv(peer_.get(), block, sizeof(block), 0);
      if (got <= 0) return in + "<closed>";
      in.append(block, static_cast<size_t>(got));
    }
    return in;
  }
  void Close() { peer_.reset(); }

 private:
  base::UniqueFd fd_, peer_;
  uint16_t port_ = 0;
};

class FakeStreams : public cri::StubRuntime {
 public:
  cri::Reply<cri::rt::ListContainersResponse> ListContainers(
      cri::rt::ContainerFilter filter) override {
    cri::rt::ListContainersResponse list;
    const auto& labels = filter.label_selector();
    if (labels.empty() || (labels.at("io.kubernetes.pod.uid") == "web-uid" &&
                           labels.at("io.kubernetes.container.name") == "c")) {
      auto* one = list.add_containers();
      one->set_id("id-of-c");
      one->set_pod_sandbox_id("sandbox");
      one->mutable_metadata()->set_name("c");
      one->mutable_image()->set_image("busybox");
    }
    co_return list;
  }
  cri::Reply<cri::rt::ListPodSandboxResponse> ListPodSandbox(cri::rt::PodSandboxFilter) override {
    cri::rt::ListPodSandboxResponse list;
    auto* one = list.add_items();
    one->set_id("sandbox");
    one->mutable_metadata()->set_uid("web-uid");
    one->mutable_metadata()->set_name("web");
    one->mutable_metadata()->set_namespace_("default");
    co_return list;
  }
  cri::Reply<cri::rt::ExecSyncResponse> ExecSync(std::string id, std::vector<std::string> command,
                                                 std::chrono::seconds) override {
    EXPECT_EQ(id, "id-of-c");
    cri::rt::ExecSyncResponse done;
    done.set_stdout(base::StrCat("ran ", command.size(), " words"));
    co_return done;
  }
  cri::Reply<cri::rt::ExecResponse> Exec(cri::rt::ExecRequest request) override {
    exec = request;
    if (!exec_status.ok()) co_return exec_status;
    cri::rt::ExecResponse response;
    response.set_url(url);
    co_return response;
  }
  cri::Reply<cri::rt::PortForwardResponse> PortForward(
      cri::rt::PortForwardRequest request) override {
    forward = request;
    cri::rt::PortForwardResponse response;
    response.set_url(url);
    co_return response;
  }
  std::string url;
  absl::Status exec_status;
  cri::rt::ExecRequest exec;
  cri::rt::PortForwardRequest forward;
};

constexpr char kUpgrade[] = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nAuthorization: Bearer x\r\n";

class KubeletServerTest : public ::testing::Test {
 protected:
  KubeletServerTest() {
    ::signal(SIGPIPE, SIG_IGN);
    view_.log_root = dir_.At("pods");
    view_.pods = {RunningPod("default", "web")};
    std::ofstream(dir_.At("ca.crt")) << authority_.Pem();
    std::filesystem::create_directories(dir_.At("log/sub"));
    std::ofstream(dir_.At("log/syslog")) << "a line\n";
    std::ofstream(dir_.At("secret")) << "secret";
    runtime_.url = backend_.Url();
    options_.address = "127.0.0.1";
    options_.port = 0;
    options_.certificate.cert_dir = dir_.At("pki");
    options_.certificate.host = "node1";
    options_.certificate.tls.ask_for_client_certificate = true;
    options_.client_ca_file = dir_.At("ca.crt");
    options_.system_log_dir = dir_.At("log");
    options_.guard.node = "node1";
    options_.guard.always_allow = true;
  }
  ~KubeletServerTest() override {
    if (server_) thread_.Stop([this] { return server_->Close(); });
  }
  void Start() {
    server_ = std::make_unique<KubeletServer>(thread_.loop(), view_, runtime_, options_, nullptr,
                                              nullptr);
    thread_.Start();
    const absl::Status started = thread_.Await([this] { return server_->Start(); });
    ASSERT_TRUE(started.ok()) << started;
    const std::string name = server_->name();
    port_ = static_cast<uint16_t>(std::stoi(name.substr(name.rfind(':') + 1)));
  }
  static Task<absl::Status> CloseServer(KubeletServer& server) {
    co_await server.Close();
    co_return absl::OkStatus();
  }
  TlsClientOptions Alice() const {
    return {.certificate_pem = alice_.Pem(), .key_pem = alice_.KeyPem()};
  }
  std::string Ask(const std::string& method, const std::string& path,
                  const std::string& headers = {}) {
    return TlsClient(port_, Alice()).Ask(method, path, headers);
  }
  std::string Get(const std::string& path) { return Ask("GET", path); }

  const auth::Issued authority_ = auth::Issue({.name = "clients", .authority = true});
  const auth::Issued alice_ = auth::Issue({.name = "alice"}, &authority_);
  SocketDir dir_;
  Backend backend_;
  FakeNodeView view_;
  FakeStreams runtime_;
  KubeletServerOptions options_;
  LoopThread thread_;
  std::unique_ptr<KubeletServer> server_;
  uint16_t port_ = 0;
};

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
  EXPECT_THAT(Get("/containerLogs/default/web/c?previous=true"),
              AllOf(StartsWith("HTTP/1.1 400 "), HasSubstr("previous terminated container")));
}

TEST_F(KubeletServerTest, SystemLogsStayBelowTheirRoot) {
  std::filesystem::create_symlink("../secret", dir_.At("log/up"));
  std::filesystem::create_symlink(dir_.At("secret"), dir_.At("log/absolute"));
  std::filesystem::create_symlink("syslog", dir_.At("log/link"));
  ASSERT_EQ(::mkfifo(dir_.At("log/pipe").c_str(), 0600), 0);
  Start();
  EXPECT_THAT(Get("/logs/syslog"), HasSubstr("a line\n"));
  EXPECT_THAT(Get("/logs/link"), HasSubstr("a line\n"));
  EXPECT_THAT(Get("/logs/"), AllOf(HasSubstr("<a href=\"sub/\">sub/</a>"), HasSubstr("syslog")));
  for (const char* path : {"/logs/../secret", "/logs/%2e%2e/secret", "/logs/sub/../../secret",
                           "/logs//../secret", "/logs/up", "/logs/absolute", "/logs/pipe"}) {
    const std::string answer = Get(path);
    EXPECT_THAT(answer, Not(HasSubstr("secret"))) << path;
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 40")) << path;
  }
}

TEST_F(KubeletServerTest, ExecIsProxiedByteForByte) {
  Start();
  TlsClient client(port_, Alice());
  client.Send("POST /exec/default/web/c?command=sh&command=-c&input=1&output=1&tty=1&error=1 "
              "HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 10.1.2.3\r\n" + std::string(kUpgrade) + "\r\nearly");
  backend_.Accept();
  const std::string request = backend_.ReadUntil("\r\n\r\n");
  EXPECT_THAT(request, StartsWith("POST /exec/token?x=1 HTTP/1.1\r\n"));
  EXPECT_THAT(request, AllOf(HasSubstr("upgrade: SPDY/3.1\r\n"), Not(HasSubstr("Bearer"))));
  EXPECT_THAT(request, HasSubstr("X-Forwarded-For: 10.1.2.3, 127.0.0.1\r\n"));
  EXPECT_THAT(runtime_.exec.cmd(), ElementsAre("sh", "-c"));
  EXPECT_TRUE(runtime_.exec.stdin() && runtime_.exec.stdout() && runtime_.exec.tty());
  EXPECT_FALSE(runtime_.exec.stderr());
  backend_.Send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("\r\n\r\n"), StartsWith("HTTP/1.1 101 Switching Protocols\r\n"));
  std::string all;
  for (int i = 0; i < 1000; ++i) all += static_cast<char>(i);
  client.Send(all + "<to>");
  // What came behind the request has waited for the switch.
  EXPECT_EQ(backend_.ReadUntil("<to>"), "early" + all + "<to>");
  base::Thread sender("kl sender", [&] {
    for (int i = 0; i < 100; ++i) backend_.Send(std::string(1 << 20, static_cast<char>(i)));
    backend_.Close();
  });
  const std::string much = client.ReadAll();  // and the end arrives
  ASSERT_EQ(much.size(), 100u << 20);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(much[i << 20], static_cast<char>(i));
}

constexpr char kWebSocket[] =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: ";

std::string FromClient(const std::string& message) {
  return base::WsFrame(base::WsRole::kClient, base::WsOpcode::kBinary, message);
}
std::string ToClient(const std::string& message) {
  return base::WsFrame(base::WsRole::kServer, base::WsOpcode::kBinary, message);
}
std::string Reply(char id) { return std::string("\x80\x03\0\x02\0\0\0\x04\0\0\0", 11) + id; }

TEST_F(KubeletServerTest, RemoteCommandsOfVersion5AreTranslatedToSpdy) {
  Start();
  TlsClient client(port_, Alice());
  client.Send("GET /exec/default/web/c?command=cat&input=1&output=1 HTTP/1.1\r\nHost: x\r\n" +
              std::string(kWebSocket) + "v5.channel.k8s.io\r\n\r\n" + FromClient(std::string("\0hi", 3)));
  backend_.Accept();
  EXPECT_THAT(backend_.ReadUntil("\r\n\r\n"),
              AllOf(StartsWith("POST /exec/token?x=1 HTTP/1.1\r\n"), HasSubstr("Upgrade: SPDY/3.1\r\n"),
                    HasSubstr("X-Stream-Protocol-Version: v4.channel.k8s.io\r\n")));
  backend_.Send("HTTP/1.1 101 Switching Protocols\r\n\r\n");
  const std::string head = client.ReadUntil("\r\n\r\n");
  EXPECT_THAT(head, AllOf(HasSubstr("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
                          HasSubstr("Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n")));
  // Streams 1, 3 and 5: error, stdin, stdout. What comes before they are answered for has to wait.
  backend_.Send(Reply(1) + Reply(3) + Reply(5));
  EXPECT_THAT(backend_.ReadUntil(SpdyEncoder::Data(3, "hi", false)), Not(EndsWith("<closed>")));
  client.Send(FromClient("\xff" + std::string(1, '\0')));
  EXPECT_THAT(backend_.ReadUntil(SpdyEncoder::Data(3, "", true)), Not(EndsWith("<closed>")));
  backend_.Send(SpdyEncoder::Data(5, "out", true) + SpdyEncoder::Data(1, "status", true));
  const std::string close = base::WsCloseFrame(base::WsRole::kServer, 1000, "");
  EXPECT_THAT(client.ReadAll(), EndsWith(ToClient("\1out") + ToClient("\3status") + close));
}

TEST_F(KubeletServerTest, ARuntimeThatBreaksOffIsAFailureOfTheCommand) {
  Start();
  TlsClient client(port_, Alice());
  client.Send("GET /exec/default/web/c?command=cat&output=1 HTTP/1.1\r\nHost: x\r\n" +
              std::string(kWebSocket) + "v5.channel.k8s.io\r\n\r\n");
  backend_.Accept();
  backend_.ReadUntil("\r\n\r\n");
  backend_.Send("HTTP/1.1 101 Switching Protocols\r\n\r\n" + Reply(1) + Reply(3) +
                SpdyEncoder::Data(3, "half", false));
  backend_.Close();
  EXPECT_THAT(client.ReadAll(), AllOf(HasSubstr("\1half"), HasSubstr(R"("status":"Failure")"),
                                      HasSubstr(R"("reason":"InternalError")")));
}

TEST_F(KubeletServerTest, SpdyTunnelledThroughWebSocketsIsUnwrapped) {
  Start();
  TlsClient client(port_, Alice());
  client.Send("GET /portForward/default/web HTTP/1.1\r\nHost: x\r\n" + std::string(kWebSocket) +
              "SPDY/3.1+portforward.k8s.io\r\n\r\n");
  backend_.Accept();
  EXPECT_THAT(backend_.ReadUntil("\r\n\r\n"),
              HasSubstr("X-Stream-Protocol-Version: portforward.k8s.io\r\n"));
  backend_.Send("HTTP/1.1 101 Switching Protocols\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n\r\nahead");
  std::string came = client.ReadUntil("ahead");
  EXPECT_THAT(came, AllOf(HasSubstr("Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n"),
                          EndsWith(ToClient("ahead"))));
  client.Send(FromClient("spdy bytes"));
  EXPECT_EQ(backend_.ReadUntil("bytes"), "spdy bytes");
  backend_.Send("answer");
  EXPECT_EQ(client.ReadUntil("answer"), ToClient("answer"));
}

TEST_F(KubeletServerTest, BrokenWebSocketRequestsAreRefused) {
  Start();
  EXPECT_THAT(Ask("GET", "/exec/default/web/c?output=1",
                  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n"
                  "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n"),
              AllOf(StartsWith("HTTP/1.1 400 "), HasSubstr("Sec-WebSocket-Version: 13\r\n")));
}

TEST_F(KubeletServerTest, TheClientsEndReachesTheRuntime) {
  Start();
  {
    TlsClient client(port_, Alice());
    client.Send("GET /exec/default/web/c?output=1 HTTP/1.1\r\nHost: x\r\n" + std::string(kUpgrade) +
                "\r\n");
    backend_.Accept();
    backend_.ReadUntil("\r\n\r\n");
    backend_.Send("HTTP/1.1 101 Switching Protocols\r\n\r\n");
    EXPECT_THAT(client.ReadUntil("\r\n\r\n"), StartsWith("HTTP/1.1 101 "));
  }
  EXPECT_EQ(backend_.ReadUntil("never"), "<closed>");
}

TEST_F(KubeletServerTest, RefusalsOfStreamsHaveUpstreamsWords) {
  Start();
  EXPECT_THAT(Ask("POST", "/exec/default/web/c?command=a", kUpgrade),
              AllOf(StartsWith("HTTP/1.1 400 "),
                    EndsWith("you must specify at least 1 of stdin, stdout, stderr")));
  EXPECT_THAT(Ask("POST", "/exec/default/nope/c?output=1", kUpgrade),
              AllOf(StartsWith("HTTP/1.1 404 "), EndsWith("pod does not exist")));
  EXPECT_THAT(Ask("POST", "/exec/default/web/nope?output=1", kUpgrade),
              AllOf(StartsWith("HTTP/1.1 500 "), EndsWith("container not found (\"nope\")")));
  EXPECT_THAT(Ask("POST", "/exec/default/web/other-uid/c?output=1", kUpgrade),
              StartsWith("HTTP/1.1 500 "));
  EXPECT_THAT(Ask("POST", "/exec/default/web/c?output=1"),
              AllOf(StartsWith("HTTP/1.1 500 "), EndsWith("Upgrade request required\n")));
  EXPECT_THAT(Ask("POST", "/portForward/default/web/other-uid", kUpgrade),
              AllOf(StartsWith("HTTP/1.1 404 "), EndsWith("pod not found")));
  runtime_.exec_status = absl::NotFoundError("no such container");
  EXPECT_THAT(Ask("POST", "/exec/default/web/c?output=1", kUpgrade), StartsWith("HTTP/1.1 404 "));
  runtime_.exec_status = absl::ResourceExhaustedError("too many");
  EXPECT_THAT(Ask("POST", "/exec/default/web/c?output=1", kUpgrade),
              AllOf(StartsWith("HTTP/1.1 429 "), HasSubstr("Retry-After: ")));
}

TEST_F(KubeletServerTest, ARuntimeThatIsAwayIsAnError) {
  runtime_.url = "http://127.0.0.1:1/x";
  Start();
  EXPECT_THAT(Ask("POST", "/exec/default/web/c?output=1", kUpgrade), StartsWith("HTTP/1.1 500 "));
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

TEST_F(KubeletServerTest, ATakenPortIsFatal) {
  Start();
  KubeletServerOptions same = options_;
  same.port = port_;
  KubeletServer second(thread_.loop(), view_, runtime_, same, nullptr, nullptr);
  const absl::Status started = thread_.Await([&] { return second.Start(); });
  EXPECT_THAT(std::string(started.message()), HasSubstr(std::to_string(port_)));
  EXPECT_TRUE(thread_.Await([&] { return CloseServer(second); }).ok());
}

TEST(StreamUrl, OnlyPlainAddresses) {
  auto url = ParseStreamUrl("http://[::1]:10010/attach/x?y=z");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->host, "::1");
  EXPECT_EQ(url->port, 10010);
  EXPECT_EQ(url->target, "/attach/x?y=z");
  EXPECT_EQ(ParseStreamUrl("http://localhost:1/")->host, "127.0.0.1");
  for (const char* bad : {"https://127.0.0.1:1/", "ftp://x", "http://:1/", "http://127.0.0.1:0/",
                          "http://127.0.0.1:99999/", "http://127.0.0.1:1/a b",
                          "http://127.0.0.1:1/a\r\nX: y", ""})
    EXPECT_FALSE(ParseStreamUrl(bad).ok()) << bad;
}

TEST(ForwardPorts, AreNamedByWebSockets) {
  auto ports = [](Query query, bool websocket) {
    HttpRequest request;
    request.query = std::move(query);
    if (websocket)
      request.headers = {{"connection", "keep-alive, Upgrade"}, {"upgrade", "WebSocket"}};
    return ParseForwardPorts(request);
  };
  EXPECT_THAT(*ports({}, false), ElementsAre());
  EXPECT_THAT(*ports({{"port", "80,443"}, {"port", "8080"}}, true), ElementsAre(80, 443, 8080));
  for (const char* bad : {"", "0", "x", "65536", "80,", "-1"})
    EXPECT_FALSE(ports({{"port", bad}}, true).ok()) << bad;
  EXPECT_FALSE(ports({}, true).ok());
}

TEST(SystemLogListing, NamesAreEscaped) {
  EXPECT_THAT(ListingHtml({"<b>\"&"}),
              HasSubstr("<a href=\"%3Cb%3E%22%26\">&lt;b&gt;&#34;&amp;</a>"));
}

}  // namespace
}  // namespace keelson::kubelet
