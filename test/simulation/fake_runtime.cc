// SPDX-License-Identifier: Apache-2.0
#include "test/simulation/fake_runtime.h"

#include <algorithm>

namespace keelson::simulation {

namespace rt = cri::rt;
using base::Task;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

bool Matches(const google::protobuf::Map<std::string, std::string>& selector,
             const google::protobuf::Map<std::string, std::string>& labels) {
  return std::all_of(selector.begin(), selector.end(), [&](const auto& want) {
    auto it = labels.find(want.first);
    return it != labels.end() && it->second == want.second;
  });
}

}  // namespace

struct FakeRuntime::Link {
  uint64_t next = 0;
  std::map<uint64_t, std::function<void()>> pending;  // sets one answer each
  std::shared_ptr<RuntimeState::Listener> listener;
  base::Wakeup stream_broken;
};

FakeRuntime::FakeRuntime(base::Loop& loop, RuntimeState& state)
    : loop_(loop), state_(state), link_(std::make_shared<Link>()) {}

FakeRuntime::~FakeRuntime() = default;

void FakeRuntime::Disconnect() { link_.reset(); }

template <typename T>
cri::Reply<T> FakeRuntime::Do(std::function<absl::StatusOr<T>()> effect) {
  RuntimeState& state = state_;
  Random& random = state.random();
  const Faults& f = state.faults;
  base::Nanos work = random.Between(milliseconds(1), milliseconds(20));
  base::Nanos reply = random.Between(milliseconds(0), milliseconds(3));
  if (f.on && random.Chance(f.slow)) work = random.Between(seconds(1), seconds(20));
  const bool refuse = f.on && (f.down || random.Chance(f.fail_before));
  const bool lose = f.on && random.Chance(f.fail_after);

  base::OneShot<absl::StatusOr<T>> done;
  auto answer = std::make_shared<absl::StatusOr<T>>(absl::UnknownError("no answer"));
  uint64_t number = link_->next++;
  link_->pending[number] = [done, answer]() mutable { done.Set(*answer); };
  std::weak_ptr<Link> weak = link_;
  base::VirtualClock& clock = state.clock();
  clock.Schedule(clock.Monotonic() + work, [=, &clock, effect = std::move(effect)] {
    if (refuse) *answer = absl::UnavailableError("simulated: refused");
    else *answer = effect();
    if (lose && !refuse) *answer = absl::UnavailableError("simulated: answer lost");
    clock.Schedule(clock.Monotonic() + reply, [weak, number] {
      auto link = weak.lock();
      if (!link) return;
      auto it = link->pending.find(number);
      if (it == link->pending.end()) return;
      auto set = std::move(it->second);
      link->pending.erase(it);
      set();
    });
  });
  co_return co_await done.Wait();
}

Task<absl::Status> FakeRuntime::DoPlain(std::function<absl::Status()> effect) {
  std::function<absl::StatusOr<bool>()> wrapped =
      [effect = std::move(effect)]() -> absl::StatusOr<bool> {
    absl::Status status = effect();
    if (!status.ok()) return status;
    return true;
  };
  auto result = co_await Do<bool>(std::move(wrapped));
  co_return result.status();
}

cri::Reply<rt::VersionResponse> FakeRuntime::Version() {
  rt::VersionResponse version;
  version.set_version("0.1.0");
  version.set_runtime_name("simulated");
  co_return version;
}
cri::Reply<rt::StatusResponse> FakeRuntime::Status() { co_return rt::StatusResponse(); }
cri::Reply<rt::RuntimeConfigResponse> FakeRuntime::RuntimeConfig() {
  co_return absl::UnimplementedError("simulated");
}
Task<absl::Status> FakeRuntime::UpdatePodCidr(std::string) { co_return absl::OkStatus(); }

cri::Reply<std::string> FakeRuntime::RunPodSandbox(rt::PodSandboxConfig config, std::string) {
  RuntimeState* state = &state_;
  std::function<absl::StatusOr<std::string>()> effect =
      [state, config = std::move(config)]() -> absl::StatusOr<std::string> {
    std::string id = state->RunSandbox(config);
    if (id.ends_with("!reserved")) return absl::UnknownError("sandbox name is reserved");
    return id;
  };
  co_return co_await Do<std::string>(std::move(effect));
}
Task<absl::Status> FakeRuntime::StopPodSandbox(std::string id) {
  RuntimeState* state = &state_;
  std::function<absl::Status()> effect = [state, id] { return state->StopSandbox(id); };
  co_return co_await DoPlain(std::move(effect));
}
Task<absl::Status> FakeRuntime::RemovePodSandbox(std::string id) {
  RuntimeState* state = &state_;
  std::function<absl::Status()> effect = [state, id] { return state->RemoveSandbox(id); };
  co_return co_await DoPlain(std::move(effect));
}

cri::Reply<rt::PodSandboxStatusResponse> FakeRuntime::PodSandboxStatus(std::string id, bool) {
  RuntimeState* state = &state_;
  std::function<absl::StatusOr<rt::PodSandboxStatusResponse>()> effect =
      [state, id]() -> absl::StatusOr<rt::PodSandboxStatusResponse> {
    auto it = state->sandboxes.find(id);
    if (it == state->sandboxes.end()) return NoSuch(id);
    rt::PodSandboxStatusResponse response;
    auto* s = response.mutable_status();
    s->set_id(id);
    *s->mutable_metadata() = it->second.config.metadata();
    s->set_state(it->second.ready ? rt::SANDBOX_READY : rt::SANDBOX_NOTREADY);
    s->set_created_at(it->second.created_at);
    s->mutable_network()->set_ip(it->second.ip);
    return response;
  };
  co_return co_await Do<rt::PodSandboxStatusResponse>(std::move(effect));
}

cri::Reply<rt::ListPodSandboxResponse> FakeRuntime::ListPodSandbox(rt::PodSandboxFilter f) {
  RuntimeState* state = &state_;
  std::function<absl::StatusOr<rt::ListPodSandboxResponse>()> effect =
      [state, f]() -> absl::StatusOr<rt::ListPodSandboxResponse> {
    rt::ListPodSandboxResponse response;
    for (const auto& [id, s] : state->sandboxes) {
      if (!Matches(f.label_selector(), s.config.labels())) continue;
      auto* item = response.add_items();
      item->set_id(id);
      *item->mutable_metadata() = s.config.metadata();
      *item->mutable_labels() = s.config.labels();
      item->set_state(s.ready ? rt::SANDBOX_READY : rt::SANDBOX_NOTREADY);
      item->set_created_at(s.created_at);
    }
    return response;
  };
  co_return co_await Do<rt::ListPodSandboxResponse>(std::move(effect));
}

cri::Reply<std::string> FakeRuntime::CreateContainer(std::string sandbox,
                                                     rt::ContainerConfig config,
                                                     rt::PodSandboxConfig) {
  RuntimeState* state = &state_;
  std::function<absl::StatusOr<std::string>()> effect = [state, sandbox,
                                                         config = std::move(config)] {
    return state->Create(sandbox, config);
  };
  co_return co_await Do<std::string>(std::move(effect));
}
Task<absl::Status> FakeRuntime::StartContainer(std::string id) {
  RuntimeState* state = &state_;
  std::function<absl::Status()> effect = [state, id] { return state->Start(id); };
  co_return co_await DoPlain(std::move(effect));
}

Task<absl::Status> FakeRuntime::StopContainer(std::string id, seconds grace) {
  RuntimeState* state = &state_;
  std::function<absl::Status()> effect = [state, id, grace]() -> absl::Status {
    auto it = state->containers.find(id);
    if (it == state->containers.end()) return NoSuch(id);
    if (it->second.state == rt::CONTAINER_RUNNING) state->Terminate(id, grace);
    return absl::OkStatus();
  };
  absl::Status told = co_await DoPlain(std::move(effect));
  if (!told.ok()) co_return told;
  co_await base::Sleep(loop_.clock(), milliseconds(60));
  auto running = [state, id] {
    auto it = state->containers.find(id);
    return it != state->containers.end() && it->second.state == rt::CONTAINER_RUNNING;
  };
  // The call ends with the container, which another call may have hurried.
  const base::MonoTime deadline = loop_.clock().Monotonic() + grace;
  while (running() && loop_.clock().Monotonic() < deadline)
    co_await base::Sleep(loop_.clock(), std::chrono::milliseconds(500));
  co_return absl::OkStatus();
}

Task<absl::Status> FakeRuntime::RemoveContainer(std::string id) {
  RuntimeState* state = &state_;
  std::function<absl::Status()> effect = [state, id] { return state->RemoveContainer(id); };
  co_return co_await DoPlain(std::move(effect));
}

cri::Reply<rt::ContainerStatusResponse> FakeRuntime::ContainerStatus(std::string id, bool) {
  RuntimeState* state = &state_;
  std::function<absl::StatusOr<rt::ContainerStatusResponse>()> effect =
      [state, id]() -> absl::StatusOr<rt::ContainerStatusResponse> {
    auto it = state->containers.find(id);
    if (it == state->containers.end()) return NoSuch(id);
    const auto& c = it->second;
    rt::ContainerStatusResponse response;
    auto* s = response.mutable_status();
    s->set_id(id);
    *s->mutable_metadata() = c.config.metadata();
    *s->mutable_labels() = c.config.labels();
    *s->mutable_annotations() = c.config.annotations();
    *s->mutable_image() = c.config.image();
    s->set_state(c.state);
    s->set_created_at(c.created_at);
    s->set_started_at(c.started_at);
    s->set_finished_at(c.finished_at);
    s->set_exit_code(c.exit_code);
    s->set_reason(c.reason);
    return response;
  };
  co_return co_await Do<rt::ContainerStatusResponse>(std::move(effect));
}

cri::Reply<rt::ListContainersResponse> FakeRuntime::ListContainers(rt::ContainerFilter f) {
  RuntimeState* state = &state_;
  std::function<absl::StatusOr<rt::ListContainersResponse>()> effect =
      [state, f]() -> absl::StatusOr<rt::ListContainersResponse> {
    rt::ListContainersResponse response;
    for (const auto& [id, c] : state->containers) {
      if (!Matches(f.label_selector(), c.config.labels())) continue;
      auto* item = response.add_containers();
      item->set_id(id);
      item->set_pod_sandbox_id(c.sandbox_id);
      *item->mutable_metadata() = c.config.metadata();
      *item->mutable_labels() = c.config.labels();
      *item->mutable_annotations() = c.config.annotations();
      item->set_state(c.state);
      item->set_created_at(c.created_at);
    }
    return response;
  };
  co_return co_await Do<rt::ListContainersResponse>(std::move(effect));
}

Task<absl::Status> FakeRuntime::StreamEvents(
    std::function<void()> on_open,
    std::function<void(const rt::ContainerEventResponse&)> on_event) {
  if (!state_.serves_events) co_return absl::UnimplementedError("simulated: no events");
  co_await base::Sleep(loop_.clock(), milliseconds(5));
  if (state_.faults.on && state_.faults.down) co_return absl::UnavailableError("simulated: down");
  link_->listener = std::make_shared<RuntimeState::Listener>(std::move(on_event));
  state_.Listen(link_->listener);
  on_open();
  base::Nanos life = state_.random().Between(seconds(5), seconds(300));
  co_await link_->stream_broken.WaitUntil(loop_.clock(), loop_.clock().Monotonic() + life);
  link_->listener.reset();
  co_return absl::UnavailableError("simulated: stream broke");
}

// Not asked for by the parts that are simulated.
Task<absl::Status> FakeRuntime::UpdateContainerResources(rt::UpdateContainerResourcesRequest) {
  co_return absl::OkStatus();
}
Task<absl::Status> FakeRuntime::ReopenContainerLog(std::string) { co_return absl::OkStatus(); }
cri::Reply<rt::ExecSyncResponse> FakeRuntime::ExecSync(std::string, std::vector<std::string>,
                                                       seconds) {
  co_return rt::ExecSyncResponse();
}
cri::Reply<rt::ExecResponse> FakeRuntime::Exec(rt::ExecRequest) { co_return rt::ExecResponse(); }
cri::Reply<rt::AttachResponse> FakeRuntime::Attach(rt::AttachRequest) {
  co_return rt::AttachResponse();
}
cri::Reply<rt::PortForwardResponse> FakeRuntime::PortForward(rt::PortForwardRequest) {
  co_return rt::PortForwardResponse();
}
cri::Reply<rt::ListImagesResponse> FakeRuntime::ListImages() { co_return rt::ListImagesResponse(); }
cri::Reply<rt::ImageStatusResponse> FakeRuntime::ImageStatus(rt::ImageSpec) {
  co_return rt::ImageStatusResponse();
}
cri::Reply<std::string> FakeRuntime::PullImage(rt::ImageSpec spec, rt::AuthConfig,
                                               rt::PodSandboxConfig) {
  co_return spec.image();
}
Task<absl::Status> FakeRuntime::RemoveImage(rt::ImageSpec) { co_return absl::OkStatus(); }
cri::Reply<rt::ImageFsInfoResponse> FakeRuntime::ImageFsInfo() {
  co_return rt::ImageFsInfoResponse();
}
cri::Reply<rt::ListContainerStatsResponse> FakeRuntime::ListContainerStats(
    rt::ContainerStatsFilter) {
  co_return rt::ListContainerStatsResponse();
}
cri::Reply<rt::ListPodSandboxStatsResponse> FakeRuntime::ListPodSandboxStats(
    rt::PodSandboxStatsFilter) {
  co_return rt::ListPodSandboxStatsResponse();
}

}  // namespace keelson::simulation
