// SPDX-License-Identifier: Apache-2.0
// The node around the agent: directories, cgroups, volumes and images as sets in memory that outlive
// the agent, each slow and fallible at random.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "kubelet/pod_config.h"
#include "kubelet/pod_services.h"
#include "test/simulation/random.h"

namespace keelson::simulation {

struct HostState {
  std::set<std::string> pod_dirs, cgroups, volumes;
  std::map<std::string, kubelet::PodFiles::LogDir> log_dirs;  // by uid
  std::function<void(const std::string& container_id)> on_hook_cut;  // a preStop hook was
  double fail = 0.02;
  bool faults = true;
};

// Waits a little and fails now and then: what every part of the host does.
class Fallible {
 public:
  Fallible(base::Loop& loop, HostState& host, Random& random)
      : loop_(loop), host_(host), random_(random) {}
  base::Task<absl::Status> Step(std::string what);

 protected:
  base::Loop& loop_;
  HostState& host_;
  Random& random_;
};

class FakeFiles : public kubelet::PodFiles, Fallible {
 public:
  using Fallible::Fallible;
  const kubelet::PodPaths& paths() const override { return paths_; }
  base::Task<absl::Status> MakePodDirs(kubelet::PodPtr pod) override;
  base::Task<absl::StatusOr<kubelet::ContainerFiles>> PrepareContainer(kubelet::PodPtr,
                                                                       std::string) override;
  base::Task<std::map<std::string, uint32_t>> PastRestarts(kubelet::PodPtr) override {
    co_return std::map<std::string, uint32_t>();
  }
  base::Task<absl::Status> WriteEtcHosts(kubelet::PodUid, std::string) override;
  base::Task<absl::StatusOr<std::string>> ReadHostFile(std::string) override { co_return ""; }
  base::Task<absl::Status> LinkContainerLog(kubelet::PodPtr, std::string, std::string,
                                            std::string) override;
  base::Task<std::string> TerminationMessage(kubelet::PodPtr, std::string, std::string, bool,
                                             size_t) override;
  base::Task<absl::Status> RemoveContainerLogs(kubelet::PodPtr, std::string, std::string,
                                               std::string) override;
  base::Task<absl::Status> RemovePod(std::string, std::string, kubelet::PodUid uid) override;
  base::Task<absl::StatusOr<std::vector<kubelet::PodUid>>> ListPodDirs() override;
  base::Task<absl::StatusOr<std::vector<LogDir>>> ListLogDirs() override;

 private:
  kubelet::PodPaths paths_;
};

class FakeCgroups : public cgroups::PodCgroups, Fallible {
 public:
  using Fallible::Fallible;
  base::Task<absl::Status> EnsureRoot(cgroups::Limits, cgroups::Limits, cgroups::Limits) override;
  base::Task<absl::Status> Ensure(std::string uid, cgroups::QosClass, cgroups::Limits) override;
  base::Task<absl::StatusOr<bool>> Exists(std::string uid, cgroups::QosClass) override;
  base::Task<absl::Status> Destroy(std::string uid) override;
  base::Task<absl::StatusOr<std::vector<std::string>>> ListPods() override;
  std::string CgroupParent(const std::string& uid, cgroups::QosClass) const override;
};

class FakeVolumes : public csi::PodVolumes, Fallible {
 public:
  using Fallible::Fallible;
  base::Task<absl::StatusOr<std::map<std::string, csi::MountedVolume>>> Mount(
      csi::PodPtr pod) override;
  base::Task<absl::StatusOr<std::string>> BindSubPath(std::string, std::string, csi::MountedVolume,
                                                      std::string, int, std::string) override;
  base::Task<absl::Status> Unmount(std::string uid) override;
  void Update(csi::PodPtr) override {}
};

class FakeImages : public kubelet::ImageSource, Fallible {
 public:
  using Fallible::Fallible;
  base::Task<kubelet::ImageAnswer> Ensure(kubelet::ImageRequest request) override;
  void Forget(const std::string&) override {}
};

class FakeConfig : public kubelet::PodConfigurator {
 public:
  absl::StatusOr<runtime::v1::PodSandboxConfig> Sandbox(const kubelet::v1::Pod& pod,
                                                        uint32_t attempt) override;
  absl::StatusOr<runtime::v1::ContainerConfig> Container(
      const kubelet::v1::Pod& pod, const kubelet::v1::Container& container,
      const kubelet::ContainerInputs& inputs) override;
  std::string Hash(const kubelet::v1::Container& container) const override;
  std::string EtcHosts(const kubelet::v1::Pod&, const std::vector<std::string>&) override {
    return "hosts";
  }
  absl::StatusOr<std::string> SubPath(const kubelet::v1::Pod&, const kubelet::v1::Container&,
                                      const kubelet::v1::VolumeMount& mount,
                                      const kubelet::ContainerInputs&) override {
    return mount.subpath();
  }
  cgroups::QosClass Qos(const kubelet::v1::Pod&) const override {
    return cgroups::QosClass::kBurstable;
  }
  cgroups::Limits PodLimits(const kubelet::v1::Pod&) const override { return {}; }
  std::vector<std::string> NodeIps() const override { return {"192.0.2.1"}; }
};

// Pods of the simulation have no probes.
class NoProber : public probes::Prober {
 public:
  void Update(probes::PodPtr, std::vector<probes::Target>, std::vector<std::string>) override {}
  const probes::Results& ResultsOf(const std::string&) const override { return none_; }
  void BeginTermination(const std::string&) override {}
  void Remove(const std::string&) override {}

 private:
  probes::Results none_;
};
// A preStop hook never ends by itself.
class FakeHooks : public probes::HookRunner {
 public:
  FakeHooks(base::Loop& loop, HostState& host) : loop_(loop), host_(host) {}
  base::Task<absl::Status> PostStart(probes::PodPtr, probes::HookTarget) override {
    co_return absl::OkStatus();
  }
  base::Task<absl::Status> PreStop(probes::PodPtr, probes::HookTarget target,
                                   base::Nanos limit) override;

 private:
  base::Loop& loop_;
  HostState& host_;
};

class CountingEvents : public kubelet::EventRecorder {
 public:
  void PodEvent(const kubelet::v1::Pod&, kubelet::EventType, std::string_view reason, std::string,
                std::string) override {
    ++counts[std::string(reason)];
  }
  void NodeEvent(kubelet::EventType, std::string_view, std::string) override {}
  std::map<std::string, int> counts;
};

}  // namespace keelson::simulation
