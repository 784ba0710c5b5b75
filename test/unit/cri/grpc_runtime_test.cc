// SPDX-License-Identifier: Apache-2.0
#include "cri/grpc_runtime.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "base/loop.h"
#include "base/strings.h"
#include "cri/error.h"
#include "test/unit/cri/fake_server.h"

namespace keelson::cri {
namespace {

using namespace std::chrono_literals;

class GrpcRuntimeTest : public testing::Test {
 protected:
  GrpcRuntimeTest() : dir_(MakeDir()), socket_(dir_ + "/cri.sock") {}
  ~GrpcRuntimeTest() override { std::filesystem::remove_all(dir_); }

  void Serve() { server_.emplace(socket_); }
  GrpcRuntime& Client(base::Nanos timeout = 2min) {
    if (!client_) client_ = *GrpcRuntime::Make(loop_, {"unix://" + socket_, "", timeout});
    return *client_;
  }

  // Runs the loop until `task` has ended and returns its result.
  template <typename T>
  T Run(base::Task<T> task) {
    std::optional<T> result;
    tasks_.Spawn("test", Store(std::move(task), &result));
    loop_.io().restart();
    loop_.Run();
    return std::move(*result);
  }
  template <typename T>
  base::Task<void> Store(base::Task<T> task, std::optional<T>* out) {
    out->emplace(co_await std::move(task));
    loop_.Stop();
  }
  template <typename Condition>
  base::Task<bool> Until(Condition condition) {
    for (int i = 0; i < 5000 && !condition(); ++i) co_await base::Sleep(loop_.clock(), 1ms);
    co_return condition();
  }

  static rt::PodSandboxConfig Pod(std::string name) {
    rt::PodSandboxConfig config;
    config.mutable_metadata()->set_name(name);
    config.mutable_metadata()->set_namespace_("default");
    return config;
  }

  static std::string MakeDir() {
    std::string dir = std::filesystem::temp_directory_path() / "klcri.XXXXXX";
    return mkdtemp(dir.data());
  }

  const std::string dir_;
  const std::string socket_;
  base::Loop loop_;
  base::TaskGroup tasks_{loop_};
  std::optional<FakeServer> server_;
  std::unique_ptr<GrpcRuntime> client_;
};

TEST_F(GrpcRuntimeTest, AnswersComeBack) {
  Serve();
  EXPECT_EQ(Run(Client().RunPodSandbox(Pod("web"), "")).value(), "sandbox-web");
  EXPECT_EQ(Run(Client().Version())->runtime_name(), "fake");
  EXPECT_TRUE(Client().InFlightCalls().empty());
}

TEST_F(GrpcRuntimeTest, ErrorsKeepCodeAndNameTheCallAndTheRuntimesWords) {
  Serve();
  const auto broken = Run(Client().RunPodSandbox(Pod("broken"), "")).status();
  EXPECT_EQ(broken.code(), absl::StatusCode::kUnknown);
  EXPECT_EQ(base::Message(broken),
            "CRI RunPodSandbox pod default/broken: failed to set up network");
  EXPECT_EQ(RuntimeMessage(broken), "failed to set up network");
  EXPECT_EQ(GrpcErrorText(broken), "rpc error: code = Unknown desc = failed to set up network");
  const auto gone = Run(Client().StopPodSandbox("0123456789abcdef"));
  EXPECT_TRUE(absl::IsNotFound(gone));
  EXPECT_EQ(base::Message(gone), "CRI StopPodSandbox sandbox 0123456789abc: sandbox not found");
}

TEST_F(GrpcRuntimeTest, DeadlinesFollowTheTable) {
  Serve();
  GrpcRuntime& client = Client(100s);
  ASSERT_TRUE(Run(client.RunPodSandbox(Pod("web"), "")).ok());
  EXPECT_NEAR(server_->run_deadline_ms, 200'000, 5'000);
  ASSERT_TRUE(Run(client.StopContainer("c", 30s)).ok());
  EXPECT_NEAR(server_->stop_deadline_ms, 130'000, 5'000);
  ASSERT_TRUE(Run(client.ExecSync("c", {"true"}, 7s)).ok());
  EXPECT_NEAR(server_->exec_deadline_ms, 107'000, 5'000);
  ASSERT_TRUE(Run(client.ExecSync("c", {"true"}, 0s)).ok());
  EXPECT_EQ(server_->exec_deadline_ms, FakeServer::kNone);
  ASSERT_TRUE(Run(client.PullImage({}, {}, {})).ok());
  EXPECT_EQ(server_->pull_deadline_ms, FakeServer::kNone);
}

TEST_F(GrpcRuntimeTest, CallThatNeverAnswersEndsAtItsDeadline) {
  Serve();
  const auto status = Run(Client(50ms).StopContainer("hang", 0s));
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_NE(base::Message(status).find("no answer within 50ms"), std::string::npos) << status;
}

TEST_F(GrpcRuntimeTest, CancelledTaskCancelsTheCall) {
  Serve();
  GrpcRuntime& client = Client();
  base::TaskGroup group(loop_);
  auto stop = [](GrpcRuntime* c) -> base::Task<void> {
    (void)co_await c->StopContainer("hang", 10s);  // only ever cancelled
  };
  group.Spawn("stop", stop(&client));
  ASSERT_TRUE(Run(Until([&] { return server_->stop_deadline_ms > 0; })));
  const auto calls = client.InFlightCalls();
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_EQ(calls[0].method, "StopContainer");
  EXPECT_EQ(calls[0].object, "container hang");
  group.Cancel();
  EXPECT_TRUE(Run(Until([&] { return group.size() == 0 && client.InFlightCalls().empty(); })));
  EXPECT_TRUE(Run(Until([&] { return server_->cancelled_stops == 1; })));
}

TEST_F(GrpcRuntimeTest, DestroyedClientLeavesNoCallBehind) {
  Serve();
  base::TaskGroup group(loop_);
  auto stop = [](GrpcRuntime* c) -> base::Task<void> {
    (void)co_await c->StopContainer("hang", 10s);
  };
  group.Spawn("stop", stop(&Client()));
  ASSERT_TRUE(Run(Until([&] { return server_->stop_deadline_ms > 0; })));
  group.Cancel();
  ASSERT_TRUE(Run(Until([&] { return group.size() == 0; })));
  client_.reset();  // while gRPC may still be at it
  EXPECT_TRUE(Run(Until([&] { return server_->cancelled_stops == 1; })));
}

TEST_F(GrpcRuntimeTest, ImageCredentialsAreSentOnlyWhenThereAreAny) {
  Serve();
  EXPECT_EQ(*Run(Client().PullImage({}, {}, {})), "without-auth");
  rt::AuthConfig auth;
  auth.set_username("me");
  EXPECT_EQ(*Run(Client().PullImage({}, auth, {})), "with-auth");
}

TEST_F(GrpcRuntimeTest, AnswerBeyondSixteenMegabytesIsRefused) {
  Serve();
  server_->listed_bytes = 15 << 20;
  EXPECT_TRUE(Run(Client().ListContainers({})).ok());
  server_->listed_bytes = 17 << 20;
  EXPECT_EQ(Run(Client().ListContainers({})).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(GrpcRuntimeTest, NoServerIsUnavailableAndReconnectIsQuick) {
  EXPECT_TRUE(absl::IsUnavailable(Run(Client().Status()).status()));
  Serve();
  EXPECT_TRUE(Run(Client().WaitUntilServing(20s)).ok());
  server_->Stop();
  EXPECT_TRUE(absl::IsUnavailable(Run(Client().Version()).status()));
  server_->Start();
  EXPECT_TRUE(Run(Client().WaitUntilServing(20s)).ok());
}

TEST_F(GrpcRuntimeTest, ServerStillStartingIsWaitedFor) {
  Serve();
  server_->unavailable_versions = 3;
  EXPECT_TRUE(Run(Client().WaitUntilServing(20s)).ok());
}

TEST_F(GrpcRuntimeTest, WaitingForAServerEndsAtItsDeadline) {
  const auto status = Run(Client().WaitUntilServing(100ms));
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
}

TEST_F(GrpcRuntimeTest, OtherVersionOfTheInterfaceIsRefused) {
  Serve();
  server_->version = "0.2.0";
  const auto status = Run(Client().WaitUntilServing(20s));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(base::Message(status),
            "CRI Version: fake 9.9 speaks version \"0.2.0\" of the runtime interface; this agent "
            "speaks 0.1.0");
}

class StreamTest : public GrpcRuntimeTest {
 protected:
  base::Task<void> Stream() {
    ended_ = co_await Client().StreamEvents(
        [this] { open_ = true; },
        [this](const rt::ContainerEventResponse& event) { seen_.push_back(event.container_id()); });
  }
  bool open_ = false;
  std::vector<std::string> seen_;
  std::optional<absl::Status> ended_;
};

TEST_F(StreamTest, EventsArriveInOrderAndCancelReachesTheServer) {
  Serve();
  server_->events = 200;
  base::TaskGroup group(loop_);
  group.Spawn("events", Stream());
  EXPECT_TRUE(Run(Until([&] { return open_ && seen_.size() == 200; })));
  EXPECT_EQ(seen_.front(), "0");
  EXPECT_EQ(seen_.back(), "199");
  group.Cancel();
  EXPECT_TRUE(Run(Until([&] { return group.size() == 0 && server_->stream_cancelled; })));
  EXPECT_FALSE(ended_);
  EXPECT_TRUE(Run(Until([&] { return Client().InFlightCalls().empty(); })));
}

TEST_F(StreamTest, QuietStreamOpensToo) {
  Serve();
  base::TaskGroup group(loop_);
  group.Spawn("events", Stream());
  EXPECT_TRUE(Run(Until([&] { return open_; })));
  server_->Stop();
  EXPECT_TRUE(Run(Until([&] { return ended_.has_value(); })));
  EXPECT_FALSE(ended_->ok());
}

TEST_F(StreamTest, RuntimeWithoutEventsSaysUnimplemented) {
  Serve();
  server_->events_served = false;
  base::TaskGroup group(loop_);
  group.Spawn("events", Stream());
  EXPECT_TRUE(Run(Until([&] { return ended_.has_value(); })));
  EXPECT_EQ(ended_->code(), absl::StatusCode::kUnimplemented);
}

TEST(GrpcTarget, OnlyUnixSockets) {
  EXPECT_EQ(*GrpcTarget("unix:///run/x.sock"), "unix:/run/x.sock");
  EXPECT_EQ(*GrpcTarget("/run/x.sock"), "unix:/run/x.sock");
  for (std::string bad : {"tcp://1.2.3.4:5", "run/x.sock", "", "npipe:////./pipe/x"})
    EXPECT_EQ(GrpcTarget(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  EXPECT_EQ(GrpcTarget("/" + std::string(108, 'x')).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace keelson::cri
