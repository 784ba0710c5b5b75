// SPDX-License-Identifier: Apache-2.0
// Probes of real containers: what a failure leads to, and every way to ask.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <thread>

#include "proto/health/health.grpc.pb.h"
#include "test/integration/agent/status_test.h"
#include "test/integration/sources/test_server.h"

namespace keelson::integration {
namespace {

namespace health = grpc::health::v1;
using base::StrCat;
using kubelet::sources::TestCertificate;
using kubelet::sources::TestServer;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;

// A gRPC health service for "db", listening in the network of a process.
class HealthServer : public health::Health::Service {
 public:
  HealthServer(int pid, int port) {
    // Only this thread moves to the other network; a socket stays where it was made.
    std::thread([&] {
      const base::UniqueFd network(
          ::open(StrCat("/proc/", pid, "/ns/net").c_str(), O_RDONLY | O_CLOEXEC));
      ASSERT_EQ(::setns(network.get(), CLONE_NEWNET), 0);
      grpc::ServerBuilder builder;
      builder.RegisterService(this);
      builder.AddListeningPort(StrCat("0.0.0.0:", port), grpc::InsecureServerCredentials());
      server_ = builder.BuildAndStart();
    }).join();
    EXPECT_TRUE(server_) << "cannot listen on port " << port << " in the network of process " << pid;
  }
  ~HealthServer() override {
    if (server_) server_->Shutdown(std::chrono::system_clock::now());
  }
  void Say(bool serving) { serving_ = serving; }

  grpc::Status Check(grpc::ServerContext*, const health::HealthCheckRequest* request,
                     health::HealthCheckResponse* response) override {
    if (request->service() != "db") return {grpc::StatusCode::NOT_FOUND, "unknown service"};
    response->set_status(serving_ ? health::HealthCheckResponse::SERVING
                                  : health::HealthCheckResponse::NOT_SERVING);
    return grpc::Status::OK;
  }

 private:
  std::atomic<bool> serving_ = false;  // read on gRPC's threads
  std::unique_ptr<grpc::Server> server_;
};

class ProbesTest : public StatusTest {
 protected:
  // One busybox container with these probes.
  void PutProbed(const std::string& name, const std::string& script, const std::string& probes) {
    Put(name, "  containers:\n  - name: c\n    image: docker.io/library/busybox:1.36\n"
              "    command: [/bin/sh, -c, '" + script + "']\n" + probes);
  }
  // One test server with this readiness probe, asked every second.
  void PutServed(const std::string& name, const std::string& handler) {
    Put(name, "  containers:\n  - name: c\n    image: docker.io/keelson/testserver:1\n"
              "    ports: [{name: web, containerPort: 8080}]\n"
              "    readinessProbe: {periodSeconds: 1, failureThreshold: 1, " + handler + "}\n");
  }
  void Get(const std::string& pod, const std::string& path) {
    const std::string url = StrCat("http://", Ip(pod), ":8080", path);
    EXPECT_EQ(RunCommand({"curl", "-sSf", "-m", "10", url}).exit_code, 0) << url;
  }
};

TEST_F(ProbesTest, FailedLivenessRestartsTheContainer) {
  PutProbed("living", "touch /tmp/alive; exec sleep 1000",
            "    livenessProbe: {exec: {command: [cat, /tmp/alive]}, periodSeconds: 1,\n"
            "      failureThreshold: 2, terminationGracePeriodSeconds: 1}\n");
  ASSERT_TRUE(Runs("living"));
  const Found first = FindContainer("living", "c");
  Exec("living", "rm /tmp/alive");
  EXPECT_TRUE(Happened("living", "Unhealthy",
                       "Liveness probe failed: cat: can't open '/tmp/alive': No such file"));
  EXPECT_TRUE(Happened("living", "Killing", "Container c failed liveness probe, will be restarted"));
  ASSERT_TRUE(Eventually([&] { return Status("living").restartcount() == 1; }));
  ASSERT_TRUE(IsReady("living", true));
  const v1::ContainerStatus now = Status("living");
  EXPECT_TRUE(now.state().has_running());
  EXPECT_EQ(now.restartcount(), 1);
  EXPECT_EQ(now.laststate().terminated().exitcode(), 137);
  EXPECT_NE(FindContainer("living", "c").id, first.id);
  EXPECT_EQ(FindContainer("living", "c").sandbox_id, first.sandbox_id);
}

TEST_F(ProbesTest, ReadinessFollowsTheContainerBothWays) {
  PutProbed("reading", "exec sleep 1000",
            "    readinessProbe: {exec: {command: [cat, /tmp/ready]}, periodSeconds: 1,\n"
            "      failureThreshold: 1}\n");
  ASSERT_TRUE(Runs("reading"));
  EXPECT_TRUE(
      Happened("reading", "Unhealthy", "Readiness probe failed: cat: can't open '/tmp/ready'"));
  EXPECT_TRUE(IsReady("reading", false));
  EXPECT_THAT(Condition("reading", "Ready").message(), "containers with unready status: [c]");
  Exec("reading", "touch /tmp/ready");
  EXPECT_TRUE(IsReady("reading", true));
  Exec("reading", "rm /tmp/ready");
  EXPECT_TRUE(IsReady("reading", false));
  EXPECT_EQ(Status("reading").restartcount(), 0);
}

TEST_F(ProbesTest, StartupGatesTheOthersUntilItSucceeds) {
  PutProbed("starting", "exec sleep 1000",
            "    startupProbe: {exec: {command: [/bin/sh, -c, 'echo >> /tmp/asked; test -e /tmp/up']},\n"
            "      periodSeconds: 1, failureThreshold: 60}\n"
            "    livenessProbe:\n"
            "      {exec: {command: [/bin/sh, -c, 'echo >> /tmp/alive']}, periodSeconds: 1}\n"
            "    readinessProbe:\n"
            "      {exec: {command: [/bin/sh, -c, 'echo >> /tmp/ready']}, periodSeconds: 1}\n");
  ASSERT_TRUE(Runs("starting"));
  ASSERT_TRUE(Eventually([&] { return Exec("starting", "wc -l < /tmp/asked") >= "3"; }));
  EXPECT_TRUE(Happened("starting", "Unhealthy", "Startup probe failed: "));
  EXPECT_TRUE(IsReady("starting", false));
  EXPECT_FALSE(Status("starting").started());
  EXPECT_EQ(Exec("starting", "ls /tmp"), "asked\n");
  Exec("starting", "touch /tmp/up");
  EXPECT_TRUE(IsReady("starting", true));
  EXPECT_TRUE(Status("starting").started());
  EXPECT_TRUE(
      Eventually([&] { return Exec("starting", "ls /tmp") == "alive\nasked\nready\nup\n"; }));
  EXPECT_EQ(Status("starting").restartcount(), 0);
}

TEST_F(ProbesTest, FailedStartupAndSlowCommandsAreTold) {
  PutProbed("stuck", "exec sleep 1000",
            "    startupProbe: {exec: {command: ['false']}, periodSeconds: 1, failureThreshold: 1,\n"
            "      terminationGracePeriodSeconds: 1}\n");
  PutProbed("slow", "exec sleep 1000",
            "    readinessProbe: {exec: {command: [sleep, '5']}, periodSeconds: 1}\n");
  EXPECT_TRUE(Happened("stuck", "Killing", "Container c failed startup probe, will be restarted"));
  EXPECT_TRUE(Happened("slow", "Unhealthy",
                       "Readiness probe failed: command timed out: \"sleep 5\" timed out after 1s"));
  EXPECT_TRUE(IsReady("slow", false));
  EXPECT_TRUE(Eventually([&] { return Status("stuck").restartcount() >= 1; }));
}

TEST_F(ProbesTest, HttpGetAsksANamedPortOfThePod) {
  PutServed("web", "httpGet: {path: /healthz, port: web}");
  ASSERT_TRUE(IsReady("web", true));
  Get("web", "/unhealthy");
  EXPECT_TRUE(Happened("web", "Unhealthy",
                       "Readiness probe failed: HTTP probe failed with statuscode: 500"));
  EXPECT_TRUE(IsReady("web", false));
  Get("web", "/healthy");
  EXPECT_TRUE(IsReady("web", true));
}

TEST_F(ProbesTest, HttpGetOverTlsWithHeadersOfItsOwn) {
  const TestCertificate certificate;  // known to nobody: probes do not ask who answers
  TestServer server(
      [](const std::string& request) {
        if (!request.starts_with("GET /moved")) return TestServer::Answer("fine");
        return TestServer::Answer("", "Location: https://other.example/\r\n", "302 Found");
      },
      &certificate);
  const std::string at =
      StrCat("scheme: HTTPS, host: 127.0.0.1, port: ", server.port(),
             ", httpHeaders: [{name: X-Wish, value: here}, {name: Host, value: probe.example}]");
  PutServed("tls", "httpGet: {path: '/deep?x=1', " + at + "}");
  PutServed("moved", "httpGet: {path: /moved, " + at + "}");
  EXPECT_TRUE(IsReady("tls", true));
  EXPECT_THAT(server.Requests(),
              Contains(AllOf(HasSubstr("GET /deep?x=1 HTTP/1.1\r\n"),
                             HasSubstr("\r\nX-Wish: here\r\n"),
                             HasSubstr("\r\nHost: probe.example\r\n"),
                             HasSubstr("\r\nAccept: */*\r\n"),
                             HasSubstr("\r\nUser-Agent: kube-probe/1.36\r\n"))));
  EXPECT_TRUE(
      Happened("moved", "ProbeWarning", "Readiness probe warning: Probe terminated redirects"));
  EXPECT_TRUE(IsReady("moved", true));
}

TEST_F(ProbesTest, TcpSocketWantsAListener) {
  PutProbed("tcp", "exec sleep 1000",
            "    ports: [{name: web, containerPort: 8081}]\n"
            "    readinessProbe: {tcpSocket: {port: web}, periodSeconds: 1, failureThreshold: 1}\n");
  ASSERT_TRUE(Runs("tcp"));
  EXPECT_TRUE(Happened("tcp", "Unhealthy",
                       StrCat("Readiness probe failed: dial tcp ", Ip("tcp"),
                              ":8081: connect: connection refused")));
  EXPECT_TRUE(IsReady("tcp", false));
  Exec("tcp", "httpd -p 8081");
  EXPECT_TRUE(IsReady("tcp", true));
}

TEST_F(ProbesTest, GrpcAsksTheHealthServiceByName) {
  PutServed("rpc", "grpc: {port: 9000, service: db}");
  PutServed("other", "grpc: {port: 9000, service: none}");
  ASSERT_TRUE(Runs("rpc") && Runs("other"));
  EXPECT_TRUE(Happened("rpc", "Unhealthy",
                       StrCat("failed to connect service at \"", Ip("rpc"), ":9000\"")));
  HealthServer server(TheContainerd().Pid(FindContainer("rpc", "c").id), 9000);
  EXPECT_TRUE(Happened("rpc", "Unhealthy",
                       "Readiness probe failed: service unhealthy (responded with \"NOT_SERVING\")"));
  EXPECT_TRUE(IsReady("rpc", false));
  server.Say(true);
  EXPECT_TRUE(IsReady("rpc", true));
  const HealthServer other(TheContainerd().Pid(FindContainer("other", "c").id), 9000);
  EXPECT_TRUE(Happened("other", "Unhealthy",
                       "health rpc probe failed: rpc error: code = NotFound desc = unknown service"));
  server.Say(false);
  EXPECT_TRUE(IsReady("rpc", false));
}

}  // namespace
}  // namespace keelson::integration
