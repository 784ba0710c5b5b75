// SPDX-License-Identifier: Apache-2.0
#include "kubelet/stats/summary.h"

#include <algorithm>
#include <functional>

namespace keelson::kubelet {
namespace {

namespace api = ::k8s::stats::v1alpha1;

void SetTime(base::WallTime time, k8s::meta::v1::Time* out) {
  const int64_t nanos = base::ToUnixNanos(time);
  out->set_seconds(nanos / 1'000'000'000);
  out->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
}

void SetLine(const std::optional<cgroups::PressureLine>& line, api::PSIData* out) {
  if (!line) return;  // the kernel keeps no full line for the root's CPU: zeros, as upstream
  out->set_total(line->total_us);
  out->set_avg10(line->avg10);
  out->set_avg60(line->avg60);
  out->set_avg300(line->avg300);
}

void SetPressure(const cgroups::Pressure& pressure, api::PSIStats* out) {
  SetLine(pressure.full, out->mutable_full());
  SetLine(pressure.some, out->mutable_some());
}

uint64_t Left(uint64_t limit, uint64_t used) { return limit > used ? limit - used : 0; }

void SetMemory(const GroupFigures& group, bool pressure, api::MemoryStats* out) {
  const cgroups::MemoryUsage& memory = *group.usage.memory;
  SetTime(group.at, out->mutable_time());
  out->set_usagebytes(memory.usage);
  out->set_workingsetbytes(memory.working_set);
  if (memory.rss) out->set_rssbytes(*memory.rss);
  if (memory.page_faults) out->set_pagefaults(*memory.page_faults);
  if (memory.major_page_faults) out->set_majorpagefaults(*memory.major_page_faults);
  if (auto limit = group.usage.limits.memory)
    out->set_availablebytes(Left(*limit, memory.working_set));
  if (pressure && memory.pressure) SetPressure(*memory.pressure, out->mutable_psi());
}

void SetSwap(const GroupFigures& group, api::SwapStats* out) {
  SetTime(group.at, out->mutable_time());
  const uint64_t used = *group.usage.memory->swap;
  out->set_swapusagebytes(used);
  const cgroups::GroupLimits& limits = group.usage.limits;
  const auto limit = limits.swap ? limits.swap : limits.memory_and_swap;
  if (limit) out->set_swapavailablebytes(Left(*limit, used));
}

// NodeStats, PodStats and ContainerStats have these members alike.
template <typename Stats>
void SetGroup(const std::optional<GroupFigures>& group, const SummaryOptions& o, Stats* out) {
  if (!group) return;
  if (const auto& cpu = group->usage.cpu) {
    SetTime(group->at, out->mutable_cpu()->mutable_time());
    out->mutable_cpu()->set_usagecorenanoseconds(cpu->total_ns);
    if (group->nano_cores) out->mutable_cpu()->set_usagenanocores(*group->nano_cores);
    if (o.pressure && cpu->pressure)
      SetPressure(*cpu->pressure, out->mutable_cpu()->mutable_psi());
  }
  if (group->usage.memory) {
    SetMemory(*group, o.pressure, out->mutable_memory());
    if (group->usage.memory->swap) SetSwap(*group, out->mutable_swap());
  }
  if (o.pressure && group->usage.io_pressure && !o.only_cpu_and_memory) {
    SetTime(group->at, out->mutable_io()->mutable_time());
    SetPressure(*group->usage.io_pressure, out->mutable_io()->mutable_psi());
  }
}

void SetFs(const FsFigures& fs, api::FsStats* out) {
  SetTime(fs.at, out->mutable_time());
  if (fs.available) out->set_availablebytes(*fs.available);
  if (fs.capacity) out->set_capacitybytes(*fs.capacity);
  if (fs.used) out->set_usedbytes(*fs.used);
  if (fs.inodes_free) out->set_inodesfree(*fs.inodes_free);
  if (fs.inodes) out->set_inodes(*fs.inodes);
  if (fs.inodes_used) out->set_inodesused(*fs.inodes_used);
}

void SetInterface(const InterfaceFigures& link, api::InterfaceStats* out) {
  out->set_name(link.name);
  out->set_rxbytes(link.rx_bytes);
  out->set_rxerrors(link.rx_errors);
  out->set_txbytes(link.tx_bytes);
  out->set_txerrors(link.tx_errors);
}

void SetNetwork(const NetworkFigures& network, api::NetworkStats* out) {
  SetTime(network.at, out->mutable_time());
  for (const InterfaceFigures& link : network.interfaces) {
    if (link.name == "eth0") SetInterface(link, out->mutable_interface());
    SetInterface(link, out->add_interfaces());
  }
}

void SetContainer(const ContainerFigures& container, const SummaryOptions& o,
                  api::ContainerStats* out) {
  out->set_name(container.name);
  SetTime(container.created, out->mutable_starttime());
  SetGroup(container.group, o, out);
  if (o.only_cpu_and_memory) return;
  if (container.rootfs) SetFs(*container.rootfs, out->mutable_rootfs());
  if (container.logs) SetFs(*container.logs, out->mutable_logs());
}

void SetPod(const PodFigures& pod, const SummaryOptions& o, api::PodStats* out) {
  out->mutable_podref()->set_name(pod.name);
  out->mutable_podref()->set_namespace_(pod.ns);
  out->mutable_podref()->set_uid(pod.uid);
  SetTime(pod.created, out->mutable_starttime());
  SetGroup(pod.group, o, out);
  std::optional<uint64_t> processes = pod.processes;
  for (const ContainerFigures& container : pod.containers) {
    SetContainer(container, o, out->add_containers());
    if (!pod.processes && container.group && !container.group->path.empty())
      processes = processes.value_or(0) + container.group->usage.processes.size();
  }
  if (o.only_cpu_and_memory) return;
  if (processes) out->mutable_processstats()->set_processcount(*processes);
  if (pod.network) SetNetwork(*pod.network, out->mutable_network());
  for (const VolumeFigures& volume : pod.volumes) {
    api::VolumeStats* stats = out->add_volume();
    stats->set_name(volume.name);
    SetFs(volume.fs, stats->mutable_fs());
  }
  if (pod.ephemeral) SetFs(*pod.ephemeral, out->mutable_ephemeralstorage());
}

void SetNode(const Snapshot& snapshot, const SummaryOptions& o, api::NodeStats* out) {
  const NodeFigures& node = snapshot.node;
  out->set_nodename(node.name);
  if (node.booted != base::WallTime()) SetTime(node.booted, out->mutable_starttime());
  SetGroup(node.root, o, out);
  for (const SystemGroup& system : snapshot.system) {
    api::ContainerStats* stats = out->add_systemcontainers();
    stats->set_name(system.name);
    if (system.group.made) SetTime(*system.group.made, stats->mutable_starttime());
    SetGroup(std::optional<GroupFigures>(system.group), o, stats);
  }
  if (o.only_cpu_and_memory) return;
  if (node.network) SetNetwork(*node.network, out->mutable_network());
  if (node.fs) SetFs(*node.fs, out->mutable_fs());
  if (node.image_fs) {
    SetFs(*node.image_fs, out->mutable_runtime()->mutable_imagefs());
    SetFs(*node.image_fs, out->mutable_runtime()->mutable_containerfs());
  }
  if (!node.max_pid && !node.tasks) return;
  if (node.root) SetTime(node.root->at, out->mutable_rlimit()->mutable_time());
  if (node.max_pid) out->mutable_rlimit()->set_maxpid(*node.max_pid);
  if (node.tasks) out->mutable_rlimit()->set_curproc(*node.tasks);
}

base::WallTime TimeOf(const k8s::meta::v1::Time& time) {
  return base::FromUnixNanos(time.seconds() * 1'000'000'000 + time.nanos());
}

double CoreSeconds(const api::CPUStats& cpu) {
  return static_cast<double>(cpu.usagecorenanoseconds()) / 1e9;
}

// The families of containers, of pods and of the node differ in labels and little else.
class ResourceWriter {
 public:
  ResourceWriter(const api::Summary& summary, MetricsText& text) : summary_(summary), text_(text) {}

  void Write() {
    WriteNode();
    WriteContainers();
    WritePods();
  }

 private:
  void WriteNode() {
    const api::NodeStats& node = summary_.node();
    text_.Family("node_cpu_usage_seconds_total", "CPU time of the node, in core-seconds",
                 MetricType::kCounter);
    if (node.cpu().has_usagecorenanoseconds())
      text_.Sample({}, CoreSeconds(node.cpu()), TimeOf(node.cpu().time()));
    text_.Family("node_memory_working_set_bytes", "Working set of the node", MetricType::kGauge);
    if (node.memory().has_workingsetbytes())
      text_.Sample({}, static_cast<double>(node.memory().workingsetbytes()),
                   TimeOf(node.memory().time()));
    text_.Family("node_swap_usage_bytes", "Swap in use on the node", MetricType::kGauge);
    if (node.swap().has_swapusagebytes())
      text_.Sample({}, static_cast<double>(node.swap().swapusagebytes()),
                   TimeOf(node.swap().time()));
  }

  using OfContainer = std::function<void(const api::ContainerStats&, const Labels&)>;
  void EachContainer(const OfContainer& write) {
    for (const auto& pod : summary_.pods())
      for (const auto& container : pod.containers())
        write(container, {{"container", container.name()},
                          {"pod", pod.podref().name()},
                          {"namespace", pod.podref().namespace_()}});
  }

  void WriteContainers() {
    text_.Family("container_start_time_seconds", "When the container was made, in Unix time",
                 MetricType::kGauge);
    EachContainer([&](const api::ContainerStats& c, const Labels& labels) {
      if (c.starttime().seconds() > 0)
        text_.Sample(labels, Seconds(TimeOf(c.starttime()).time_since_epoch()));
    });
    text_.Family("container_cpu_usage_seconds_total", "CPU time of the container, in core-seconds",
                 MetricType::kCounter);
    EachContainer([&](const api::ContainerStats& c, const Labels& labels) {
      if (c.cpu().has_usagecorenanoseconds())
        text_.Sample(labels, CoreSeconds(c.cpu()), TimeOf(c.cpu().time()));
    });
    text_.Family("container_memory_working_set_bytes", "Working set of the container",
                 MetricType::kGauge);
    EachContainer([&](const api::ContainerStats& c, const Labels& labels) {
      if (c.memory().has_workingsetbytes())
        text_.Sample(labels, static_cast<double>(c.memory().workingsetbytes()),
                     TimeOf(c.memory().time()));
    });
    text_.Family("container_swap_usage_bytes", "Swap in use by the container", MetricType::kGauge);
    EachContainer([&](const api::ContainerStats& c, const Labels& labels) {
      if (c.swap().has_swapusagebytes())
        text_.Sample(labels, static_cast<double>(c.swap().swapusagebytes()),
                     TimeOf(c.swap().time()));
    });
    text_.Family("container_swap_limit_bytes", "Swap the container may use", MetricType::kGauge);
    EachContainer([&](const api::ContainerStats& c, const Labels& labels) {
      if (c.swap().has_swapavailablebytes())
        text_.Sample(
            labels,
            static_cast<double>(c.swap().swapavailablebytes() + c.swap().swapusagebytes()),
            TimeOf(c.swap().time()));
    });
  }

  void EachPod(const std::function<void(const api::PodStats&, const Labels&)>& write) {
    for (const auto& pod : summary_.pods())
      write(pod, {{"pod", pod.podref().name()}, {"namespace", pod.podref().namespace_()}});
  }

  void WritePods() {
    text_.Family("pod_cpu_usage_seconds_total", "CPU time of the pod, in core-seconds",
                 MetricType::kCounter);
    EachPod([&](const api::PodStats& pod, const Labels& labels) {
      if (pod.cpu().has_usagecorenanoseconds())
        text_.Sample(labels, CoreSeconds(pod.cpu()), TimeOf(pod.cpu().time()));
    });
    text_.Family("pod_memory_working_set_bytes", "Working set of the pod", MetricType::kGauge);
    EachPod([&](const api::PodStats& pod, const Labels& labels) {
      if (pod.memory().has_workingsetbytes())
        text_.Sample(labels, static_cast<double>(pod.memory().workingsetbytes()),
                     TimeOf(pod.memory().time()));
    });
    text_.Family("pod_swap_usage_bytes", "Swap in use by the pod", MetricType::kGauge);
    EachPod([&](const api::PodStats& pod, const Labels& labels) {
      if (pod.swap().has_swapusagebytes())
        text_.Sample(labels, static_cast<double>(pod.swap().swapusagebytes()),
                     TimeOf(pod.swap().time()));
    });
  }

  const api::Summary& summary_;
  MetricsText& text_;
};

}  // namespace

api::Summary MakeSummary(const Snapshot& snapshot, const SummaryOptions& options) {
  api::Summary summary;
  SetNode(snapshot, options, summary.mutable_node());
  for (const PodFigures& pod : snapshot.pods) {
    // A pod none of whose containers runs has no figures upstream either.
    if (!pod.containers.empty()) SetPod(pod, options, summary.add_pods());
  }
  return summary;
}

void WriteResourceMetrics(const api::Summary& summary, bool incomplete, MetricsText& text) {
  ResourceWriter(summary, text).Write();
  for (const char* name : {"scrape_error", "resource_scrape_error"}) {
    text.Family(name, "1 when some containers' figures could not be had, else 0",
                MetricType::kGauge);
    text.Sample({}, incomplete ? 1 : 0);
  }
}

}  // namespace keelson::kubelet
