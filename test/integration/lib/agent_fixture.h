// SPDX-License-Identifier: Apache-2.0
// The agent under test: a kubelet process of its own on the private containerd, with its own root,
// logs, manifests and cgroups. A test starts it, gives it manifests and asks what became of them.
// One thread. Everything is removed at the end of a test, also after a failure.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "test/integration/lib/containerd_fixture.h"

namespace keelson::integration {

// What one run of the binary is given beyond the fixture's own configuration.
struct AgentOptions {
  std::string config{};              // more lines of KubeletConfiguration
  std::vector<std::string> flags{};  // more flags
};

// Its node is called klnode, so that pod "web" becomes "web-klnode".
class Agent {
 public:
  explicit Agent(AgentOptions options = {});
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;
  ~Agent();  // kills it, removes its pods from the runtime, its mounts, cgroups and folders

  // Afterwards it answers on its socket. A failure to come up fails the test and shows the log.
  void Start();
  void Kill();  // SIGKILL, and it has ended; nothing when it does not run
  int Stop();   // SIGTERM; its exit code, 128 + signal when killed
  pid_t pid() const { return pid_; }

  // Manifests, renamed into place as a careful person does it.
  void Put(const std::string& file, const std::string& yaml);
  void Remove(const std::string& file);

  const std::string& dir() const { return dir_; }
  std::string manifests() const { return dir_ + "/manifests"; }
  std::string root() const { return dir_ + "/root"; }
  std::string logs() const { return dir_ + "/pod-logs"; }
  // Links to logs by container: beside a log folder that is not the usual one.
  std::string log_links() const { return dir_ + "/containers"; }
  std::string socket() const { return root() + "/nodectl.sock"; }
  const std::string& cgroup() const { return cgroup_; }  // below each hierarchy, "/kl..."
  std::string Log() const;                               // all it wrote so far

  // nodectl against this agent, which may refuse.
  CommandResult TryNodectl(const std::vector<std::string>& args) const;
  // nodectl's output; it fails the test unless it ends with 0.
  std::string Nodectl(const std::vector<std::string>& args) const;

  // What pods leave behind and should not: the runtime's leftovers, mounts, folders, logs, links to
  // logs and cgroups, one line each. Empty once all pods are gone.
  std::vector<std::string> Leftovers() const;

 private:
  [[noreturn]] void Become(const std::vector<std::string>& words) const;

  std::string dir_, cgroup_;
  AgentOptions options_;
  pid_t pid_ = 0;  // 0: does not run
};

// The runtime's words about one container; id is empty when there is none.
struct Found {
  std::string id, sandbox_id;
  unsigned attempt = 0;
  bool running = false;
};
// The newest container called `name` of the pod that the manifest or the API server calls `pod`.
Found FindContainer(const std::string& pod, const std::string& name);
bool IsRunning(const std::string& pod, const std::string& name);
// Sandboxes of `pod`, ready or not.
int SandboxCount(const std::string& pod);

}  // namespace keelson::integration
