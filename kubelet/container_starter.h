// SPDX-License-Identifier: Apache-2.0
// Creates and starts one container. Loop only; keeps nothing between calls.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/task.h"
#include "kubelet/pod_services.h"

namespace keelson::kubelet {

struct StartRequest {
  PodPtr pod;
  StartAction action;
  ImageState image;
  std::map<std::string, csi::MountedVolume> volumes;
  std::string sandbox_id;
  uint32_t sandbox_attempt = 0;
  std::vector<std::string> pod_ips;
};

struct StartResult {
  // Set when it did not come up; the reason is a waiting reason of the container.
  std::optional<Waiting> failure;
  // The image that was to be there is not: ask for it again.
  bool image_lost = false;
};

class ContainerStarter {
 public:
  explicit ContainerStarter(PodServices& services) : s_(services) {}

  // Files, CreateContainer, StartContainer, log link, postStart hook; events on the way. After each
  // call `stopping` is asked whether the pod is being ended: then nothing new is begun. A failed
  // postStart hook leaves the container stopped.
  base::Task<StartResult> Start(StartRequest request, std::function<bool()> stopping);

 private:
  base::Task<absl::StatusOr<std::string>> Create(const StartRequest& request,
                                                 const v1::Container& spec, StartResult* result);
  absl::StatusOr<std::string> TargetOf(const StartRequest& request);
  base::Task<absl::StatusOr<ContainerInputs>> Gather(const StartRequest& request,
                                                     const v1::Container& spec);
  base::Task<absl::Status> RunPostStart(const StartRequest& request, const v1::Container& spec,
                                        std::string id);
  // As any container is stopped: preStop hook, then what is left of the pod's grace period.
  base::Task<absl::Status> StopUnhooked(const StartRequest& request, const v1::Container& spec,
                                        std::string id);
  void Event(const StartRequest& request, const v1::Container& spec, EventType type,
             std::string_view reason, std::string message);

  PodServices& s_;
};

}  // namespace keelson::kubelet
