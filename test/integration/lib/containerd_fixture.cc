// SPDX-License-Identifier: Apache-2.0
#include "test/integration/lib/containerd_fixture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <thread>

#include "base/check.h"
#include "base/fd.h"
#include "base/strings.h"
#include "proto/cri/api.grpc.pb.h"

namespace keelson::integration {

namespace fs = std::filesystem;
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
  bool Serves() {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 1s);
    rt::StatusResponse status;
    rt::ListPodSandboxResponse list;
    if (!runtime.Status(&context, rt::StatusRequest(), &status).ok()) return false;
    grpc::ClientContext again;
    again.set_deadline(std::chrono::system_clock::now() + 1s);
    return runtime.ListPodSandbox(&again, rt::ListPodSandboxRequest(), &list).ok();
  }
  void Remove(const std::string& sandbox_id) {
    rt::StopPodSandboxRequest stop;
    stop.set_pod_sandbox_id(sandbox_id);
    grpc::ClientContext stopping;
    rt::StopPodSandboxResponse stopped;
    if (!runtime.StopPodSandbox(&stopping, stop, &stopped).ok()) return;
    rt::RemovePodSandboxRequest remove;
    remove.set_pod_sandbox_id(sandbox_id);
    grpc::ClientContext removing;
    rt::RemovePodSandboxResponse removed;
    runtime.RemovePodSandbox(&removing, remove, &removed);
  }
  std::shared_ptr<grpc::Channel> channel;
  rt::RuntimeService::Stub runtime;
};

// A process that stops the containerd of `dir` when this one ends without having done so: by a crash,
// or because ctest's time was up.
class Containerd::Guardian {
 public:
  explicit Guardian(const std::string& dir) {
    int ends[2];
    KEELSON_CHECK(::pipe2(ends, O_CLOEXEC) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
      // Not our child any more, so that killing a tree of processes leaves it.
      if (::fork() == 0) Watch(ends[0], dir);
      ::_exit(0);
    }
    ::close(ends[0]);
    line_.reset(ends[1]);
    ::waitpid(child, nullptr, 0);
  }
  ~Guardian() {
    [[maybe_unused]] const ssize_t told = ::write(line_.get(), "", 1);
  }

 private:
  [[noreturn]] static void Watch(int line, const std::string& dir) {
    ::setsid();
    ::dup2(line, 0);
    ::close_range(3, ~0U, 0);  // the other end too, and whatever the test has open
    const int null = ::open("/dev/null", O_WRONLY);
    ::dup2(null, 1);
    ::dup2(null, 2);
    char told;
    if (::read(0, &told, 1) == 1) ::_exit(0);
    ::execl(KEELSON_CONTAINERD_SH, "containerd.sh", "stop", dir.c_str(), nullptr);
    ::_exit(127);
  }

  base::UniqueFd line_;  // the guardian reads its end
};

Containerd::Containerd() : version_(Version()) {
  std::string dir = fs::temp_directory_path() / "klctd.XXXXXX";
  KEELSON_CHECK(::mkdtemp(dir.data()) != nullptr);
  dir_ = dir;
  guardian_ = std::make_unique<Guardian>(dir_);
}

Containerd::~Containerd() { Stop(); }

absl::Status Containerd::Start() {
  if (::geteuid() != 0) return absl::FailedPreconditionError("needs root");
  const CommandResult started = RunCommand({KEELSON_CONTAINERD_SH, "start", dir_, version_});
  if (started.exit_code != 0) return absl::InternalError(base::ToAbsl(started.output));
  stubs_ = std::make_unique<Stubs>(endpoint());
  return absl::OkStatus();
}

void Containerd::Stop() {
  stubs_.reset();
  if (dir_.empty()) return;
  RunCommand({KEELSON_CONTAINERD_SH, "stop", dir_});
  std::error_code ignored;  // stop has said what it could not remove
  fs::remove_all(dir_, ignored);
  dir_.clear();
  guardian_.reset();
}

void Containerd::Reboot() {
  const CommandResult done = RunCommand({KEELSON_CONTAINERD_SH, "reboot", dir_});
  EXPECT_EQ(done.exit_code, 0) << done.output;
  stubs_ = std::make_unique<Stubs>(endpoint());
  // The daemon answers before its CRI plugin has read its state.
  EXPECT_TRUE(Eventually([this] { return stubs_->Serves(); })) << "CRI does not come back";
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

namespace {

// The first process, told in the verbose information of a status.
template <typename Info>
int PidIn(const Info& info) {
  const auto it = info.find("info");
  std::smatch found;
  const std::regex pid("\"pid\": ?([0-9]+)");
  return it != info.end() && std::regex_search(it->second, found, pid) ? std::stoi(found[1]) : 0;
}

}  // namespace

int Containerd::Pid(const std::string& container_id) {
  rt::ContainerStatusRequest request;
  request.set_container_id(container_id);
  request.set_verbose(true);
  return PidIn(Call(stubs_->runtime, &rt::RuntimeService::Stub::ContainerStatus, request).info());
}

int Containerd::SandboxPid(const std::string& sandbox_id) {
  rt::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(sandbox_id);
  request.set_verbose(true);
  return PidIn(Call(stubs_->runtime, &rt::RuntimeService::Stub::PodSandboxStatus, request).info());
}

CommandResult Containerd::Exec(const std::string& container_id, const std::vector<std::string>& argv) {
  rt::ExecSyncRequest request;
  request.set_container_id(container_id);
  request.mutable_cmd()->Assign(argv.begin(), argv.end());
  request.set_timeout(20);
  const auto answer = Call(stubs_->runtime, &rt::RuntimeService::Stub::ExecSync, request);
  return {answer.exit_code(), answer.stdout() + answer.stderr()};
}

std::string Containerd::ExecUrl(const rt::ExecRequest& request) {
  return Call(stubs_->runtime, &rt::RuntimeService::Stub::Exec, request).url();
}

std::string Containerd::PortForwardUrl(const std::string& sandbox_id) {
  rt::PortForwardRequest request;
  request.set_pod_sandbox_id(sandbox_id);
  return Call(stubs_->runtime, &rt::RuntimeService::Stub::PortForward, request).url();
}

void Containerd::RemoveAllPods() {
  // A start whose caller has died goes on for a while, and until then nothing can be removed.
  const auto remove_some = [this] {
    const auto sandboxes = Sandboxes();
    for (const auto& sandbox : sandboxes) stubs_->Remove(sandbox.id());
    return sandboxes.empty();
  };
  EXPECT_TRUE(Eventually(remove_some)) << "sandboxes that cannot be removed";
}

std::string ReadAll(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::vector<fs::path> PathsBelow(const std::string& dir) {
  std::vector<fs::path> paths;
  std::error_code ec;
  for (fs::directory_iterator at(dir, ec), end; !ec && at != end; at.increment(ec)) {
    paths.push_back(at->path());
    if (!fs::is_directory(at->symlink_status(ec))) continue;
    const auto deeper = PathsBelow(at->path());
    paths.insert(paths.end(), deeper.begin(), deeper.end());
  }
  return paths;
}

std::vector<std::string> MountsBelow(const std::string& dir) {
  std::vector<std::string> below;
  std::ifstream table("/proc/self/mountinfo");
  for (std::string line; std::getline(table, line);) {
    std::istringstream words(line);
    std::string path;
    for (int i = 0; i < 5; ++i) words >> path;
    if (path.starts_with(dir + "/")) below.insert(below.begin(), path);
  }
  return below;
}

namespace {

uint32_t Ipv4(const std::string& text) {
  in_addr address = {};
  ::inet_pton(AF_INET, text.c_str(), &address);
  return ntohl(address.s_addr);
}

// Elements of the keelson tables whose address lies in `subnet` ("a.b.c.d/n").
void FindElements(const std::string& subnet, std::vector<std::string>* found) {
  const size_t slash = subnet.find('/');
  const uint32_t mask = ~0U << (32 - std::stoi(subnet.substr(slash + 1)));
  const uint32_t network = Ipv4(subnet.substr(0, slash)) & mask;
  const std::string rules = RunCommand({"nft", "list", "ruleset"}).output;
  const std::regex address("[0-9]+\\.[0-9]+\\.[0-9]+\\.[0-9]+");
  for (std::sregex_iterator at(rules.begin(), rules.end(), address), end; at != end; ++at)
    if ((Ipv4(at->str()) & mask) == network) found->push_back("element of nftables " + at->str());
}

}  // namespace

std::vector<std::string> Containerd::Addresses() const {
  std::vector<std::string> addresses;
  for (const auto& path : PathsBelow(dir_ + "/leases")) {
    std::string name = path.filename();
    if (std::isdigit(static_cast<unsigned char>(name[0]))) addresses.push_back(std::move(name));
  }
  return addresses;
}

std::vector<std::string> Containerd::Leftovers() {
  std::vector<std::string> found;
  std::error_code ec;
  for (const auto& s : Sandboxes()) found.push_back("sandbox " + s.metadata().name());
  for (const auto& c : Containers()) found.push_back("container " + c.metadata().name());
  // No shims: a start that is cancelled by its caller's death can leave the runtime's own behind.
  for (const auto& path : MountsBelow(dir_ + "/state")) found.push_back("mount " + path);
  for (const auto& address : Addresses()) found.push_back("address " + address);
  for (const auto& entry : fs::directory_iterator("/sys/class/net/" + network() + "/brif", ec))
    found.push_back("link " + entry.path().filename().string());
  // libcni's notes: an ADD without its DEL, and which namespace it was for.
  for (const auto& entry : fs::directory_iterator("/var/lib/cni/results", ec))
    if (entry.path().filename().string().starts_with(network() + "-"))
      found.push_back("attachment " + entry.path().filename().string());
  std::smatch subnet;
  const std::string conf = ReadAll(dir_ + "/cni/10-keelson.conflist");
  if (std::regex_search(conf, subnet, std::regex("\"subnet\": *\"([^\"]*)\"")))
    FindElements(subnet[1], &found);
  return found;
}

namespace {

Containerd* the_containerd = nullptr;  // between SetUp and TearDown

class ContainerdEnvironment : public testing::Environment {
 public:
  void SetUp() override {
    containerd_ = std::make_unique<Containerd>();
    const absl::Status started = containerd_->Start();
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
