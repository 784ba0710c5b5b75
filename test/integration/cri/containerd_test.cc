// SPDX-License-Identifier: Apache-2.0
// The client, the mapping and the puller against a real containerd. Pods run test/images' program:
// without arguments it waits for SIGTERM; "stubborn" ignores it; "exit N" ends; "sleep N" ends
// after a while; "echo TEXT" prints. Sandboxes use the host's network, so that no CNI is needed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "base/loop.h"
#include "base/strings.h"
#include "cri/dns.h"
#include "cri/error.h"
#include "cri/grpc_runtime.h"
#include "cri/image_puller.h"
#include "cri/pod_config.h"
#include "proto/codec/codec.h"
#include "test/integration/lib/containerd_fixture.h"

namespace keelson::cri {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr char kImage[] = "docker.io/keelson/init:1";

class ContainerdTest : public testing::Test {
 protected:
  void SetUp() override {
    image_ = kImage;
    std::string dir = std::filesystem::temp_directory_path() / "klcri.XXXXXX";
    logs_ = mkdtemp(dir.data());
    client_ = *GrpcRuntime::Make(loop_, {integration::TheContainerd().endpoint(), "", 2min});
    ASSERT_TRUE(Run(client_->WaitUntilServing(20s)).ok());
  }
  void TearDown() override {
    if (!client_) return;
    for (const std::string& id : sandboxes_) {
      (void)Run(client_->StopPodSandbox(id));
      EXPECT_TRUE(Run(client_->RemovePodSandbox(id)).ok());
    }
    std::filesystem::remove_all(logs_);
  }

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
    for (int i = 0; i < 1000 && !condition(); ++i) co_await base::Sleep(loop_.clock(), 10ms);
    co_return condition();
  }

  // A pod of one container with these arguments, named after the test.
  void Pod(const std::string& args, const std::string& more = "") {
    const std::string name = base::StrCat("kl-cri-", getpid(), "-", ++pods_);
    const std::string yaml = base::StrCat(
        "metadata: {name: ", name, ", namespace: default, uid: u-", name,
        "}\nspec:\n  hostNetwork: true\n  dnsPolicy: Default\n  enableServiceLinks: true\n"
        "  securityContext: {}\n  containers:\n  - name: c\n    image: ",
        image_, "\n    args: ", args, "\n", more);
    auto status = proto::DecodeYaml(yaml, &pod_, {});
    ASSERT_TRUE(status.ok()) << status;
    SandboxInputs inputs;
    inputs.log_directory = PodLogDirectory(logs_, pod_);
    std::filesystem::create_directories(inputs.log_directory + "/c");
    inputs.dns = MakePodDns(pod_, {ResolvConf(), {}, "", {}}).config;
    sandbox_config_ = MakeSandboxConfig(pod_, inputs, {}, {}).value();
    auto id = Run(client_->RunPodSandbox(sandbox_config_, ""));
    ASSERT_TRUE(id.ok()) << id.status();
    sandbox_ = *id;
    sandboxes_.push_back(sandbox_);
  }
  // Creates and starts the pod's container; its id.
  std::string Start(std::vector<EnvVar> env = {}) {
    ContainerInputs inputs;
    inputs.image_ref = image_;
    inputs.env = std::move(env);
    inputs.resources.oom_score_adj = 1000;
    auto config = MakeContainerConfig(pod_, pod_.spec().containers(0), inputs, {}, {});
    EXPECT_TRUE(config.ok()) << config.status();
    auto id = Run(client_->CreateContainer(sandbox_, *config, sandbox_config_));
    EXPECT_TRUE(id.ok()) << id.status();
    if (!id.ok()) return "";
    auto status = Run(client_->StartContainer(*id));
    EXPECT_TRUE(status.ok()) << status;
    return *id;
  }
  rt::ContainerStatus Status(const std::string& id) {
    auto answer = Run(client_->ContainerStatus(id, false));
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? answer->status() : rt::ContainerStatus();
  }
  base::Task<bool> Exited(std::string id) {
    for (int i = 0; i < 500; ++i) {
      auto answer = co_await client_->ContainerStatus(id, false);
      if (answer.ok() && answer->status().state() == rt::CONTAINER_EXITED) co_return true;
      co_await base::Sleep(loop_.clock(), 10ms);
    }
    co_return false;
  }

  std::string image_, logs_;
  base::Loop loop_;
  base::TaskGroup tasks_{loop_};
  std::unique_ptr<GrpcRuntime> client_;
  v1::Pod pod_;
  rt::PodSandboxConfig sandbox_config_;
  std::string sandbox_;
  std::vector<std::string> sandboxes_;
  int pods_ = 0;
};

TEST_F(ContainerdTest, SpeaksOurVersion) {
  auto version = Run(client_->Version());
  ASSERT_TRUE(version.ok()) << version.status();
  EXPECT_EQ(version->runtime_name(), "containerd");
  auto status = Run(client_->Status());
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(status->status().conditions(0).type(), "RuntimeReady");
  EXPECT_TRUE(Run(client_->ImageFsInfo()).ok());
}

TEST_F(ContainerdTest, ContainerRunsStopsAndGoes) {
  Pod("[hello]");
  const std::string id = Start({{"A", "1"}});
  const auto status = Status(id);
  EXPECT_EQ(status.state(), rt::CONTAINER_RUNNING);
  EXPECT_EQ(status.metadata().name(), "c");
  EXPECT_EQ(status.annotations().at(kHashAnnotation), ContainerHash(pod_.spec().containers(0)));
  EXPECT_EQ(status.labels().at(kPodUidLabel), pod_.metadata().uid());
  rt::ContainerFilter mine;
  (*mine.mutable_label_selector())[kPodUidLabel] = pod_.metadata().uid();
  EXPECT_EQ(Run(client_->ListContainers(mine))->containers_size(), 1);
  EXPECT_EQ(Run(client_->PodSandboxStatus(sandbox_, false))->status().state(), rt::SANDBOX_READY);
  auto echo = Run(client_->ExecSync(id, {"/pause", "echo", "hi"}, 10s));
  ASSERT_TRUE(echo.ok()) << echo.status();
  EXPECT_EQ(echo->stdout(), "hi\n");
  EXPECT_EQ(echo->exit_code(), 0);
  EXPECT_TRUE(Run(client_->StopContainer(id, 10s)).ok());
  EXPECT_EQ(Status(id).exit_code(), 3);  // its own answer to SIGTERM
  std::ifstream log(PodLogDirectory(logs_, pod_) + "/c/0.log");
  std::string line;
  std::getline(log, line);
  EXPECT_THAT(line, HasSubstr(" stdout F hello"));
  EXPECT_TRUE(Run(client_->RemoveContainer(id)).ok());
  EXPECT_TRUE(absl::IsNotFound(Run(client_->ContainerStatus(id, false)).status()));
}

TEST_F(ContainerdTest, StubbornContainerIsKilledAfterItsGrace) {
  Pod("[stubborn]");
  const std::string id = Start();
  const base::MonoTime start = loop_.clock().Monotonic();
  EXPECT_TRUE(Run(client_->StopContainer(id, 1s)).ok());
  const base::Nanos took = loop_.clock().Monotonic() - start;
  EXPECT_GE(took, 900ms);
  EXPECT_LT(took, 5s);
  EXPECT_EQ(Status(id).exit_code(), 137);
}

TEST_F(ContainerdTest, CancelledStopLeavesTheConnectionUsable) {
  Pod("[stubborn]");
  const std::string id = Start();
  base::TaskGroup group(loop_);
  auto stop = [](GrpcRuntime* client, std::string which) -> base::Task<void> {
    (void)co_await client->StopContainer(which, 600s);
  };
  group.Spawn("stop", stop(client_.get(), id));
  ASSERT_TRUE(Run(Until([&] { return client_->InFlightCalls().size() == 1; })));
  EXPECT_EQ(client_->InFlightCalls()[0].method, "StopContainer");
  group.Cancel();
  ASSERT_TRUE(Run(Until([&] { return client_->InFlightCalls().empty(); })));
  EXPECT_EQ(Status(id).state(), rt::CONTAINER_RUNNING);
  EXPECT_TRUE(Run(client_->StopContainer(id, 0s)).ok());
}

TEST_F(ContainerdTest, CommandBeyondItsTimeIsADeadline) {
  Pod("[hello]");
  const std::string id = Start();
  const auto slow = Run(client_->ExecSync(id, {"/pause", "sleep", "60"}, 1s));
  EXPECT_TRUE(absl::IsDeadlineExceeded(slow.status())) << slow.status();
  auto quick = *GrpcRuntime::Make(loop_, {integration::TheContainerd().endpoint(), "", 300ms});
  ASSERT_TRUE(Run(quick->WaitUntilServing(10s)).ok());
  const auto stopped = Run(quick->StopContainer(id, 0s));
  EXPECT_TRUE(stopped.ok() || absl::IsDeadlineExceeded(stopped)) << stopped;
}

TEST_F(ContainerdTest, ErrorsCarryTheRuntimesCodeAndWords) {
  const auto gone = Run(client_->ContainerStatus("doesnotexist", false)).status();
  EXPECT_TRUE(absl::IsNotFound(gone)) << gone;
  EXPECT_THAT(std::string(base::Message(gone)), HasSubstr("CRI ContainerStatus container"));
  // Gone already is success for CRI, NotFound for containerd 1.6.
  const auto stopped = Run(client_->StopPodSandbox("doesnotexist"));
  EXPECT_TRUE(stopped.ok() || absl::IsNotFound(stopped)) << stopped;
}

// From 1.7 on there is a stream.
TEST_F(ContainerdTest, EventsAreStreamedOrUnimplemented) {
  const std::string version = Run(client_->Version())->runtime_version();
  bool open = false;
  std::vector<rt::ContainerEventResponse> events;
  std::optional<absl::Status> ended;
  base::TaskGroup group(loop_);
  auto stream = [&]() -> base::Task<void> {
    ended = co_await client_->StreamEvents(
        [&] { open = true; },
        [&](const rt::ContainerEventResponse& event) { events.push_back(event); });
  };
  group.Spawn("events", stream());
  ASSERT_TRUE(Run(Until([&] { return open || ended; })));
  if (version.find("1.6.") != version.npos) {
    EXPECT_TRUE(Run(Until([&] { return ended.has_value(); })));
    EXPECT_EQ(ended->code(), absl::StatusCode::kUnimplemented) << *ended;
    return;
  }
  Pod("[exit, \"4\"]");
  const std::string id = Start();
  const auto seen = [&](rt::ContainerEventType type) {
    return std::any_of(events.begin(), events.end(), [&](const auto& event) {
      return event.container_id() == id && event.container_event_type() == type;
    });
  };
  EXPECT_TRUE(Run(Until([&] { return seen(rt::CONTAINER_STOPPED_EVENT); })));
  EXPECT_TRUE(seen(rt::CONTAINER_STARTED_EVENT));
  group.Cancel();
  EXPECT_TRUE(Run(Until([&] { return group.size() == 0 && client_->InFlightCalls().empty(); })));
}

TEST_F(ContainerdTest, ImagesArePresentAbsentOrUnreachable) {
  ImagePuller puller(loop_, *client_, {});
  ImagePuller::Request request;
  request.image = image_;
  request.policy = "IfNotPresent";
  auto here = Run(puller.Ensure(request));
  ASSERT_TRUE(here.image) << here.failure.message;
  EXPECT_FALSE(here.image->pulled);
  EXPECT_GT(here.image->size, 0u);
  request.image = "127.0.0.1:1/nobody/nothing";  // no registry can be there
  request.policy = "Never";
  EXPECT_EQ(Run(puller.Ensure(request)).failure.reason, "ErrImageNeverPull");
  request.policy = "IfNotPresent";
  const auto absent = Run(puller.Ensure(request));
  EXPECT_EQ(absent.failure.reason, "ErrImagePull");
  EXPECT_TRUE(absent.failure.pull_failed);
  EXPECT_THAT(absent.failure.event_message,
              HasSubstr("Failed to pull image \"127.0.0.1:1/nobody/nothing\": "));
}

TEST_F(ContainerdTest, ExitCodeComesBack) {
  Pod("[exit, \"7\"]");
  const std::string id = Start();
  ASSERT_TRUE(Run(Exited(id)));
  EXPECT_EQ(Status(id).exit_code(), 7);
}

}  // namespace
}  // namespace keelson::cri
