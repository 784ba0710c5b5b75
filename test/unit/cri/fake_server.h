// SPDX-License-Identifier: Apache-2.0
// A CRI server in this process: answers what a test told it, or hangs until cancelled.
#pragma once

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "proto/cri/api.grpc.pb.h"

namespace keelson::cri {

namespace rt = ::runtime::v1;

class FakeServer : public rt::RuntimeService::Service, public rt::ImageService::Service {
 public:
  // Serves on `path`.
  explicit FakeServer(std::string path) : path_(std::move(path)) { Start(); }
  ~FakeServer() override { Stop(); }

  void Start() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + path_, grpc::InsecureServerCredentials());
    builder.RegisterService(static_cast<rt::RuntimeService::Service*>(this));
    builder.RegisterService(static_cast<rt::ImageService::Service*>(this));
    builder.SetMaxSendMessageSize(64 << 20);
    server_ = builder.BuildAndStart();
  }
  void Stop() {
    if (server_) server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
    std::filesystem::remove(path_);
  }

  std::string version = "0.1.0";
  std::atomic<int> unavailable_versions = 0;  // Version() answers Unavailable this often first
  std::atomic<int> cancelled_stops = 0;
  std::atomic<int64_t> stop_deadline_ms = 0;
  std::atomic<int64_t> exec_deadline_ms = 0;
  std::atomic<int64_t> run_deadline_ms = 0;
  std::atomic<int64_t> pull_deadline_ms = 0;
  std::atomic<bool> events_served = true;
  std::atomic<int> events = 0;  // how many a stream sends before it waits
  std::atomic<bool> stream_cancelled = false;
  std::atomic<size_t> listed_bytes = 0;

  static constexpr int64_t kNone = -1;

 private:
  static int64_t MillisLeft(grpc::ServerContext* context) {
    if (context->deadline() == std::chrono::system_clock::time_point::max()) return kNone;
    const auto left = context->deadline() - std::chrono::system_clock::now();
    return std::chrono::duration_cast<std::chrono::milliseconds>(left).count();
  }
  static void WaitForCancel(grpc::ServerContext* context) {
    while (!context->IsCancelled()) std::this_thread::yield();
  }

  grpc::Status Version(grpc::ServerContext*, const rt::VersionRequest*,
                       rt::VersionResponse* answer) override {
    if (unavailable_versions > 0) {
      --unavailable_versions;
      return {grpc::StatusCode::UNAVAILABLE, "server is not initialized yet"};
    }
    answer->set_version(version);
    answer->set_runtime_name("fake");
    answer->set_runtime_version("9.9");
    return grpc::Status::OK;
  }
  grpc::Status RunPodSandbox(grpc::ServerContext* context, const rt::RunPodSandboxRequest* request,
                             rt::RunPodSandboxResponse* answer) override {
    run_deadline_ms = MillisLeft(context);
    if (request->config().metadata().name() == "broken")
      return {grpc::StatusCode::UNKNOWN, "failed to set up network"};
    answer->set_pod_sandbox_id("sandbox-" + request->config().metadata().name());
    return grpc::Status::OK;
  }
  grpc::Status StopPodSandbox(grpc::ServerContext*, const rt::StopPodSandboxRequest*,
                              rt::StopPodSandboxResponse*) override {
    return {grpc::StatusCode::NOT_FOUND, "sandbox not found"};
  }
  grpc::Status StopContainer(grpc::ServerContext* context, const rt::StopContainerRequest* request,
                             rt::StopContainerResponse*) override {
    stop_deadline_ms = MillisLeft(context);
    if (request->container_id() != "hang") return grpc::Status::OK;
    WaitForCancel(context);
    ++cancelled_stops;
    return grpc::Status::CANCELLED;
  }
  grpc::Status ExecSync(grpc::ServerContext* context, const rt::ExecSyncRequest*,
                        rt::ExecSyncResponse*) override {
    exec_deadline_ms = MillisLeft(context);
    return grpc::Status::OK;
  }
  grpc::Status ListContainers(grpc::ServerContext*, const rt::ListContainersRequest*,
                              rt::ListContainersResponse* answer) override {
    answer->add_containers()->set_id(std::string(listed_bytes, 'x'));
    return grpc::Status::OK;
  }
  grpc::Status GetContainerEvents(grpc::ServerContext* context, const rt::GetEventsRequest*,
                                  grpc::ServerWriter<rt::ContainerEventResponse>* writer) override {
    if (!events_served) return {grpc::StatusCode::UNIMPLEMENTED, "unknown method"};
    for (int i = 0; i < events; ++i) {
      rt::ContainerEventResponse event;
      event.set_container_id(std::to_string(i));
      writer->Write(event);
    }
    WaitForCancel(context);
    stream_cancelled = true;
    return grpc::Status::CANCELLED;
  }
  grpc::Status PullImage(grpc::ServerContext* context, const rt::PullImageRequest* request,
                         rt::PullImageResponse* answer) override {
    pull_deadline_ms = MillisLeft(context);
    answer->set_image_ref(request->has_auth() ? "with-auth" : "without-auth");
    return grpc::Status::OK;
  }
  grpc::Status ImageFsInfo(grpc::ServerContext*, const rt::ImageFsInfoRequest*,
                           rt::ImageFsInfoResponse*) override {
    return grpc::Status::OK;
  }

  const std::string path_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace keelson::cri
