// SPDX-License-Identifier: Apache-2.0
#include "kubelet/stats/pod_starts.h"

#include <algorithm>

namespace keelson::kubelet {
namespace {

using k8s::meta::v1::Time;

base::WallTime WallOf(const Time& time) {
  return base::FromUnixNanos(time.seconds() * 1'000'000'000 + time.nanos());
}

bool AllRun(const v1::Pod& pod) {
  const auto& statuses = pod.status().containerstatuses();
  return !statuses.empty() && std::all_of(statuses.begin(), statuses.end(), [](const auto& c) {
    return c.state().has_running() && c.state().running().has_startedat();
  });
}

bool HasEnded(const v1::Pod& pod) {
  return pod.status().phase() == "Succeeded" || pod.status().phase() == "Failed";
}

// A volume of a kind that the indicator does not count as without state.
bool IsStateful(const v1::Pod& pod) {
  return std::any_of(pod.spec().volumes().begin(), pod.spec().volumes().end(), [](const auto& v) {
    const v1::VolumeSource& from = v.volumesource();
    return !from.has_secret() && !from.has_configmap() && !from.has_downwardapi() &&
           !from.has_emptydir() && !from.has_projected();
  });
}

base::Nanos InitTime(const v1::Pod& pod) {
  base::Nanos sum{};
  for (const auto& c : pod.status().initcontainerstatuses()) {
    if (!c.state().has_terminated()) continue;
    const auto& ended = c.state().terminated();
    sum += std::max(base::Nanos{}, WallOf(ended.finishedat()) - WallOf(ended.startedat()));
  }
  return sum;
}

}  // namespace

base::Nanos Covered(std::vector<TimeSpan> spans) {
  std::sort(spans.begin(), spans.end());
  base::Nanos sum{};
  base::WallTime covered;
  for (const auto& [begin, end] : spans) {
    const base::WallTime from = std::max(begin, covered);
    if (end <= from) continue;
    sum += end - from;
    covered = end;
  }
  return sum;
}

void PodStarts::Pulled(const PodUid& uid, base::WallTime now, base::Nanos took) {
  if (auto it = known_.find(uid); it != known_.end() && !it->second)
    pulls_[uid].emplace_back(now - took, now);
}

void PodStarts::Watched(const PodUid& uid, const v1::Pod* pod, base::WallTime now) {
  if (pod == nullptr) {
    known_.erase(uid);
    pulls_.erase(uid);
    return;
  }
  const bool begun = pod->status().has_starttime() ||
                     pod->metadata().annotations().contains("kubernetes.io/config.mirror");
  bool& done = known_.try_emplace(uid, begun).first->second;
  if (!done && (HasEnded(*pod) || AllRun(*pod))) {
    done = true;
    if (!HasEnded(*pod)) {
      const base::Nanos total = now - WallOf(pod->metadata().creationtimestamp());
      std::optional<base::Nanos> own;
      if (!IsStateful(*pod)) own = total - Covered(pulls_[uid]) - InitTime(*pod);
      metrics_.PodStarted(total, own, !pod->spec().hostnetwork());
    }
  }
  if (done) pulls_.erase(uid);
}

}  // namespace keelson::kubelet
