// SPDX-License-Identifier: Apache-2.0
// The pod lifecycle event generator: keeps what the runtime shows of every pod and says when to look.
//
// Loop only. Three ways to learn of a change, all of which only mark a pod as changed and wake its
// worker: the runtime's event stream, exits of container processes (when there is no stream), and a
// full relist. Assumption: an event can be lost while the runtime restarts or the stream breaks; the
// relist finds what was missed within relist_period (with_events_period while the stream is open).
//
// A pod's entry is replaced by Refresh and amended by Note*. A Refresh that overlaps a Note* starts
// again, so an entry never goes back in time.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/loop.h"
#include "cri/runtime.h"
#include "kubelet/exit_watch.h"
#include "kubelet/runtime_reader.h"
#include "kubelet/runtime_view.h"

namespace keelson::kubelet {

struct PlegOptions {
  base::Nanos relist_period = std::chrono::seconds(10);
  base::Nanos with_events_period = std::chrono::seconds(60);
  // Exits are learnt from pidfds: needs the containers' processes in our PID namespace.
  bool watch_processes = true;
};

class Pleg {
 public:
  // `on_change` runs for every pod that may have changed, known or not; it must not call back.
  Pleg(base::Loop& loop, cri::Runtime& runtime, PlegOptions options,
       std::function<void(const PodUid&)> on_change);

  // First relist, with the status of every pod there is. Afterwards the view is complete: a pod
  // without an entry has nothing in the runtime. Then Run() keeps it so.
  base::Task<absl::Status> Start();
  base::Task<void> Run();
  base::Task<void> Close();

  // The last view; an empty pod when the runtime has nothing of it. Valid until the next co_await.
  const ObservedPod& View(const PodUid& uid) const;
  std::vector<PodUid> KnownPods() const;
  bool changed(const PodUid& uid) const { return changed_.contains(uid); }
  // Says that the pod must be looked at again.
  void MarkChanged(const PodUid& uid);

  // Reads everything of one pod. On failure the old view stays and the pod stays marked.
  base::Task<absl::Status> Refresh(PodUid uid);

  // What our own calls brought about, without asking for more than the one object.
  base::Task<absl::Status> NoteSandbox(PodUid uid, std::string name, std::string ns,
                                       std::string sandbox_id);
  base::Task<absl::Status> NoteContainer(PodUid uid, std::string container_id);
  void NoteContainerRemoved(const PodUid& uid, const std::string& container_id);
  void NoteSandboxRemoved(const PodUid& uid, const std::string& sandbox_id);
  // The pod is gone for good and so is the interest in it.
  void Forget(const PodUid& uid);

  // Returns when the view says that the container does not run, at once if it says so now or does not
  // know it.
  base::Task<void> AwaitEnd(std::string container_id);

  bool events_open() const { return events_open_; }
  // Hears of full relists: how long each took, and the time since the one before began.
  using OnRelist = std::function<void(base::Nanos took, std::optional<base::Nanos> since_last)>;
  void set_on_relist(OnRelist on_relist) { on_relist_ = std::move(on_relist); }
  // Start of the last full relist that succeeded (PLEG health).
  std::optional<base::MonoTime> last_relist() const { return last_relist_; }

 private:
  struct Entry {
    ObservedPod pod;
    uint64_t version = 0;  // counts Note*
    bool listed_only = false;  // ids and states of a list; statuses are still to be read
  };

  base::Task<absl::Status> Relist();
  base::Task<void> RelistLoop();
  base::Task<void> EventLoop();
  base::Task<void> RecheckAfterExit(PodUid uid, std::string id);
  void OnEvent(const runtime::v1::ContainerEventResponse& event);
  void WatchProcesses(const PodUid& uid);
  Entry& EntryOf(const PodUid& uid);
  bool verbose() const { return options_.watch_processes && !events_open_; }

  base::Loop& loop_;
  cri::Runtime& runtime_;
  RuntimeReader reader_;
  const PlegOptions options_;
  const std::function<void(const PodUid&)> on_change_;
  OnRelist on_relist_;  // empty: nobody counts
  std::map<PodUid, Entry> entries_;
  std::set<PodUid> changed_;
  bool events_open_ = false;
  std::optional<base::MonoTime> last_relist_;
  base::Wakeup relist_now_;
  ExitWatch exits_;
  base::Wakeup view_changed_;  // wakes AwaitEnd
  base::TaskGroup tasks_;
};

}  // namespace keelson::kubelet
