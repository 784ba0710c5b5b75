// SPDX-License-Identifier: Apache-2.0
// Which pods should run here, and a worker for each: the sync loop.
//
// Loop only. Merges what the sources say, starts, updates and ends workers, keeps two static pods of one
// name from running at the same time, and ends what runs in the runtime without being wanted once every
// source has spoken. Pods are never lost: a pod is listed from its first sight until its worker has
// removed its last trace, and a pod of the API server until its object is gone, too.
//
// A pod of the API server is ended when its object has a deletionTimestamp, and then stays "finished":
// its object may stay for finalizers, or because the server is away. One whose object shows a
// terminal phase is never run again.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kubelet/admission.h"
#include "kubelet/leftovers.h"
#include "kubelet/pod_report.h"
#include "kubelet/pod_services.h"
#include "kubelet/pod_worker.h"

namespace keelson::kubelet {

class PodManager {
 public:
  // Nothing is removed before each of `sources` has delivered once.
  PodManager(PodServices& services, std::set<PodSource> sources, Admission& admission);

  // Hears of every change of a pod that a source knows. REQUIRES: called before Apply.
  void OnReport(std::function<void(const PodReport&)> reporter) { reporter_ = std::move(reporter); }
  // Has Admission::SetNode told the newest; asked once before a pod is refused for the node's labels
  // or taints, of which a copy may be old.
  void OnOldNode(std::function<base::Task<void>()> refresh) { refresh_node_ = std::move(refresh); }
  // Hears when a pod came nearer to its end: HasEnded may say so now.
  void OnPodEnding(std::function<void()> listener) { ending_.push_back(std::move(listener)); }
  // A static pod of this name was taken away, and something of it may still run.
  bool IsEnding(const std::string& full_name) const;
  // What a source wants now, in full.
  void Apply(SourceUpdate update);
  // The runtime shows something new of a pod.
  void OnRuntimeChange(const PodUid& uid);
  // Probe results of a pod changed.
  void OnProbeResult(const PodUid& uid) { Wake(uid); }
  // Ends a pod that its source still wants, as a shutdown or an eviction does. Unknown: nothing.
  void End(const PodUid& uid, TerminateRequest request);
  // Pods of which a container may run.
  std::vector<PodPtr> ActivePods() const;
  // Nothing of it runs, and no volume of it is mounted.
  bool HasEnded(const PodUid& uid) const;
  // Waits for Close; sweeps what nobody owns.
  base::Task<void> Run();
  // Cancels workers; what runs in the runtime goes on.
  base::Task<void> Close();

  struct Entry {
    PodPtr pod;
    v1::PodStatus status;
    WorkerPhase phase = WorkerPhase::kSyncing;
    std::string doing;
    bool removed = false;
  };
  // Every pod there is, in the order of namespace and name.
  std::vector<Entry> Pods() const;
  // Newest pod with that name.
  std::optional<Entry> Find(const std::string& ns, const std::string& name) const;
  bool sources_ready() const { return delivered_ == sources_; }
  size_t worker_count() const { return workers_.size(); }

 private:
  struct Desired {
    PodPtr pod;
    PodSource source;
    std::optional<PodVerdict> rejected;
    bool finished = false;   // see above
    v1::PodStatus status;    // while there is no worker
    bool asked_node = false;  // the node was read anew for it
  };
  struct Running {
    std::unique_ptr<PodWorker> worker;
    std::string full_name;
  };

  void Reconcile();
  void TakeObject(Desired& desired, PodPtr pod);
  void DropUnwanted(PodSource source, const std::set<PodUid>& present);
  void EndDeleted();
  std::vector<PodUid> ToStart() const;
  bool RanBefore(const v1::Pod& pod) const;
  void Reject(Desired& desired, Rejection why);
  void Finish(Desired& desired);
  void Report(const PodWorker& worker) const;
  void Report(const Desired& desired) const;
  void StartDesired(const PodUid& uid, Desired& desired);
  void StartOrphan(const PodUid& uid);
  void StartWorker(PodPtr pod, base::WallTime first_seen,
                   std::optional<TerminateRequest> end = std::nullopt);
  bool MustWait(const v1::Pod& pod) const;
  // Refuses it, or says whether it may start now; it may have to wait for others that end for it.
  bool Admit(const PodUid& uid, Desired& desired);
  void MakeRoom(const v1::Pod& pod, const std::vector<const v1::Pod*>& others);
  void OnChange(const PodWorker& worker);
  base::Task<void> RoomLoop();
  void TellEnding() const;
  base::Task<void> RefreshNode();
  base::WallTime FirstSeen(const v1::Pod& pod) const;
  void Wake(const PodUid& uid);
  base::Task<void> RunWorker(PodUid uid);
  // A source wants it, or a worker has it.
  bool Knows(const PodUid& uid) const;
  Entry EntryOf(const Desired& desired) const;

  PodServices& s_;
  Admission& admission_;
  const std::set<PodSource> sources_;
  std::set<PodSource> delivered_;
  std::map<PodUid, Desired> desired_;
  std::map<PodUid, Running> workers_;
  std::function<void(const PodReport&)> reporter_;
  std::set<PodUid> making_room_;  // workers that end for a critical pod
  std::vector<std::function<void()>> ending_;
  std::function<base::Task<void>()> refresh_node_;
  base::Wakeup room_;
  Leftovers leftovers_;
  base::TaskGroup tasks_;
};

// A pod made from what the runtime shows, for ending a pod that nobody wants any more.
PodPtr OrphanPod(const ObservedPod& seen);

}  // namespace keelson::kubelet
