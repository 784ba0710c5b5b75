// SPDX-License-Identifier: Apache-2.0
#include "kubelet/stats/collector.h"

#include "base/files.h"
#include "base/strings.h"
#include "kubelet/stats/metrics.h"

namespace keelson::kubelet {
namespace {

using base::StrCat;
using base::Task;

// Two samples closer than this say more about the kernel's ticks than about a container.
constexpr base::Nanos kShortestRate = std::chrono::milliseconds(100);
// Rates are of a recent past: older samples tell too little of now (the runtimes' rule too).
constexpr base::Nanos kLongestRate = std::chrono::minutes(5);

void Note(const absl::Status& status, Snapshot* snapshot) {
  if (!status.ok() && snapshot->problem.ok()) snapshot->problem = status;
}

FsFigures FolderFigures(const FolderUse& use, base::WallTime at) {
  FsFigures figures;
  figures.at = at;
  figures.used = use.bytes;
  figures.inodes_used = use.inodes;
  return figures;
}

// The file system's figures with what one folder takes of it.
FsFigures Within(const std::optional<FsFigures>& fs, FsFigures folder) {
  if (!fs) return folder;
  folder.device = fs->device;
  folder.available = fs->available;
  folder.capacity = fs->capacity;
  folder.inodes = fs->inodes;
  folder.inodes_free = fs->inodes_free;
  return folder;
}

void Sum(const std::optional<FsFigures>& part, FsFigures* sum) {
  if (!part || !part->used) return;
  sum->used = sum->used.value_or(0) + *part->used;
  sum->inodes_used = sum->inodes_used.value_or(0) + part->inodes_used.value_or(0);
}

std::string LogFolder(const StatsOptions& o, const std::string& ns, const std::string& pod,
                      const std::string& uid, const std::string& container) {
  return StrCat(o.pod_logs_dir, "/", ns, "_", pod, "_", uid, "/", container);
}

template <typename T>
std::optional<uint64_t> ValueOf(const T& message, bool present) {
  return present ? std::optional<uint64_t>(message.value()) : std::nullopt;
}

}  // namespace

std::vector<VolumeFolder> VolumeFolders(const k8s::v1::Pod& pod, const std::string& root_dir) {
  std::vector<VolumeFolder> folders;
  for (const auto& volume : pod.spec().volumes()) {
    const auto& source = volume.volumesource();
    const char* plugin = nullptr;
    bool ephemeral = false;
    if (source.has_emptydir()) {
      plugin = "empty-dir";
      ephemeral = source.emptydir().medium().empty();
    } else if (source.has_configmap()) {
      plugin = "configmap";
      ephemeral = true;
    } else if (source.has_secret()) {
      plugin = "secret";
    } else if (source.has_downwardapi()) {
      plugin = "downward-api";
    } else if (source.has_projected()) {
      plugin = "projected";
    }
    if (plugin == nullptr)
      continue;  // hostPath is not the pod's; others are asked of their drivers
    folders.push_back({volume.name(),
                       StrCat(root_dir, "/pods/", pod.metadata().uid(), "/volumes/kubernetes.io~",
                              plugin, "/", volume.name()),
                       ephemeral});
  }
  return folders;
}

void MergeFromCri(const cri::rt::CpuUsage* cpu, const cri::rt::MemoryUsage* memory, bool replace,
                  std::optional<GroupFigures>* group) {
  if (!*group) group->emplace();
  GroupFigures& figures = **group;
  if (cpu != nullptr && cpu->has_usage_core_nano_seconds() && (replace || !figures.usage.cpu)) {
    figures.at = base::FromUnixNanos(cpu->timestamp());
    figures.usage.cpu.emplace().total_ns = cpu->usage_core_nano_seconds().value();
    figures.nano_cores = ValueOf(cpu->usage_nano_cores(), cpu->has_usage_nano_cores());
  }
  if (memory == nullptr || !memory->has_working_set_bytes()) return;
  if (!replace && figures.usage.memory) return;
  if (figures.at == base::WallTime()) figures.at = base::FromUnixNanos(memory->timestamp());
  cgroups::MemoryUsage& m = figures.usage.memory.emplace();
  m.working_set = memory->working_set_bytes().value();
  m.usage = memory->has_usage_bytes() ? memory->usage_bytes().value() : m.working_set;
  m.rss = ValueOf(memory->rss_bytes(), memory->has_rss_bytes());
  m.page_faults = ValueOf(memory->page_faults(), memory->has_page_faults());
  m.major_page_faults = ValueOf(memory->major_page_faults(), memory->has_major_page_faults());
  if (memory->available_bytes().value() > 0)  // the runtime's word for a limit
    figures.usage.limits.memory = memory->available_bytes().value() + m.working_set;
}

StatsCollector::StatsCollector(base::Loop& loop, cri::Runtime& runtime, StatsOptions options,
                               std::function<std::vector<StatsPod>()> pods)
    : loop_(loop),
      runtime_(runtime),
      options_(std::make_shared<const StatsOptions>(std::move(options))),
      pods_(std::move(pods)),
      tasks_(loop) {}

void StatsCollector::RateOf(const std::string& key, GroupFigures* group,
                            std::map<std::string, Rate>* next) {
  if (!group->usage.cpu || group->nano_cores) return;
  Rate rate{group->at, group->usage.cpu->total_ns, std::nullopt};
  if (auto before = rates_.find(key); before != rates_.end()) {
    const base::Nanos passed = rate.at - before->second.at;
    if (passed < kShortestRate) {
      rate = before->second;
    } else if (passed <= kLongestRate && rate.total_ns >= before->second.total_ns) {
      rate.nano_cores = static_cast<uint64_t>(
          static_cast<double>(rate.total_ns - before->second.total_ns) / Seconds(passed));
    }
  }
  group->nano_cores = rate.nano_cores;
  next->emplace(key, rate);
}

void StatsCollector::AddRates(Snapshot* snapshot) {
  std::map<std::string, Rate> next;
  if (snapshot->node.root) RateOf("/", &*snapshot->node.root, &next);
  for (SystemGroup& system : snapshot->system) RateOf(system.name, &system.group, &next);
  for (PodFigures& pod : snapshot->pods) {
    if (pod.group) RateOf(pod.uid, &*pod.group, &next);
    for (ContainerFigures& container : pod.containers)
      if (container.group) RateOf(container.id, &*container.group, &next);
  }
  rates_ = std::move(next);
}

Task<void> StatsCollector::Refresh(std::vector<std::string> paths, bool only) {
  Folders known;
  std::vector<std::string> wanted;
  for (const std::string& path : paths) {
    auto it = folders_.find(path);
    if (it != folders_.end() &&
        loop_.clock().Monotonic() - it->second.measured < options_->folder_age)
      known.insert(*it);
    else
      wanted.push_back(path);
  }
  auto measure = [wanted = std::move(wanted)] {
    std::vector<std::pair<std::string, absl::StatusOr<FolderUse>>> uses;
    for (const std::string& path : wanted) uses.emplace_back(path, MeasureFolder(path));
    return uses;
  };
  auto uses = co_await base::RunBlocking(loop_, std::move(measure));
  for (auto& [path, use] : uses)
    known.emplace(path, Folder{loop_.clock().Monotonic(), loop_.clock().Now(), std::move(use)});
  if (!only) known.merge(folders_);
  folders_ = std::move(known);
}

Task<std::vector<StatsCollector::LogUse>> StatsCollector::MeasureLogs() {
  std::vector<LogUse> uses;
  std::vector<std::string> paths;
  for (const StatsPod& pod : pods_()) {
    for (const ObservedContainer& container : pod.seen.containers) {
      if (container.state != ContainerState::kRunning) continue;
      uses.push_back({pod.seen.uid, pod.seen.ns, pod.seen.name, container.name, 0});
      paths.push_back(
          LogFolder(*options_, pod.seen.ns, pod.seen.name, pod.seen.uid, container.name));
    }
  }
  co_await Refresh(paths, /*only=*/false);
  std::vector<LogUse> measured;
  for (size_t i = 0; i < uses.size(); ++i) {
    auto it = folders_.find(paths[i]);
    if (it == folders_.end() || !it->second.use.ok()) continue;
    uses[i].bytes = it->second.use->bytes;
    measured.push_back(std::move(uses[i]));
  }
  co_return measured;
}

Task<void> StatsCollector::AddFolders(const std::vector<StatsPod>& pods, Snapshot* snapshot) {
  std::map<std::string, const StatsPod*> by_uid;
  for (const StatsPod& pod : pods) by_uid[pod.seen.uid] = &pod;
  auto volumes_of = [&](const PodFigures& figures) {
    const StatsPod* pod = by_uid.at(figures.uid);
    return pod->pod && options_->folder_age > base::Nanos(0)
               ? VolumeFolders(*pod->pod, options_->root_dir)
               : std::vector<VolumeFolder>();
  };
  auto logs_of = [&](const PodFigures& pod, const ContainerFigures& container) {
    return LogFolder(*options_, pod.ns, pod.name, pod.uid, container.name);
  };
  std::vector<std::string> paths;
  for (const PodFigures& pod : snapshot->pods) {
    for (const ContainerFigures& container : pod.containers)
      paths.push_back(logs_of(pod, container));
    for (const VolumeFolder& folder : volumes_of(pod)) paths.push_back(folder.path);
  }
  co_await Refresh(std::move(paths), /*only=*/true);
  auto figures_of = [&](const std::string& path) -> std::optional<FsFigures> {
    auto it = folders_.find(path);
    if (it == folders_.end()) return std::nullopt;
    if (it->second.use.ok()) return FolderFigures(*it->second.use, it->second.at);
    if (!absl::IsNotFound(it->second.use.status())) Note(it->second.use.status(), snapshot);
    return std::nullopt;
  };
  for (PodFigures& pod : snapshot->pods) {
    FsFigures sum;
    sum.at = loop_.clock().Now();
    for (ContainerFigures& container : pod.containers) {
      if (auto logs = figures_of(logs_of(pod, container)))
        container.logs = Within(snapshot->node.fs, *std::move(logs));
      Sum(container.logs, &sum);
      Sum(container.rootfs, &sum);
    }
    for (const VolumeFolder& folder : volumes_of(pod)) {
      auto use = figures_of(folder.path);
      if (!use) continue;
      pod.volumes.push_back({folder.name, Within(snapshot->node.fs, *std::move(use)),
                             folder.ephemeral});
      if (folder.ephemeral) Sum(pod.volumes.back().fs, &sum);
    }
    if (sum.used) pod.ephemeral = Within(snapshot->node.fs, std::move(sum));
  }
}

// Writable layers, and the figures of containers whose cgroup is not where we look.
Task<void> StatsCollector::AddFromCri(Snapshot* snapshot, bool disk) {
  bool missing = false;
  for (const PodFigures& pod : snapshot->pods)
    for (const ContainerFigures& container : pod.containers)
      missing |= !container.group || !container.group->usage.cpu;
  if (!disk && !missing) co_return;
  auto listed = co_await runtime_.ListContainerStats(cri::rt::ContainerStatsFilter());
  if (!listed.ok()) {
    Note(listed.status(), snapshot);
    co_return;
  }
  std::map<std::string_view, const cri::rt::ContainerStats*> stats;
  for (const auto& item : listed->stats()) stats[item.attributes().id()] = &item;
  for (PodFigures& pod : snapshot->pods) {
    for (ContainerFigures& container : pod.containers) {
      auto it = stats.find(container.id);
      if (it == stats.end()) continue;
      const cri::rt::ContainerStats& item = *it->second;
      if (!container.group || !container.group->usage.cpu)
        MergeFromCri(item.has_cpu() ? &item.cpu() : nullptr,
                     item.has_memory() ? &item.memory() : nullptr, false, &container.group);
      if (!item.has_writable_layer()) continue;
      FsFigures& rootfs = container.rootfs.emplace();
      const auto& layer = item.writable_layer();
      rootfs.at = base::FromUnixNanos(layer.timestamp());
      rootfs.used = ValueOf(layer.used_bytes(), layer.has_used_bytes());
      rootfs.inodes_used = ValueOf(layer.inodes_used(), layer.has_inodes_used());
    }
  }
}

// Unimplemented by an older runtime: the kernel's figures stand.
Task<void> StatsCollector::ReplaceFromCri(Snapshot* snapshot) {
  auto listed = co_await runtime_.ListPodSandboxStats(cri::rt::PodSandboxStatsFilter());
  if (!listed.ok()) {
    if (!absl::IsUnimplemented(listed.status())) Note(listed.status(), snapshot);
    co_return;
  }
  std::map<std::string_view, const cri::rt::PodSandboxStats*> stats;
  for (const auto& item : listed->stats()) stats[item.attributes().id()] = &item;
  for (PodFigures& pod : snapshot->pods) {
    auto it = pod.sandbox ? stats.find(pod.sandbox->id) : stats.end();
    if (it == stats.end()) continue;
    const cri::rt::LinuxPodSandboxStats& linux = it->second->linux();
    MergeFromCri(linux.has_cpu() ? &linux.cpu() : nullptr,
                 linux.has_memory() ? &linux.memory() : nullptr, true, &pod.group);
    if (linux.process().has_process_count())
      pod.processes = linux.process().process_count().value();
    for (const auto& item : linux.containers())
      for (ContainerFigures& container : pod.containers)
        if (container.id == item.attributes().id())
          MergeFromCri(item.has_cpu() ? &item.cpu() : nullptr,
                       item.has_memory() ? &item.memory() : nullptr, true, &container.group);
    if (!linux.has_network()) continue;
    pod.network = NetworkFigures{base::FromUnixNanos(linux.network().timestamp()), {}};
    auto add = [&](const cri::rt::NetworkInterfaceUsage& usage) {
      InterfaceFigures& link = pod.network->interfaces.emplace_back();
      link.name = usage.name();
      link.rx_bytes = usage.rx_bytes().value();
      link.rx_errors = usage.rx_errors().value();
      link.tx_bytes = usage.tx_bytes().value();
      link.tx_errors = usage.tx_errors().value();
    };
    if (linux.network().has_default_interface()) add(linux.network().default_interface());
    for (const auto& usage : linux.network().interfaces()) add(usage);
  }
}

Task<void> StatsCollector::AddImageFs(Snapshot* snapshot) {
  auto info = co_await runtime_.ImageFsInfo();
  if (!info.ok()) {
    Note(info.status(), snapshot);
    co_return;
  }
  if (info->image_filesystems().empty()) co_return;
  const cri::rt::FilesystemUsage fs = info->image_filesystems(0);
  const base::WallTime at = base::FromUnixNanos(fs.timestamp());
  auto read = [path = fs.fs_id().mountpoint(), at]() -> absl::StatusOr<FsFigures> {
    auto mountinfo = base::ReadFile("/proc/self/mountinfo", 64 << 20);
    return ReadFileSystem(path, at, mountinfo.ok() ? *mountinfo : "");
  };
  auto figures = co_await base::RunBlocking(loop_, std::move(read));
  FsFigures& image_fs = snapshot->node.image_fs.emplace();
  if (figures.ok()) image_fs = *figures;
  image_fs.at = at;
  image_fs.used = ValueOf(fs.used_bytes(), fs.has_used_bytes());
  image_fs.inodes_used = ValueOf(fs.inodes_used(), fs.has_inodes_used());
  for (PodFigures& pod : snapshot->pods)
    for (ContainerFigures& container : pod.containers)
      if (container.rootfs) container.rootfs = Within(image_fs, *std::move(container.rootfs));
}

Task<Snapshot> StatsCollector::Measure(StatsDepth depth) {
  std::vector<StatsPod> pods = pods_();
  auto read = [o = options_, pods, depth, now = loop_.clock().Now()] {
    return ReadFiles(*o, pods, depth, now);
  };
  Snapshot snapshot = co_await base::RunBlocking(loop_, std::move(read));
  const bool full = depth != StatsDepth::kCpuAndMemory;
  co_await AddFromCri(&snapshot, full);
  if (options_->from_cri) co_await ReplaceFromCri(&snapshot);
  if (full) {
    co_await AddImageFs(&snapshot);
    co_await AddFolders(pods, &snapshot);
  }
  AddRates(&snapshot);
  co_return snapshot;
}

Task<void> StatsCollector::Run(StatsDepth depth) {
  Snapshot snapshot = co_await Measure(depth);
  const auto shared = std::make_shared<const Snapshot>(std::move(snapshot));
  for (auto& one : std::exchange(waiting_[depth], {})) one.Set(shared);
}

// The measurement is no asker's own: one who leaves does not end it for the others.
Task<std::shared_ptr<const Snapshot>> StatsCollector::Collect(StatsDepth depth) {
  base::OneShot<std::shared_ptr<const Snapshot>> done;
  waiting_[depth].push_back(done);
  if (waiting_[depth].size() == 1) tasks_.Spawn("measure", Run(depth));
  co_return co_await done.Wait();
}

}  // namespace keelson::kubelet
