// SPDX-License-Identifier: Apache-2.0
// A runtime none of whose calls is served; tests override those they need.
#pragma once

#include "cri/runtime.h"

namespace keelson::cri {

class StubRuntime : public Runtime {
 public:
  Reply<rt::VersionResponse> Version() override { return No<rt::VersionResponse>(); }
  Reply<rt::StatusResponse> Status() override { return No<rt::StatusResponse>(); }
  Reply<rt::RuntimeConfigResponse> RuntimeConfig() override {
    return No<rt::RuntimeConfigResponse>();
  }
  base::Task<absl::Status> UpdatePodCidr(std::string) override { return No(); }
  Reply<std::string> RunPodSandbox(rt::PodSandboxConfig, std::string) override {
    return No<std::string>();
  }
  base::Task<absl::Status> StopPodSandbox(std::string) override { return No(); }
  base::Task<absl::Status> RemovePodSandbox(std::string) override { return No(); }
  Reply<rt::PodSandboxStatusResponse> PodSandboxStatus(std::string, bool) override {
    return No<rt::PodSandboxStatusResponse>();
  }
  Reply<rt::ListPodSandboxResponse> ListPodSandbox(rt::PodSandboxFilter) override {
    return No<rt::ListPodSandboxResponse>();
  }
  Reply<std::string> CreateContainer(std::string, rt::ContainerConfig,
                                     rt::PodSandboxConfig) override {
    return No<std::string>();
  }
  base::Task<absl::Status> StartContainer(std::string) override { return No(); }
  base::Task<absl::Status> StopContainer(std::string, std::chrono::seconds) override {
    return No();
  }
  base::Task<absl::Status> RemoveContainer(std::string) override { return No(); }
  Reply<rt::ContainerStatusResponse> ContainerStatus(std::string, bool) override {
    return No<rt::ContainerStatusResponse>();
  }
  Reply<rt::ListContainersResponse> ListContainers(rt::ContainerFilter) override {
    return No<rt::ListContainersResponse>();
  }
  base::Task<absl::Status> UpdateContainerResources(rt::UpdateContainerResourcesRequest) override {
    return No();
  }
  base::Task<absl::Status> ReopenContainerLog(std::string) override { return No(); }
  Reply<rt::ExecSyncResponse> ExecSync(std::string, std::vector<std::string>,
                                       std::chrono::seconds) override {
    return No<rt::ExecSyncResponse>();
  }
  Reply<rt::ExecResponse> Exec(rt::ExecRequest) override { return No<rt::ExecResponse>(); }
  Reply<rt::AttachResponse> Attach(rt::AttachRequest) override { return No<rt::AttachResponse>(); }
  Reply<rt::PortForwardResponse> PortForward(rt::PortForwardRequest) override {
    return No<rt::PortForwardResponse>();
  }
  Reply<rt::ListImagesResponse> ListImages() override { return No<rt::ListImagesResponse>(); }
  Reply<rt::ImageStatusResponse> ImageStatus(rt::ImageSpec) override {
    return No<rt::ImageStatusResponse>();
  }
  Reply<std::string> PullImage(rt::ImageSpec, rt::AuthConfig, rt::PodSandboxConfig) override {
    return No<std::string>();
  }
  base::Task<absl::Status> RemoveImage(rt::ImageSpec) override { return No(); }
  Reply<rt::ImageFsInfoResponse> ImageFsInfo() override { return No<rt::ImageFsInfoResponse>(); }
  Reply<rt::ListContainerStatsResponse> ListContainerStats(rt::ContainerStatsFilter) override {
    return No<rt::ListContainerStatsResponse>();
  }
  Reply<rt::ListPodSandboxStatsResponse> ListPodSandboxStats(rt::PodSandboxStatsFilter) override {
    return No<rt::ListPodSandboxStatsResponse>();
  }
  base::Task<absl::Status> StreamEvents(
      std::function<void()>, std::function<void(const rt::ContainerEventResponse&)>) override {
    return No();
  }

 private:
  static base::Task<absl::Status> No() { co_return absl::UnimplementedError("not served"); }
  template <typename T>
  static Reply<T> No() {
    co_return absl::UnimplementedError("not served");
  }
};

}  // namespace keelson::cri
