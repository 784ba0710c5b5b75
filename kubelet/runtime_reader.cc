// SPDX-License-Identifier: Apache-2.0
#include "kubelet/runtime_reader.h"

#include <cjson/cJSON.h>

#include <memory>
#include <utility>

namespace keelson::kubelet {

namespace rt = ::runtime::v1;
using base::Task;

namespace {

constexpr const char* kUidLabel = "io.kubernetes.pod.uid";
constexpr const char* kContainerNameLabel = "io.kubernetes.container.name";

std::string LabelOf(const google::protobuf::Map<std::string, std::string>& labels,
                    const char* key) {
  auto it = labels.find(key);
  return it == labels.end() ? std::string() : it->second;
}

// containerd and CRI-O put the init process's pid into the verbose info, a JSON object under
// "info".
pid_t PidOf(const google::protobuf::Map<std::string, std::string>& info) {
  auto it = info.find("info");
  if (it == info.end()) return 0;
  std::unique_ptr<cJSON, decltype(&cJSON_Delete)> root(
      cJSON_ParseWithLength(it->second.data(), it->second.size()), cJSON_Delete);
  const cJSON* pid = cJSON_GetObjectItemCaseSensitive(root.get(), "pid");
  return cJSON_IsNumber(pid) ? static_cast<pid_t>(pid->valueint) : 0;
}

}  // namespace

Task<absl::StatusOr<RuntimeReader::Listing>> RuntimeReader::List(std::string uid) {
  rt::PodSandboxFilter sandbox_filter;
  rt::ContainerFilter container_filter;
  if (!uid.empty()) {
    (*sandbox_filter.mutable_label_selector())[kUidLabel] = uid;
    (*container_filter.mutable_label_selector())[kUidLabel] = uid;
  }
  // Containers first: one that appears in between is then seen with its sandbox at the next look.
  auto containers = co_await runtime_.ListContainers(std::move(container_filter));
  if (!containers.ok()) co_return containers.status();
  auto sandboxes = co_await runtime_.ListPodSandbox(std::move(sandbox_filter));
  if (!sandboxes.ok()) co_return sandboxes.status();
  Listing listing;
  for (const auto& item : sandboxes->items()) {
    const std::string& pod_uid = item.metadata().uid();
    if (LabelOf(item.labels(), kUidLabel).empty()) continue;  // not a kubelet's
    ObservedPod& pod = listing[pod_uid];
    pod.uid = pod_uid;
    pod.name = item.metadata().name();
    pod.ns = item.metadata().namespace_();
    pod.sandboxes.push_back({item.id(), item.metadata().attempt(),
                             item.state() == rt::SANDBOX_READY, false, item.created_at(), {},
                             item.runtime_handler()});
  }
  for (const auto& item : containers->containers()) {
    std::string pod_uid = LabelOf(item.labels(), kUidLabel);
    if (pod_uid.empty()) continue;
    ObservedPod& pod = listing[pod_uid];
    pod.uid = pod_uid;
    if (pod.name.empty()) {
      pod.name = LabelOf(item.labels(), "io.kubernetes.pod.name");
      pod.ns = LabelOf(item.labels(), "io.kubernetes.pod.namespace");
    }
    ObservedContainer c;
    c.id = item.id();
    c.sandbox_id = item.pod_sandbox_id();
    c.name = LabelOf(item.labels(), kContainerNameLabel);
    c.state = FromCri(item.state());
    c.created_at = item.created_at();
    c.restart_count = RestartCountOf(item.annotations());
    pod.containers.push_back(std::move(c));
  }
  for (auto& [id, pod] : listing) SortNewestFirst(pod);
  co_return listing;
}

Task<absl::Status> RuntimeReader::InspectSandbox(ObservedSandbox* sandbox, bool pids) {
  auto status = co_await runtime_.PodSandboxStatus(sandbox->id, pids);
  // Removed since it was listed: what the list said is the last word.
  if (absl::IsNotFound(status.status())) {
    sandbox->ready = false;
    co_return absl::OkStatus();
  }
  if (!status.ok()) co_return status.status();
  *sandbox = FromCri(status->status());
  sandbox->pid = PidOf(status->info());
  co_return absl::OkStatus();
}

Task<absl::Status> RuntimeReader::InspectContainer(ObservedContainer* container, bool pids) {
  const bool watch = pids && container->state == ContainerState::kRunning;
  auto status = co_await runtime_.ContainerStatus(container->id, watch);
  if (absl::IsNotFound(status.status())) {
    container->state = ContainerState::kUnknown;
    co_return absl::NotFoundError("removed meanwhile");
  }
  if (!status.ok()) co_return status.status();
  *container = FromCri(status->status(), container->sandbox_id);
  container->pid = PidOf(status->info());
  co_return absl::OkStatus();
}

Task<absl::Status> RuntimeReader::Inspect(ObservedPod* pod, const ObservedPod* known,
                                           bool pids) {
  std::vector<Task<absl::Status>> calls;
  std::vector<ObservedSandbox> sandboxes = pod->sandboxes;
  std::vector<ObservedContainer> containers = pod->containers;
  for (auto& sandbox : sandboxes) {
    bool same = false;
    for (const auto& old : known->sandboxes)
      if (old.id == sandbox.id && old.ready == sandbox.ready) {
        sandbox = old;
        same = true;
      }
    if (!same) calls.push_back(InspectSandbox(&sandbox, pids));
  }
  for (auto& container : containers) {
    const ObservedContainer* old = known->FindById(container.id);
    if (old && old->state == container.state) container = *old;
    else calls.push_back(InspectContainer(&container, pids));
  }
  auto results = co_await base::Gather(loop_, std::move(calls));
  for (const absl::Status& status : results)
    if (!status.ok() && !absl::IsNotFound(status)) co_return status;
  pod->sandboxes = std::move(sandboxes);
  pod->containers.clear();
  for (auto& c : containers)
    if (!c.name.empty()) pod->containers.push_back(std::move(c));
  SortNewestFirst(*pod);
  co_return absl::OkStatus();
}

}  // namespace keelson::kubelet
