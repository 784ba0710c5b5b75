// SPDX-License-Identifier: Apache-2.0
// An agent's connection to the simulated runtime: delays, refuses and loses answers.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "cri/runtime.h"
#include "test/simulation/runtime_state.h"

namespace keelson::simulation {

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
