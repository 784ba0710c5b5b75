// SPDX-License-Identifier: Apache-2.0
// The runtime behind a unix socket: class Runtime over gRPC. Loop only. Deadlines (docs/cri.md):
// request_timeout for most calls, twice that for RunPodSandbox, request_timeout plus grace for
// StopContainer, plus the command's own for ExecSync; none for PullImage, an ExecSync without a
// timeout and the event stream.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/time.h"
#include "cri/rpc.h"
#include "cri/runtime.h"

namespace keelson::cri {

struct GrpcRuntimeOptions {
  std::string runtime_endpoint;  // unix:///run/containerd/containerd.sock, or the path alone
  std::string image_endpoint;    // empty: images are served by the runtime endpoint
  base::Nanos request_timeout = std::chrono::minutes(2);  // runtimeRequestTimeout
};

class GrpcRuntime : public Runtime {
 public:
  // Connects to nothing yet; InvalidArgument for an endpoint that is no unix socket.
  static absl::StatusOr<std::unique_ptr<GrpcRuntime>> Make(base::Loop& loop,
                                                           GrpcRuntimeOptions options);

  // Returns when both services answer, also if their sockets appear only later; DeadlineExceeded
  // says what was missing after `timeout`. FailedPrecondition: a CRI we do not speak.
  base::Task<absl::Status> WaitUntilServing(base::Nanos timeout);

  // Hears of every call but the event stream.
  void set_observer(CallObserver observer) { observer_ = std::move(observer); }
  // Calls that have not ended, for nodectl and metrics.
  std::vector<InFlight> InFlightCalls() const;

  // FailedPrecondition when the answer's version is not 0.1.0.
  Reply<rt::VersionResponse> Version() override;
  Reply<rt::StatusResponse> Status() override;
  Reply<rt::RuntimeConfigResponse> RuntimeConfig() override;
  base::Task<absl::Status> UpdatePodCidr(std::string pod_cidr) override;

  Reply<std::string> RunPodSandbox(rt::PodSandboxConfig config, std::string handler) override;
  base::Task<absl::Status> StopPodSandbox(std::string sandbox_id) override;
  base::Task<absl::Status> RemovePodSandbox(std::string sandbox_id) override;
  Reply<rt::PodSandboxStatusResponse> PodSandboxStatus(std::string sandbox_id,
                                                       bool verbose) override;
  Reply<rt::ListPodSandboxResponse> ListPodSandbox(rt::PodSandboxFilter filter) override;

  Reply<std::string> CreateContainer(std::string sandbox_id, rt::ContainerConfig config,
                                     rt::PodSandboxConfig sandbox_config) override;
  base::Task<absl::Status> StartContainer(std::string container_id) override;
  base::Task<absl::Status> StopContainer(std::string container_id,
                                         std::chrono::seconds grace) override;
  base::Task<absl::Status> RemoveContainer(std::string container_id) override;
  Reply<rt::ContainerStatusResponse> ContainerStatus(std::string container_id,
                                                     bool verbose) override;
  Reply<rt::ListContainersResponse> ListContainers(rt::ContainerFilter filter) override;
  base::Task<absl::Status> UpdateContainerResources(
      rt::UpdateContainerResourcesRequest request) override;
  base::Task<absl::Status> ReopenContainerLog(std::string container_id) override;
  Reply<rt::ExecSyncResponse> ExecSync(std::string container_id, std::vector<std::string> command,
                                       std::chrono::seconds timeout) override;
  Reply<rt::ExecResponse> Exec(rt::ExecRequest request) override;
  Reply<rt::AttachResponse> Attach(rt::AttachRequest request) override;
  Reply<rt::PortForwardResponse> PortForward(rt::PortForwardRequest request) override;

  base::Task<absl::Status> CheckpointContainer(rt::CheckpointContainerRequest request) override;

  Reply<rt::ListImagesResponse> ListImages() override;
  Reply<rt::ImageStatusResponse> ImageStatus(rt::ImageSpec image) override;
  Reply<std::string> PullImage(rt::ImageSpec image, rt::AuthConfig auth,
                               rt::PodSandboxConfig sandbox) override;
  base::Task<absl::Status> RemoveImage(rt::ImageSpec image) override;
  Reply<rt::ImageFsInfoResponse> ImageFsInfo() override;

  Reply<rt::ListContainerStatsResponse> ListContainerStats(
      rt::ContainerStatsFilter filter) override;
  Reply<rt::ListPodSandboxStatsResponse> ListPodSandboxStats(
      rt::PodSandboxStatsFilter filter) override;

  base::Task<absl::Status> StreamEvents(
      std::function<void()> on_open,
      std::function<void(const rt::ContainerEventResponse&)> on_event) override;

 private:
  GrpcRuntime(base::Loop& loop, base::Nanos request_timeout, std::unique_ptr<RpcChannel> runtime,
              std::unique_ptr<RpcChannel> images);

  CallOptions Options(const char* method, std::string object) const;
  CallOptions ImageOptions(const char* method, std::string object) const;
  RpcChannel& images() { return images_ ? *images_ : *runtime_; }

  base::Loop& loop_;
  const base::Nanos request_timeout_;
  CallObserver observer_;  // empty: nobody counts
  const std::unique_ptr<RpcChannel> runtime_;
  const std::unique_ptr<RpcChannel> images_;  // null: the same endpoint serves both
};

}  // namespace keelson::cri
