// SPDX-License-Identifier: Apache-2.0
// A private containerd for a test binary: started before the first test, gone after the last.
// KEELSON_CONTAINERD chooses 1.6 (default) or 2. Where it does not come up, every test fails.
// Linking this library is enough; tests reach it by TheContainerd(). One thread.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "proto/cri/api.pb.h"

namespace keelson::integration {

// What a command printed on stdout and stderr, and how it ended (128 + signal when killed).
struct CommandResult {
  int exit_code = 0;
  std::string output;
};
// Runs a program to its end; argv[0] is a path or a name in PATH.
CommandResult RunCommand(const std::vector<std::string>& argv);

// Looks again every 10 ms until `condition` holds. For what no event tells a test of the outside.
bool Eventually(const std::function<bool()>& condition,
                std::chrono::milliseconds limit = std::chrono::seconds(30));

std::string ReadAll(const std::string& path);  // empty when there is nothing to read
// Everything below a folder; what vanishes meanwhile is left out, and with it the rest of its folder.
std::vector<std::filesystem::path> PathsBelow(const std::string& dir);
// Mount points below a folder, newest first.
std::vector<std::string> MountsBelow(const std::string& dir);

class Containerd {
 public:
  Containerd();
  ~Containerd();  // Stop()

  // Internal: it does not come up. FailedPrecondition: not root.
  absl::Status Start();
  // Afterwards nothing of it is left. Idempotent.
  void Stop();
  // SIGKILL for the daemon, then a new one on the same state. Containers live on.
  void Reboot();

  const std::string& dir() const { return dir_; }
  std::string socket() const { return dir_ + "/containerd.sock"; }
  std::string endpoint() const { return "unix://" + socket(); }
  std::string network() const;  // name of the CNI network and of its bridge
  std::string log() const { return dir_ + "/containerd.log"; }
  bool is_2x() const { return version_ == "2"; }

  // The runtime's own word, by CRI calls with a deadline of 30 s. A failed call fails the test.
  std::vector<runtime::v1::PodSandbox> Sandboxes();
  std::vector<runtime::v1::Container> Containers();
  std::vector<runtime::v1::Container> Running();
  runtime::v1::ContainerStatus Status(const std::string& container_id);
  std::string SandboxIp(const std::string& sandbox_id);
  // Host's number of the container's first process; 0 when it has none.
  int Pid(const std::string& container_id);
  int SandboxPid(const std::string& sandbox_id);
  CommandResult Exec(const std::string& container_id, const std::vector<std::string>& argv);
  // Where the runtime's streaming server waits for a client of this command, and of forwarded ports.
  std::string ExecUrl(const runtime::v1::ExecRequest& request);
  std::string PortForwardUrl(const std::string& sandbox_id);
  // Stops and removes every sandbox.
  void RemoveAllPods();
  // Addresses that the network's IPAM has given away.
  std::vector<std::string> Addresses() const;
  // What is there of pods: sandboxes, containers, mounts, addresses, links on the bridge, CNI
  // attachments and elements of nftables sets, one line each.
  std::vector<std::string> Leftovers();

 private:
  struct Stubs;
  class Guardian;

  const std::string version_;
  std::string dir_;
  std::unique_ptr<Guardian> guardian_;
  std::unique_ptr<Stubs> stubs_;  // set by Start
};

// Of this test binary. REQUIRES: a test runs.
Containerd& TheContainerd();

}  // namespace keelson::integration
