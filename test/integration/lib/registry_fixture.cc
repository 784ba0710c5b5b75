// SPDX-License-Identifier: Apache-2.0
#include "test/integration/lib/registry_fixture.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "base/check.h"
#include "test/integration/lib/containerd_fixture.h"

namespace keelson::integration {

namespace fs = std::filesystem;

Registry::Registry(const std::string& htpasswd) {
  dir_ = TheContainerd().dir() + "/registry.XXXXXX";
  KEELSON_CHECK(::mkdtemp(dir_.data()) != nullptr);
  if (!htpasswd.empty()) std::ofstream(dir_ + "/htpasswd") << htpasswd;
  Start();
}

Registry::~Registry() {
  Stop();
  std::error_code ec;  // it is below the containerd's folder, which goes in any case
  fs::remove_all(dir_, ec);
}

void Registry::Start() {
  std::ofstream config(dir_ + "/config.yml");
  config << "version: 0.1\nlog: {level: info}\nstorage: {filesystem: {rootdirectory: " << dir_
         << "/data}}\nhttp: {addr: '" << address_ << "'}\n";
  if (fs::exists(dir_ + "/htpasswd"))
    config << "auth: {htpasswd: {realm: test, path: " << dir_ << "/htpasswd}}\n";
  config.close();
  log_start_ = Log().size();
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int log = ::open((dir_ + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    ::dup2(log, 1);
    ::dup2(log, 2);
    ::setenv("OTEL_TRACES_EXPORTER", "none", 1);
    ::execlp("docker-registry", "docker-registry", "serve", (dir_ + "/config.yml").c_str(), nullptr);
    ::_exit(127);
  }
  // It says where it listens once it does.
  std::smatch at;
  const std::regex listening("listening on (127\\.0\\.0\\.1:[0-9]+)");
  std::string said;
  const bool up = Eventually([&] {
    said = Log().substr(log_start_);
    return std::regex_search(said, at, listening);
  });
  ASSERT_TRUE(up) << "docker-registry does not come up:\n" << said;
  address_ = at[1];
}

void Registry::Stop() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

std::string Registry::Push(const std::string& image, const std::string& name, const std::string& login) {
  const std::string target = address_ + "/" + name;
  const auto ctr = [&](std::vector<std::string> words) {
    std::vector<std::string> argv = {"ctr", "-a", TheContainerd().socket(), "-n", "k8s.io", "images"};
    argv.insert(argv.end(), words.begin(), words.end());
    const CommandResult done = RunCommand(argv);
    EXPECT_EQ(done.exit_code, 0) << words[0] << ": " << done.output;
  };
  ctr({"tag", image, target});
  if (login.empty()) ctr({"push", "--plain-http", target});
  else ctr({"push", "--plain-http", "--user", login, target});
  ctr({"rm", "--sync", target});
  return target;
}

std::string Registry::Log() const {
  std::ostringstream text;
  text << std::ifstream(dir_ + "/log").rdbuf();
  return text.str();
}

int Registry::ManifestsGiven(const std::string& name) const {
  const size_t colon = name.rfind(':');
  const std::string log = Log();
  const std::regex line("\"(GET|HEAD) /v2/" + name.substr(0, colon) + "/manifests/" +
                        name.substr(colon + 1) + " HTTP/1.1\" 200 ");
  return static_cast<int>(std::distance(std::sregex_iterator(log.begin(), log.end(), line), {}));
}

}  // namespace keelson::integration
