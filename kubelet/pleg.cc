// SPDX-License-Identifier: Apache-2.0
#include "kubelet/pleg.h"

#include <algorithm>

#include "base/errno_status.h"
#include "base/log.h"
#include "base/strings.h"

namespace keelson::kubelet {

namespace rt = ::runtime::v1;
using base::Task;
using std::chrono::milliseconds;

namespace {

// How long the runtime may lag behind the kernel after a process has ended.
constexpr milliseconds kRecheckFirst(4);
constexpr milliseconds kRecheckMax(1000);
constexpr int kRefreshTries = 5;
// Pauses between attempts to open the event stream.
constexpr milliseconds kReopenFirst(100);
constexpr milliseconds kReopenMax(30'000);

bool SameListing(const ObservedPod& a, const ObservedPod& b) {
  auto same_sandbox = [](const ObservedSandbox& x, const ObservedSandbox& y) {
    return x.id == y.id && x.ready == y.ready;
  };
  auto same_container = [](const ObservedContainer& x, const ObservedContainer& y) {
    return x.id == y.id && x.state == y.state;
  };
  return std::is_permutation(a.sandboxes.begin(), a.sandboxes.end(), b.sandboxes.begin(),
                             b.sandboxes.end(), same_sandbox) &&
         std::is_permutation(a.containers.begin(), a.containers.end(), b.containers.begin(),
                             b.containers.end(), same_container);
}

}  // namespace

Pleg::Pleg(base::Loop& loop, cri::Runtime& runtime, PlegOptions options,
           std::function<void(const PodUid&)> on_change)
    : loop_(loop),
      runtime_(runtime),
      reader_(loop, runtime),
      options_(options),
      on_change_(std::move(on_change)),
      exits_(loop),
      tasks_(loop) {}

const ObservedPod& Pleg::View(const PodUid& uid) const {
  static const ObservedPod kNothing;
  auto it = entries_.find(uid);
  return it == entries_.end() ? kNothing : it->second.pod;
}

std::vector<PodUid> Pleg::KnownPods() const {
  std::vector<PodUid> uids;
  for (const auto& [uid, entry] : entries_)
    if (!entry.pod.empty()) uids.push_back(uid);
  return uids;
}

void Pleg::MarkChanged(const PodUid& uid) {
  changed_.insert(uid);
  on_change_(uid);
}

Pleg::Entry& Pleg::EntryOf(const PodUid& uid) {
  Entry& entry = entries_[uid];
  entry.pod.uid = uid;
  return entry;
}

Task<absl::Status> Pleg::Start() {
  absl::Status listed = co_await Relist();
  CO_RETURN_IF_ERROR(listed);
  std::vector<PodUid> uids(changed_.begin(), changed_.end());
  std::vector<Task<absl::Status>> refreshes;
  for (const PodUid& uid : uids) refreshes.push_back(Refresh(uid));
  auto results = co_await base::Gather(loop_, std::move(refreshes));
  for (size_t i = 0; i < results.size(); ++i) {
    if (!results[i].ok())
      KLOG_WARNING("Cannot read a pod yet; its worker will try again", {"uid", uids[i]},
                   {"err", results[i]});
  }
  co_return absl::OkStatus();
}

Task<void> Pleg::Run() {
  tasks_.Spawn("pleg events", EventLoop());
  co_await RelistLoop();
}

Task<void> Pleg::Close() {
  co_await exits_.Close();
  co_await tasks_.CancelAndJoin();
}

Task<absl::Status> Pleg::Relist() {
  base::MonoTime started = loop_.clock().Monotonic();
  std::map<PodUid, uint64_t> versions;
  for (const auto& [uid, entry] : entries_) versions[uid] = entry.version;
  auto listing = co_await reader_.List("");
  if (!listing.ok()) co_return base::Annotate(listing.status(), "relist");
  if (on_relist_)
    on_relist_(loop_.clock().Monotonic() - started,
               last_relist_ ? std::optional(started - *last_relist_) : std::nullopt);
  last_relist_ = started;
  for (const auto& [uid, pod] : *listing) {
    auto known = entries_.find(uid);
    bool amended = known != entries_.end() && known->second.version != versions[uid];
    if (amended || SameListing(View(uid), pod)) continue;
    // Known from now on, even if reading it fails: what exists must never pass for gone.
    if (known == entries_.end()) {
      Entry& entry = EntryOf(uid);
      entry.pod = pod;
      entry.listed_only = true;
    }
    MarkChanged(uid);
  }
  for (const auto& [uid, entry] : entries_)
    if (!entry.pod.empty() && !listing->contains(uid) && entry.version == versions[uid])
      MarkChanged(uid);
  co_return absl::OkStatus();
}

Task<absl::Status> Pleg::Refresh(PodUid uid) {
  for (int i = 0; i < kRefreshTries; ++i) {
    changed_.erase(uid);
    uint64_t version = entries_.contains(uid) ? entries_[uid].version : 0;
    auto listing = co_await reader_.List(uid);
    if (!listing.ok()) {
      changed_.insert(uid);
      co_return listing.status();
    }
    ObservedPod fresh = std::move((*listing)[uid]);
    fresh.uid = uid;
    const bool listed_only = entries_.contains(uid) && entries_[uid].listed_only;
    const ObservedPod known = listed_only ? ObservedPod() : View(uid);
    absl::Status inspected = co_await reader_.Inspect(&fresh, &known, verbose());
    if (!inspected.ok()) {
      changed_.insert(uid);
      co_return inspected;
    }
    uint64_t now = entries_.contains(uid) ? entries_[uid].version : 0;
    if (now != version) continue;
    if (fresh.empty()) {
      entries_.erase(uid);
      view_changed_.Set();
    } else {
      Entry& entry = EntryOf(uid);
      entry.pod = std::move(fresh);
      entry.listed_only = false;
      view_changed_.Set();
      WatchProcesses(uid);
    }
    co_return absl::OkStatus();
  }
  changed_.insert(uid);
  co_return absl::AbortedError(base::StrCat("pod ", uid, " changed while it was being read"));
}

Task<absl::Status> Pleg::NoteSandbox(PodUid uid, std::string name, std::string ns,
                                     std::string sandbox_id) {
  ObservedSandbox sandbox;
  sandbox.id = sandbox_id;
  absl::Status status = co_await reader_.InspectSandbox(&sandbox, verbose());
  CO_RETURN_IF_ERROR(status);
  Entry& entry = EntryOf(uid);
  ++entry.version;
  entry.pod.name = std::move(name);
  entry.pod.ns = std::move(ns);
  std::erase_if(entry.pod.sandboxes, [&](const auto& s) { return s.id == sandbox_id; });
  entry.pod.sandboxes.push_back(std::move(sandbox));
  SortNewestFirst(entry.pod);
  WatchProcesses(uid);
  co_return absl::OkStatus();
}

Task<absl::Status> Pleg::NoteContainer(PodUid uid, std::string container_id) {
  ObservedContainer container;
  container.id = container_id;
  container.state = ContainerState::kRunning;  // asks for the pid too
  const ObservedSandbox* sandbox = View(uid).sandbox();
  if (sandbox) container.sandbox_id = sandbox->id;
  absl::Status status = co_await reader_.InspectContainer(&container, verbose());
  CO_RETURN_IF_ERROR(status);
  Entry& entry = EntryOf(uid);
  ++entry.version;
  std::erase_if(entry.pod.containers, [&](const auto& c) { return c.id == container_id; });
  entry.pod.containers.push_back(std::move(container));
  SortNewestFirst(entry.pod);
  WatchProcesses(uid);
  co_return absl::OkStatus();
}

void Pleg::NoteContainerRemoved(const PodUid& uid, const std::string& container_id) {
  Entry& entry = EntryOf(uid);
  ++entry.version;
  std::erase_if(entry.pod.containers, [&](const auto& c) { return c.id == container_id; });
  view_changed_.Set();
}

void Pleg::NoteSandboxRemoved(const PodUid& uid, const std::string& sandbox_id) {
  Entry& entry = EntryOf(uid);
  ++entry.version;
  std::erase_if(entry.pod.sandboxes, [&](const auto& s) { return s.id == sandbox_id; });
}

void Pleg::Forget(const PodUid& uid) {
  auto it = entries_.find(uid);
  if (it != entries_.end() && it->second.pod.empty()) entries_.erase(it);
  changed_.erase(uid);
}

void Pleg::WatchProcesses(const PodUid& uid) {
  auto watch = [&](const std::string& id, int pid) {
    if (pid <= 0 || exits_.watching(id)) return;
    exits_.Watch(id, pid, [this, uid, id] {
      tasks_.Spawn("recheck after exit", RecheckAfterExit(uid, id));
    });
  };
  const ObservedPod& view = View(uid);
  for (const auto& s : view.sandboxes)
    if (s.ready) watch(s.id, s.pid);
  for (const auto& c : view.containers)
    if (c.state == ContainerState::kRunning) watch(c.id, c.pid);
}

// The kernel said that the process ended; the runtime reaps it some milliseconds later and has no
// event for us. Asks until the runtime agrees, with growing pauses; the relist takes over after that.
Task<void> Pleg::RecheckAfterExit(PodUid uid, std::string id) {
  for (auto pause = kRecheckFirst; pause <= kRecheckMax; pause += pause / 4) {
    MarkChanged(uid);
    const ObservedPod& view = View(uid);
    const ObservedContainer* c = view.FindById(id);
    bool sandbox_ready = std::any_of(view.sandboxes.begin(), view.sandboxes.end(),
                                     [&](const auto& s) { return s.id == id && s.ready; });
    if (!sandbox_ready && (!c || c->state != ContainerState::kRunning)) co_return;
    co_await base::Sleep(loop_.clock(), pause);
  }
}

void Pleg::OnEvent(const rt::ContainerEventResponse& event) {
  const PodUid& uid = event.pod_sandbox_status().metadata().uid();
  if (uid.empty()) {
    relist_now_.Set();
    return;
  }
  const ObservedPod& view = View(uid);
  const ObservedContainer* c = view.FindById(event.container_id());
  bool sandbox = std::any_of(view.sandboxes.begin(), view.sandboxes.end(), [&](const auto& s) {
    return s.id == event.container_id() &&
           (s.ready || event.container_event_type() == rt::CONTAINER_STOPPED_EVENT);
  });
  // The echo of a call of ours that the view already holds.
  switch (event.container_event_type()) {
    case rt::CONTAINER_CREATED_EVENT:
      if (c || sandbox) return;
      break;
    case rt::CONTAINER_STARTED_EVENT:
      if (sandbox || (c && c->state == ContainerState::kRunning)) return;
      break;
    case rt::CONTAINER_STOPPED_EVENT:
      if (c && c->state == ContainerState::kExited) return;
      break;
    case rt::CONTAINER_DELETED_EVENT:
      if (!c && !sandbox && entries_.contains(uid)) return;
      break;
    default:
      break;
  }
  MarkChanged(uid);
}

Task<void> Pleg::AwaitEnd(std::string container_id) {
  auto runs = [this, &container_id] {
    for (const auto& [uid, entry] : entries_)
      if (const ObservedContainer* c = entry.pod.FindById(container_id))
        return c->state == ContainerState::kRunning;
    return false;
  };
  while (runs()) co_await view_changed_.Wait();
}

Task<void> Pleg::EventLoop() {
  milliseconds pause = kReopenFirst;
  while (true) {
    std::function<void()> on_open = [this, &pause] {
      events_open_ = true;
      pause = kReopenFirst;
      relist_now_.Set();  // what happened before the stream opened
    };
    std::function<void(const rt::ContainerEventResponse&)> on_event =
        [this](const rt::ContainerEventResponse& event) { OnEvent(event); };
    absl::Status ended = co_await runtime_.StreamEvents(std::move(on_open), std::move(on_event));
    bool was_open = std::exchange(events_open_, false);
    if (absl::IsUnimplemented(ended)) {
      KLOG_INFO("The runtime has no event stream; watching container processes instead");
      co_return;
    }
    if (was_open) {
      KLOG_WARNING("The runtime's event stream ended; opening it again", {"err", ended});
      relist_now_.Set();
    }
    co_await base::Sleep(loop_.clock(), pause);
    pause = std::min(pause * 2, kReopenMax);
  }
}

Task<void> Pleg::RelistLoop() {
  while (true) {
    base::Nanos period = events_open_ ? options_.with_events_period : options_.relist_period;
    base::MonoTime due = loop_.clock().Monotonic() + period;
    co_await relist_now_.WaitUntil(loop_.clock(), due);
    absl::Status status = co_await Relist();
    if (!status.ok()) KLOG_WARNING("Cannot list the runtime's pods", {"err", status});
  }
}

}  // namespace keelson::kubelet
