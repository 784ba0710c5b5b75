// SPDX-License-Identifier: Apache-2.0
// Which pods should run here, and a worker for each: the sync loop.
//
// Loop only. Merges what the sources say, starts, updates and ends workers, keeps two static pods of one
// name from running at the same time, and ends what runs in the runtime without being wanted once every
// source has spoken. Pods are never lost: a pod is listed from its first sight until its worker has
// removed its last trace.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kubelet/admission.h"
#include "kubelet/pod_services.h"
#include "kubelet/pod_worker.h"

namespace keelson::kubelet {

class PodManager {
 public:
  // Nothing is removed before each of `sources` has delivered once.
  PodManager(PodServices& services, std::set<PodSource> sources, Admission& admission);

  // What a source wants now, in full.
  void Apply(SourceUpdate update);
  // The runtime shows something new of a pod.
  void OnRuntimeChange(const PodUid& uid);
  // Probe results of a pod changed.
  void OnProbeResult(const PodUid& uid) { Wake(uid); }
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
  };
  struct Running {
    std::unique_ptr<PodWorker> worker;
    std::string full_name;
  };

  void Reconcile();
  void StartDesired(const PodUid& uid, Desired& desired);
  void StartOrphan(const PodUid& uid);
  void StartWorker(PodPtr pod, base::WallTime first_seen,
                   std::optional<TerminateRequest> end = std::nullopt);
  bool NameInUse(const std::string& full_name) const;
  bool Admit(const PodUid& uid, Desired& desired);
  base::WallTime FirstSeen(const v1::Pod& pod) const;
  void Wake(const PodUid& uid);
  base::Task<void> RunWorker(PodUid uid);
  base::Task<void> SweepLoop();
  base::Task<void> Sweep();
  bool Owned(const PodUid& uid) const;
  Entry EntryOf(const Desired& desired) const;

  PodServices& s_;
  Admission& admission_;
  const std::set<PodSource> sources_;
  std::set<PodSource> delivered_;
  std::map<PodUid, Desired> desired_;
  std::map<PodUid, Running> workers_;
  base::Wakeup sweep_;
  base::TaskGroup tasks_;
};

// A pod made from what the runtime shows, for ending a pod that nobody wants any more.
PodPtr OrphanPod(const ObservedPod& seen);

}  // namespace keelson::kubelet
