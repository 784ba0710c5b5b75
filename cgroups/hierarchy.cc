// SPDX-License-Identifier: Apache-2.0
#include "cgroups/hierarchy.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/strings.h"

namespace keelson::cgroups {
namespace {

constexpr std::array<std::string_view, 12> kControllers = {
    "cpu", "cpuacct", "cpuset", "memory", "pids", "devices", "freezer", "blkio",
    "hugetlb", "net_cls", "net_prio", "perf_event"};

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

}  // namespace

Hierarchies ParseHierarchies(std::string_view mountinfo) {
  Hierarchies found;
  for (std::string_view line : Split(mountinfo, '\n')) {
    size_t dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    auto before = Split(line.substr(0, dash), ' ');
    auto after = Split(line.substr(dash + 3), ' ');
    if (before.size() < 5 || after.size() < 3) continue;
    std::string point(before[4]);
    if (after[0] == "cgroup2" && found.v2.empty()) found.v2 = point;
    if (after[0] != "cgroup") continue;
    for (std::string_view option : Split(after[2], ',')) {
      if (option == "name=systemd") found.v1.emplace("systemd", point);
      if (std::find(kControllers.begin(), kControllers.end(), option) != kControllers.end())
        found.v1.emplace(std::string(option), point);
    }
  }
  // name=systemd alone beside v2 holds no controller (systemd's "unified" layout with a v1 leftover).
  if (found.v1.size() == 1 && found.v1.contains("systemd") && !found.v2.empty()) found.v1.clear();
  if (found.v1.empty() || found.v2.empty()) return found;
  found.v1.emplace("unified", std::move(found.v2));
  found.v2.clear();
  return found;
}

absl::Status CheckCgroupVersion(const Hierarchies& hierarchies, bool fail_on_v1) {
  if (hierarchies.v1.empty() && hierarchies.v2.empty())
    return absl::InvalidArgumentError(
        "no cgroup hierarchy is mounted; mount cgroup2 at /sys/fs/cgroup");
  if (!hierarchies.is_v2() && fail_on_v1)
    return absl::InvalidArgumentError(
        "kubelet is configured to not run on a host using cgroup v1. cgroup v1 support is "
        "unsupported and will be removed in a future release; set failCgroupV1 to false to run on "
        "it");
  return absl::OkStatus();
}

absl::Status CheckSwapOff(std::string_view proc_swaps) {
  std::vector<std::string_view> lines = Split(proc_swaps, '\n');
  for (size_t i = 1; i < lines.size(); ++i)  // the first is a heading
    if (!lines[i].empty())
      return absl::InvalidArgumentError(base::StrCat(
          "running with swap on is not supported, please disable swap or set failSwapOn to false; "
          "/proc/swaps has: ",
          lines[i].substr(0, lines[i].find_first_of(" \t"))));
  return absl::OkStatus();
}

uint64_t WeightFromShares(uint64_t shares) {
  if (shares < 2) return 1;
  if (shares >= 262144) return 10000;
  return 1 + (shares - 2) * 9999 / 262142;
}

uint64_t SharesFromWeight(uint64_t weight) { return (weight - 1) * 262142 / 9999 + 2; }

}  // namespace keelson::cgroups
