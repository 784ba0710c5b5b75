// SPDX-License-Identifier: Apache-2.0
// Probes and hooks over sockets of this machine's loopback; time is virtual.
#include "probes/checks.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "base/files.h"
#include "probes/connect.h"
#include "probes/hooks.h"
#include "probes/live_time.h"
#include "proto/health/health.grpc.pb.h"
#include "test/unit/probes/fixture.h"
#include "test/unit/probes/test_server.h"

namespace keelson::probes {
namespace {

using base::StrCat;

constexpr char kOk[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

std::string Moved(std::string_view location) {
  return StrCat("HTTP/1.1 302 Found\r\nLocation: ", location, "\r\nContent-Length: 4\r\n\r\nbye!");
}

class ChecksTest : public VirtualLoopTest {
 protected:
  ~ChecksTest() override {
    if (server_) Finish(server_->tasks().CancelAndJoin());
  }

  TestServer& Serve(bool tls = false) {
    server_.emplace(loop_, tls);
    return *server_;
  }
  k8s::v1::ProbeHandler& Handler() {
    auto& probe = *pod_.mutable_spec()->mutable_containers(0)->mutable_livenessprobe();
    probe.set_timeoutseconds(1);
    return *probe.mutable_handler();
  }
  k8s::v1::HTTPGetAction& Http(std::string path) {
    auto& action = *Handler().mutable_httpget();
    action.set_path(path);
    action.mutable_port()->set_intval(server_->port());
    return action;
  }
  auto Begin() {
    auto pod = std::make_shared<k8s::v1::Pod>(pod_);
    const auto& container = pod->spec().containers(0);
    Question question{pod, &container, &container.livenessprobe(), "c1", "127.0.0.1"};
    return VirtualLoopTest::Begin(checks_.Ask(question));
  }
  // Runs what is ready until `condition`; time stands still.
  template <typename Condition>
  void Until(Condition condition) {
    const auto limit = std::chrono::steady_clock::now() + 20s;
    while (!condition() && std::chrono::steady_clock::now() < limit) loop_.RunReady();
    ASSERT_TRUE(condition());
  }
  Answer Ask() {
    auto answer = Begin();
    Until([&] { return answer->has_value(); });
    return **answer;
  }
  // Asks, and lets the time limit pass once the server has the request.
  Answer AskInVain() {
    auto answer = Begin();
    Until([&] { return !server_->requests.empty(); });
    for (int i = 0; i < 100; ++i) loop_.RunReady();
    Advance(1s);
    Until([&] { return answer->has_value(); });
    return **answer;
  }
  absl::Status PostStart(k8s::v1::HTTPGetAction action) {
    auto& hook = *pod_.mutable_spec()->mutable_containers(0)->mutable_lifecycle();
    *hook.mutable_poststart()->mutable_httpget() = action;
    NodeHooks hooks(loop_, runtime_, events_.Sink());
    auto result = VirtualLoopTest::Begin(
        hooks.PostStart(std::make_shared<k8s::v1::Pod>(pod_), {"app", "c1", {"127.0.0.1"}}));
    Until([&] { return result->has_value(); });
    return **result;
  }
  int ClosedPort() {
    TestServer gone(loop_, false);
    const int port = gone.port();
    Finish(gone.tasks().CancelAndJoin());
    return port;
  }

  k8s::v1::Pod pod_ = MakePod();
  std::optional<TestServer> server_;
  Checks checks_{loop_, runtime_};
};

TEST_F(ChecksTest, AnHttpAnswerBelow400IsASuccess) {
  Serve().answers["/healthz"] = kOk;
  Http("/healthz");
  const Answer answer = Ask();
  EXPECT_EQ(answer.verdict, Verdict::kSuccess);
  EXPECT_EQ(answer.output, "ok");
  EXPECT_EQ(server_->requests[0],
            StrCat("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:", server_->port(),
                   "\r\nUser-Agent: kube-probe/1.36\r\nAccept: */*\r\nConnection: close\r\n\r\n"));
}

TEST_F(ChecksTest, AnHttpErrorIsAFailureWithoutTheBody) {
  Serve().answers["/"] = "HTTP/1.1 503 Away\r\nContent-Length: 6\r\n\r\nsecret";
  Http("/");
  const Answer answer = Ask();
  EXPECT_EQ(answer.verdict, Verdict::kFailure);
  EXPECT_EQ(answer.output, "HTTP probe failed with statuscode: 503");
}

TEST_F(ChecksTest, CertificatesAreNotLookedAt) {
  Serve(true).answers["/"] = kOk;
  Http("/").set_scheme("HTTPS");
  EXPECT_EQ(Ask().verdict, Verdict::kSuccess);
}

TEST_F(ChecksTest, AnAnswerInPlainTextToTlsIsAFailure) {
  Serve().hello = "HTTP/1.0 400 Bad Request\r\n\r\n";
  Http("/").set_scheme("HTTPS");
  EXPECT_EQ(Ask().output, StrCat("Get \"https://127.0.0.1:", server_->port(),
                                 "/\": http: server gave HTTP response to HTTPS client"));
}

TEST_F(ChecksTest, RedirectsAreFollowedOnTheSameHostOnly) {
  auto& server = Serve();
  server.answers["/a"] = Moved("/b");
  server.answers["/b"] = Moved(StrCat("http://127.0.0.1:", server.port(), "/c"));
  server.answers["/c"] = kOk;
  server.answers["/away"] = Moved("http://192.0.2.7/");
  Http("/a");
  EXPECT_EQ(Ask().verdict, Verdict::kSuccess);
  EXPECT_EQ(server.requests.size(), 3u);
  Http("/away");
  const Answer answer = Ask();
  EXPECT_EQ(answer.verdict, Verdict::kWarning);
  EXPECT_EQ(answer.output, "Probe terminated redirects, Response body: bye!");
}

TEST_F(ChecksTest, RedirectsInACircleEndAfterTen) {
  Serve().answers["/a"] = Moved("/a");
  Http("/a");
  EXPECT_EQ(Ask().output,
            StrCat("Get \"http://127.0.0.1:", server_->port(), "/a\": stopped after 10 redirects"));
  EXPECT_EQ(server_->requests.size(), 10u);
}

TEST_F(ChecksTest, NoAnswerWithinTheTimeoutIsAFailure) {
  Serve();
  Http("/");
  const Answer answer = AskInVain();
  EXPECT_EQ(answer.verdict, Verdict::kFailure);
  EXPECT_FALSE(answer.error);
  EXPECT_EQ(answer.output,
            StrCat("Get \"http://127.0.0.1:", server_->port(),
                   "/\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"));
}

TEST_F(ChecksTest, ABodyThatDoesNotEndIsAnErrorAndIsTriedAgain) {
  Serve().answers["/"] = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nand...";
  Http("/");
  auto answer = Begin();
  for (size_t tries = 1; tries <= 3; ++tries) {
    Until([&] { return server_->requests.size() == tries; });
    for (int i = 0; i < 100; ++i) loop_.RunReady();
    Advance(1s);
  }
  Until([&] { return answer->has_value(); });
  EXPECT_EQ((*answer)->error,
            "context deadline exceeded (Client.Timeout or context cancellation while reading body)");
}

TEST_F(ChecksTest, ARefusedConnectionNamesTheAddress) {
  const int port = ClosedPort();
  Handler().mutable_httpget()->mutable_port()->set_intval(port);
  EXPECT_EQ(Ask().output, StrCat("Get \"http://127.0.0.1:", port, "/\": dial tcp 127.0.0.1:", port,
                                 ": connect: connection refused"));
  Handler().clear_httpget();
  Handler().mutable_tcpsocket()->mutable_port()->set_intval(port);
  const Answer answer = Ask();
  EXPECT_EQ(answer.verdict, Verdict::kFailure);
  EXPECT_EQ(answer.output, StrCat("dial tcp 127.0.0.1:", port, ": connect: connection refused"));
}

TEST_F(ChecksTest, APortNobodyHasIsAnError) {
  Handler().mutable_tcpsocket()->mutable_port()->set_type(1);
  Handler().mutable_tcpsocket()->mutable_port()->set_strval("web");
  EXPECT_EQ(Ask().error, "port web not found");
}

TEST_F(ChecksTest, HostNamesAreLookedUp) {
  Serve().answers["/"] = kOk;
  Http("/").set_host("localhost");
  EXPECT_EQ(Ask().verdict, Verdict::kSuccess);
}

TEST_F(ChecksTest, SocketsAreClosedWithoutTimeWait) {
  Serve();
  Handler().mutable_tcpsocket()->mutable_port()->set_intval(server_->port());
  EXPECT_EQ(Ask().verdict, Verdict::kSuccess);
  const std::string table = base::ReadFile("/proc/self/net/tcp", 16 << 20).value();
  char local[32];
  snprintf(local, sizeof(local), "0100007F:%04X", server_->port());
  // A line "sl local remote st": the state of TIME-WAIT is 06, and ours would have the port as remote.
  EXPECT_EQ(table.find(StrCat(local, " 06")), std::string::npos) << table;
}

// A clock whose timers fire late, as when the loop was busy or the machine suspended.
class LateClock : public base::VirtualClock {
 public:
  TimerId Schedule(base::MonoTime when, absl::AnyInvocable<void()> fn) override {
    const bool slice = when - Monotonic() < 1s;  // not the work's own timer
    return base::VirtualClock::Schedule(slice ? when + std::exchange(late, 0s) : when,
                                        std::move(fn));
  }
  base::Nanos late{};
};

TEST(LiveTimeTest, ALoopThatWasLateGivesTheTimeBack) {
  LateClock clock;
  base::Loop loop(clock);
  base::TaskGroup tasks(loop);
  auto ended = std::make_shared<std::optional<bool>>();
  auto ask = [](base::Loop& l, std::shared_ptr<std::optional<bool>> out) -> base::Task<void> {
    *out = co_await RunWithin(l, 1s, base::Sleep(l.clock(), 1h));
  };
  tasks.Spawn("ask", ask(loop, ended));
  clock.late = 10s;  // the first timer is the first quarter's
  base::RunFor(loop, clock, 10s + 999ms);
  EXPECT_FALSE(ended->has_value());
  base::RunFor(loop, clock, 1ms);
  EXPECT_EQ(*ended, false);
}

TEST(LiveTimeTest, WorkThatEndsInTimeIsNotCutOff) {
  base::VirtualClock clock;
  base::Loop loop(clock);
  base::TaskGroup tasks(loop);
  auto ended = std::make_shared<std::optional<bool>>();
  auto ask = [](base::Loop& l, std::shared_ptr<std::optional<bool>> out) -> base::Task<void> {
    *out = co_await RunWithin(l, 1s, base::Sleep(l.clock(), 900ms));
  };
  tasks.Spawn("ask", ask(loop, ended));
  base::RunFor(loop, clock, 900ms);
  EXPECT_EQ(*ended, true);
  EXPECT_FALSE(clock.has_timers());
}

TEST(LiveTimeTest, CancelledAtAnyMomentItWaitsForItsWork) {
  for (int turns = 0; turns < 20; ++turns) {
    base::VirtualClock clock;
    base::Loop loop(clock);
    base::TaskGroup tasks(loop);
    auto ask = [](base::Loop& l) -> base::Task<void> {
      co_await RunWithin(l, 1s, base::Sleep(l.clock(), 1h));
    };
    tasks.Spawn("ask", ask(loop));
    base::RunFor(loop, clock, 999ms);
    clock.AdvanceToNext(clock.Monotonic() + 1ms);
    for (int i = 0; i < turns; ++i) loop.io().poll_one();
    boost::asio::post(loop.io(), [&] { tasks.Cancel(); });
    loop.RunReady();
    EXPECT_EQ(tasks.size(), 0u) << "after " << turns << " turns";
    EXPECT_FALSE(clock.has_timers()) << "after " << turns << " turns";
  }
}

// ---- hooks over HTTP

TEST_F(ChecksTest, AnyAnswerIsGoodForAHook) {
  Serve().answers["/up"] = "HTTP/1.1 500 Oh no\r\nContent-Length: 0\r\n\r\n";
  EXPECT_TRUE(PostStart(Http("/up")).ok());
  EXPECT_NE(server_->requests[0].find("User-Agent: kube-lifecycle/1.36"), std::string::npos);
}

TEST_F(ChecksTest, AHookFallsBackToPlainTextAndLeavesSecretsBehind) {
  Serve().hello = "HTTP/1.0 400 Bad Request\r\n\r\n";
  server_->answers["/up"] = kOk;
  auto action = Http("/up");
  action.set_scheme("HTTPS");
  auto* header = action.add_httpheaders();
  header->set_name("Authorization");
  header->set_value("Bearer x");
  EXPECT_TRUE(PostStart(action).ok());
  EXPECT_EQ(server_->requests[0].find("Bearer"), std::string::npos);
  EXPECT_EQ(events_.seen,
            std::vector<std::string>{StrCat(
                "LifecycleHTTPFallback: request to HTTPS lifecycle hook 127.0.0.1:", server_->port(),
                " got HTTP response, retry with HTTP succeeded")});
}

TEST_F(ChecksTest, AHookNobodyAnswersFails) {
  k8s::v1::HTTPGetAction action;
  action.set_path("/up");
  const int port = ClosedPort();
  action.mutable_port()->set_intval(port);
  EXPECT_EQ(base::Message(PostStart(action)),
            StrCat("HTTP lifecycle hook (/up) for Container \"app\" in Pod \"web_default(uid-1)\" "
                   "failed - error: Get \"http://127.0.0.1:", port, "/up\": dial tcp 127.0.0.1:",
                   port, ": connect: connection refused"));
}

// ---- grpc

namespace health = grpc::health::v1;

class HealthServer : public health::Health::Service {
 public:
  HealthServer() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~HealthServer() override { server_->Shutdown(std::chrono::system_clock::now()); }
  grpc::Status Check(grpc::ServerContext* context, const health::HealthCheckRequest* request,
                     health::HealthCheckResponse* response) override {
    if (request->service() == "broken") return {grpc::StatusCode::UNIMPLEMENTED, "no such thing"};
    if (request->service() == "slow") {
      asked = true;
      asked.notify_all();
      while (!context->IsCancelled()) std::this_thread::yield();
      return grpc::Status::CANCELLED;
    }
    auto agent = context->client_metadata().find("user-agent");
    agent_ok = agent->second.starts_with("kube-probe/1.36");
    response->set_status(request->service() == "down" ? health::HealthCheckResponse::NOT_SERVING
                                                      : health::HealthCheckResponse::SERVING);
    return grpc::Status::OK;
  }
  int port = 0;
  std::atomic<bool> asked = false;
  std::atomic<bool> agent_ok = false;

 private:
  std::unique_ptr<grpc::Server> server_;
};

class GrpcChecksTest : public ChecksTest {
 protected:
  void Service(std::string name) {
    Handler().mutable_grpc()->set_port(health_.port);
    Handler().mutable_grpc()->set_service(name);
  }
  HealthServer health_;
};

TEST_F(GrpcChecksTest, AServiceThatServesIsASuccess) {
  Service("");
  const Answer answer = Ask();
  EXPECT_EQ(answer.verdict, Verdict::kSuccess) << answer.output;
  EXPECT_TRUE(health_.agent_ok);
}

TEST_F(GrpcChecksTest, AServiceThatDoesNotServeIsAFailure) {
  Service("down");
  EXPECT_EQ(Ask().output, "service unhealthy (responded with \"NOT_SERVING\")");
}

TEST_F(GrpcChecksTest, AServerWithoutHealthChecksSaysSo) {
  Service("broken");
  EXPECT_EQ(Ask().output,
            "error: this server does not implement the grpc health protocol "
            "(grpc.health.v1.Health): no such thing");
}

TEST_F(GrpcChecksTest, NoAnswerWithinTheTimeoutIsAFailureAndTheCallIsCancelled) {
  Service("slow");
  auto answer = Begin();
  Until([&] { return health_.asked.load(); });
  Advance(1s);
  Until([&] { return answer->has_value(); });
  EXPECT_EQ((*answer)->output, "timeout: health rpc did not complete within 1s");
}

TEST_F(GrpcChecksTest, NobodyThereIsAFailure) {
  const int port = ClosedPort();
  Handler().mutable_grpc()->set_port(port);
  EXPECT_EQ(Ask().output, StrCat("error: failed to connect service at \"127.0.0.1:", port,
                                 "\": dial tcp 127.0.0.1:", port, ": connect: connection refused"));
}

}  // namespace
}  // namespace keelson::probes
