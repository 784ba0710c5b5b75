// SPDX-License-Identifier: Apache-2.0
#include "cri/grpc_runtime.h"

#include <algorithm>

#include "base/loop.h"
#include "base/strings.h"
#include "cri/error.h"

namespace keelson::cri {
namespace {

using std::chrono::seconds;

constexpr char kRuntimeService[] = "runtime.v1.RuntimeService";
constexpr char kImageService[] = "runtime.v1.ImageService";
constexpr std::string_view kCriVersion = "0.1.0";  // what every v1 runtime answers
constexpr base::Nanos kNoDeadline{};

// As crictl shortens ids.
std::string Short(std::string_view kind, std::string_view id) {
  return base::StrCat(kind, " ", id.substr(0, 13));
}

std::string PodName(const rt::PodSandboxConfig& config) {
  return base::StrCat("pod ", config.metadata().namespace_(), "/", config.metadata().name());
}

template <typename Response, typename Request>
Reply<Response> Call(RpcChannel& channel, CallOptions options, Request request) {
  auto response = std::make_shared<Response>();
  auto shared_request = std::make_shared<Request>(std::move(request));
  absl::Status status = co_await channel.Unary(std::move(options), shared_request, response);
  if (!status.ok()) co_return status;
  co_return std::move(*response);
}

// For calls whose answer is empty.
template <typename Response, typename Request>
base::Task<absl::Status> Do(RpcChannel& channel, CallOptions options, Request request) {
  auto response = std::make_shared<Response>();
  auto shared_request = std::make_shared<Request>(std::move(request));
  co_return co_await channel.Unary(std::move(options), shared_request, response);
}

absl::Status CheckVersion(const rt::VersionResponse& answer) {
  if (answer.version() == kCriVersion) return absl::OkStatus();
  return absl::FailedPreconditionError(base::StrCat(
      "CRI Version: ", answer.runtime_name(), " ", answer.runtime_version(), " speaks version \"",
      answer.version(), "\" of the runtime interface; this agent speaks ", kCriVersion));
}

absl::Status EmptyAnswer(const CallOptions& options, std::string_view field) {
  return CallError(absl::StatusCode::kInternal, base::StrCat(options.method, " ", options.object),
                   base::StrCat("the runtime's answer has no ", field));
}

}  // namespace

GrpcRuntime::GrpcRuntime(base::Loop& loop, base::Nanos request_timeout,
                         std::unique_ptr<RpcChannel> runtime, std::unique_ptr<RpcChannel> images)
    : loop_(loop),
      request_timeout_(request_timeout),
      runtime_(std::move(runtime)),
      images_(std::move(images)) {}

absl::StatusOr<std::unique_ptr<GrpcRuntime>> GrpcRuntime::Make(base::Loop& loop,
                                                               GrpcRuntimeOptions options) {
  auto poller = std::make_shared<RpcPoller>();
  auto runtime = RpcChannel::Make(loop, poller, options.runtime_endpoint);
  if (!runtime.ok()) return runtime.status();
  std::unique_ptr<RpcChannel> images;
  if (!options.image_endpoint.empty() &&
      *GrpcTarget(options.runtime_endpoint) != GrpcTarget(options.image_endpoint).value_or("")) {
    auto made = RpcChannel::Make(loop, poller, options.image_endpoint);
    if (!made.ok()) return made.status();
    images = *std::move(made);
  }
  return std::unique_ptr<GrpcRuntime>(
      new GrpcRuntime(loop, options.request_timeout, *std::move(runtime), std::move(images)));
}

CallOptions GrpcRuntime::Options(const char* method, std::string object) const {
  return {kRuntimeService, method, std::move(object), request_timeout_, false, &observer_};
}

CallOptions GrpcRuntime::ImageOptions(const char* method, std::string object) const {
  return {kImageService, method, std::move(object), request_timeout_, false, &observer_};
}

std::vector<InFlight> GrpcRuntime::InFlightCalls() const {
  auto calls = runtime_->InFlightCalls();
  if (!images_) return calls;
  auto more = images_->InFlightCalls();
  calls.insert(calls.end(), more.begin(), more.end());
  std::stable_sort(calls.begin(), calls.end(),
                   [](const InFlight& a, const InFlight& b) { return a.started < b.started; });
  return calls;
}

base::Task<absl::Status> GrpcRuntime::WaitUntilServing(base::Nanos timeout) {
  const base::MonoTime deadline = loop_.clock().Monotonic() + timeout;
  base::Nanos pause = std::chrono::milliseconds(20);
  while (true) {
    const base::Nanos left =
        std::max<base::Nanos>(deadline - loop_.clock().Monotonic(), std::chrono::milliseconds(1));
    CallOptions version{kRuntimeService, "Version", "", left, true};
    auto answer =
        co_await Call<rt::VersionResponse>(*runtime_, std::move(version), rt::VersionRequest());
    absl::Status status = answer.ok() ? CheckVersion(*answer) : answer.status();
    if (status.ok()) {
      CallOptions images_call{kImageService, "ImageFsInfo", "", left, true};
      status = co_await Do<rt::ImageFsInfoResponse>(images(), std::move(images_call),
                                                    rt::ImageFsInfoRequest());
    }
    // Unavailable from a server we reached: it is starting and has no way to tell us when it is
    // done.
    if (!absl::IsUnavailable(status)) co_return status;
    if (loop_.clock().Monotonic() + pause >= deadline) co_return status;
    co_await base::Sleep(loop_.clock(), pause);
    pause = std::min<base::Nanos>(pause * 2, std::chrono::seconds(1));
  }
}

Reply<rt::VersionResponse> GrpcRuntime::Version() {
  rt::VersionRequest request;
  request.set_version(std::string(kCriVersion));
  auto answer = co_await Call<rt::VersionResponse>(*runtime_, Options("Version", ""), request);
  if (!answer.ok()) co_return answer;
  if (auto status = CheckVersion(*answer); !status.ok()) co_return status;
  co_return answer;
}

Reply<rt::StatusResponse> GrpcRuntime::Status() {
  return Call<rt::StatusResponse>(*runtime_, Options("Status", ""), rt::StatusRequest());
}

Reply<rt::RuntimeConfigResponse> GrpcRuntime::RuntimeConfig() {
  return Call<rt::RuntimeConfigResponse>(*runtime_, Options("RuntimeConfig", ""),
                                         rt::RuntimeConfigRequest());
}

base::Task<absl::Status> GrpcRuntime::UpdatePodCidr(std::string pod_cidr) {
  rt::UpdateRuntimeConfigRequest request;
  request.mutable_runtime_config()->mutable_network_config()->set_pod_cidr(pod_cidr);
  return Do<rt::UpdateRuntimeConfigResponse>(*runtime_, Options("UpdateRuntimeConfig", pod_cidr),
                                             std::move(request));
}

Reply<std::string> GrpcRuntime::RunPodSandbox(rt::PodSandboxConfig config, std::string handler) {
  CallOptions options = Options("RunPodSandbox", PodName(config));
  options.timeout = 2 * request_timeout_;  // an image pull of the sandbox may be part of it
  rt::RunPodSandboxRequest request;
  *request.mutable_config() = std::move(config);
  request.set_runtime_handler(std::move(handler));
  auto answer = co_await Call<rt::RunPodSandboxResponse>(*runtime_, options, std::move(request));
  if (!answer.ok()) co_return answer.status();
  if (answer->pod_sandbox_id().empty()) co_return EmptyAnswer(options, "sandbox id");
  co_return std::move(*answer->mutable_pod_sandbox_id());
}

base::Task<absl::Status> GrpcRuntime::StopPodSandbox(std::string sandbox_id) {
  CallOptions options = Options("StopPodSandbox", Short("sandbox", sandbox_id));
  rt::StopPodSandboxRequest request;
  request.set_pod_sandbox_id(std::move(sandbox_id));
  return Do<rt::StopPodSandboxResponse>(*runtime_, std::move(options), std::move(request));
}

base::Task<absl::Status> GrpcRuntime::RemovePodSandbox(std::string sandbox_id) {
  CallOptions options = Options("RemovePodSandbox", Short("sandbox", sandbox_id));
  rt::RemovePodSandboxRequest request;
  request.set_pod_sandbox_id(std::move(sandbox_id));
  return Do<rt::RemovePodSandboxResponse>(*runtime_, std::move(options), std::move(request));
}

Reply<rt::PodSandboxStatusResponse> GrpcRuntime::PodSandboxStatus(std::string sandbox_id,
                                                                  bool verbose) {
  CallOptions options = Options("PodSandboxStatus", Short("sandbox", sandbox_id));
  rt::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(std::move(sandbox_id));
  request.set_verbose(verbose);
  return Call<rt::PodSandboxStatusResponse>(*runtime_, std::move(options), std::move(request));
}

Reply<rt::ListPodSandboxResponse> GrpcRuntime::ListPodSandbox(rt::PodSandboxFilter filter) {
  rt::ListPodSandboxRequest request;
  *request.mutable_filter() = std::move(filter);
  return Call<rt::ListPodSandboxResponse>(*runtime_, Options("ListPodSandbox", ""),
                                          std::move(request));
}

Reply<std::string> GrpcRuntime::CreateContainer(std::string sandbox_id, rt::ContainerConfig config,
                                                rt::PodSandboxConfig sandbox_config) {
  CallOptions options = Options(
      "CreateContainer",
      base::StrCat("container ", config.metadata().name(), " of ", PodName(sandbox_config)));
  rt::CreateContainerRequest request;
  request.set_pod_sandbox_id(std::move(sandbox_id));
  *request.mutable_config() = std::move(config);
  *request.mutable_sandbox_config() = std::move(sandbox_config);
  auto answer = co_await Call<rt::CreateContainerResponse>(*runtime_, options, std::move(request));
  if (!answer.ok()) co_return answer.status();
  if (answer->container_id().empty()) co_return EmptyAnswer(options, "container id");
  co_return std::move(*answer->mutable_container_id());
}

base::Task<absl::Status> GrpcRuntime::StartContainer(std::string container_id) {
  CallOptions options = Options("StartContainer", Short("container", container_id));
  rt::StartContainerRequest request;
  request.set_container_id(std::move(container_id));
  return Do<rt::StartContainerResponse>(*runtime_, std::move(options), std::move(request));
}

base::Task<absl::Status> GrpcRuntime::StopContainer(std::string container_id, seconds grace) {
  CallOptions options = Options("StopContainer", Short("container", container_id));
  options.timeout = request_timeout_ + std::max(grace, seconds(0));
  rt::StopContainerRequest request;
  request.set_container_id(std::move(container_id));
  request.set_timeout(grace.count());
  return Do<rt::StopContainerResponse>(*runtime_, std::move(options), std::move(request));
}

base::Task<absl::Status> GrpcRuntime::RemoveContainer(std::string container_id) {
  CallOptions options = Options("RemoveContainer", Short("container", container_id));
  rt::RemoveContainerRequest request;
  request.set_container_id(std::move(container_id));
  return Do<rt::RemoveContainerResponse>(*runtime_, std::move(options), std::move(request));
}

Reply<rt::ContainerStatusResponse> GrpcRuntime::ContainerStatus(std::string container_id,
                                                                bool verbose) {
  CallOptions options = Options("ContainerStatus", Short("container", container_id));
  rt::ContainerStatusRequest request;
  request.set_container_id(std::move(container_id));
  request.set_verbose(verbose);
  return Call<rt::ContainerStatusResponse>(*runtime_, std::move(options), std::move(request));
}

Reply<rt::ListContainersResponse> GrpcRuntime::ListContainers(rt::ContainerFilter filter) {
  rt::ListContainersRequest request;
  *request.mutable_filter() = std::move(filter);
  return Call<rt::ListContainersResponse>(*runtime_, Options("ListContainers", ""),
                                          std::move(request));
}

base::Task<absl::Status> GrpcRuntime::UpdateContainerResources(
    rt::UpdateContainerResourcesRequest request) {
  CallOptions options =
      Options("UpdateContainerResources", Short("container", request.container_id()));
  return Do<rt::UpdateContainerResourcesResponse>(*runtime_, std::move(options),
                                                  std::move(request));
}

base::Task<absl::Status> GrpcRuntime::ReopenContainerLog(std::string container_id) {
  CallOptions options = Options("ReopenContainerLog", Short("container", container_id));
  rt::ReopenContainerLogRequest request;
  request.set_container_id(std::move(container_id));
  return Do<rt::ReopenContainerLogResponse>(*runtime_, std::move(options), std::move(request));
}

Reply<rt::ExecSyncResponse> GrpcRuntime::ExecSync(std::string container_id,
                                                  std::vector<std::string> command,
                                                  seconds timeout) {
  CallOptions options = Options("ExecSync", Short("container", container_id));
  options.timeout = timeout == seconds(0) ? kNoDeadline : request_timeout_ + timeout;
  rt::ExecSyncRequest request;
  request.set_container_id(std::move(container_id));
  for (std::string& word : command) request.add_cmd(std::move(word));
  request.set_timeout(timeout.count());
  return Call<rt::ExecSyncResponse>(*runtime_, std::move(options), std::move(request));
}

Reply<rt::ExecResponse> GrpcRuntime::Exec(rt::ExecRequest request) {
  CallOptions options = Options("Exec", Short("container", request.container_id()));
  return Call<rt::ExecResponse>(*runtime_, std::move(options), std::move(request));
}

Reply<rt::AttachResponse> GrpcRuntime::Attach(rt::AttachRequest request) {
  CallOptions options = Options("Attach", Short("container", request.container_id()));
  return Call<rt::AttachResponse>(*runtime_, std::move(options), std::move(request));
}

Reply<rt::PortForwardResponse> GrpcRuntime::PortForward(rt::PortForwardRequest request) {
  CallOptions options = Options("PortForward", Short("sandbox", request.pod_sandbox_id()));
  return Call<rt::PortForwardResponse>(*runtime_, std::move(options), std::move(request));
}

base::Task<absl::Status> GrpcRuntime::CheckpointContainer(rt::CheckpointContainerRequest request) {
  CallOptions options = Options("CheckpointContainer", Short("container", request.container_id()));
  // Any number a client of the HTTP API gave.
  options.timeout = request_timeout_ + std::clamp(seconds(request.timeout()), seconds(0),
                                                  seconds(std::chrono::hours(24)));
  return Do<rt::CheckpointContainerResponse>(*runtime_, std::move(options), std::move(request));
}

Reply<rt::ListImagesResponse> GrpcRuntime::ListImages() {
  return Call<rt::ListImagesResponse>(images(), ImageOptions("ListImages", ""),
                                      rt::ListImagesRequest());
}

Reply<rt::ImageStatusResponse> GrpcRuntime::ImageStatus(rt::ImageSpec image) {
  CallOptions options = ImageOptions("ImageStatus", base::StrCat("image ", image.image()));
  rt::ImageStatusRequest request;
  *request.mutable_image() = std::move(image);
  auto answer = co_await Call<rt::ImageStatusResponse>(images(), options, std::move(request));
  if (answer.ok() && answer->has_image() && answer->image().id().empty())
    co_return EmptyAnswer(options, "image id");
  co_return answer;
}

Reply<std::string> GrpcRuntime::PullImage(rt::ImageSpec image, rt::AuthConfig auth,
                                          rt::PodSandboxConfig sandbox) {
  CallOptions options = ImageOptions("PullImage", base::StrCat("image ", image.image()));
  options.timeout = kNoDeadline;
  rt::PullImageRequest request;
  *request.mutable_image() = std::move(image);
  if (auth.ByteSizeLong() > 0) *request.mutable_auth() = std::move(auth);
  *request.mutable_sandbox_config() = std::move(sandbox);
  auto answer = co_await Call<rt::PullImageResponse>(images(), options, std::move(request));
  if (!answer.ok()) co_return answer.status();
  if (answer->image_ref().empty()) co_return EmptyAnswer(options, "image reference");
  co_return std::move(*answer->mutable_image_ref());
}

base::Task<absl::Status> GrpcRuntime::RemoveImage(rt::ImageSpec image) {
  CallOptions options = ImageOptions("RemoveImage", base::StrCat("image ", image.image()));
  rt::RemoveImageRequest request;
  *request.mutable_image() = std::move(image);
  return Do<rt::RemoveImageResponse>(images(), std::move(options), std::move(request));
}

Reply<rt::ImageFsInfoResponse> GrpcRuntime::ImageFsInfo() {
  return Call<rt::ImageFsInfoResponse>(images(), ImageOptions("ImageFsInfo", ""),
                                       rt::ImageFsInfoRequest());
}

Reply<rt::ListContainerStatsResponse> GrpcRuntime::ListContainerStats(
    rt::ContainerStatsFilter filter) {
  rt::ListContainerStatsRequest request;
  *request.mutable_filter() = std::move(filter);
  return Call<rt::ListContainerStatsResponse>(*runtime_, Options("ListContainerStats", ""),
                                              std::move(request));
}

Reply<rt::ListPodSandboxStatsResponse> GrpcRuntime::ListPodSandboxStats(
    rt::PodSandboxStatsFilter filter) {
  rt::ListPodSandboxStatsRequest request;
  *request.mutable_filter() = std::move(filter);
  return Call<rt::ListPodSandboxStatsResponse>(*runtime_, Options("ListPodSandboxStats", ""),
                                               std::move(request));
}

base::Task<absl::Status> GrpcRuntime::StreamEvents(
    std::function<void()> on_open,
    std::function<void(const rt::ContainerEventResponse&)> on_event) {
  RpcChannel::Stream stream;
  stream.options = {kRuntimeService, "GetContainerEvents", "", kNoDeadline, true};
  stream.request = std::make_shared<rt::GetEventsRequest>();
  stream.message = std::make_shared<rt::ContainerEventResponse>();
  stream.fence = Options("Version", "");
  stream.fence_request = std::make_shared<rt::VersionRequest>();
  stream.fence_response = std::make_shared<rt::VersionResponse>();
  stream.on_open = std::move(on_open);
  stream.on_message = [on_event = std::move(on_event)](const MessageLite& message) {
    on_event(static_cast<const rt::ContainerEventResponse&>(message));
  };
  absl::Status status = co_await runtime_->ReadStream(std::move(stream));
  // A stream of events has no end of its own.
  if (status.ok())
    status = CallError(absl::StatusCode::kUnavailable, "GetContainerEvents",
                       "the runtime ended the stream");
  co_return status;
}

}  // namespace keelson::cri
