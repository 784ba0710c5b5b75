// SPDX-License-Identifier: Apache-2.0
// What was measured of a node at one moment, as plain data: the summary and every metric are made
// from it by pure functions. What could not be measured is absent.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/time.h"
#include "cgroups/usage.h"

namespace keelson::kubelet {

struct InterfaceFigures {
  std::string name;
  uint64_t rx_bytes = 0, rx_packets = 0, rx_errors = 0, rx_dropped = 0;
  uint64_t tx_bytes = 0, tx_packets = 0, tx_errors = 0, tx_dropped = 0;
  bool operator==(const InterfaceFigures&) const = default;
};
struct NetworkFigures {
  base::WallTime at;
  std::vector<InterfaceFigures> interfaces;
};

// A file system, or with `used` and `inodes_used` what one folder takes of it.
struct FsFigures {
  base::WallTime at;
  std::string device;  // as mounted, /dev/vda1; empty when not known
  std::optional<uint64_t> available, capacity, used;  // bytes
  std::optional<uint64_t> inodes, inodes_free, inodes_used;
};

// What a block device has done since the machine started: a line of /proc/diskstats.
struct DiskFigures {
  uint64_t reads = 0, reads_merged = 0, sectors_read = 0, read_ms = 0;
  uint64_t writes = 0, writes_merged = 0, sectors_written = 0, write_ms = 0;
  uint64_t in_progress = 0, busy_ms = 0, weighted_ms = 0;
  bool operator==(const DiskFigures&) const = default;
};

struct GroupFigures {
  base::WallTime at;
  std::string path;  // in the hierarchy, /kubepods/burstable/pod...; empty when the runtime told
  cgroups::GroupUsage usage;
  std::optional<uint64_t> nano_cores;       // since the time before
  std::optional<base::WallTime> made;       // when the group was
};

struct ProcessFigures {
  uint64_t descriptors = 0, sockets = 0;
  std::optional<uint64_t> max_open_files;  // soft, of the first process
};

struct ContainerFigures {
  std::string name, id, image;
  base::WallTime created;
  std::optional<GroupFigures> group;
  std::optional<ProcessFigures> processes;
  std::optional<FsFigures> rootfs, logs;
};

struct VolumeFigures {
  std::string name;
  FsFigures fs;
  bool ephemeral = false;  // counts for the pod's ephemeral storage
};

struct PodFigures {
  std::string uid, name, ns;
  base::WallTime created;  // of the sandbox
  std::optional<GroupFigures> group;
  std::optional<ContainerFigures> sandbox;
  std::vector<ContainerFigures> containers;
  std::optional<NetworkFigures> network;
  std::vector<VolumeFigures> volumes;
  std::optional<FsFigures> ephemeral;  // of all containers, logs and local volumes together
  std::optional<uint64_t> processes;   // when a runtime tells; else the containers' are counted
};

struct MachineFigures {
  uint64_t memory_bytes = 0, swap_bytes = 0;
  uint64_t cores = 0, physical_cores = 0, sockets = 0;
  std::string machine_id, system_uuid, boot_id, kernel, os_image;
};

struct NodeFigures {
  std::string name;
  base::WallTime booted;
  std::optional<GroupFigures> root;
  std::optional<NetworkFigures> network;
  std::optional<FsFigures> fs, image_fs;
  std::optional<int64_t> max_pid, tasks;
  MachineFigures machine;
  std::map<std::string, DiskFigures> disks;  // by device: /dev/vda
  std::map<std::pair<uint32_t, uint32_t>, std::string> devices;  // names by number: /dev/vda
};

struct SystemGroup {
  std::string name;  // kubelet, runtime, misc, pods
  GroupFigures group;
};

struct Snapshot {
  NodeFigures node;
  std::vector<SystemGroup> system;
  std::vector<PodFigures> pods;
  // The first thing that went wrong and left something out.
  absl::Status problem;
};

}  // namespace keelson::kubelet
