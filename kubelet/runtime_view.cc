// SPDX-License-Identifier: Apache-2.0
#include "kubelet/runtime_view.h"

#include <algorithm>

#include "absl/strings/numbers.h"

namespace keelson::kubelet {

namespace rt = ::runtime::v1;

namespace {
std::string Value(const google::protobuf::Map<std::string, std::string>& map, const char* key) {
  auto it = map.find(key);
  return it == map.end() ? std::string() : it->second;
}
}  // namespace

const ObservedContainer* ObservedPod::Newest(const std::string& container_name) const {
  for (const auto& c : containers)
    if (c.name == container_name) return &c;
  return nullptr;
}

const ObservedContainer* ObservedPod::FindById(const std::string& id) const {
  for (const auto& c : containers)
    if (c.id == id) return &c;
  return nullptr;
}

bool ObservedPod::AnyRunning() const {
  return std::any_of(containers.begin(), containers.end(), [](const ObservedContainer& c) {
    return c.state == ContainerState::kRunning || c.state == ContainerState::kUnknown;
  });
}

ContainerState FromCri(rt::ContainerState state) {
  switch (state) {
    case rt::CONTAINER_CREATED: return ContainerState::kCreated;
    case rt::CONTAINER_RUNNING: return ContainerState::kRunning;
    case rt::CONTAINER_EXITED: return ContainerState::kExited;
    default: return ContainerState::kUnknown;
  }
}

uint32_t RestartCountOf(const google::protobuf::Map<std::string, std::string>& annotations) {
  uint32_t count = 0;
  // A container that somebody else made has none: zero restarts are all we know of.
  if (!absl::SimpleAtoi(Value(annotations, "io.kubernetes.container.restartCount"), &count))
    return 0;
  return count;
}

ObservedContainer FromCri(const rt::ContainerStatus& status, std::string sandbox_id) {
  ObservedContainer c;
  c.id = status.id();
  c.sandbox_id = std::move(sandbox_id);
  c.name = status.metadata().name();
  c.state = FromCri(status.state());
  c.image = status.image().image();
  c.image_ref = status.image_ref();
  c.hash = Value(status.annotations(), "io.kubernetes.container.hash");
  c.restart_count = RestartCountOf(status.annotations());
  c.created_at = status.created_at();
  c.started_at = status.started_at();
  c.finished_at = status.finished_at();
  c.exit_code = status.exit_code();
  c.reason = status.reason();
  c.message = status.message();
  c.log_path = status.log_path();
  c.termination_message_path =
      Value(status.annotations(), "io.kubernetes.container.terminationMessagePath");
  c.termination_message_policy =
      Value(status.annotations(), "io.kubernetes.container.terminationMessagePolicy");
  if (status.has_resources()) c.resources = status.resources();
  if (status.has_user()) c.user = status.user();
  return c;
}

ObservedSandbox FromCri(const rt::PodSandboxStatus& status) {
  ObservedSandbox s;
  s.id = status.id();
  s.attempt = status.metadata().attempt();
  s.ready = status.state() == rt::SANDBOX_READY;
  s.host_network = status.linux().namespaces().options().network() == rt::NODE;
  s.created_at = status.created_at();
  s.runtime_handler = status.runtime_handler();
  if (!status.network().ip().empty()) s.ips.push_back(status.network().ip());
  for (const auto& extra : status.network().additional_ips()) s.ips.push_back(extra.ip());
  return s;
}

void SortNewestFirst(ObservedPod& pod) {
  std::stable_sort(pod.sandboxes.begin(), pod.sandboxes.end(), [](const auto& a, const auto& b) {
    return a.attempt != b.attempt ? a.attempt > b.attempt : a.created_at > b.created_at;
  });
  std::stable_sort(pod.containers.begin(), pod.containers.end(), [](const auto& a, const auto& b) {
    return a.created_at != b.created_at ? a.created_at > b.created_at
                                        : a.restart_count > b.restart_count;
  });
}

}  // namespace keelson::kubelet
