// SPDX-License-Identifier: Apache-2.0
#include "test/integration/lib/agent_fixture.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/check.h"
#include "base/fd.h"

namespace keelson::integration {

namespace fs = std::filesystem;
namespace rt = runtime::v1;

namespace {

constexpr const char* kNode = "klnode";

bool Connects(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  KEELSON_CHECK(path.size() < sizeof address.sun_path);
  std::memcpy(address.sun_path, path.data(), path.size());
  const base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

// Where groups are made: the one tree of v2, or each hierarchy of v1.
std::vector<std::string> Hierarchies() {
  const std::string top = "/sys/fs/cgroup";
  if (fs::exists(top + "/cgroup.controllers")) return {top};
  std::vector<std::string> all;
  for (const auto& entry : fs::directory_iterator(top))
    if (!entry.is_symlink() && fs::exists(entry.path() / "cgroup.procs")) all.push_back(entry.path());
  return all;
}

// Deepest first. One that is in use stays.
void RemoveGroup(const fs::path& group) {
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(group, ec))
    if (entry.is_directory()) RemoveGroup(entry.path());
  ::rmdir(group.c_str());
}

}  // namespace

Agent::Agent(AgentOptions options) : options_(std::move(options)) {
  // Below the containerd's folder and group: stopping that one takes all of this with it.
  std::string dir = TheContainerd().dir() + "/agent.XXXXXX";
  KEELSON_CHECK(::mkdtemp(dir.data()) != nullptr);
  dir_ = dir;
  cgroup_ = "/" + TheContainerd().network() + "/" + dir.substr(dir.size() - 6);
  for (const auto& path : {manifests(), root(), logs()}) fs::create_directories(path);
  for (const auto& hierarchy : Hierarchies()) fs::create_directories(hierarchy + cgroup_);
  std::ofstream(dir_ + "/config.yaml")
      << "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nstaticPodPath: "
      << manifests() << "\npodLogsDir: " << logs() << "\ncgroupRoot: " << cgroup_
      << "\ncontainerRuntimeEndpoint: " << TheContainerd().endpoint()
      << "\ncgroupDriver: cgroupfs\nfailCgroupV1: false\nhealthzPort: 0\n"
      << "authentication: {anonymous: {enabled: false}, webhook: {enabled: false}}\n"
      << "authorization: {mode: AlwaysAllow}\n"
      // Its port is everybody's: who tests it chooses one.
      << (options_.config.find("enableServer") == std::string::npos ? "enableServer: false\n" : "")
      << options_.config;
}

Agent::~Agent() {
  Kill();
  if (testing::Test::HasFailure()) std::fprintf(stderr, "--- the agent's log\n%s---\n", Log().c_str());
  TheContainerd().RemoveAllPods();
  for (const auto& path : MountsBelow(dir_)) RunCommand({"umount", "-l", path});
  for (const auto& hierarchy : Hierarchies()) RemoveGroup(hierarchy + cgroup_);
  std::error_code ec;  // what is gone already is fine
  fs::remove_all(dir_, ec);
}

void Agent::Become(const std::vector<std::string>& words) const {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a killed test leaves no agent behind
  const int log = ::open((dir_ + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  ::dup2(log, 1);
  ::dup2(log, 2);
  std::vector<char*> argv;
  for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execv(argv[0], argv.data());
  ::_exit(127);
}

void Agent::Start() {
  ASSERT_EQ(pid_, 0);
  std::vector<std::string> words = {KEELSON_KUBELET, "--config=" + dir_ + "/config.yaml",
                                    "--root-dir=" + root(),
                                    std::string("--hostname-override=") + kNode};
  words.insert(words.end(), options_.flags.begin(), options_.flags.end());
  pid_ = ::fork();
  if (pid_ == 0) Become(words);
  bool ended = false;
  const bool up = Eventually([&] {
    ended = ::waitpid(pid_, nullptr, WNOHANG) != 0;
    return ended || Connects(socket());
  });
  if (ended) pid_ = 0;
  ASSERT_TRUE(up && !ended) << "the agent does not come up:\n" << Log();
}

void Agent::Kill() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

int Agent::Stop() {
  int status = 0;
  ::kill(pid_, SIGTERM);
  ::waitpid(pid_, &status, 0);  // ctest's time-out is the limit
  pid_ = 0;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void Agent::Put(const std::string& file, const std::string& yaml) {
  const std::string next = dir_ + "/next";  // beside the folder: same file system, not seen
  std::ofstream(next) << yaml;
  fs::rename(next, manifests() + "/" + file);
}

void Agent::Remove(const std::string& file) { fs::remove(manifests() + "/" + file); }

std::string Agent::Log() const { return ReadAll(dir_ + "/log"); }

CommandResult Agent::TryNodectl(const std::vector<std::string>& args) const {
  std::vector<std::string> argv = {KEELSON_NODECTL, "--socket", socket()};
  argv.insert(argv.end(), args.begin(), args.end());
  return RunCommand(argv);
}

std::string Agent::Nodectl(const std::vector<std::string>& args) const {
  const CommandResult result = TryNodectl(args);
  EXPECT_EQ(result.exit_code, 0) << result.output;
  return result.output;
}

std::vector<std::string> Agent::Leftovers() const {
  std::vector<std::string> found = TheContainerd().Leftovers();
  std::error_code ec;  // what vanishes while we look is not left over
  for (const auto& path : MountsBelow(dir_)) found.push_back("mount " + path);
  for (const auto& dir : {root() + "/pods", logs(), log_links()})
    for (const auto& entry : fs::directory_iterator(dir, ec)) found.push_back(entry.path());
  for (const auto& hierarchy : Hierarchies())
    for (const auto& path : PathsBelow(hierarchy + cgroup_))
      if (path.filename().string().starts_with("pod")) found.push_back("cgroup " + path.string());
  return found;
}

namespace {

std::string Label(const rt::Container& container, const char* key) {
  const auto it = container.labels().find(key);
  return it == container.labels().end() ? "" : it->second;
}

std::string FullName(const std::string& pod) { return pod + "-" + kNode; }

}  // namespace

Found FindContainer(const std::string& pod, const std::string& name) {
  Found found;
  int64_t newest = -1;
  for (const rt::Container& c : TheContainerd().Containers()) {
    const std::string its = Label(c, "io.kubernetes.pod.name");
    if ((its != pod && its != FullName(pod)) || c.metadata().name() != name) continue;
    if (c.created_at() <= newest) continue;
    newest = c.created_at();
    found = {c.id(), c.pod_sandbox_id(), c.metadata().attempt(), c.state() == rt::CONTAINER_RUNNING};
  }
  return found;
}

bool IsRunning(const std::string& pod, const std::string& name) {
  return FindContainer(pod, name).running;
}

int SandboxCount(const std::string& pod) {
  int count = 0;
  for (const rt::PodSandbox& sandbox : TheContainerd().Sandboxes())
    count += sandbox.metadata().name() == pod || sandbox.metadata().name() == FullName(pod);
  return count;
}

}  // namespace keelson::integration
