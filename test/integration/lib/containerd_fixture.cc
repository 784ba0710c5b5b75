// SPDX-License-Identifier: Apache-2.0
#include "test/integration/lib/containerd_fixture.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <thread>

#include "base/check.h"
#include "base/strings.h"
#include "proto/cri/api.grpc.pb.h"

namespace keelson::integration {

namespace rt = runtime::v1;
using namespace std::chrono_literals;

CommandResult RunCommand(const std::vector<std::string>& argv) {
  int out[2];
  KEELSON_CHECK(::pipe2(out, O_CLOEXEC) == 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(out[1], 1);
    ::dup2(out[1], 2);
    std::vector<char*> args;
    for (const auto& word : argv) args.push_back(const_cast<char*>(word.c_str()));
    args.push_back(nullptr);
    ::execvp(args[0], args.data());
    ::_exit(127);
  }
  ::close(out[1]);
  CommandResult result;
  char data[4096];
  ssize_t got;
  while ((got = ::read(out[0], data, sizeof data)) > 0) result.output.append(data, got);
  ::close(out[0]);
  int status = 0;
  ::waitpid(pid, &status, 0);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

bool Eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(10ms);
  }
  return true;
}

namespace {

std::string Version() {
  const char* version = std::getenv("KEELSON_CONTAINERD");
  return version && *version ? version : "1.6";
}

// One call, its answer checked.
template <typename Stub, typename Request, typename Response>
Response Call(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
              const Request& request) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 30s);
  Response response;
  const grpc::Status status = (stub.*method)(&context, request, &response);
  EXPECT_TRUE(status.ok()) << Request::descriptor()->name() << ": " << status.error_message();
  return response;
}

}  // namespace

struct Containerd::Stubs {
  explicit Stubs(const std::string& endpoint)
      : channel(grpc::CreateChannel(endpoint, grpc::InsecureChannelCredentials())), runtime(channel) {}
  std::shared_ptr<grpc::Channel> channel;
  rt::RuntimeService::Stub runtime;
};

Containerd::Containerd() : version_(Version()) {
  std::string dir = std::filesystem::temp_directory_path() / "klctd.XXXXXX";
  KEELSON_CHECK(::mkdtemp(dir.data()) != nullptr);
  dir_ = dir;
}

Containerd::~Containerd() { Stop(); }

absl::Status Containerd::Start() {
  if (::geteuid() != 0) return absl::FailedPreconditionError("needs root");
  const CommandResult started = RunCommand({KEELSON_CONTAINERD_SH, "start", dir_, version_});
  if (started.exit_code == 77) return absl::FailedPreconditionError(base::ToAbsl(started.output));
  if (started.exit_code != 0) return absl::InternalError(base::ToAbsl(started.output));
  stubs_ = std::make_unique<Stubs>(endpoint());
  return absl::OkStatus();
}

void Containerd::Stop() {
  stubs_.reset();
  if (dir_.empty()) return;
  RunCommand({KEELSON_CONTAINERD_SH, "stop", dir_});
  std::error_code ignored;  // stop has said what it could not remove
  std::filesystem::remove_all(dir_, ignored);
  dir_.clear();
}

void Containerd::Reboot() {
  const CommandResult done = RunCommand({KEELSON_CONTAINERD_SH, "reboot", dir_});
  EXPECT_EQ(done.exit_code, 0) << done.output;
  stubs_ = std::make_unique<Stubs>(endpoint());
}

std::string Containerd::network() const {
  std::string name;
  std::ifstream(dir_ + "/network") >> name;
  return name;
}

std::vector<rt::PodSandbox> Containerd::Sandboxes() {
  const auto answer =
      Call(stubs_->runtime, &rt::RuntimeService::Stub::ListPodSandbox, rt::ListPodSandboxRequest());
  return {answer.items().begin(), answer.items().end()};
}

std::vector<rt::Container> Containerd::Containers() {
  const auto answer =
      Call(stubs_->runtime, &rt::RuntimeService::Stub::ListContainers, rt::ListContainersRequest());
  return {answer.containers().begin(), answer.containers().end()};
}

std::vector<rt::Container> Containerd::Running() {
  auto all = Containers();
  std::erase_if(all, [](const auto& c) { return c.state() != rt::CONTAINER_RUNNING; });
  return all;
}

rt::ContainerStatus Containerd::Status(const std::string& container_id) {
  rt::ContainerStatusRequest request;
  request.set_container_id(container_id);
  return Call(stubs_->runtime, &rt::RuntimeService::Stub::ContainerStatus, request).status();
}

std::string Containerd::SandboxIp(const std::string& sandbox_id) {
  rt::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(sandbox_id);
  const auto answer = Call(stubs_->runtime, &rt::RuntimeService::Stub::PodSandboxStatus, request);
  return answer.status().network().ip();
}

int Containerd::Pid(const std::string& container_id) {
  rt::ContainerStatusRequest request;
  request.set_container_id(container_id);
  request.set_verbose(true);
  const auto answer = Call(stubs_->runtime, &rt::RuntimeService::Stub::ContainerStatus, request);
  const auto info = answer.info().find("info");
  if (info == answer.info().end()) return 0;
  std::smatch found;
  const std::regex pid("\"pid\": ?([0-9]+)");
  return std::regex_search(info->second, found, pid) ? std::stoi(found[1]) : 0;
}

CommandResult Containerd::Exec(const std::string& container_id, const std::vector<std::string>& argv) {
  rt::ExecSyncRequest request;
  request.set_container_id(container_id);
  request.mutable_cmd()->Assign(argv.begin(), argv.end());
  request.set_timeout(20);
  const auto answer = Call(stubs_->runtime, &rt::RuntimeService::Stub::ExecSync, request);
  return {answer.exit_code(), answer.stdout() + answer.stderr()};
}

void Containerd::RemoveAllPods() {
  for (const auto& sandbox : Sandboxes()) {
    rt::StopPodSandboxRequest stop;
    stop.set_pod_sandbox_id(sandbox.id());
    Call(stubs_->runtime, &rt::RuntimeService::Stub::StopPodSandbox, stop);
    rt::RemovePodSandboxRequest remove;
    remove.set_pod_sandbox_id(sandbox.id());
    Call(stubs_->runtime, &rt::RuntimeService::Stub::RemovePodSandbox, remove);
  }
}

namespace {

Containerd* the_containerd = nullptr;  // between SetUp and TearDown

class ContainerdEnvironment : public testing::Environment {
 public:
  void SetUp() override {
    containerd_ = std::make_unique<Containerd>();
    const absl::Status started = containerd_->Start();
    if (absl::IsFailedPrecondition(started)) GTEST_SKIP() << "no containerd here: " << started;
    ASSERT_TRUE(started.ok()) << started;
    the_containerd = containerd_.get();
  }
  void TearDown() override {
    the_containerd = nullptr;
    containerd_.reset();
  }

 private:
  std::unique_ptr<Containerd> containerd_;
};

testing::Environment* const registered =
    testing::AddGlobalTestEnvironment(new ContainerdEnvironment);  // GoogleTest owns it

}  // namespace

Containerd& TheContainerd() {
  KEELSON_CHECK(the_containerd != nullptr && registered != nullptr);
  return *the_containerd;
}

}  // namespace keelson::integration
