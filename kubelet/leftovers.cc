// SPDX-License-Identifier: Apache-2.0
#include "kubelet/leftovers.h"

#include <map>
#include <utility>

#include "base/log.h"

namespace keelson::kubelet {

using base::Task;

namespace {

constexpr std::chrono::seconds kFirstSweep(2);
constexpr std::chrono::minutes kSweepPeriod(5);

// What cannot be listed now is looked for at the next sweep.
void Note(const absl::Status& listed) {
  if (!listed.ok()) KLOG_WARNING("Cannot look for what former pods left", {"err", listed});
}

}  // namespace

Leftovers::Leftovers(PodServices& services, std::function<bool(const PodUid&)> knows,
                     std::function<void(const PodUid&)> end)
    : s_(services), knows_(std::move(knows)), end_(std::move(end)) {}

bool Leftovers::Owned(const PodUid& uid) const {
  return knows_(uid) || !s_.pleg.View(uid).empty();
}

Task<void> Leftovers::EndStrangers() {
  while (true) {
    co_await stranger_.Wait();
    co_await EndUnknownPods();
  }
}

Task<void> Leftovers::Sweep() {
  co_await ready_.Wait();
  co_await base::Sleep(s_.loop.clock(), kFirstSweep);
  while (true) {
    co_await EndUnknownPods();
    co_await RemoveTraces();
    co_await base::Sleep(s_.loop.clock(), kSweepPeriod);
  }
}

// Pods in the runtime that appeared without a worker.
Task<void> Leftovers::EndUnknownPods() {
  std::vector<PodUid> strangers;
  for (const PodUid& uid : s_.pleg.KnownPods())
    if (!knows_(uid)) strangers.push_back(uid);
  for (const PodUid& uid : strangers) {
    absl::Status looked = co_await s_.pleg.Refresh(uid);
    if (!looked.ok())
      KLOG_WARNING("Cannot read a pod that no source knows", {"uid", uid}, {"err", looked});
    // Much may have happened meanwhile: it may be gone, wanted or in hand.
    if (!s_.pleg.View(uid).empty() && !knows_(uid)) end_(uid);
  }
}

// Directories, mounts and cgroups whose pod is gone from everywhere.
Task<void> Leftovers::RemoveTraces() {
  std::map<PodUid, PodFiles::LogDir> left;
  auto dirs = co_await s_.files.ListPodDirs();
  auto logs = co_await s_.files.ListLogDirs();
  auto groups = co_await s_.cgroups.ListPods();
  Note(dirs.status());
  Note(logs.status());
  Note(groups.status());
  if (dirs.ok())
    for (const auto& uid : *dirs) left[uid].uid = uid;
  if (groups.ok())
    for (const auto& uid : *groups) left[uid].uid = uid;
  if (logs.ok())
    for (const auto& dir : *logs) left[dir.uid] = dir;
  for (const auto& [uid, dir] : left) {
    if (Owned(uid)) continue;
    absl::Status status = co_await s_.volumes.Unmount(uid);
    // A manifest may come back with the same uid at any time.
    if (status.ok() && !Owned(uid)) status = co_await s_.cgroups.Destroy(uid);
    if (status.ok() && !Owned(uid)) status = co_await s_.files.RemovePod(dir.ns, dir.name, uid);
    if (status.ok()) KLOG_INFO("Removed what a former pod left behind", {"uid", uid});
    else KLOG_WARNING("Cannot remove what a former pod left behind", {"uid", uid}, {"err", status});
  }
}

}  // namespace keelson::kubelet
