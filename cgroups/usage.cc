// SPDX-License-Identifier: Apache-2.0
#include "cgroups/usage.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/files.h"
#include "base/strings.h"

namespace keelson::cgroups {
namespace {

constexpr uint64_t kUnlimited = uint64_t{1} << 62;  // v1 rounds "no limit" down to a page
constexpr size_t kMaxFile = 4 << 20;                // cgroup.procs of a large group

std::optional<uint64_t> Number(std::string_view text) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

std::vector<std::string_view> Words(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> words;
  while (true) {
    const size_t begin = text.find_first_not_of(separators);
    if (begin == text.npos) return words;
    text.remove_prefix(begin);
    const size_t end = std::min(text.find_first_of(separators), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

// "key value" lines, by key.
std::map<std::string_view, uint64_t> Flat(const GroupTexts& files, std::string_view name) {
  std::map<std::string_view, uint64_t> values;
  auto it = files.find(name);
  if (it == files.end()) return values;
  for (std::string_view line : Words(it->second, "\n")) {
    const auto words = Words(line, " ");
    if (words.size() != 2) continue;
    if (auto value = Number(words[1])) values[words[0]] = *value;
  }
  return values;
}

std::optional<uint64_t> One(const GroupTexts& files, std::string_view name) {
  auto it = files.find(name);
  return it == files.end() ? std::nullopt : Number(it->second);
}

std::optional<uint64_t> Limit(const GroupTexts& files, std::string_view name) {
  auto value = One(files, name);  // "max" is no number
  return value && *value < kUnlimited ? value : std::nullopt;
}

std::optional<uint64_t> At(const std::map<std::string_view, uint64_t>& values,
                           std::string_view key, uint64_t scale = 1) {
  auto it = values.find(key);
  if (it == values.end()) return std::nullopt;
  return it->second * scale;
}

std::optional<Pressure> PressureOf(const GroupTexts& files, std::string_view name) {
  auto it = files.find(name);
  if (it == files.end()) return std::nullopt;
  auto parsed = ParsePressure(it->second);
  if (!parsed.ok()) return std::nullopt;
  return *std::move(parsed);
}

void SetWorkingSet(MemoryUsage* memory) {
  const uint64_t inactive = memory->inactive_file.value_or(0);
  memory->working_set = memory->usage > inactive ? memory->usage - inactive : 0;
}

std::vector<int> Processes(const GroupTexts& files) {
  std::vector<int> pids;
  auto it = files.find("cgroup.procs");
  if (it == files.end()) return pids;
  for (std::string_view line : Words(it->second, "\n"))
    if (auto pid = Number(line)) pids.push_back(static_cast<int>(*pid));
  return pids;
}

bool ParseDevice(std::string_view text, BlockUsage* device) {
  const size_t colon = text.find(':');
  if (colon == text.npos) return false;
  auto major = Number(text.substr(0, colon)), minor = Number(text.substr(colon + 1));
  if (!major || !minor) return false;
  device->major = static_cast<uint32_t>(*major);
  device->minor = static_cast<uint32_t>(*minor);
  return true;
}

BlockUsage& DeviceOf(std::vector<BlockUsage>* devices, const BlockUsage& device) {
  for (BlockUsage& known : *devices)
    if (known.major == device.major && known.minor == device.minor) return known;
  return devices->emplace_back(device);
}

// "8:0 Read 4096" lines of v1's throttling layer, which counts whatever the scheduler is.
void AddThrottled(const GroupTexts& files, std::string_view name,
                  std::optional<uint64_t> BlockUsage::*read,
                  std::optional<uint64_t> BlockUsage::*write, std::vector<BlockUsage>* devices) {
  auto it = files.find(name);
  if (it == files.end()) return;
  for (std::string_view line : Words(it->second, "\n")) {
    const auto words = Words(line, " ");
    BlockUsage device;
    if (words.size() != 3 || !ParseDevice(words[0], &device)) continue;
    auto value = Number(words[2]);
    if (!value) continue;
    if (words[1] == "Read") DeviceOf(devices, device).*read = value;
    if (words[1] == "Write") DeviceOf(devices, device).*write = value;
  }
}

// "8:0 rbytes=1 wbytes=2 rios=3 wios=4 ..." lines.
std::vector<BlockUsage> BlockOfV2(const GroupTexts& files) {
  std::vector<BlockUsage> devices;
  auto it = files.find("io.stat");
  if (it == files.end()) return devices;
  for (std::string_view line : Words(it->second, "\n")) {
    const auto words = Words(line, " ");
    BlockUsage device;
    if (words.size() < 2 || !ParseDevice(words[0], &device)) continue;
    for (std::string_view word : words) {
      const size_t equals = word.find('=');
      if (equals == word.npos) continue;
      const std::string_view key = word.substr(0, equals);
      const auto value = Number(word.substr(equals + 1));
      if (key == "rbytes") device.read_bytes = value;
      if (key == "wbytes") device.write_bytes = value;
      if (key == "rios") device.reads = value;
      if (key == "wios") device.writes = value;
    }
    if (device.read_bytes) devices.push_back(device);
  }
  return devices;
}

std::optional<CpuUsage> CpuOfV1(const GroupTexts& files) {
  auto total = One(files, "cpuacct.usage");
  if (!total) return std::nullopt;
  CpuUsage cpu;
  cpu.total_ns = *total;
  const auto acct = Flat(files, "cpuacct.stat");
  const auto tick_ns = static_cast<uint64_t>(1000000000 / ::sysconf(_SC_CLK_TCK));
  cpu.user_ns = At(acct, "user", tick_ns);
  cpu.system_ns = At(acct, "system", tick_ns);
  const auto stat = Flat(files, "cpu.stat");
  cpu.periods = At(stat, "nr_periods");
  cpu.throttled_periods = At(stat, "nr_throttled");
  cpu.throttled_ns = At(stat, "throttled_time");
  cpu.burst_periods = At(stat, "nr_bursts");
  cpu.burst_ns = At(stat, "burst_time");
  return cpu;
}

std::optional<CpuUsage> CpuOfV2(const GroupTexts& files) {
  const auto stat = Flat(files, "cpu.stat");
  auto total = At(stat, "usage_usec", 1000);
  if (!total) return std::nullopt;
  CpuUsage cpu;
  cpu.total_ns = *total;
  cpu.user_ns = At(stat, "user_usec", 1000);
  cpu.system_ns = At(stat, "system_usec", 1000);
  cpu.periods = At(stat, "nr_periods");
  cpu.throttled_periods = At(stat, "nr_throttled");
  cpu.throttled_ns = At(stat, "throttled_usec", 1000);
  cpu.burst_periods = At(stat, "nr_bursts");
  cpu.burst_ns = At(stat, "burst_usec", 1000);
  cpu.pressure = PressureOf(files, "cpu.pressure");
  return cpu;
}

std::optional<MemoryUsage> MemoryOfV1(const GroupTexts& files) {
  auto usage = One(files, "memory.usage_in_bytes");
  if (!usage) return std::nullopt;
  MemoryUsage memory;
  memory.usage = *usage;
  const auto stat = Flat(files, "memory.stat");
  memory.rss = At(stat, "total_rss");
  memory.cache = At(stat, "total_cache");
  memory.mapped_file = At(stat, "total_mapped_file");
  memory.active_file = At(stat, "total_active_file");
  memory.inactive_file = At(stat, "total_inactive_file");
  memory.swap = At(stat, "total_swap");
  memory.page_faults = At(stat, "pgfault");
  memory.major_page_faults = At(stat, "pgmajfault");
  memory.tree_page_faults = At(stat, "total_pgfault");
  memory.tree_major_page_faults = At(stat, "total_pgmajfault");
  memory.kernel = One(files, "memory.kmem.usage_in_bytes");
  memory.max_usage = One(files, "memory.max_usage_in_bytes");
  memory.failcnt = One(files, "memory.failcnt");
  memory.oom_kills = At(Flat(files, "memory.oom_control"), "oom_kill");
  SetWorkingSet(&memory);
  return memory;
}

std::optional<MemoryUsage> MemoryOfV2(const GroupTexts& files) {
  auto usage = One(files, "memory.current");
  if (!usage) return std::nullopt;
  MemoryUsage memory;
  memory.usage = *usage;
  const auto stat = Flat(files, "memory.stat");
  memory.rss = At(stat, "anon");
  memory.cache = At(stat, "file");
  memory.mapped_file = At(stat, "file_mapped");
  memory.active_file = At(stat, "active_file");
  memory.inactive_file = At(stat, "inactive_file");
  memory.kernel = At(stat, "kernel");
  memory.page_faults = memory.tree_page_faults = At(stat, "pgfault");
  memory.major_page_faults = memory.tree_major_page_faults = At(stat, "pgmajfault");
  memory.swap = One(files, "memory.swap.current");
  memory.max_usage = One(files, "memory.peak");
  const auto events = Flat(files, "memory.events");
  memory.failcnt = At(events, "max");
  memory.oom_kills = At(events, "oom_kill");
  memory.pressure = PressureOf(files, "memory.pressure");
  SetWorkingSet(&memory);
  return memory;
}

constexpr const char* kV2Files[] = {
    "cpu.stat",       "cpu.weight",         "cpu.max",         "cpu.pressure",    "memory.current",
    "memory.stat",    "memory.max",         "memory.min",      "memory.peak",     "memory.swap.max",
    "memory.events",  "memory.pressure",    "memory.swap.current", "io.stat",     "io.pressure",
    "pids.current",   "pids.max",           "cgroup.procs"};
struct V1File {
  const char* controller;
  const char* file;
};
constexpr V1File kV1Files[] = {
    {"cpuacct", "cpuacct.usage"},
    {"cpuacct", "cpuacct.stat"},
    {"cpu", "cpu.stat"},
    {"cpu", "cpu.shares"},
    {"cpu", "cpu.cfs_quota_us"},
    {"cpu", "cpu.cfs_period_us"},
    {"memory", "memory.usage_in_bytes"},
    {"memory", "memory.max_usage_in_bytes"},
    {"memory", "memory.limit_in_bytes"},
    {"memory", "memory.soft_limit_in_bytes"},
    {"memory", "memory.memsw.limit_in_bytes"},
    {"memory", "memory.failcnt"},
    {"memory", "memory.kmem.usage_in_bytes"},
    {"memory", "memory.stat"},
    {"memory", "memory.oom_control"},
    {"memory", "cgroup.procs"},
    {"pids", "pids.current"},
    {"pids", "pids.max"},
    {"blkio", "blkio.throttle.io_service_bytes_recursive"},
    {"blkio", "blkio.throttle.io_serviced_recursive"},
};

}  // namespace

absl::StatusOr<Pressure> ParsePressure(std::string_view text) {
  Pressure pressure;
  for (std::string_view line : Words(text, "\n")) {
    const auto words = Words(line, " ");
    PressureLine values;
    int seen = 0;
    for (std::string_view word : words) {
      const size_t equals = word.find('=');
      if (equals == word.npos) continue;
      const std::string_view key = word.substr(0, equals), value = word.substr(equals + 1);
      double* average = key == "avg10"    ? &values.avg10
                        : key == "avg60"  ? &values.avg60
                        : key == "avg300" ? &values.avg300
                                          : nullptr;
      if (average != nullptr) {
        auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), *average);
        seen += error == std::errc();
      } else if (auto total = Number(value); key == "total" && total) {
        values.total_us = *total;
        ++seen;
      }
    }
    if (words.empty() || seen != 4)
      return absl::InvalidArgumentError(
          base::StrCat("not a line of pressure stall information: ", line));
    if (words[0] == "some") pressure.some = values;
    if (words[0] == "full") pressure.full = values;
  }
  return pressure;
}

GroupUsage UsageFromV1(const GroupTexts& files) {
  GroupUsage usage;
  usage.cpu = CpuOfV1(files);
  usage.memory = MemoryOfV1(files);
  usage.tasks = One(files, "pids.current");
  usage.processes = Processes(files);
  AddThrottled(files, "blkio.throttle.io_service_bytes_recursive", &BlockUsage::read_bytes,
               &BlockUsage::write_bytes, &usage.block);
  AddThrottled(files, "blkio.throttle.io_serviced_recursive", &BlockUsage::reads,
               &BlockUsage::writes, &usage.block);
  usage.limits.cpu_shares = One(files, "cpu.shares");
  usage.limits.cpu_quota_us = One(files, "cpu.cfs_quota_us");  // -1 is no number
  usage.limits.cpu_period_us = One(files, "cpu.cfs_period_us");
  usage.limits.memory = Limit(files, "memory.limit_in_bytes");
  usage.limits.memory_reservation = Limit(files, "memory.soft_limit_in_bytes");
  usage.limits.memory_and_swap = Limit(files, "memory.memsw.limit_in_bytes");
  usage.limits.pids = Limit(files, "pids.max");
  return usage;
}

GroupUsage UsageFromV2(const GroupTexts& files) {
  GroupUsage usage;
  usage.cpu = CpuOfV2(files);
  usage.memory = MemoryOfV2(files);
  usage.tasks = One(files, "pids.current");
  usage.processes = Processes(files);
  usage.block = BlockOfV2(files);
  usage.io_pressure = PressureOf(files, "io.pressure");
  if (auto weight = One(files, "cpu.weight"); weight && *weight > 0)
    usage.limits.cpu_shares = SharesFromWeight(*weight);
  if (auto it = files.find("cpu.max"); it != files.end()) {
    const auto words = Words(it->second, " \n");
    if (words.size() == 2) {
      usage.limits.cpu_quota_us = Number(words[0]);
      usage.limits.cpu_period_us = Number(words[1]);
    }
  }
  usage.limits.memory = Limit(files, "memory.max");
  usage.limits.memory_reservation = Limit(files, "memory.min");
  usage.limits.swap = Limit(files, "memory.swap.max");
  usage.limits.pids = Limit(files, "pids.max");
  return usage;
}

absl::StatusOr<GroupUsage> ReadUsage(const Hierarchies& hierarchies, const std::string& group) {
  GroupTexts texts;
  auto read = [&](const std::string& mount, const char* file) {
    auto text = base::ReadFile(base::StrCat(mount, group == "/" ? "" : group, "/", file), kMaxFile);
    if (text.ok()) texts.emplace(file, *std::move(text));
  };
  if (hierarchies.is_v2()) {
    for (const char* file : kV2Files) read(hierarchies.v2, file);
  } else {
    for (const V1File& file : kV1Files)
      if (auto mount = hierarchies.v1.find(file.controller); mount != hierarchies.v1.end())
        read(mount->second, file.file);
  }
  if (texts.empty()) return absl::NotFoundError(base::StrCat("there is no cgroup ", group));
  return hierarchies.is_v2() ? UsageFromV2(texts) : UsageFromV1(texts);
}

std::string GroupPath(std::string_view name) {
  constexpr std::string_view kSlice = ".slice";
  if (!name.ends_with(kSlice) || name.find('/') != name.npos) return std::string(name);
  const std::string_view stem = name.substr(0, name.size() - kSlice.size());
  std::string path;
  for (size_t dash = stem.find('-'); dash != stem.npos; dash = stem.find('-', dash + 1))
    base::StrAppend(&path, "/", stem.substr(0, dash), kSlice);
  base::StrAppend(&path, "/", name);
  return path;
}

std::string ContainerChild(const std::vector<std::string>& children, std::string_view id) {
  const std::string scope = base::StrCat("-", id, ".scope");
  for (const std::string& child : children)
    if (child == id || (child.ends_with(scope) && child.find("conmon") == child.npos)) return child;
  return "";
}

std::string GroupOfProcess(std::string_view proc_cgroup) {
  std::string unified;
  for (std::string_view line : Words(proc_cgroup, "\n")) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    const std::string_view path = line.substr(second + 1);
    for (std::string_view controller : Words(line.substr(first + 1, second - first - 1), ","))
      if (controller == "memory") return std::string(path);
    if (second == first + 1) unified = path;
  }
  return unified;
}

}  // namespace keelson::cgroups
