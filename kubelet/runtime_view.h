// SPDX-License-Identifier: Apache-2.0
// One pod as the runtime showed it: the observed half of every decision. Plain data, made from CRI
// answers and from nothing else.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "kubelet/pod.h"
#include "proto/cri/api.pb.h"

namespace keelson::kubelet {

enum class ContainerState { kCreated, kRunning, kExited, kUnknown };

struct ObservedContainer {
  std::string id;
  std::string sandbox_id;
  std::string name;
  ContainerState state = ContainerState::kUnknown;
  std::string image;      // as the runtime names it
  std::string image_ref;  // its id or digest
  std::string hash;       // annotation io.kubernetes.container.hash, lower hex; empty if not ours
  uint32_t restart_count = 0;
  int64_t created_at = 0;   // Unix nanoseconds; 0 when it has not happened
  int64_t started_at = 0;
  int64_t finished_at = 0;
  int32_t exit_code = 0;
  std::string reason;
  std::string message;
  std::string log_path;                    // absolute
  std::string termination_message_path;    // inside the container
  std::string termination_message_policy;
  std::optional<runtime::v1::ContainerResources> resources;
  std::optional<runtime::v1::ContainerUser> user;
  int pid = 0;  // of the init process while running, when the runtime told; only to watch its exit
};

struct ObservedSandbox {
  std::string id;
  uint32_t attempt = 0;
  bool ready = false;
  bool host_network = false;
  int64_t created_at = 0;
  std::vector<std::string> ips;  // empty for host network
  std::string runtime_handler;
  int pid = 0;  // of the sandbox's process, as above
};

struct ObservedPod {
  PodUid uid;
  std::string name;
  std::string ns;
  std::vector<ObservedSandbox> sandboxes;      // newest attempt first
  std::vector<ObservedContainer> containers;   // newest first

  bool empty() const { return sandboxes.empty() && containers.empty(); }
  // Newest instance of a container, or null.
  const ObservedContainer* Newest(const std::string& container_name) const;
  const ObservedContainer* FindById(const std::string& id) const;
  // Newest sandbox, or null.
  const ObservedSandbox* sandbox() const { return sandboxes.empty() ? nullptr : &sandboxes[0]; }
  bool AnyRunning() const;
};

ObservedContainer FromCri(const runtime::v1::ContainerStatus& status, std::string sandbox_id);
ObservedSandbox FromCri(const runtime::v1::PodSandboxStatus& status);
ContainerState FromCri(runtime::v1::ContainerState state);
// Newest first: what the two vectors of an ObservedPod promise.
void SortNewestFirst(ObservedPod& pod);

// The restart count a container was made with (annotation io.kubernetes.container.restartCount).
uint32_t RestartCountOf(const google::protobuf::Map<std::string, std::string>& annotations);

}  // namespace keelson::kubelet
