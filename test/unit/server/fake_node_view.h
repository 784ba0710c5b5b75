// SPDX-License-Identifier: Apache-2.0
// A node that is what a test says it is.
#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "kubelet/server/log_target.h"
#include "kubelet/server/node_view.h"
#include "proto/k8s/kubelet_config.pb.h"

namespace keelson::kubelet {

class FakeNodeView : public NodeView {
 public:
  std::vector<k8s::v1::Pod> pods;
  std::vector<k8s::v1::Event> events;
  absl::StatusOr<std::vector<NodeImage>> images = std::vector<NodeImage>{};
  std::vector<InflightCall> inflight;
  k8s::kubelet::v1beta1::KubeletConfiguration config;
  absl::Status health;
  std::string log_root;
  // Followers of a container wait here.
  std::map<std::string, std::vector<base::OneShot<bool>>> followers;
  bool containers_run = false;
  int waiting = 0;  // followers that are there now

  // The log of the first instance of `container`.
  std::string LogPath(const std::string& ns, const std::string& pod, const std::string& container) {
    return log_root + "/" + ns + "_" + pod + "_uid/" + container + "/0.log";
  }
  void WriteLog(const std::string& path, const std::string& lines) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path, std::ios::app) << lines;
  }
  void EndContainers() {
    containers_run = false;
    for (auto& [id, waiting] : followers)
      for (auto& one : waiting) one.Set(true);
  }

  std::vector<k8s::v1::Pod> Pods() override { return pods; }
  std::vector<k8s::v1::Event> Events() override { return events; }
  base::Task<absl::StatusOr<std::vector<NodeImage>>> Images() override { co_return images; }
  absl::StatusOr<ContainerLog> FindLog(const std::string& ns, const std::string& pod,
                                       const std::string& container, bool previous) override {
    for (const auto& one : pods) {
      if (one.metadata().namespace_() != ns || one.metadata().name() != pod) continue;
      auto id = ChooseLogInstance(one, container, previous);
      if (!id.ok()) return id.status();
      return ContainerLog{log_root, LogPath(ns, pod, container), *id};
    }
    return absl::NotFoundError("pod does not exist");
  }
  base::Task<void> ContainerEnded(std::string id) override {
    if (!containers_run) co_return;
    struct Count {
      int& waiting;
      ~Count() { --waiting; }
    } count{++waiting};
    base::OneShot<bool> end;
    followers[id].push_back(end);
    co_await end.Wait();
  }
  const google::protobuf::Message& Configuration() override { return config; }
  std::vector<InflightCall> Inflight() override { return inflight; }
  absl::Status Health() override { return health; }
};

// A pod with one running container `c`.
inline k8s::v1::Pod RunningPod(const std::string& ns, const std::string& name) {
  k8s::v1::Pod pod;
  pod.mutable_metadata()->set_namespace_(ns);
  pod.mutable_metadata()->set_name(name);
  pod.mutable_metadata()->set_uid(name + "-uid");
  pod.mutable_spec()->add_containers()->set_name("c");
  pod.mutable_spec()->set_nodename("node1");
  pod.mutable_status()->set_phase("Running");
  auto* status = pod.mutable_status()->add_containerstatuses();
  status->set_name("c");
  status->set_ready(true);
  status->set_containerid("containerd://" + name);
  status->mutable_state()->mutable_running()->mutable_startedat()->set_seconds(1767225600);
  return pod;
}

}  // namespace keelson::kubelet
