// SPDX-License-Identifier: Apache-2.0
#include "kubelet/pod_manager.h"

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"

namespace keelson::kubelet {

using base::Task;

namespace {

// Grace of a pod in the runtime that no source knows.
constexpr int64_t kOrphanGrace = 1;
// Traces without an owner come from crashes only; this is the net under the sweep at start.
constexpr std::chrono::minutes kSweepPeriod(5);

// Source, time of first sight and mirror mark are ours; all else makes another pod of it.
bool SamePod(const v1::Pod& a, const v1::Pod& b) {
  auto strip = [](v1::Pod pod) {
    auto* annotations = pod.mutable_metadata()->mutable_annotations();
    for (std::string_view key : {kConfigSource, kConfigSeen, kConfigMirror})
      annotations->erase(std::string(key));
    pod.clear_status();
    return pod;
  };
  return strip(a).SerializeAsString() == strip(b).SerializeAsString();
}

}  // namespace

PodPtr OrphanPod(const ObservedPod& seen) {
  auto pod = std::make_shared<v1::Pod>();
  pod->mutable_metadata()->set_uid(seen.uid);
  pod->mutable_metadata()->set_name(seen.name);
  pod->mutable_metadata()->set_namespace_(seen.ns);
  std::set<std::string> names;
  for (const auto& c : seen.containers)
    if (names.insert(c.name).second) pod->mutable_spec()->add_containers()->set_name(c.name);
  return pod;
}

PodManager::PodManager(PodServices& services, std::set<PodSource> sources, Admission& admission)
    : s_(services), admission_(admission), sources_(std::move(sources)), tasks_(services.loop) {}

void PodManager::Apply(SourceUpdate update) {
  std::set<PodUid> present;
  for (PodPtr& pod : update.pods) {
    const PodUid uid = pod->metadata().uid();
    present.insert(uid);
    auto it = desired_.find(uid);
    if (it == desired_.end()) {
      desired_.emplace(uid, Desired{std::move(pod), update.source, {}});
    } else if (!SamePod(*it->second.pod, *pod)) {
      it->second.pod = pod;
      if (auto w = workers_.find(uid); w != workers_.end() && !w->second.worker->removed())
        w->second.worker->Update(std::move(pod));
    }
  }
  std::erase_if(desired_, [&](const auto& item) {
    return item.second.source == update.source && !present.contains(item.first);
  });
  delivered_.insert(update.source);
  Reconcile();
}

bool PodManager::NameInUse(const std::string& full_name) const {
  return std::any_of(workers_.begin(), workers_.end(),
                     [&](const auto& item) { return item.second.full_name == full_name; });
}

// Brings the workers in line with what is wanted. Cheap and idempotent.
void PodManager::Reconcile() {
  for (auto& [uid, running] : workers_) {
    if (desired_.contains(uid) || running.worker->removed()) continue;
    // A pod that comes from an old life of the agent may still be listed by a source that has not
    // spoken yet.
    if (!sources_ready() && !IsStaticPod(running.worker->pod())) continue;
    running.worker->Terminate({.grace = std::nullopt, .verdict = std::nullopt, .removed = true});
  }
  // Strangers first: a pod of the same name has to wait until they are gone.
  if (sources_ready()) {
    for (const PodUid& uid : s_.pleg.KnownPods())
      if (!workers_.contains(uid) && !desired_.contains(uid)) StartOrphan(uid);
    sweep_.Set();
  }
  for (auto& [uid, desired] : desired_)
    if (!workers_.contains(uid)) StartDesired(uid, desired);
}

void PodManager::StartDesired(const PodUid& uid, Desired& desired) {
  if (desired.rejected) return;
  if (NameInUse(FullName(*desired.pod))) {
    KLOG_V(2, "Pod waits for one of the same name to end", {"pod", ShortName(*desired.pod)},
           {"uid", uid});
    return;
  }
  if (Admit(uid, desired)) StartWorker(desired.pod, FirstSeen(*desired.pod));
}

bool PodManager::Admit(const PodUid& uid, Desired& desired) {
  std::vector<const v1::Pod*> others;
  for (const auto& [other_uid, running] : workers_)
    if (other_uid != uid && running.worker->phase() < WorkerPhase::kTerminated)
      others.push_back(&running.worker->pod());
  // What runs already was admitted before: a restart of the agent must not end it.
  if (s_.pleg.View(uid).AnyRunning()) return true;
  auto verdict = admission_.Decide(*desired.pod, others);
  if (!verdict) return true;
  s_.events.PodEvent(*desired.pod, EventType::kWarning, verdict->reason, verdict->message);
  desired.rejected = PodVerdict{verdict->reason,
                                base::StrCat("Pod was rejected: ", verdict->message)};
  return false;
}

base::WallTime PodManager::FirstSeen(const v1::Pod& pod) const {
  base::WallTime first = s_.loop.clock().Now();
  for (const auto& sandbox : s_.pleg.View(pod.metadata().uid()).sandboxes)
    if (sandbox.created_at > 0) first = std::min(first, base::FromUnixNanos(sandbox.created_at));
  return first;
}

void PodManager::StartOrphan(const PodUid& uid) {
  PodPtr pod = OrphanPod(s_.pleg.View(uid));
  KLOG_INFO("Ending a pod that no source knows", {"pod", ShortName(*pod)}, {"uid", uid});
  // Told before it runs: its spec is only what labels say, nothing may be planned from it.
  StartWorker(pod, FirstSeen(*pod),
              TerminateRequest{.grace = kOrphanGrace, .verdict = std::nullopt, .removed = true});
}

void PodManager::StartWorker(PodPtr pod, base::WallTime first_seen,
                             std::optional<TerminateRequest> end) {
  const PodUid uid = pod->metadata().uid();
  std::string name = FullName(*pod);
  auto worker = std::make_unique<PodWorker>(s_, std::move(pod), first_seen, [](PodWorker&) {});
  if (end) worker->Terminate(*std::move(end));
  workers_.emplace(uid, Running{std::move(worker), std::move(name)});
  tasks_.Spawn(base::StrCat("pod ", uid), RunWorker(uid));
}

Task<void> PodManager::RunWorker(PodUid uid) {
  PodWorker* worker = workers_.at(uid).worker.get();
  co_await worker->Run();
  co_await worker->Close();
  workers_.erase(uid);
  Reconcile();
}

void PodManager::Wake(const PodUid& uid) {
  auto it = workers_.find(uid);
  if (it != workers_.end()) it->second.worker->Wake();
}

void PodManager::OnRuntimeChange(const PodUid& uid) {
  if (workers_.contains(uid)) return Wake(uid);
  // Not ours yet: an orphan, if it stays so after the next look.
  if (sources_ready()) sweep_.Set();
}

Task<void> PodManager::Run() {
  tasks_.Spawn("sweep", SweepLoop());
  co_await tasks_.Join();
}

Task<void> PodManager::Close() {
  tasks_.Cancel();
  for (auto& [uid, running] : workers_) co_await running.worker->Close();
  co_await tasks_.Join();
}

bool PodManager::Owned(const PodUid& uid) const {
  return workers_.contains(uid) || desired_.contains(uid) || !s_.pleg.View(uid).empty();
}

Task<void> PodManager::SweepLoop() {
  while (true) {
    base::MonoTime next = s_.loop.clock().Monotonic() + kSweepPeriod;
    co_await sweep_.WaitUntil(s_.loop.clock(), next);
    if (sources_ready()) co_await Sweep();
  }
}

// Directories, mounts and cgroups whose pod is gone from everywhere, and pods in the runtime that
// appeared without a worker.
Task<void> PodManager::Sweep() {
  std::vector<PodUid> strangers;
  for (const PodUid& uid : s_.pleg.KnownPods())
    if (!workers_.contains(uid) && !desired_.contains(uid)) strangers.push_back(uid);
  for (const PodUid& uid : strangers) {
    absl::Status looked = co_await s_.pleg.Refresh(uid);
    if (!looked.ok())
      KLOG_WARNING("Cannot read a pod that no source knows", {"uid", uid}, {"err", looked});
    // Much may have happened meanwhile: it may be gone, wanted or in hand.
    bool there = !s_.pleg.View(uid).empty();
    if (there && !workers_.contains(uid) && !desired_.contains(uid)) StartOrphan(uid);
  }
  std::map<PodUid, PodFiles::LogDir> left;
  auto dirs = co_await s_.files.ListPodDirs();
  auto logs = co_await s_.files.ListLogDirs();
  auto groups = co_await s_.cgroups.ListPods();
  if (dirs.ok())
    for (const auto& uid : *dirs) left[uid].uid = uid;
  if (groups.ok())
    for (const auto& uid : *groups) left[uid].uid = uid;
  if (logs.ok())
    for (const auto& dir : *logs) left[dir.uid] = dir;
  for (const auto& [uid, dir] : left) {
    if (Owned(uid)) continue;
    absl::Status status = co_await s_.volumes.Unmount(uid);
    if (status.ok()) status = co_await s_.cgroups.Destroy(uid);
    if (status.ok() && !Owned(uid)) status = co_await s_.files.RemovePod(dir.ns, dir.name, uid);
    if (status.ok()) KLOG_INFO("Removed what a former pod left behind", {"uid", uid});
    else KLOG_WARNING("Cannot remove what a former pod left behind", {"uid", uid}, {"err", status});
  }
}

PodManager::Entry PodManager::EntryOf(const Desired& desired) const {
  Entry entry;
  entry.pod = desired.pod;
  entry.status.set_phase("Pending");
  entry.doing = "waits for a pod of the same name to end";
  if (desired.rejected) {
    entry.status.set_phase("Failed");
    entry.status.set_reason(desired.rejected->reason);
    entry.status.set_message(desired.rejected->message);
    entry.doing = "rejected";
  }
  return entry;
}

std::vector<PodManager::Entry> PodManager::Pods() const {
  std::vector<Entry> entries;
  for (const auto& [uid, running] : workers_) {
    const PodWorker& w = *running.worker;
    entries.push_back({w.pod_ptr(), w.status(), w.phase(), w.Doing(), w.removed()});
  }
  for (const auto& [uid, desired] : desired_)
    if (!workers_.contains(uid)) entries.push_back(EntryOf(desired));
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return ShortName(*a.pod) < ShortName(*b.pod);
  });
  return entries;
}

std::optional<PodManager::Entry> PodManager::Find(const std::string& ns,
                                                  const std::string& name) const {
  std::optional<Entry> found;
  for (Entry& entry : Pods()) {
    const auto& meta = entry.pod->metadata();
    if (meta.name() != name || meta.namespace_() != ns) continue;
    if (!found || found->removed) found = std::move(entry);
  }
  return found;
}

}  // namespace keelson::kubelet
