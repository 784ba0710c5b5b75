// SPDX-License-Identifier: Apache-2.0
#include "test/simulation/fake_host.h"

#include "base/errno_status.h"
#include "base/hash.h"
#include "base/strings.h"

namespace keelson::simulation {

using base::StrCat;
using base::Task;
using kubelet::PodPtr;
using std::chrono::milliseconds;
namespace rt = ::runtime::v1;

Task<absl::Status> Fallible::Step(std::string what) {
  co_await base::Sleep(loop_.clock(), random_.Between(milliseconds(0), milliseconds(5)));
  if (host_.faults && random_.Chance(host_.fail))
    co_return absl::InternalError(StrCat("simulated: ", what));
  co_return absl::OkStatus();
}

Task<absl::Status> FakeFiles::MakePodDirs(PodPtr pod) {
  absl::Status status = co_await Step("mkdir");
  CO_RETURN_IF_ERROR(status);
  const auto& meta = pod->metadata();
  host_.pod_dirs.insert(meta.uid());
  host_.log_dirs[meta.uid()] = {meta.namespace_(), meta.name(), meta.uid()};
  co_return status;
}

Task<absl::StatusOr<kubelet::ContainerFiles>> FakeFiles::PrepareContainer(PodPtr, std::string) {
  absl::Status status = co_await Step("create");
  CO_RETURN_IF_ERROR(status);
  co_return kubelet::ContainerFiles{"/termination", 0};
}

Task<absl::Status> FakeFiles::WriteEtcHosts(kubelet::PodUid, std::string) {
  co_return co_await Step("write /etc/hosts");
}
Task<absl::Status> FakeFiles::LinkContainerLog(PodPtr, std::string, std::string, std::string) {
  co_return co_await Step("symlink");
}
Task<std::string> FakeFiles::TerminationMessage(PodPtr, std::string, std::string, bool, size_t) {
  co_await base::Sleep(loop_.clock(), milliseconds(1));
  co_return "";
}
Task<absl::Status> FakeFiles::RemoveContainerLogs(PodPtr, std::string, std::string, std::string) {
  co_return co_await Step("unlink");
}
Task<absl::Status> FakeFiles::RemovePod(std::string, std::string, kubelet::PodUid uid) {
  absl::Status status = co_await Step("rmdir");
  CO_RETURN_IF_ERROR(status);
  host_.pod_dirs.erase(uid);
  host_.log_dirs.erase(uid);
  co_return status;
}
Task<absl::StatusOr<std::vector<kubelet::PodUid>>> FakeFiles::ListPodDirs() {
  co_return std::vector<std::string>(host_.pod_dirs.begin(), host_.pod_dirs.end());
}
Task<absl::StatusOr<std::vector<kubelet::PodFiles::LogDir>>> FakeFiles::ListLogDirs() {
  std::vector<LogDir> dirs;
  for (const auto& [uid, dir] : host_.log_dirs) dirs.push_back(dir);
  co_return dirs;
}

Task<absl::Status> FakeCgroups::EnsureRoot(cgroups::Limits, cgroups::Limits, cgroups::Limits) {
  co_return absl::OkStatus();
}
Task<absl::Status> FakeCgroups::Ensure(std::string uid, cgroups::QosClass, cgroups::Limits) {
  absl::Status status = co_await Step("mkdir cgroup");
  if (status.ok()) host_.cgroups.insert(uid);
  co_return status;
}
Task<absl::StatusOr<bool>> FakeCgroups::Exists(std::string uid, cgroups::QosClass) {
  co_return host_.cgroups.contains(uid);
}
Task<absl::Status> FakeCgroups::Destroy(std::string uid) {
  absl::Status status = co_await Step("rmdir cgroup");
  if (status.ok()) host_.cgroups.erase(uid);
  co_return status;
}
Task<absl::StatusOr<std::vector<std::string>>> FakeCgroups::ListPods() {
  co_return std::vector<std::string>(host_.cgroups.begin(), host_.cgroups.end());
}
std::string FakeCgroups::CgroupParent(const std::string& uid, cgroups::QosClass) const {
  return StrCat("/kubepods/burstable/pod", uid);
}

Task<absl::StatusOr<std::map<std::string, csi::MountedVolume>>> FakeVolumes::Mount(
    csi::PodPtr pod) {
  absl::Status status = co_await Step("mount");
  CO_RETURN_IF_ERROR(status);
  host_.volumes.insert(pod->metadata().uid());
  co_return std::map<std::string, csi::MountedVolume>();
}
Task<absl::StatusOr<std::string>> FakeVolumes::BindSubPath(std::string, std::string,
                                                           csi::MountedVolume, std::string, int,
                                                           std::string) {
  co_return "/sub";
}
Task<absl::Status> FakeVolumes::Unmount(std::string uid) {
  absl::Status status = co_await Step("umount");
  if (status.ok()) host_.volumes.erase(uid);
  co_return status;
}

Task<kubelet::ImageAnswer> FakeImages::Ensure(kubelet::ImageRequest request) {
  absl::Status status = co_await Step("pull");
  kubelet::ImageAnswer answer;
  if (status.ok()) answer.image = kubelet::ImageState{request.image, 0, ""};
  else answer.error = {"ErrImagePull", std::string(base::Message(status)), true};
  co_return answer;
}

absl::StatusOr<rt::PodSandboxConfig> FakeConfig::Sandbox(const kubelet::v1::Pod& pod,
                                                         uint32_t attempt) {
  rt::PodSandboxConfig config;
  const auto& meta = pod.metadata();
  config.mutable_metadata()->set_uid(meta.uid());
  config.mutable_metadata()->set_name(meta.name());
  config.mutable_metadata()->set_namespace_(meta.namespace_());
  config.mutable_metadata()->set_attempt(attempt);
  (*config.mutable_labels())["io.kubernetes.pod.uid"] = meta.uid();
  return config;
}

std::string FakeConfig::Hash(const kubelet::v1::Container& container) const {
  return StrCat(base::Fnv1a32(StrCat(container.name(), container.image())));
}

absl::StatusOr<rt::ContainerConfig> FakeConfig::Container(const kubelet::v1::Pod& pod,
                                                          const kubelet::v1::Container& container,
                                                          const kubelet::ContainerInputs& inputs) {
  rt::ContainerConfig config;
  config.mutable_metadata()->set_name(container.name());
  config.mutable_metadata()->set_attempt(inputs.restart_count);
  config.mutable_image()->set_image(inputs.image.ref);
  (*config.mutable_labels())["io.kubernetes.pod.uid"] = pod.metadata().uid();
  (*config.mutable_labels())["io.kubernetes.container.name"] = container.name();
  (*config.mutable_annotations())["io.kubernetes.container.hash"] = Hash(container);
  (*config.mutable_annotations())["io.kubernetes.container.restartCount"] =
      StrCat(inputs.restart_count);
  for (const auto& arg : container.args()) config.add_args(arg);
  return config;
}

base::Task<absl::Status> FakeHooks::PreStop(probes::PodPtr, probes::HookTarget target,
                                            base::Nanos limit) {
  struct Cut {
    ~Cut() {
      if (host.on_hook_cut) host.on_hook_cut(id);
    }
    HostState& host;
    std::string id;
  } cut{host_, target.id};
  co_await base::Sleep(loop_.clock(), limit);
  co_return absl::OkStatus();
}

}  // namespace keelson::simulation
