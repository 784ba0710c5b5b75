// SPDX-License-Identifier: Apache-2.0
#include "kubelet/node/pressure.h"

#include <sys/statvfs.h>

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "proto/codec/quantity.h"

namespace keelson::kubelet {

namespace {

int64_t Number(std::string_view text) {
  int64_t value = 0;
  return absl::SimpleAtoi(base::ToAbsl(text), &value) ? value : 0;
}

// "MemFree:   123 kB" of /proc/meminfo, in bytes.
int64_t MemInfo(const std::string& text, const std::string& key) {
  const size_t at = text.find(key + ":");
  if (at == text.npos) return 0;
  const size_t from = text.find_first_of("0123456789", at);
  if (from == text.npos) return 0;
  return Number(std::string_view(text).substr(from, text.find(' ', from) - from)) * 1024;
}

// The root's working set leaves out inactive file pages, so they count as available (cAdvisor).
void AddMemory(const std::string& proc, Signals* signals) {
  auto text = base::ReadFile(proc + "/meminfo");
  if (!text.ok()) return;
  (*signals)["memory.available"] = {MemInfo(*text, "MemFree") + MemInfo(*text, "Inactive(file)"),
                                    MemInfo(*text, "MemTotal")};
}

// Tasks as in the fourth field of loadavg, running/all.
void AddPids(const std::string& proc, Signals* signals) {
  auto load = base::ReadFile(proc + "/loadavg");
  auto pid_max = base::ReadFile(proc + "/sys/kernel/pid_max");
  auto threads_max = base::ReadFile(proc + "/sys/kernel/threads-max");
  if (!load.ok() || !pid_max.ok() || !threads_max.ok()) return;
  const std::vector<std::string> fields = absl::StrSplit(*load, ' ');
  if (fields.size() < 4) return;
  const int64_t tasks = Number(std::string_view(fields[3]).substr(fields[3].find('/') + 1));
  auto first = [](const std::string& t) { return Number(t.substr(0, t.find('\n'))); };
  const int64_t most = std::min(first(*pid_max), first(*threads_max));
  (*signals)["pid.available"] = {most - tasks, most};
}

void AddFileSystem(const std::string& path, const std::string& prefix, Signals* signals) {
  struct statvfs fs = {};
  if (::statvfs(path.c_str(), &fs) < 0) return;
  const auto size = static_cast<int64_t>(fs.f_frsize);
  (*signals)[prefix + ".available"] = {static_cast<int64_t>(fs.f_bavail) * size,
                                       static_cast<int64_t>(fs.f_blocks) * size};
  // btrfs and others have no fixed number of inodes and say 0.
  if (fs.f_files > 0)
    (*signals)[prefix + ".inodesFree"] = {static_cast<int64_t>(fs.f_ffree),
                                          static_cast<int64_t>(fs.f_files)};
}

std::optional<int64_t> Amount(const std::string& text, int64_t capacity) {
  if (text.empty()) return 0;
  if (text.ends_with("%")) {
    double percent = 0;
    if (!absl::SimpleAtod(text.substr(0, text.size() - 1), &percent)) return std::nullopt;
    return static_cast<int64_t>(static_cast<double>(capacity) * percent / 100);
  }
  auto quantity = proto::Quantity::Parse(text);
  if (!quantity.ok()) return std::nullopt;
  return quantity->Value();
}

}  // namespace

Signals ReadSignals(const std::string& root_dir, const std::string& image_fs,
                    const std::string& proc) {
  Signals signals;
  AddMemory(proc, &signals);
  AddPids(proc, &signals);
  AddFileSystem(root_dir, "nodefs", &signals);
  AddFileSystem(image_fs.empty() ? root_dir : image_fs, "imagefs", &signals);
  return signals;
}

std::vector<EvictionThreshold> ThresholdsOf(
    const k8s::kubelet::v1beta1::KubeletConfiguration& config) {
  std::vector<EvictionThreshold> thresholds;
  for (const auto* map : {&config.evictionhard(), &config.evictionsoft()}) {
    for (const auto& [signal, value] : *map) {
      if (value == "0%" || value == "100%") continue;
      auto reclaim = config.evictionminimumreclaim().find(signal);
      thresholds.push_back(
          {signal, value, reclaim == config.evictionminimumreclaim().end() ? "" : reclaim->second});
    }
  }
  return thresholds;
}

bool PressureState::Met(const EvictionThreshold& threshold, const SignalValue& value,
                        bool before) const {
  auto limit = Amount(threshold.value, value.capacity);
  auto more = Amount(threshold.min_reclaim, value.capacity);
  return limit && more && value.available < *limit + (before ? *more : 0);
}

Pressures PressureState::Observe(const Signals& signals, base::MonoTime now) {
  for (size_t i = 0; i < thresholds_.size(); ++i) {
    const EvictionThreshold& threshold = thresholds_[i];
    auto value = signals.find(threshold.signal);
    if (value == signals.end()) continue;  // unknown now: as it was
    if (!Met(threshold, value->second, met_.contains(i))) {
      met_.erase(i);
      continue;
    }
    met_.insert(i);
    const std::string& name = threshold.signal;
    (name.starts_with("memory.") ? memory_ : name.starts_with("pid.") ? pid_ : disk_) = now;
  }
  auto holds = [&](const std::optional<base::MonoTime>& seen) {
    return seen && (*seen == now || now - *seen < transition_);
  };
  return {holds(memory_), holds(disk_), holds(pid_)};
}

base::Task<void> PressureWatch::Run() {
  while (true) {
    auto read = [root = o_.root_dir, image = o_.image_fs]() -> absl::StatusOr<Signals> {
      return ReadSignals(root, image);
    };
    auto signals = co_await base::RunBlocking(loop_, std::move(read));
    const Pressures next = state_.Observe(*signals, loop_.clock().Monotonic());
    if (next != now_) {
      KLOG_WARNING("The node's pressure changed", {"memory", next.memory}, {"disk", next.disk},
                   {"pid", next.pid});
      now_ = next;
      changed_();
    }
    co_await base::Sleep(loop_.clock(), o_.interval);
  }
}

}  // namespace keelson::kubelet
