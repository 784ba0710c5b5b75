// SPDX-License-Identifier: Apache-2.0
// A container runtime that delays, fails, loses answers, drops and reorders events, and outlives the
// agents that talk to it.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "cri/runtime.h"
#include "test/simulation/random.h"

namespace keelson::simulation {

struct Faults {
  bool on = true;
  double fail_before = 0.03;  // refused, nothing happened
  double fail_after = 0.02;   // happened, but the answer was lost
  double slow = 0.03;         // seconds instead of milliseconds
  double drop_event = 0.1;
  bool down = false;          // nothing answers
};

// What runs. Lives as long as the world.
class RuntimeState {
 public:
  struct Sandbox {
    cri::rt::PodSandboxConfig config;
    bool ready = true;
    int64_t created_at = 0;
    std::string ip;
  };
  struct Container {
    std::string sandbox_id;
    cri::rt::ContainerConfig config;
    cri::rt::ContainerState state = cri::rt::CONTAINER_CREATED;
    int64_t created_at = 0, started_at = 0, finished_at = 0;
    int exit_code = 0;
    std::string reason;
  };
  using Listener = std::function<void(const cri::rt::ContainerEventResponse&)>;

  RuntimeState(base::VirtualClock& clock, Random& random) : clock_(clock), random_(random) {}

  std::map<std::string, Sandbox> sandboxes;
  std::map<std::string, Container> containers;
  Faults faults;
  bool serves_events = true;
  // Broken promises, seen as they happen.
  std::vector<std::string> violations;
  // Whether ending this pod's containers is right now what anybody asked for.
  std::function<bool(const std::string& uid)> may_stop = [](const std::string&) { return true; };

  std::string RunSandbox(cri::rt::PodSandboxConfig config);
  absl::StatusOr<std::string> Create(const std::string& sandbox, cri::rt::ContainerConfig config);
  absl::Status Start(const std::string& id);
  // Ends by itself after `grace` at the latest.
  void Terminate(const std::string& id, base::Nanos grace);
  void Exit(const std::string& id, int code, std::string reason);
  absl::Status StopSandbox(const std::string& id);
  absl::Status RemoveContainer(const std::string& id);
  absl::Status RemoveSandbox(const std::string& id);
  std::string UidOf(const Container& c) const;
  void Emit(const std::string& id, const std::string& uid, cri::rt::ContainerEventType type);
  void Listen(std::weak_ptr<Listener> listener) { listeners_.push_back(std::move(listener)); }

  base::VirtualClock& clock() { return clock_; }
  Random& random() { return random_; }
  int64_t NowNanos() const { return base::ToUnixNanos(clock_.Now()); }

 private:
  void StopQuietly(const std::string& sandbox);
  base::VirtualClock& clock_;
  Random& random_;
  uint64_t next_id_ = 1;
  std::list<std::weak_ptr<Listener>> listeners_;
};

// One agent's connection.
class FakeRuntime : public cri::Runtime {
 public:
  FakeRuntime(base::Loop& loop, RuntimeState& state);
  ~FakeRuntime() override;
  // Drops every call in progress: what it does in the runtime happens all the same.
  void Disconnect();

  cri::Reply<cri::rt::VersionResponse> Version() override;
  cri::Reply<cri::rt::StatusResponse> Status() override;
  cri::Reply<cri::rt::RuntimeConfigResponse> RuntimeConfig() override;
  base::Task<absl::Status> UpdatePodCidr(std::string) override;
  cri::Reply<std::string> RunPodSandbox(cri::rt::PodSandboxConfig config, std::string) override;
  base::Task<absl::Status> StopPodSandbox(std::string id) override;
  base::Task<absl::Status> RemovePodSandbox(std::string id) override;
  cri::Reply<cri::rt::PodSandboxStatusResponse> PodSandboxStatus(std::string id, bool) override;
  cri::Reply<cri::rt::ListPodSandboxResponse> ListPodSandbox(cri::rt::PodSandboxFilter f) override;
  cri::Reply<std::string> CreateContainer(std::string sandbox, cri::rt::ContainerConfig config,
                                          cri::rt::PodSandboxConfig) override;
  base::Task<absl::Status> StartContainer(std::string id) override;
  base::Task<absl::Status> StopContainer(std::string id, std::chrono::seconds grace) override;
  base::Task<absl::Status> RemoveContainer(std::string id) override;
  cri::Reply<cri::rt::ContainerStatusResponse> ContainerStatus(std::string id, bool) override;
  cri::Reply<cri::rt::ListContainersResponse> ListContainers(cri::rt::ContainerFilter f) override;
  base::Task<absl::Status> UpdateContainerResources(
      cri::rt::UpdateContainerResourcesRequest) override;
  base::Task<absl::Status> ReopenContainerLog(std::string) override;
  cri::Reply<cri::rt::ExecSyncResponse> ExecSync(std::string, std::vector<std::string>,
                                                 std::chrono::seconds) override;
  cri::Reply<cri::rt::ExecResponse> Exec(cri::rt::ExecRequest) override;
  cri::Reply<cri::rt::AttachResponse> Attach(cri::rt::AttachRequest) override;
  cri::Reply<cri::rt::PortForwardResponse> PortForward(cri::rt::PortForwardRequest) override;
  cri::Reply<cri::rt::ListImagesResponse> ListImages() override;
  cri::Reply<cri::rt::ImageStatusResponse> ImageStatus(cri::rt::ImageSpec) override;
  cri::Reply<std::string> PullImage(cri::rt::ImageSpec, cri::rt::AuthConfig,
                                    cri::rt::PodSandboxConfig) override;
  base::Task<absl::Status> RemoveImage(cri::rt::ImageSpec) override;
  cri::Reply<cri::rt::ImageFsInfoResponse> ImageFsInfo() override;
  cri::Reply<cri::rt::ListContainerStatsResponse> ListContainerStats(
      cri::rt::ContainerStatsFilter) override;
  cri::Reply<cri::rt::ListPodSandboxStatsResponse> ListPodSandboxStats(
      cri::rt::PodSandboxStatsFilter) override;
  base::Task<absl::Status> StreamEvents(
      std::function<void()> on_open,
      std::function<void(const cri::rt::ContainerEventResponse&)> on_event) override;

 private:
  struct Link;  // what timers of the world may still reach of us

  // Runs `effect` in the world after a while and brings back its answer, or loses one of the two.
  template <typename T>
  cri::Reply<T> Do(std::function<absl::StatusOr<T>()> effect);
  base::Task<absl::Status> DoPlain(std::function<absl::Status()> effect);

  base::Loop& loop_;
  RuntimeState& state_;
  std::shared_ptr<Link> link_;
};

}  // namespace keelson::simulation
