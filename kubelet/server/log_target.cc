// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/log_target.h"

#include <algorithm>

#include "base/strings.h"

namespace keelson::kubelet {
namespace {

using k8s::v1::ContainerStatus;

std::string WithoutScheme(const std::string& id) {
  const size_t end = id.find("://");
  return end == id.npos ? id : id.substr(end + 3);
}

std::string WhyWaiting(const std::string& reason) {
  if (reason == "ErrImagePull") return "is waiting to start: image can't be pulled";
  if (reason == "ImagePullBackOff") return "is waiting to start: trying and failing to pull image";
  if (reason.empty()) return "is waiting to start - no logs yet";
  return base::StrCat("is waiting to start: ", reason);
}

// Empty when there is no such instance.
std::string InstanceOf(const ContainerStatus& status, bool previous) {
  const std::string& last = status.laststate().terminated().containerid();
  if (previous) return last;
  if (status.state().has_running()) return status.containerid();
  const std::string& ended = status.state().terminated().containerid();
  return ended.empty() ? last : ended;
}

}  // namespace

bool HasContainer(const k8s::v1::PodSpec& spec, const std::string& name) {
  auto named = [&](const auto& container) { return container.name() == name; };
  return std::ranges::any_of(spec.containers(), named) ||
         std::ranges::any_of(spec.initcontainers(), named) ||
         std::ranges::any_of(spec.ephemeralcontainers(), [&](const auto& container) {
           return container.ephemeralcontainercommon().name() == name;
         });
}

const ContainerStatus* FindContainerStatus(const k8s::v1::PodStatus& status,
                                           const std::string& name) {
  for (const auto* list : {&status.containerstatuses(), &status.initcontainerstatuses(),
                           &status.ephemeralcontainerstatuses()})
    for (const ContainerStatus& one : *list)
      if (one.name() == name) return &one;
  return nullptr;
}

absl::StatusOr<std::string> ChooseLogInstance(const k8s::v1::Pod& pod, const std::string& container,
                                              bool previous) {
  const std::string what =
      base::StrCat("container \"", container, "\" in pod \"", pod.metadata().name(), "\" ");
  if (!HasContainer(pod.spec(), container))
    return absl::NotFoundError(
        base::StrCat("container ", container, " not found in pod ", pod.metadata().name()));
  const ContainerStatus* status = FindContainerStatus(pod.status(), container);
  if (status == nullptr) return absl::FailedPreconditionError(what + "is not available");
  const std::string id = WithoutScheme(InstanceOf(*status, previous));
  if (!id.empty()) return id;
  if (previous) return absl::FailedPreconditionError("previous terminated " + what + "not found");
  if (status->state().has_terminated() || status->laststate().has_terminated())
    return absl::FailedPreconditionError(what + "is terminated");
  if (status->state().has_waiting())
    return absl::FailedPreconditionError(what + WhyWaiting(status->state().waiting().reason()));
  return absl::FailedPreconditionError(what + "is waiting to start - no logs yet");
}

}  // namespace keelson::kubelet
