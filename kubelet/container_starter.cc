// SPDX-License-Identifier: Apache-2.0
#include "kubelet/container_starter.h"

#include <algorithm>

#include "base/errno_status.h"
#include "base/log.h"
#include "base/strings.h"
#include "cri/error.h"
#include "kubelet/pod_terminator.h"

namespace keelson::kubelet {

using base::StrCat;
using base::Task;
using std::chrono::seconds;

namespace {

bool MountsAt(const v1::Container& c, std::string_view path) {
  for (const auto& mount : c.volumemounts())
    if (mount.mountpath() == path) return true;
  return false;
}

Waiting ConfigError(const absl::Status& status) {
  return {"CreateContainerConfigError", std::string(base::Message(status))};
}

}  // namespace

void ContainerStarter::Event(const StartRequest& request, const v1::Container& spec, EventType type,
                             std::string_view reason, std::string message) {
  s_.events.PodEvent(*request.pod, type, reason, std::move(message),
                     FieldPath(request.action.kind, spec.name()));
}

Task<StartResult> ContainerStarter::Start(StartRequest request, std::function<bool()> stopping) {
  StartResult result;
  const v1::Container spec = ContainerOf(*request.pod, request.action.kind, request.action.index);
  std::string id = request.action.created_id;
  if (id.empty()) {
    auto created = co_await Create(request, spec, &result);
    if (!created.ok()) {
      Event(request, spec, EventType::kWarning, "Failed",
            StrCat("Error: ", cri::RuntimeMessage(created.status())));
      co_return result;
    }
    id = *created;
    Event(request, spec, EventType::kNormal, "Created", "Container created");
  }
  absl::Status started;
  {
    StartGate::Place place = co_await s_.starts.Enter(StartStep::kStartContainer);
    if (stopping()) co_return result;
    started = co_await s_.runtime.StartContainer(id);
  }
  absl::Status noted = co_await s_.pleg.NoteContainer(request.pod->metadata().uid(), id);
  if (!noted.ok()) s_.pleg.MarkChanged(request.pod->metadata().uid());
  if (!started.ok()) {
    result.failure = Waiting{"RunContainerError", cri::RuntimeMessage(started)};
    Event(request, spec, EventType::kWarning, "Failed", StrCat("Error: ", cri::RuntimeMessage(started)));
    co_return result;
  }
  Event(request, spec, EventType::kNormal, "Started", "Container started");
  const ObservedContainer* seen = s_.pleg.View(request.pod->metadata().uid()).FindById(id);
  if (seen && !seen->log_path.empty()) {
    absl::Status linked =
        co_await s_.files.LinkContainerLog(request.pod, spec.name(), id, seen->log_path);
    if (!linked.ok())
      KLOG_WARNING("Cannot link a container's log; log collectors will not find it",
                   {"pod", ShortName(*request.pod)}, {"container", spec.name()}, {"err", linked});
  }
  if (!probes::HasPostStart(spec) || stopping()) co_return result;
  absl::Status hook = co_await RunPostStart(request, spec, id);
  if (!hook.ok()) result.failure = Waiting{"PostStartHookError", std::string(base::Message(hook))};
  co_return result;
}

Task<absl::Status> ContainerStarter::RunPostStart(const StartRequest& request,
                                                  const v1::Container& spec, std::string id) {
  probes::HookTarget target{spec.name(), id, request.pod_ips};
  absl::Status hook = co_await s_.hooks.PostStart(request.pod, std::move(target));
  if (hook.ok()) co_return hook;
  // Without the hook's output: events are read by more people than statuses are.
  Event(request, spec, EventType::kWarning, "FailedPostStartHook", "PostStartHook failed");
  Event(request, spec, EventType::kNormal, "Killing", "FailedPostStartHook");
  absl::Status stopped = co_await StopUnhooked(request, spec, id);
  if (!stopped.ok())
    KLOG_WARNING("Cannot stop a container whose postStart hook failed",
                 {"pod", ShortName(*request.pod)}, {"container", spec.name()}, {"err", stopped});
  s_.pleg.MarkChanged(request.pod->metadata().uid());
  co_return hook;
}

Task<absl::Status> ContainerStarter::StopUnhooked(const StartRequest& request,
                                                  const v1::Container& spec, std::string id) {
  base::Clock& clock = s_.loop.clock();
  const base::MonoTime begun = clock.Monotonic();
  const seconds grace(GraceSeconds(*request.pod, std::nullopt, nullptr));
  if (probes::HasPreStop(spec)) {
    probes::HookTarget target{spec.name(), id, request.pod_ips};
    absl::Status hook = co_await s_.hooks.PreStop(request.pod, std::move(target), grace);
    if (!hook.ok())
      Event(request, spec, EventType::kWarning, "FailedPreStopHook", "PreStopHook failed");
  }
  const base::Nanos used = clock.Monotonic() - begun;
  const seconds left = std::max(seconds(1), std::chrono::ceil<seconds>(grace - used));
  absl::Status stopped = co_await s_.runtime.StopContainer(id, left);
  co_return absl::IsNotFound(stopped) ? absl::OkStatus() : stopped;
}

// The runtime's id of the container whose processes an ephemeral container shares; empty for none.
absl::StatusOr<std::string> ContainerStarter::TargetOf(const StartRequest& request) {
  if (request.action.kind != ContainerKind::kEphemeral) return "";
  const auto& ephemeral = request.pod->spec().ephemeralcontainers(request.action.index);
  const std::string& target = ephemeral.targetcontainername();
  if (target.empty()) return "";
  const ObservedContainer* seen = s_.pleg.View(request.pod->metadata().uid()).Newest(target);
  if (!seen) return absl::NotFoundError(StrCat("unable to find target container ", target));
  return seen->id;
}

Task<absl::StatusOr<ContainerInputs>> ContainerStarter::Gather(const StartRequest& request,
                                                               const v1::Container& spec) {
  const PodUid& uid = request.pod->metadata().uid();
  ContainerInputs inputs;
  inputs.image = request.image;
  inputs.volumes = request.volumes;
  inputs.pod_ips = request.pod_ips;
  auto target = TargetOf(request);
  if (!target.ok()) co_return target.status();
  inputs.target_container = *std::move(target);
  const std::string& runtime_class = request.pod->spec().runtimeclassname();
  std::string handler;
  if (!runtime_class.empty() && s_.objects) {
    auto found = co_await s_.objects->RuntimeHandler(runtime_class);
    if (!found.ok()) co_return found.status();
    handler = *std::move(found);
  }
  inputs.recursive_read_only = s_.options.recursive_read_only_handlers.contains(handler);
  auto files = co_await s_.files.PrepareContainer(request.pod, spec.name());
  if (!files.ok()) co_return files.status();
  inputs.termination_log = files->termination_log;
  // With no instance left in the runtime the log directory still knows how many there were.
  inputs.restart_count = request.action.first
                             ? std::max(request.action.restart_count, files->past_restarts)
                             : request.action.restart_count;
  auto environment =
      co_await FetchEnvironment(s_.loop, s_.objects, request.pod, &spec, request.volumes);
  if (!environment.ok()) co_return environment.status();
  inputs.environment = *std::move(environment);
  for (int i = 0; i < spec.volumemounts_size(); ++i) {
    const v1::VolumeMount& mount = spec.volumemounts(i);
    if (mount.subpath().empty() && mount.subpathexpr().empty()) continue;
    auto sub_path = s_.config.SubPath(*request.pod, spec, mount, inputs);
    if (!sub_path.ok()) co_return sub_path.status();
    auto volume = request.volumes.find(mount.name());
    if (volume == request.volumes.end())
      co_return absl::NotFoundError(StrCat("volume ", mount.name(), " is not mounted"));
    auto bound = co_await s_.volumes.BindSubPath(uid, mount.name(), volume->second, spec.name(), i,
                                                 *sub_path);
    if (!bound.ok()) co_return bound.status();
    inputs.sub_paths[i] = *bound;
  }
  if (!MountsAt(spec, "/etc/hosts")) {
    std::string hosts = s_.config.EtcHosts(*request.pod, request.pod_ips);
    if (!hosts.empty()) {
      absl::Status written = co_await s_.files.WriteEtcHosts(uid, std::move(hosts));
      CO_RETURN_IF_ERROR(written);
      inputs.etc_hosts = s_.files.paths().EtcHosts(uid);
    }
  }
  co_return inputs;
}

Task<absl::StatusOr<std::string>> ContainerStarter::Create(const StartRequest& request,
                                                           const v1::Container& spec,
                                                           StartResult* result) {
  auto inputs = co_await Gather(request, spec);
  if (!inputs.ok()) {
    result->failure = ConfigError(inputs.status());
    co_return inputs.status();
  }
  auto config = s_.config.Container(*request.pod, spec, *inputs);
  if (!config.ok()) {
    result->failure = ConfigError(config.status());
    co_return config.status();
  }
  auto sandbox = s_.config.Sandbox(*request.pod, request.sandbox_attempt);
  if (!sandbox.ok()) {
    result->failure = ConfigError(sandbox.status());
    co_return sandbox.status();
  }
  StartGate::Place place = co_await s_.starts.Enter(StartStep::kCreateContainer);
  auto id = co_await s_.runtime.CreateContainer(request.sandbox_id, *std::move(config),
                                                *std::move(sandbox));
  if (!id.ok()) {
    result->failure = Waiting{"CreateContainerError", cri::RuntimeMessage(id.status())};
    result->image_lost = absl::IsNotFound(id.status());
    // It may have been created all the same: a lost answer, a name that is taken.
    s_.pleg.MarkChanged(request.pod->metadata().uid());
  }
  co_return id;
}

}  // namespace keelson::kubelet
