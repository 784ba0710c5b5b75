// SPDX-License-Identifier: Apache-2.0
// Files and directories of pods on this node: <root>/pods/<uid>, the log directory, /etc/hosts,
// termination messages. Volumes are csi/'s.
//
// Loop only; what may block runs on the pool. Everything below a pod's directories may have been
// written by its containers: opened beneath our directories, without following links, bounded.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/loop.h"
#include "kubelet/pod.h"

namespace keelson::kubelet {

struct PodPaths {
  std::string root_dir = "/var/lib/kubelet";
  std::string pod_logs_dir = "/var/log/pods";
  std::string container_logs_dir = "/var/log/containers";

  std::string PodDir(const PodUid& uid) const;
  std::string VolumesDir(const PodUid& uid) const;
  std::string EtcHosts(const PodUid& uid) const;
  // <pod_logs_dir>/<namespace>_<name>_<uid>
  std::string LogDir(const std::string& ns, const std::string& name, const PodUid& uid) const;
};

// Where one container instance's own files are.
struct ContainerFiles {
  std::string termination_log;  // host path of its termination message file
  uint32_t past_restarts = 0;   // 1 + highest number of its log files; 0 when there are none
};

class PodFiles {
 public:
  virtual ~PodFiles() = default;
  virtual const PodPaths& paths() const = 0;

  // Afterwards the pod's directories and its log directory exist.
  virtual base::Task<absl::Status> MakePodDirs(PodPtr pod) = 0;
  // Afterwards the container's log directory and an empty termination file exist.
  virtual base::Task<absl::StatusOr<ContainerFiles>> PrepareContainer(PodPtr pod,
                                                                      std::string container) = 0;
  // Restart counts that the log directory tells of, by container name.
  virtual base::Task<std::map<std::string, uint32_t>> PastRestarts(PodPtr pod) = 0;
  virtual base::Task<absl::Status> WriteEtcHosts(PodUid uid, std::string content) = 0;
  virtual base::Task<absl::StatusOr<std::string>> ReadHostFile(std::string path) = 0;
  // /var/log/containers/<pod>_<ns>_<container>-<id>.log -> `log_path`; replaced when there.
  virtual base::Task<absl::Status> LinkContainerLog(PodPtr pod, std::string container,
                                                    std::string id, std::string log_path) = 0;
  // The text a container left: its termination file, or with `fall_back` the end of its log.
  virtual base::Task<std::string> TerminationMessage(PodPtr pod, std::string container,
                                                     std::string log_path, bool fall_back,
                                                     size_t max_bytes) = 0;
  // Removes one instance's log files and its link.
  virtual base::Task<absl::Status> RemoveContainerLogs(PodPtr pod, std::string container,
                                                       std::string id, std::string log_path) = 0;
  // Afterwards nothing of the pod is left but what is mounted; FailedPrecondition names a mount.
  virtual base::Task<absl::Status> RemovePod(std::string ns, std::string name, PodUid uid) = 0;
  // UIDs with a directory below <root>/pods, and those with a log directory.
  virtual base::Task<absl::StatusOr<std::vector<PodUid>>> ListPodDirs() = 0;
  struct LogDir {
    std::string ns, name;
    PodUid uid;
  };
  virtual base::Task<absl::StatusOr<std::vector<LogDir>>> ListLogDirs() = 0;
};

std::unique_ptr<PodFiles> MakeDiskPodFiles(base::Loop& loop, PodPaths paths);

// Parts of pod log directory names; nullopt when it is not one.
std::optional<PodFiles::LogDir> ParseLogDirName(std::string_view name);

}  // namespace keelson::kubelet
