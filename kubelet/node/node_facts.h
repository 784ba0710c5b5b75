// SPDX-License-Identifier: Apache-2.0
// What this machine is and has, as its Node object says it. Blocking: reads /proc, /sys and /etc.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "kubelet/resources.h"
#include "proto/k8s/node.pb.h"

namespace keelson::kubelet {

// machineID, systemUUID, bootID, kernelVersion, osImage, operatingSystem, architecture, swap.
// `root` stands in front of every path; what cannot be read stays empty, as upstream.
k8s::v1::NodeSystemInfo ReadSystemInfo(const std::string& root = "");

// Go's word for the machine: amd64, arm64, ...
std::string GoArchitecture();

// Everything a node can promise; all in bytes but cpu and counts.
struct NodeResources {
  NodeCapacity base;
  std::map<std::string, int64_t> huge_pages;  // resource name -> bytes: hugepages-2Mi
  int64_t ephemeral_storage = 0;              // file system of root_dir
  int64_t pods = 110;
};

// Sizes the kernel has, with the bytes reserved for each at boot.
std::map<std::string, int64_t> ReadHugePages(const std::string& root = "");
// Size of the file system that holds `path`.
absl::StatusOr<int64_t> FileSystemSize(const std::string& path);

}  // namespace keelson::kubelet
