// SPDX-License-Identifier: Apache-2.0
// The part of a collection that reads files: on the pool, without state.
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>

#include "base/files.h"
#include "base/strings.h"
#include "kubelet/stats/collector.h"

namespace keelson::kubelet {
namespace {

using base::StrCat;

std::string MountOf(const cgroups::Hierarchies& hierarchies) {
  if (hierarchies.is_v2()) return hierarchies.v2;
  auto memory = hierarchies.v1.find("memory");
  return memory == hierarchies.v1.end() ? "" : memory->second;
}

std::optional<GroupFigures> ReadGroup(const cgroups::Hierarchies& hierarchies,
                                      const std::string& path, base::WallTime now) {
  auto usage = cgroups::ReadUsage(hierarchies, path);
  if (!usage.ok()) return std::nullopt;
  GroupFigures group;
  group.at = now;
  group.path = path;
  group.usage = *std::move(usage);
  // The kernel makes this file with the group and does not touch its times again.
  struct stat st = {};
  if (::stat(StrCat(MountOf(hierarchies), path, "/cgroup.procs").c_str(), &st) == 0)
    group.made = base::FromUnixNanos(st.st_mtim.tv_sec * 1'000'000'000 + st.st_mtim.tv_nsec);
  return group;
}

// The root of v2 has no memory.current: the machine's own figures, as runc has them.
void ReadRootMemory(const std::string& meminfo, GroupFigures* root) {
  const auto total = MemInfoBytes(meminfo, "MemTotal"), free = MemInfoBytes(meminfo, "MemFree");
  if (!total || !free) return;
  cgroups::MemoryUsage memory;
  memory.usage = *total - *free;
  memory.rss = MemInfoBytes(meminfo, "AnonPages");
  memory.cache = MemInfoBytes(meminfo, "Cached");
  memory.mapped_file = MemInfoBytes(meminfo, "Mapped");
  memory.inactive_file = MemInfoBytes(meminfo, "Inactive(file)");
  memory.active_file = MemInfoBytes(meminfo, "Active(file)");
  const uint64_t inactive = memory.inactive_file.value_or(0);
  memory.working_set = memory.usage > inactive ? memory.usage - inactive : 0;
  root->usage.memory = memory;
}

void ReadRoot(const StatsOptions& o, base::WallTime now, NodeFigures* node) {
  node->root = ReadGroup(o.hierarchies, "/", now);
  if (!node->root) node->root.emplace().at = now;
  auto meminfo = base::ReadFile(o.paths.proc + "/meminfo");
  if (!meminfo.ok()) return;
  cgroups::GroupUsage& root = node->root->usage;
  if (!root.memory) ReadRootMemory(*meminfo, &*node->root);
  if (!root.memory) return;
  root.limits.memory = node->machine.memory_bytes;
  const auto total = MemInfoBytes(*meminfo, "SwapTotal"), free = MemInfoBytes(*meminfo, "SwapFree");
  if (!total || !free) return;
  root.limits.swap = *total;
  root.limits.memory_and_swap.reset();
  root.memory->swap = *total - *free;
}

void ReadNode(const StatsOptions& o, StatsDepth depth, base::WallTime now, Snapshot* snapshot) {
  NodeFigures& node = snapshot->node;
  node.name = o.node_name;
  node.machine = ReadMachine(o.paths);
  ReadRoot(o, now, &node);
  if (auto stat = base::ReadFile(o.paths.proc + "/stat", 16 << 20); stat.ok())
    if (auto booted = BootTime(*stat)) node.booted = *booted;
  if (depth == StatsDepth::kCpuAndMemory) return;
  if (auto text = base::ReadFile(o.paths.proc + "/net/dev"); text.ok())
    node.network = NetworkFigures{now, ParseNetDev(*text)};
  auto mountinfo = base::ReadFile("/proc/self/mountinfo", 64 << 20);
  auto fs = ReadFileSystem(o.root_dir, now, mountinfo.ok() ? *mountinfo : "");
  if (fs.ok()) node.fs = *fs;
  else snapshot->problem = fs.status();
  auto number = [&](const char* name) -> std::optional<int64_t> {
    auto text = base::ReadFile(StrCat(o.paths.proc, "/sys/kernel/", name));
    return text.ok() ? std::optional<int64_t>(std::atoll(text->c_str())) : std::nullopt;
  };
  const auto pid_max = number("pid_max"), threads_max = number("threads-max");
  if (pid_max && threads_max) node.max_pid = std::min(*pid_max, *threads_max);
  if (auto text = base::ReadFile(o.paths.proc + "/loadavg"); text.ok()) node.tasks = TasksOf(*text);
  if (auto text = base::ReadFile(o.paths.proc + "/diskstats"); text.ok())
    node.disks = ParseDiskStats(*text);
}

void ReadSystem(const StatsOptions& o, base::WallTime now, Snapshot* snapshot) {
  std::string kubelet = o.kubelet_group;
  if (kubelet.empty()) {
    auto own = base::ReadFile(o.paths.proc + "/self/cgroup");
    if (own.ok()) kubelet = cgroups::GroupOfProcess(*own);
  }
  const std::string runtime = o.runtime_group.empty()
                                  ? GroupOfListener(o.paths.proc, o.runtime_socket)
                                  : o.runtime_group;
  const std::pair<const char*, std::string> groups[] = {{"kubelet", kubelet},
                                                        {"runtime", runtime},
                                                        {"misc", o.system_group},
                                                        {"pods", o.pods_group}};
  for (const auto& [name, path] : groups) {
    if (path.empty() || path == "/") continue;  // the root's figures are the node's
    if (auto group = ReadGroup(o.hierarchies, cgroups::GroupPath(path), now))
      snapshot->system.push_back({name, *std::move(group)});
  }
}

std::vector<std::string> Children(const cgroups::Hierarchies& hierarchies,
                                  const std::string& group) {
  auto names = base::ListDir(StrCat(MountOf(hierarchies), group));
  return names.ok() ? *std::move(names) : std::vector<std::string>();
}

void ReadContainer(const StatsOptions& o, const std::string& pod_group,
                   const std::vector<std::string>& children, StatsDepth depth, base::WallTime now,
                   ContainerFigures* container) {
  const std::string child = cgroups::ContainerChild(children, container->id);
  if (child.empty()) return;
  container->group = ReadGroup(o.hierarchies, StrCat(pod_group, "/", child), now);
  if (container->group && depth == StatsDepth::kProcesses)
    container->processes = ReadProcesses(o.paths.proc, container->group->usage.processes);
}

// Any process of the pod is in its network namespace; the sandbox's lives longest.
std::optional<NetworkFigures> ReadNetwork(const StatsOptions& o, const PodFigures& pod,
                                          base::WallTime now) {
  std::vector<const ContainerFigures*> inside;
  if (pod.sandbox) inside.push_back(&*pod.sandbox);
  for (const ContainerFigures& container : pod.containers) inside.push_back(&container);
  for (const ContainerFigures* container : inside) {
    if (!container->group || container->group->usage.processes.empty()) continue;
    const int pid = container->group->usage.processes.front();
    auto text = base::ReadFile(StrCat(o.paths.proc, "/", pid, "/net/dev"));
    if (text.ok()) return NetworkFigures{now, ParseNetDev(*text)};
  }
  return std::nullopt;
}

std::optional<PodFigures> ReadPod(const StatsOptions& o, const StatsPod& input, StatsDepth depth,
                                  base::WallTime now) {
  const ObservedSandbox* sandbox = input.seen.sandbox();
  if (sandbox == nullptr || !sandbox->ready) return std::nullopt;
  PodFigures pod;
  pod.uid = input.seen.uid;
  pod.name = input.seen.name;
  pod.ns = input.seen.ns;
  pod.created = base::FromUnixNanos(sandbox->created_at);
  pod.sandbox.emplace();
  pod.sandbox->id = sandbox->id;
  pod.sandbox->created = pod.created;
  for (const ObservedContainer& seen : input.seen.containers) {
    if (seen.state != ContainerState::kRunning) continue;
    ContainerFigures& container = pod.containers.emplace_back();
    container.name = seen.name;
    container.id = seen.id;
    container.image = seen.image;
    container.created = base::FromUnixNanos(seen.created_at);
  }
  if (input.group.empty()) return pod;
  const std::string path = cgroups::GroupPath(input.group);
  pod.group = ReadGroup(o.hierarchies, path, now);
  const auto children = Children(o.hierarchies, path);
  ReadContainer(o, path, children, depth, now, &*pod.sandbox);
  for (ContainerFigures& container : pod.containers)
    ReadContainer(o, path, children, depth, now, &container);
  if (depth != StatsDepth::kCpuAndMemory) pod.network = ReadNetwork(o, pod, now);
  return pod;
}

void NameDevices(const StatsOptions& o, const std::optional<GroupFigures>& group,
                 NodeFigures* node) {
  if (!group) return;
  for (const cgroups::BlockUsage& block : group->usage.block) {
    auto [it, added] = node->devices.try_emplace({block.major, block.minor});
    if (!added) continue;
    auto text = base::ReadFile(
        StrCat(o.paths.sys, "/dev/block/", block.major, ":", block.minor, "/uevent"));
    if (text.ok()) it->second = DeviceOf(*text);
  }
}

}  // namespace

Snapshot ReadFiles(const StatsOptions& options, const std::vector<StatsPod>& pods, StatsDepth depth,
                   base::WallTime now) {
  Snapshot snapshot;
  ReadNode(options, depth, now, &snapshot);
  ReadSystem(options, now, &snapshot);
  for (const StatsPod& pod : pods)
    if (auto figures = ReadPod(options, pod, depth, now))
      snapshot.pods.push_back(*std::move(figures));
  NameDevices(options, snapshot.node.root, &snapshot.node);
  for (const PodFigures& pod : snapshot.pods) {
    NameDevices(options, pod.group, &snapshot.node);
    for (const ContainerFigures& container : pod.containers)
      NameDevices(options, container.group, &snapshot.node);
  }
  return snapshot;
}

}  // namespace keelson::kubelet
