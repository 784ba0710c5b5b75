// SPDX-License-Identifier: Apache-2.0
// The HTTPS server with a node and a runtime that are what a test says they are.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>

#include "base/strings.h"
#include "kubelet/server/kubelet_server.h"
#include "test/unit/auth/certificates.h"
#include "test/unit/cri/stub_runtime.h"
#include "test/unit/server/fake_node_view.h"
#include "test/unit/server/raw_client.h"
#include "test/unit/server/tls_client.h"

namespace keelson::kubelet {

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
  std::string Url() const {
    return "http://127.0.0.1:" + std::to_string(port_) + "/exec/token?x=1";
  }
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
  // Waits for the end of the connection, whatever comes before it.
  bool ReadToEnd() {
    char block[64 << 10];
    ssize_t got;
    while ((got = ::recv(peer_.get(), block, sizeof(block), 0)) > 0) {
    }
    return got == 0 || errno == ECONNRESET;
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
  static base::Task<absl::Status> CloseServer(KubeletServer& server) {
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

}  // namespace keelson::kubelet
