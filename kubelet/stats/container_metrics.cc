// SPDX-License-Identifier: Apache-2.0
#include "kubelet/stats/container_metrics.h"

#include <functional>
#include <set>

#include "kubelet/stats/container_metric_tables.h"

namespace keelson::kubelet {
namespace {

using namespace container_metrics;  // the tables

// One cgroup with the labels it goes by.
struct Row {
  std::string id, name, image, pod, ns, container;
  const GroupFigures* group = nullptr;
  const ContainerFigures* of = nullptr;  // null for groups of more than one container
  const NetworkFigures* network = nullptr;
  std::optional<base::WallTime> made;

  Labels LabelsWith(const Labels& more = {}) const {
    Labels labels = {{"container", container}, {"id", id},     {"image", image},
                     {"name", name},           {"namespace", ns}, {"pod", pod}};
    labels.insert(labels.end(), more.begin(), more.end());
    return labels;
  }
};

std::vector<Row> RowsOf(const Snapshot& snapshot) {
  std::vector<Row> rows;
  auto add = [&](const std::optional<GroupFigures>& group, Row row) {
    if (!group || group->path.empty()) return;
    row.id = group->path;
    row.group = &*group;
    if (!row.made) row.made = group->made;
    rows.push_back(std::move(row));
  };
  Row root;
  root.network = snapshot.node.network ? &*snapshot.node.network : nullptr;
  root.made = snapshot.node.booted;
  add(snapshot.node.root, root);
  std::set<std::string> seen;
  for (const SystemGroup& system : snapshot.system) {
    // The agent and the runtime may be in one group.
    if (!seen.insert(system.group.path).second) continue;
    Row row;
    row.id = system.group.path;
    row.group = &system.group;
    row.made = system.group.made;
    rows.push_back(row);
  }
  for (const PodFigures& pod : snapshot.pods) {
    Row row;
    row.pod = pod.name;
    row.ns = pod.ns;
    add(pod.group, row);
    if (pod.sandbox) {
      row.name = pod.sandbox->id;
      row.of = &*pod.sandbox;
      row.network = pod.network ? &*pod.network : nullptr;
      row.made = pod.sandbox->created;
      add(pod.sandbox->group, row);
    }
    row.network = nullptr;
    for (const ContainerFigures& container : pod.containers) {
      row.name = container.id;
      row.image = container.image;
      row.container = container.name;
      row.of = &container;
      row.made = container.created;
      add(container.group, row);
    }
  }
  return rows;
}

class Writer {
 public:
  Writer(const Snapshot& snapshot, const ContainerMetricsOptions& options, MetricsText& text)
      : snapshot_(snapshot), o_(options), text_(text), rows_(RowsOf(snapshot)) {}

  void Write() {
    WriteTimes();
    WriteCpu();
    Each(kMemory, [](const Row& row) {
      return row.group->usage.memory ? &*row.group->usage.memory : nullptr;
    });
    WriteFailures();
    WriteNetwork();
    WriteDisks();
    WriteDiskTimes();
    WriteProcesses();
    if (o_.pressure) Each(kPressure, &Writer::UsageOf);
    Each(kSpec, &Writer::UsageOf, /*timed=*/false);
    WriteMachine();
  }

 private:
  static const GroupUsage* UsageOf(const Row& row) { return &row.group->usage; }

  // Every metric of a table for each row that has such a part.
  template <typename Part, size_t N, typename PartOf>
  void Each(const Plain<Part> (&table)[N], PartOf part_of, bool timed = true) {
    for (const Plain<Part>& metric : table) {
      text_.Family(metric.name, metric.help, metric.type);
      for (const Row& row : rows_) {
        const Part* part = part_of(row);
        if (part == nullptr) continue;
        if (const Value value = metric.value(*part))
          text_.Sample(row.LabelsWith(), *value,
                       timed ? std::optional(row.group->at) : std::nullopt);
      }
    }
  }

  void WriteTimes() {
    text_.Family("container_last_seen", "When the container was measured, in Unix time", kGauge);
    for (const Row& row : rows_)
      text_.Sample(row.LabelsWith(), Whole(row.group->at), row.group->at);
    text_.Family("container_start_time_seconds", "When the container was made, in Unix time",
                 kGauge);
    for (const Row& row : rows_)
      if (row.made) text_.Sample(row.LabelsWith(), Whole(*row.made));
  }

  static double Whole(base::WallTime time) {
    return static_cast<double>(base::ToUnixNanos(time) / 1'000'000'000);
  }

  void WriteCpu() {
    auto cpu = [](const Row& row) {
      return row.group->usage.cpu ? &*row.group->usage.cpu : nullptr;
    };
    text_.Family("container_cpu_usage_seconds_total", "CPU time used", kCounter);
    for (const Row& row : rows_)
      if (const CpuUsage* used = cpu(row))
        text_.Sample(row.LabelsWith({{"cpu", "total"}}),
                     static_cast<double>(used->total_ns) / 1e9, row.group->at);
    Each(kCpu, cpu);
    Each(kCfs, [&](const Row& row) {
      return row.group->usage.limits.cpu_quota_us ? cpu(row) : nullptr;
    });
  }

  void WriteFailures() {
    text_.Family("container_memory_failures_total", "Page faults", kCounter);
    for (const Row& row : rows_) {
      const auto& memory = row.group->usage.memory;
      if (!memory) continue;
      const struct {
        const char *type, *scope;
        std::optional<uint64_t> value;
      } kFaults[] = {{"pgfault", "container", memory->page_faults},
                     {"pgmajfault", "container", memory->major_page_faults},
                     {"pgfault", "hierarchy", memory->tree_page_faults},
                     {"pgmajfault", "hierarchy", memory->tree_major_page_faults}};
      for (const auto& fault : kFaults)
        if (fault.value)
          text_.Sample(row.LabelsWith({{"failure_type", fault.type}, {"scope", fault.scope}}),
                       static_cast<double>(*fault.value), row.group->at);
    }
  }

  void WriteNetwork() {
    for (const auto& metric : kNetwork) {
      text_.Family(metric.name, metric.help, metric.type);
      for (const Row& row : rows_) {
        if (row.network == nullptr) continue;
        for (const InterfaceFigures& link : row.network->interfaces)
          text_.Sample(row.LabelsWith({{"interface", link.name}}), *metric.value(link),
                       row.network->at);
      }
    }
  }

  void WriteDisks() {
    for (const auto& metric : kTransfers) {
      text_.Family(metric.name, metric.help, metric.type);
      EachDevice([&](const Row& row, const cgroups::BlockUsage& block, const std::string& device) {
        if (const Value value = metric.value(block))
          text_.Sample(row.LabelsWith({{"device", device}}), *value, row.group->at);
      });
    }
    text_.Family("container_blkio_device_usage_total", "Bytes transferred by block device",
                 kCounter);
    EachDevice([&](const Row& row, const cgroups::BlockUsage& block, const std::string& device) {
      const std::string major = std::to_string(block.major), minor = std::to_string(block.minor);
      auto write = [&](const char* operation, const std::optional<uint64_t>& bytes) {
        if (bytes)
          text_.Sample(row.LabelsWith({{"device", device},
                                       {"major", major},
                                       {"minor", minor},
                                       {"operation", operation}}),
                       static_cast<double>(*bytes), row.group->at);
      };
      write("Read", block.read_bytes);
      write("Write", block.write_bytes);
    });
    WriteFileSystems();
  }

  void EachDevice(const std::function<void(const Row&, const cgroups::BlockUsage&,
                                           const std::string&)>& write) {
    for (const Row& row : rows_) {
      for (const cgroups::BlockUsage& block : row.group->usage.block) {
        auto name = snapshot_.node.devices.find({block.major, block.minor});
        write(row, block, name == snapshot_.node.devices.end() ? "" : name->second);
      }
    }
  }

  // The node's file systems are the root's; a container has its writable layer's size.
  void WriteFileSystems() {
    const auto& fs = snapshot_.node.fs;
    auto image = snapshot_.node.image_fs;
    if (fs && image && image->device == fs->device) image.reset();
    for (const auto& metric : kFileSystem) {
      text_.Family(metric.name, metric.help, metric.type);
      for (const Row& row : rows_) {
        auto write = [&](const std::optional<FsFigures>& figures) {
          const Value value = figures ? metric.value(*figures) : std::nullopt;
          if (value)
            text_.Sample(row.LabelsWith({{"device", figures->device}}), *value, figures->at);
        };
        if (row.id == "/") {
          write(fs);
          write(image);
        } else if (row.of != nullptr && row.of->rootfs) {
          FsFigures own = *row.of->rootfs;
          own.inodes = own.inodes_free = std::nullopt;  // which are no container's own
          write(own);
        }
      }
    }
  }

  // As the kernel counts them for each device, whoever used it.
  void WriteDiskTimes() {
    std::set<std::string> devices;
    for (const auto& fs : {snapshot_.node.fs, snapshot_.node.image_fs})
      if (fs) devices.insert(fs->device);
    for (const auto& metric : kDisk) {
      text_.Family(metric.name, metric.help, metric.type);
      for (const Row& row : rows_) {
        if (row.id != "/") continue;
        for (const std::string& device : devices)
          if (auto disk = snapshot_.node.disks.find(device); disk != snapshot_.node.disks.end())
            text_.Sample(row.LabelsWith({{"device", device}}), *metric.value(disk->second),
                         row.group->at);
      }
    }
  }

  void WriteProcesses() {
    text_.Family("container_processes", "Processes", kGauge);
    for (const Row& row : rows_)
      if (row.of != nullptr)
        text_.Sample(row.LabelsWith(), static_cast<double>(row.group->usage.processes.size()),
                     row.group->at);
    const struct {
      const char *name, *help;
      Value (*value)(const ProcessFigures&);
    } kTable[] = {{"container_file_descriptors", "Open files",
                   [](const ProcessFigures& p) { return Count(p.descriptors); }},
                  {"container_sockets", "Open sockets",
                   [](const ProcessFigures& p) { return Count(p.sockets); }}};
    for (const auto& metric : kTable) {
      text_.Family(metric.name, metric.help, kGauge);
      for (const Row& row : rows_)
        if (row.of != nullptr && row.of->processes)
          text_.Sample(row.LabelsWith(), *metric.value(*row.of->processes), row.group->at);
    }
    Each(kProcesses, [](const Row& row) {
      return row.of != nullptr ? &row.group->usage : nullptr;
    });
    text_.Family("container_ulimits_soft", "Soft limits of the container's first process", kGauge);
    for (const Row& row : rows_)
      if (row.of != nullptr && row.of->processes && row.of->processes->max_open_files)
        text_.Sample(row.LabelsWith({{"ulimit", "max_open_files"}}),
                     static_cast<double>(*row.of->processes->max_open_files), row.group->at);
  }

  void WriteMachine() {
    const MachineFigures& m = snapshot_.node.machine;
    const Labels labels = {{"boot_id", m.boot_id},
                           {"machine_id", m.machine_id},
                           {"system_uuid", m.system_uuid}};
    const struct {
      const char *name, *help;
      uint64_t value;
    } kTable[] = {{"machine_cpu_cores", "Logical CPUs", m.cores},
                  {"machine_cpu_physical_cores", "Physical cores", m.physical_cores},
                  {"machine_cpu_sockets", "CPU sockets", m.sockets},
                  {"machine_memory_bytes", "Memory installed", m.memory_bytes},
                  {"machine_swap_bytes", "Swap configured", m.swap_bytes}};
    for (const auto& metric : kTable) {
      text_.Family(metric.name, metric.help, kGauge);
      text_.Sample(labels, static_cast<double>(metric.value));
    }
    text_.Family("cadvisor_version_info", "Kernel and operating system", kGauge);
    text_.Sample({{"cadvisorRevision", ""},
                  {"cadvisorVersion", ""},
                  {"dockerVersion", ""},
                  {"kernelVersion", m.kernel},
                  {"osVersion", m.os_image}},
                 1);
    text_.Family("container_scrape_error", "1 when something could not be measured, else 0",
                 kGauge);
    text_.Sample({}, snapshot_.problem.ok() ? 0 : 1);
    text_.Family("machine_scrape_error", "1 when the machine could not be read, else 0", kGauge);
    text_.Sample({}, m.cores > 0 && m.memory_bytes > 0 ? 0 : 1);
  }

  const Snapshot& snapshot_;
  const ContainerMetricsOptions& o_;
  MetricsText& text_;
  const std::vector<Row> rows_;
};

}  // namespace

void WriteContainerMetrics(const Snapshot& snapshot, const ContainerMetricsOptions& options,
                           MetricsText& text) {
  Writer(snapshot, options, text).Write();
}

}  // namespace keelson::kubelet
