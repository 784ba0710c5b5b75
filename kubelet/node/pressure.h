// SPDX-License-Identifier: Apache-2.0
// Whether the node runs short of memory, disk or process numbers: what the eviction thresholds say
// of the kernel's figures, with the hysteresis of upstream's eviction manager.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/loop.h"
#include "base/task.h"
#include "base/time.h"
#include "proto/k8s/kubelet_config.pb.h"

namespace keelson::kubelet {

// What is left of something, and how much there is in all; bytes or counts.
struct SignalValue {
  int64_t available = 0;
  int64_t capacity = 0;
};
// By upstream's names: memory.available, nodefs.inodesFree, ...
using Signals = std::map<std::string, SignalValue>;

// Blocking. Of /proc/meminfo, /proc/loadavg, kernel.pid_max and the file systems of the two paths;
// an empty `image_fs` is the node's. What cannot be read is left out.
Signals ReadSignals(const std::string& root_dir, const std::string& image_fs,
                    const std::string& proc = "/proc");

struct EvictionThreshold {
  std::string signal;
  std::string value;        // "100Mi" or "10%" of the capacity
  std::string min_reclaim;  // likewise: once met, this much more is needed to be over; may be empty
};
// Hard and soft ones, with minimum reclaims. "0%" and "100%" switch a threshold off.
std::vector<EvictionThreshold> ThresholdsOf(
    const k8s::kubelet::v1beta1::KubeletConfiguration& config);

struct Pressures {
  bool memory = false, disk = false, pid = false;
  bool operator==(const Pressures&) const = default;
};

// Remembers what was met, and since when it no longer is.
class PressureState {
 public:
  PressureState(std::vector<EvictionThreshold> thresholds, base::Nanos transition)
      : thresholds_(std::move(thresholds)), transition_(transition) {}
  // A pressure ends when nothing has caused it for the transition period.
  Pressures Observe(const Signals& signals, base::MonoTime now);

 private:
  bool Met(const EvictionThreshold& threshold, const SignalValue& value, bool before) const;

  const std::vector<EvictionThreshold> thresholds_;
  const base::Nanos transition_;
  std::set<size_t> met_;                               // indices of thresholds_
  std::optional<base::MonoTime> memory_, disk_, pid_;  // last seen
};

struct PressureWatchOptions {
  std::string root_dir;
  std::string image_fs;
  base::Nanos interval = std::chrono::seconds(10);
};

// Looks every interval until cancelled; `changed` hears of each change, the first look included if
// something is short.
class PressureWatch {
 public:
  PressureWatch(base::Loop& loop, PressureState state, PressureWatchOptions options,
                std::function<void()> changed)
      : loop_(loop),
        state_(std::move(state)),
        o_(std::move(options)),
        changed_(std::move(changed)) {}
  base::Task<void> Run();
  const Pressures& now() const { return now_; }

 private:
  base::Loop& loop_;
  PressureState state_;
  const PressureWatchOptions o_;
  const std::function<void()> changed_;
  Pressures now_;
};

}  // namespace keelson::kubelet
