// SPDX-License-Identifier: Apache-2.0
// Measures the node and its pods when somebody asks, and at no other time.
//
// Loop only; all reading of files happens on the pool. Groups are read from the kernel; what only
// the runtime knows (a container's writable layer, and everything of a runtime without cgroups of
// its own) comes over CRI. With PodAndContainerStatsFromCRI the runtime is asked for all of it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "cgroups/hierarchy.h"
#include "cri/runtime.h"
#include "kubelet/pod.h"
#include "kubelet/runtime_view.h"
#include "kubelet/stats/figures.h"
#include "kubelet/stats/node_files.h"

namespace keelson::kubelet {

struct StatsOptions {
  std::string node_name;
  std::string root_dir = "/var/lib/kubelet";
  std::string pod_logs_dir = "/var/log/pods";
  cgroups::Hierarchies hierarchies;
  std::string pods_group;     // /kubepods; empty: not known
  std::string kubelet_group;  // of kubeletCgroups; empty: where this process is
  std::string runtime_group;  // of --runtime-cgroups; empty: where the runtime's process is
  std::string runtime_socket;
  std::string system_group;   // of systemCgroups
  // How old the size of a folder may be (volumeStatsAggPeriod); not positive: folders of volumes
  // are not measured, as upstream.
  base::Nanos folder_age = std::chrono::minutes(1);
  bool from_cri = false;  // PodAndContainerStatsFromCRI
  NodePaths paths;
};

// A pod that the runtime has.
struct StatsPod {
  PodPtr pod;         // null when nobody wants it any more
  ObservedPod seen;
  std::string group;  // in a driver's syntax, see cgroups::GroupPath; empty: not known
};

enum class StatsDepth {
  kCpuAndMemory,  // what /metrics/resource needs
  kFull,          // and networks, file systems, volumes, logs
  kProcesses,     // and descriptors of every process
};

class StatsCollector {
 public:
  // `runtime` outlives this. `pods` is asked at each collection.
  StatsCollector(base::Loop& loop, cri::Runtime& runtime, StatsOptions options,
                 std::function<std::vector<StatsPod>()> pods);

  // Who asks while others wait for the same gets what they get: many askers cost as much as one.
  // What is missing is named in Snapshot::problem.
  base::Task<std::shared_ptr<const Snapshot>> Collect(StatsDepth depth);
  // Afterwards nothing is being measured. REQUIRES: nobody waits for Collect.
  base::Task<void> Close() { return tasks_.CancelAndJoin(); }
  // What the logs of running containers take on disk; of folders only, so that a runtime that does
  // not answer is no obstacle.
  struct LogUse {
    std::string uid, ns, pod, container;
    uint64_t bytes = 0;
  };
  base::Task<std::vector<LogUse>> MeasureLogs();
  const StatsOptions& options() const { return *options_; }

 private:
  struct Folder {
    base::MonoTime measured;
    base::WallTime at;
    absl::StatusOr<FolderUse> use;
  };
  struct Rate {
    base::WallTime at;
    uint64_t total_ns = 0;
    std::optional<uint64_t> nano_cores;
  };
  using Folders = std::map<std::string, Folder>;

  base::Task<void> Run(StatsDepth depth);
  base::Task<Snapshot> Measure(StatsDepth depth);
  // Afterwards folders_ holds these, not older than folder_age; others are forgotten when `only`.
  base::Task<void> Refresh(std::vector<std::string> paths, bool only);
  base::Task<void> AddFolders(const std::vector<StatsPod>& pods, Snapshot* snapshot);
  base::Task<void> AddFromCri(Snapshot* snapshot, bool disk);
  base::Task<void> ReplaceFromCri(Snapshot* snapshot);
  base::Task<void> AddImageFs(Snapshot* snapshot);
  void AddRates(Snapshot* snapshot);
  void RateOf(const std::string& key, GroupFigures* group, std::map<std::string, Rate>* next);

  base::Loop& loop_;
  cri::Runtime& runtime_;
  const std::shared_ptr<const StatsOptions> options_;  // shared with work on the pool
  const std::function<std::vector<StatsPod>()> pods_;
  Folders folders_;                    // measured lately
  std::map<std::string, Rate> rates_;  // by group, of the collection before
  // Who waits for a measurement that is under way.
  std::map<StatsDepth, std::vector<base::OneShot<std::shared_ptr<const Snapshot>>>> waiting_;
  base::TaskGroup tasks_;
};

// Blocking: all that files tell, of the node and of `pods`.
Snapshot ReadFiles(const StatsOptions& options, const std::vector<StatsPod>& pods, StatsDepth depth,
                   base::WallTime now);

// Fills in what `group` lacks with the runtime's figures, or with `replace` all of it.
void MergeFromCri(const cri::rt::CpuUsage* cpu, const cri::rt::MemoryUsage* memory, bool replace,
                  std::optional<GroupFigures>* group);
// The kubelet's folders of the pod's volumes that can be measured: name to folder, and whether it
// counts for the pod's ephemeral storage. Pure.
struct VolumeFolder {
  std::string name, path;
  bool ephemeral = false;
};
std::vector<VolumeFolder> VolumeFolders(const k8s::v1::Pod& pod, const std::string& root_dir);

}  // namespace keelson::kubelet
