// SPDX-License-Identifier: Apache-2.0
// The container runtime as the agent sees it: CRI v1 (runtime.v1), one coroutine a call.
//
// Loop only. Every call has a deadline of its own (table in docs/cri.md) and an owner; cancelling the
// awaiting task cancels the call. Errors keep the gRPC code: NotFound (gone: what a teardown wants),
// Unimplemented (an older runtime), Unavailable (no connection: try again), DeadlineExceeded (the
// runtime may still finish the call: look before repeating it).
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/task.h"
#include "base/time.h"
#include "proto/cri/api.pb.h"

namespace keelson::cri {

namespace rt = ::runtime::v1;

template <typename T>
using Reply = base::Task<absl::StatusOr<T>>;

class Runtime {
 public:
  virtual ~Runtime() = default;

  virtual Reply<rt::VersionResponse> Version() = 0;
  virtual Reply<rt::StatusResponse> Status() = 0;
  virtual Reply<rt::RuntimeConfigResponse> RuntimeConfig() = 0;
  virtual base::Task<absl::Status> UpdatePodCidr(std::string pod_cidr) = 0;

  // Returns the sandbox id.
  virtual Reply<std::string> RunPodSandbox(rt::PodSandboxConfig config, std::string handler) = 0;
  virtual base::Task<absl::Status> StopPodSandbox(std::string sandbox_id) = 0;
  virtual base::Task<absl::Status> RemovePodSandbox(std::string sandbox_id) = 0;
  virtual Reply<rt::PodSandboxStatusResponse> PodSandboxStatus(std::string sandbox_id,
                                                               bool verbose) = 0;
  virtual Reply<rt::ListPodSandboxResponse> ListPodSandbox(rt::PodSandboxFilter filter) = 0;

  // Returns the container id.
  virtual Reply<std::string> CreateContainer(std::string sandbox_id, rt::ContainerConfig config,
                                             rt::PodSandboxConfig sandbox_config) = 0;
  virtual base::Task<absl::Status> StartContainer(std::string container_id) = 0;
  // SIGTERM (or the image's stop signal), then SIGKILL after `grace`; returns when it has exited.
  virtual base::Task<absl::Status> StopContainer(std::string container_id,
                                                 std::chrono::seconds grace) = 0;
  virtual base::Task<absl::Status> RemoveContainer(std::string container_id) = 0;
  virtual Reply<rt::ContainerStatusResponse> ContainerStatus(std::string container_id,
                                                             bool verbose) = 0;
  virtual Reply<rt::ListContainersResponse> ListContainers(rt::ContainerFilter filter) = 0;
  virtual base::Task<absl::Status> UpdateContainerResources(
      rt::UpdateContainerResourcesRequest request) = 0;
  virtual base::Task<absl::Status> ReopenContainerLog(std::string container_id) = 0;
  // A timeout of zero waits without limit.
  virtual Reply<rt::ExecSyncResponse> ExecSync(std::string container_id,
                                               std::vector<std::string> command,
                                               std::chrono::seconds timeout) = 0;
  virtual Reply<rt::ExecResponse> Exec(rt::ExecRequest request) = 0;
  virtual Reply<rt::AttachResponse> Attach(rt::AttachRequest request) = 0;
  virtual Reply<rt::PortForwardResponse> PortForward(rt::PortForwardRequest request) = 0;

  // Writes a checkpoint of a running container to request.location. A timeout of zero is the
  // runtime's own. Unimplemented: the runtime cannot.
  virtual base::Task<absl::Status> CheckpointContainer(rt::CheckpointContainerRequest) {
    co_return absl::UnimplementedError("the runtime makes no checkpoints");
  }

  virtual Reply<rt::ListImagesResponse> ListImages() = 0;
  // `image` unset in the response when it is not present.
  virtual Reply<rt::ImageStatusResponse> ImageStatus(rt::ImageSpec image) = 0;
  // Returns the image reference; no deadline.
  virtual Reply<std::string> PullImage(rt::ImageSpec image, rt::AuthConfig auth,
                                       rt::PodSandboxConfig sandbox) = 0;
  virtual base::Task<absl::Status> RemoveImage(rt::ImageSpec image) = 0;
  virtual Reply<rt::ImageFsInfoResponse> ImageFsInfo() = 0;

  virtual Reply<rt::ListContainerStatsResponse> ListContainerStats(
      rt::ContainerStatsFilter filter) = 0;
  virtual Reply<rt::ListPodSandboxStatsResponse> ListPodSandboxStats(
      rt::PodSandboxStatsFilter filter) = 0;

  // GetContainerEvents: `on_event` runs on the loop for every event; `on_open` once, when the runtime
  // has accepted the stream. Returns when the stream ends, with the reason (Unimplemented: not served).
  virtual base::Task<absl::Status> StreamEvents(
      std::function<void()> on_open,
      std::function<void(const rt::ContainerEventResponse&)> on_event) = 0;
};

}  // namespace keelson::cri
