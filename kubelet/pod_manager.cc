// SPDX-License-Identifier: Apache-2.0
#include "kubelet/pod_manager.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "kubelet/canonical.h"
#include "kubelet/preemption.h"

namespace keelson::kubelet {

using base::Task;

namespace {

// Grace of a pod in the runtime that no source knows.
constexpr int64_t kOrphanGrace = 1;

// Source, time of first sight and mirror mark are ours, and a status is no wish; all else makes
// another pod of it.
std::string Wish(const v1::Pod& pod) {
  v1::Pod wish = pod;
  auto* meta = wish.mutable_metadata();
  for (std::string_view key : {kConfigSource, kConfigSeen, kConfigMirror})
    meta->mutable_annotations()->erase(std::string(key));
  meta->clear_resourceversion();
  meta->clear_managedfields();
  meta->clear_finalizers();
  wish.clear_status();
  return Canonical(wish);
}

// Somebody wants the object gone: a pod of the API server with a deletionTimestamp.
bool IsBeingDeleted(const v1::Pod& pod) {
  return !IsStaticPod(pod) && pod.metadata().has_deletiontimestamp();
}

// For what the node's object says, and others may have changed.
bool OfNode(const Rejection& why) {
  return why.reason == "NodeAffinity" || why.reason == "TaintToleration";
}

// Taken away and brought back it goes on where it was, as upstream has it.
bool RunsOn(const v1::Pod& pod) {
  return IsStaticPod(pod) && pod.spec().restartpolicy() != "Never";
}

bool IsOver(const v1::Pod& pod) {
  return !IsStaticPod(pod) && IsTerminalPhase(pod.status().phase());
}

TerminateRequest Deletion(const v1::Pod& pod) {
  TerminateRequest request;
  if (pod.metadata().has_deletiongraceperiodseconds())
    request.grace = pod.metadata().deletiongraceperiodseconds();
  request.removed = true;
  return request;
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
    : s_(services),
      admission_(admission),
      sources_(std::move(sources)),
      leftovers_(
          services, [this](const PodUid& uid) { return Knows(uid); },
          [this](const PodUid& uid) { StartOrphan(uid); }),
      tasks_(services.loop) {}

void PodManager::Apply(SourceUpdate update) {
  std::set<PodUid> present;
  for (PodPtr& pod : update.pods) {
    const PodUid uid = pod->metadata().uid();
    present.insert(uid);
    auto it = desired_.find(uid);
    if (it == desired_.end()) desired_.emplace(uid, Desired{std::move(pod), update.source, {}, false, {}});
    else if (it->second.pod != pod) TakeObject(it->second, std::move(pod));
  }
  DropUnwanted(update.source, present);
  delivered_.insert(update.source);
  Reconcile();
}

void PodManager::TakeObject(Desired& desired, PodPtr pod) {
  const bool same = Wish(*desired.pod) == Wish(*pod);
  desired.pod = pod;
  auto w = workers_.find(pod->metadata().uid());
  if (w == workers_.end()) return;
  PodWorker& worker = *w->second.worker;
  if (same) worker.UpdateObject(std::move(pod));
  // A static pod that is wanted again while it ends begins anew afterwards.
  else if (!worker.removed() || IsBeingDeleted(*pod)) worker.Update(std::move(pod));
}

void PodManager::DropUnwanted(PodSource source, const std::set<PodUid>& present) {
  for (auto it = desired_.begin(); it != desired_.end();) {
    const Desired& desired = it->second;
    if (desired.source != source || present.contains(it->first)) {
      ++it;
      continue;
    }
    if (reporter_) {
      PodReport report;
      report.pod = desired.pod;
      report.gone = true;
      reporter_(report);
    }
    it = desired_.erase(it);
  }
}

// A static pod waits until the one of the same name has ended; those of the API server have different
// names or, after a forced deletion, need not wait.
bool PodManager::MustWait(const v1::Pod& pod) const {
  if (!IsStaticPod(pod)) return false;
  return std::any_of(workers_.begin(), workers_.end(), [&](const auto& item) {
    return item.second.full_name == FullName(pod);
  });
}

// Brings the workers in line with what is wanted. Cheap and idempotent.
void PodManager::Reconcile() {
  for (auto& [uid, running] : workers_) {
    const auto again = desired_.find(uid);
    running.worker->SetWantedAgain(again != desired_.end() && RunsOn(*again->second.pod));
    if (again != desired_.end() || running.worker->removed()) continue;
    // A pod that comes from an old life of the agent may still be listed by a source that has not
    // spoken yet.
    if (!sources_ready() && !IsStaticPod(running.worker->pod())) continue;
    running.worker->Terminate({.grace = std::nullopt, .verdict = std::nullopt, .removed = true});
  }
  // Strangers first: a pod of the same name has to wait until they are gone.
  if (sources_ready()) {
    for (const PodUid& uid : s_.pleg.KnownPods())
      if (!Knows(uid)) StartOrphan(uid);
    leftovers_.Start();
  }
  EndDeleted();
  for (const PodUid& uid : ToStart()) StartDesired(uid, desired_.at(uid));
}

void PodManager::EndDeleted() {
  for (auto& [uid, desired] : desired_) {
    if (desired.finished || !IsBeingDeleted(*desired.pod)) continue;
    if (auto w = workers_.find(uid); w != workers_.end())
      w->second.worker->Terminate(Deletion(*desired.pod));
    else if (desired.rejected)
      Finish(desired);
  }
}

// What ran before comes first, so that what is new cannot take its place; then in order of age.
std::vector<PodUid> PodManager::ToStart() const {
  std::vector<std::tuple<bool, int64_t, PodUid>> order;
  for (const auto& [uid, desired] : desired_) {
    if (workers_.contains(uid) || desired.rejected || desired.finished) continue;
    const v1::Pod& pod = *desired.pod;
    order.emplace_back(!RanBefore(pod), pod.metadata().creationtimestamp().seconds(), uid);
  }
  std::sort(order.begin(), order.end());
  std::vector<PodUid> uids;
  for (auto& [fresh, age, uid] : order) uids.push_back(std::move(uid));
  return uids;
}

void PodManager::StartDesired(const PodUid& uid, Desired& desired) {
  const v1::Pod& pod = *desired.pod;
  if (MustWait(pod)) {
    KLOG_V(2, "Pod waits for one of the same name to end", {"pod", ShortName(pod)}, {"uid", uid});
    return;
  }
  // Nothing may be there to end, or be left over; the worker looks, and says the last word.
  if (IsBeingDeleted(pod)) return StartWorker(desired.pod, FirstSeen(pod), Deletion(pod));
  if (IsOver(pod)) return StartWorker(desired.pod, FirstSeen(pod), TerminateRequest());
  if (Admit(uid, desired)) StartWorker(desired.pod, FirstSeen(pod));
}

// A restart of the agent must not end what was admitted before.
bool PodManager::RanBefore(const v1::Pod& pod) const {
  const ObservedPod& seen = s_.pleg.View(pod.metadata().uid());
  if (IsStaticPod(pod)) return seen.AnyRunning();
  return !seen.empty() || pod.status().has_starttime();
}

bool PodManager::Admit(const PodUid& uid, Desired& desired) {
  const v1::Pod& pod = *desired.pod;
  std::vector<const v1::Pod*> others, staying;
  for (const auto& [other_uid, running] : workers_) {
    if (other_uid == uid || !running.worker->may_run()) continue;
    others.push_back(&running.worker->pod());
    if (!making_room_.contains(other_uid)) staying.push_back(others.back());
  }
  if (RanBefore(pod)) return true;
  // A critical pod counts on the room that is being made, and waits for it.
  AdmissionVerdict verdict = admission_.Consider(pod, IsCriticalPod(pod) ? staying : others);
  if (refresh_node_ && verdict.rejection && OfNode(*verdict.rejection) &&
      !std::exchange(desired.asked_node, true)) {
    tasks_.Spawn("node for admission", RefreshNode());
    return false;
  }
  if (verdict.rejection && verdict.preempt.empty()) {
    Reject(desired, *std::move(verdict.rejection));
    return false;
  }
  MakeRoom(pod, verdict.preempt);
  if (!verdict.preempt.empty()) return false;
  return staying.size() == others.size() || !admission_.Decide(pod, others);
}

void PodManager::MakeRoom(const v1::Pod& pod, const std::vector<const v1::Pod*>& others) {
  for (const v1::Pod* other : others) {
    const PodUid& uid = other->metadata().uid();
    making_room_.insert(uid);
    KLOG_INFO("Ending a pod for a critical one", {"pod", ShortName(*other)}, {"for", ShortName(pod)});
    TerminateRequest request;
    request.verdict = Preempted();
    s_.events.PodEvent(*other, EventType::kWarning, request.verdict->reason,
                       request.verdict->message);
    workers_.at(uid).worker->Terminate(std::move(request));
  }
}

void PodManager::OnChange(const PodWorker& worker) {
  if (!worker.may_run() && making_room_.contains(worker.uid())) room_.Set();
  Report(worker);
  if (!worker.may_run()) TellEnding();
}

void PodManager::End(const PodUid& uid, TerminateRequest request) {
  auto it = workers_.find(uid);
  if (it != workers_.end()) it->second.worker->Terminate(std::move(request));
}

std::vector<PodPtr> PodManager::ActivePods() const {
  std::vector<PodPtr> pods;
  for (const auto& [uid, running] : workers_)
    if (running.worker->may_run()) pods.push_back(running.worker->pod_ptr());
  return pods;
}

bool PodManager::Knows(const PodUid& uid) const {
  return workers_.contains(uid) || desired_.contains(uid);
}

bool PodManager::HasEnded(const PodUid& uid) const {
  auto it = workers_.find(uid);
  return it == workers_.end() || it->second.worker->phase() >= WorkerPhase::kTerminated;
}

bool PodManager::IsEnding(const std::string& full_name) const {
  return std::any_of(workers_.begin(), workers_.end(), [&](const auto& item) {
    const PodWorker& worker = *item.second.worker;
    return item.second.full_name == full_name && worker.removed() && worker.may_run();
  });
}

void PodManager::TellEnding() const {
  for (const auto& listener : ending_) listener();
}

Task<void> PodManager::RefreshNode() {
  Task<void> refresh = refresh_node_();
  co_await std::move(refresh);
  Reconcile();
}

Task<void> PodManager::RoomLoop() {
  while (true) {
    co_await room_.Wait();
    Reconcile();
  }
}

void PodManager::Reject(Desired& desired, Rejection why) {
  const v1::Pod& pod = *desired.pod;
  s_.events.PodEvent(pod, EventType::kWarning, why.reason, why.message);
  desired.rejected =
      PodVerdict{why.reason, base::StrCat("Pod was rejected: ", why.message)};
  v1::PodStatus& status = desired.status;
  status.set_phase("Failed");
  status.set_reason(desired.rejected->reason);
  status.set_message(desired.rejected->message);
  status.set_qosclass(std::string(QosName(s_.config.Qos(pod))));
  if (pod.metadata().generation() > 0) status.set_observedgeneration(pod.metadata().generation());
  SetTime(s_.loop.clock().Now(), status.mutable_starttime());
  Report(desired);
}

// Nothing of the pod is left.
void PodManager::Finish(Desired& desired) {
  desired.finished = true;
  Report(desired);
}

void PodManager::Report(const PodWorker& worker) const {
  // Of what no source knows any more nobody wants to hear.
  if (!reporter_ || !desired_.contains(worker.uid())) return;
  PodReport report;
  report.pod = worker.pod_ptr();
  report.status = worker.status();
  report.may_run = worker.may_run();
  reporter_(report);
}

void PodManager::Report(const Desired& desired) const {
  if (!reporter_) return;
  PodReport report;
  report.pod = desired.pod;
  report.status = desired.status;
  report.finished = desired.finished;
  reporter_(report);
}

base::WallTime PodManager::FirstSeen(const v1::Pod& pod) const {
  base::WallTime first = s_.loop.clock().Now();
  if (!IsStaticPod(pod) && pod.status().has_starttime())
    return std::min(first, base::FromUnixNanos(pod.status().starttime().seconds() * 1'000'000'000));
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
  auto worker = std::make_unique<PodWorker>(s_, std::move(pod), first_seen,
                                            [this](PodWorker& changed) { OnChange(changed); });
  if (end) worker->Terminate(*std::move(end));
  workers_.emplace(uid, Running{std::move(worker), std::move(name)});
  tasks_.Spawn(base::StrCat("pod ", uid), RunWorker(uid));
}

Task<void> PodManager::RunWorker(PodUid uid) {
  PodWorker* worker = workers_.at(uid).worker.get();
  co_await worker->Run();
  co_await worker->Close();
  v1::PodStatus last = worker->status();
  workers_.erase(uid);
  making_room_.erase(uid);
  TellEnding();
  if (auto it = desired_.find(uid); it != desired_.end() && IsBeingDeleted(*it->second.pod)) {
    it->second.status = std::move(last);
    Finish(it->second);
  }
  Reconcile();
}

void PodManager::Wake(const PodUid& uid) {
  auto it = workers_.find(uid);
  if (it != workers_.end()) it->second.worker->Wake();
}

void PodManager::OnRuntimeChange(const PodUid& uid) {
  if (workers_.contains(uid)) return Wake(uid);
  // Not ours yet: an orphan, if it stays so after the next look.
  if (sources_ready()) leftovers_.LookForStrangers();
}

Task<void> PodManager::Run() {
  tasks_.Spawn("strangers", leftovers_.EndStrangers());
  tasks_.Spawn("sweep", leftovers_.Sweep());
  tasks_.Spawn("room", RoomLoop());
  co_await tasks_.Join();
}

Task<void> PodManager::Close() {
  tasks_.Cancel();
  for (auto& [uid, running] : workers_) co_await running.worker->Close();
  co_await tasks_.Join();
}

PodManager::Entry PodManager::EntryOf(const Desired& desired) const {
  Entry entry;
  entry.pod = desired.pod;
  entry.status = desired.status;
  if (desired.finished) {
    entry.phase = WorkerPhase::kFinished;
    entry.doing = "finished";
    entry.removed = true;
  } else if (desired.rejected) {
    entry.doing = "rejected";
  } else {
    entry.status.set_phase("Pending");
    entry.doing = "waits for another pod to end";
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
