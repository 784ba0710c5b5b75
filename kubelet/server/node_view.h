// SPDX-License-Identifier: Apache-2.0
// What the agent shows of itself to people and tools. The kubelet's core implements it; the servers
// only translate it. Loop only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/task.h"
#include "proto/k8s/objects.pb.h"
#include "proto/k8s/pod.pb.h"

namespace keelson::kubelet {

struct NodeImage {
  std::string id;  // sha256:...
  std::vector<std::string> repo_tags;
  std::vector<std::string> repo_digests;
  int64_t size_bytes = 0;
  bool pinned = false;
};

struct ContainerLog {
  std::string root;          // directory of all pod logs
  std::string path;          // absolute, of the live log file; beneath root
  std::string container_id;  // as the runtime knows it
};

// A call to the outside that has not returned.
struct InflightCall {
  std::string target;  // cri, csi driver name, mount, cni, api server
  std::string call;    // RunPodSandbox
  std::string object;  // what it is about, for people
  base::Nanos age{};
};

class NodeView {
 public:
  virtual ~NodeView() = default;

  // All pods known, with their present status; in any order.
  virtual std::vector<k8s::v1::Pod> Pods() = 0;
  // Oldest first.
  virtual std::vector<k8s::v1::Event> Events() = 0;
  virtual base::Task<absl::StatusOr<std::vector<NodeImage>>> Images() = 0;
  // ChooseLogInstance (log_target.h) decides which instance; its errors are passed on.
  virtual absl::StatusOr<ContainerLog> FindLog(const std::string& ns, const std::string& pod,
                                               const std::string& container, bool previous) = 0;
  // Returns when the runtime says that the container is not running, at once if it says so now or
  // does not know it.
  virtual base::Task<void> ContainerEnded(std::string container_id) = 0;
  // The KubeletConfiguration in force; valid until the next turn of the loop.
  virtual const google::protobuf::Message& Configuration() = 0;
  virtual std::vector<InflightCall> Inflight() = 0;
  // OK, or why the agent should be restarted.
  virtual absl::Status Health() = 0;
};

}  // namespace keelson::kubelet
