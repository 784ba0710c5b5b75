// SPDX-License-Identifier: Apache-2.0
#include "kubelet/cluster/status_manager.h"

#include <algorithm>

#include "base/errno_status.h"
#include "base/log.h"
#include "base/strings.h"
#include "kubelet/canonical.h"
#include "kubelet/client/api_error.h"
#include "kubelet/cluster/mirror_pods.h"
#include "kubelet/cluster/status_merge.h"
#include "proto/codec/strategic_patch.h"

namespace keelson::kubelet {

using base::MonoTime;
using base::Task;

namespace {

// Resource versions of one server are numbers that grow (KEP-5504); what is none compares as older.
bool Newer(const v1::Pod& a, const v1::Pod& b) {
  const std::string& x = a.metadata().resourceversion();
  const std::string& y = b.metadata().resourceversion();
  auto number = [](const std::string& text) {
    return !text.empty() && std::all_of(text.begin(), text.end(),
                                        [](char c) { return c >= '0' && c <= '9'; });
  };
  if (!number(x) || !number(y)) return false;
  return x.size() != y.size() ? x.size() > y.size() : x > y;
}

// Outcomes of writes that may be open before we rather read.
constexpr size_t kDoubts = 3;

absl::StatusOr<proto::Value> StatusPatch(const v1::PodStatus& before, const v1::PodStatus& after) {
  v1::Pod old_pod, new_pod;
  *old_pod.mutable_status() = before;
  *new_pod.mutable_status() = after;
  return proto::StrategicPatch(old_pod, new_pod);
}

}  // namespace

struct StatusManager::Entry {
  PodUid uid;
  PodPtr pod;
  bool is_static = false;

  v1::PodStatus wanted;
  bool may_run = false, finished = false;
  uint64_t version = 0;  // of all of that
  uint64_t sent = 0;     // the newest version the server has
  bool times_kept = false;  // from the object, once there was one

  PodPtr answer;         // the object as a write returned it, until the watch has caught up
  PodUid settled_uid;    // of the object that
  std::string settled;   //   had this part of ours when we last were content with it
  std::string last_patch;
  std::vector<v1::PodStatus> tried;  // writes that may have happened or not, our part
  bool doubtful = false;  // the object has to be read
  bool lost = false;      // the server says there is no such object; the watch will
  bool deleted = false;

  bool in_flight = false;
  bool asked = false;  // something, in this flight
  std::optional<MonoTime> due;
  MonoTime taken;         // what that was when this flight began
  MonoTime written;       // when we last did
  base::Nanos delay{0};   // between failures
};

StatusManager::StatusManager(base::Loop& loop, client::ApiServer& api, ApiPods& pods,
                             StatusManagerOptions options)
    : loop_(loop),
      api_(api),
      pods_(pods),
      o_(options),
      random_(options.seed != 0 ? options.seed : std::random_device{}()) {
  pods_.Listen([this](const PodPtr& before, const PodPtr& after) { OnObject(before, after); },
               [this] { OnListed(); });
}

StatusManager::~StatusManager() = default;

size_t StatusManager::unsent() const {
  return static_cast<size_t>(std::count_if(entries_.begin(), entries_.end(), [](const auto& item) {
    return item.second->sent < item.second->version;
  }));
}

void StatusManager::Set(const PodReport& report) {
  const PodUid& uid = report.pod->metadata().uid();
  if (report.gone) {
    auto named = static_.find(FullName(*report.pod));
    if (named != static_.end() && named->second == uid) static_.erase(named);
    entries_.erase(uid);
    return;
  }
  EntryPtr& slot = entries_[uid];
  if (!slot) slot = std::make_shared<Entry>();
  Entry& entry = *slot;
  entry.uid = uid;
  entry.pod = report.pod;
  entry.is_static = IsStaticPod(*report.pod);
  if (entry.is_static) static_[FullName(*report.pod)] = uid;

  const PodPtr object = Object(entry);
  v1::PodStatus next = report.status;
  const v1::PodStatus* before =
      entry.version > 0 ? &entry.wanted : object ? &object->status() : nullptr;
  if (before) {
    const std::string illegal = IllegalChange(*report.pod, *before, next);
    if (!illegal.empty()) {
      KLOG_ERROR("Status update on pod aborted", {"pod", ShortName(*report.pod)}, {"err", illegal});
      next = *before;
    }
    KeepTimes(*before, &next);
  }
  if (entry.version > 0 && entry.finished == report.finished && entry.may_run == report.may_run &&
      Canonical(next) == Canonical(entry.wanted))
    return;
  entry.wanted = std::move(next);
  entry.finished = report.finished;
  entry.may_run = report.may_run;
  ++entry.version;
  Need(entry, loop_.clock().Monotonic());
}

PodPtr StatusManager::Object(const Entry& entry) const {
  const auto& meta = entry.pod->metadata();
  PodPtr copy = pods_.Find(meta.namespace_(), meta.name());
  if (!copy) return nullptr;
  const bool ours =
      entry.is_static ? IsMirrorOf(*copy, *entry.pod) : copy->metadata().uid() == entry.uid;
  if (!ours) return nullptr;
  if (entry.answer && entry.answer->metadata().uid() == copy->metadata().uid() &&
      Newer(*entry.answer, *copy))
    return entry.answer;
  return copy;
}

StatusManager::EntryPtr StatusManager::EntryFor(const v1::Pod& object) const {
  PodUid uid = object.metadata().uid();
  if (IsMirrorPod(object)) {
    auto named = static_.find(FullName(object));
    if (named == static_.end()) return nullptr;
    uid = named->second;
  }
  auto found = entries_.find(uid);
  return found == entries_.end() ? nullptr : found->second;
}

void StatusManager::OnObject(const PodPtr& before, const PodPtr& after) {
  // The server speaks: whoever waits for it may try.
  if (away_delay_.count() > 0 && !told_to_wait_) {
    away_until_ = loop_.clock().Monotonic();
    work_.Set();
  }
  const EntryPtr entry = EntryFor(after ? *after : *before);
  if (!entry) return;
  if (!after || (entry->answer && !Newer(*entry->answer, *after))) entry->answer.reset();
  entry->lost = false;
  if (after && !entry->in_flight) Check(*entry);
}

// A server restored from a backup counts from an earlier number again: what it lists is the truth.
void StatusManager::OnListed() {
  for (auto& [uid, entry] : entries_) {
    entry->answer.reset();
    if (!entry->in_flight) Check(*entry);
  }
}

// Is there something to write? Asked whenever the object or our mind changed.
void StatusManager::Check(Entry& entry) {
  const PodPtr object = Object(entry);
  if (!object || entry.lost) return;
  const MonoTime now = loop_.clock().Monotonic();
  if (entry.sent < entry.version || entry.settled_uid != object->metadata().uid() ||
      (!entry.deleted && MayDelete(*object, entry.finished)))
    return Need(entry, now);
  if (OwnPart(object->status()) != entry.settled)
    Need(entry, std::max(now, entry.written + o_.repair));
}

void StatusManager::Need(Entry& entry, MonoTime when) {
  const bool backs_off = entry.delay.count() > 0 && entry.due;
  if (backs_off || (entry.due && *entry.due <= when)) return;
  entry.due = when;
  if (!entry.in_flight) work_.Set();
}

Task<void> StatusManager::Run() {
  std::vector<Task<bool>> workers;
  for (int i = 0; i < o_.parallel; ++i) workers.push_back(Work());
  co_await base::Gather(loop_, std::move(workers));
}

// The entry that waits longest; null: none before `*wait`, or before something happens.
StatusManager::EntryPtr StatusManager::Next(MonoTime now, std::optional<MonoTime>* wait) {
  const bool away = away_delay_.count() > 0;
  if (away && asking_) return nullptr;
  EntryPtr first;
  for (const auto& [uid, entry] : entries_)
    if (!entry->in_flight && entry->due && (!first || *entry->due < *first->due)) first = entry;
  if (!first) return nullptr;
  const MonoTime from = away ? std::max(*first->due, away_until_) : *first->due;
  if (from <= now) return first;
  *wait = from;
  return nullptr;
}

Task<bool> StatusManager::Work() {
  while (true) {
    std::optional<MonoTime> wait;
    EntryPtr entry = Next(loop_.clock().Monotonic(), &wait);
    if (!entry) {
      if (wait) {
        co_await work_.WaitUntil(loop_.clock(), *wait);
      } else {
        co_await work_.Wait();
      }
      continue;
    }
    entry->in_flight = true;
    entry->asked = false;
    entry->taken = *entry->due;
    entry->due.reset();
    const bool probes = away_delay_.count() > 0;
    if (probes) asking_ = true;
    absl::Status status = co_await Send(entry);
    if (probes) asking_ = false;
    Settle(entry, status);
  }
}

Task<absl::Status> StatusManager::Send(EntryPtr entry) {
  if (!Object(*entry) || entry->lost) co_return absl::OkStatus();
  if (entry->doubtful) {
    absl::Status read = co_await Read(entry);
    CO_RETURN_IF_ERROR(read);
  }
  absl::Status written = co_await Write(entry);
  CO_RETURN_IF_ERROR(written);
  const PodPtr object = Object(*entry);
  if (!object || entry->deleted || !MayDelete(*object, entry->finished)) co_return absl::OkStatus();
  co_return co_await Delete(entry);
}

Task<absl::Status> StatusManager::Read(EntryPtr entry) {
  entry->asked = true;
  auto read = co_await api_.Get<v1::Pod>(entry->pod->metadata().namespace_(),
                                         entry->pod->metadata().name());
  CO_RETURN_IF_ERROR(read.status());
  entry->doubtful = false;
  entry->tried.clear();
  Answered(*entry, std::make_shared<v1::Pod>(*std::move(read)));
  co_return absl::OkStatus();
}

Task<absl::Status> StatusManager::Write(EntryPtr entry) {
  const PodPtr object = Object(*entry);
  if (!object || entry->lost) co_return absl::OkStatus();
  if (!std::exchange(entry->times_kept, true)) KeepTimes(object->status(), &entry->wanted);
  const uint64_t version = entry->version;
  const v1::PodStatus merged =
      MergeStatus(*entry->pod, object->status(), entry->wanted, entry->may_run);
  auto patch = StatusPatch(object->status(), merged);
  CO_RETURN_IF_ERROR(patch.status());
  for (const v1::PodStatus& tried : entry->tried) {
    auto from_there = StatusPatch(tried, OwnStatus(merged));
    CO_RETURN_IF_ERROR(from_there.status());
    Unite(*from_there, &*patch);
  }
  // What the server makes of a value again and again is as good as ours.
  std::string text = proto::ToJson(*patch);
  const bool in_vain = entry->tried.empty() && entry->settled_uid == object->metadata().uid() &&
                       text == entry->last_patch && entry->settled == OwnPart(object->status());
  if (!patch->members.empty() && !in_vain) {
    proto::Value meta = proto::Value::Map();
    meta.members.push_back({"uid", 0, proto::Value::String(object->metadata().uid())});
    patch->members.insert(patch->members.begin(), {"metadata", 0, std::move(meta)});
    entry->asked = true;
    auto written = co_await api_.Patch<v1::Pod>(
        object->metadata().namespace_(), object->metadata().name(),
        client::PatchType::kStrategicMerge, *std::move(patch), "status");
    if (!written.ok()) {
      // Without an answer, or with one of a server in trouble, it may have been done.
      const auto error = client::ApiErrorOf(written.status());
      if (!error || error->code >= 500) Tried(*entry, OwnStatus(merged));
      entry->doubtful |= entry->tried.size() > kDoubts || (error && error->code == 409);
      co_return written.status();
    }
    entry->tried.clear();
    KLOG_V(3, "Status for pod updated successfully", {"pod", ShortName(*entry->pod)},
           {"statusVersion", version});
    entry->written = loop_.clock().Monotonic();
    entry->last_patch = std::move(text);
    Answered(*entry, std::make_shared<v1::Pod>(*std::move(written)));
  }
  entry->sent = version;
  if (const PodPtr now = Object(*entry)) {
    entry->settled_uid = now->metadata().uid();
    entry->settled = OwnPart(now->status());
    if (now != object) Recheck(*entry, *now);
  }
  co_return absl::OkStatus();
}

void StatusManager::Tried(Entry& entry, v1::PodStatus status) {
  const std::string bytes = Canonical(status);
  for (const v1::PodStatus& known : entry.tried)
    if (Canonical(known) == bytes) return;
  entry.tried.push_back(std::move(status));
}

// Somebody may have written in between what we took for unchanged and did not send.
void StatusManager::Recheck(Entry& entry, const v1::Pod& object) {
  const v1::PodStatus merged =
      MergeStatus(*entry.pod, object.status(), entry.wanted, entry.may_run);
  if (OwnPart(merged) == entry.settled) return;
  auto patch = StatusPatch(object.status(), merged);
  if (patch.ok() && !patch->members.empty() && proto::ToJson(*patch) != entry.last_patch)
    entry.settled.clear();
}

Task<absl::Status> StatusManager::Delete(EntryPtr entry) {
  const auto& meta = entry->pod->metadata();
  client::DeleteOptions options;
  options.grace_period_seconds = 0;
  options.uid = entry->uid;
  entry->asked = true;
  absl::Status status = co_await api_.Delete<v1::Pod>(meta.namespace_(), meta.name(), options);
  if (!status.ok() && !client::IsNotFound(status) && !client::IsConflict(status)) co_return status;
  entry->deleted = true;
  KLOG_V(3, "Pod fully terminated and removed from etcd", {"pod", ShortName(*entry->pod)});
  co_return absl::OkStatus();
}

void StatusManager::Answered(Entry& entry, PodPtr object) {
  const bool ours = entry.is_static ? IsMirrorOf(*object, *entry.pod)
                                    : object->metadata().uid() == entry.uid;
  if (!ours) entry.lost = true;  // a namesake; the watch will tell
  else entry.answer = std::move(object);
}

base::Nanos StatusManager::Jittered(base::Nanos delay) {
  return delay + base::Nanos(random_() % static_cast<uint64_t>(delay.count() / 2 + 1));
}

void StatusManager::Settle(const EntryPtr& entry, const absl::Status& status) {
  entry->in_flight = false;
  const auto error = client::ApiErrorOf(status);
  const bool nobody = !status.ok() && (!error || error->code == 429 || error->code == 503);
  if (nobody) {
    away_delay_ = away_delay_.count() == 0 ? o_.retry_first
                                           : std::min(away_delay_ * 2, o_.retry_max);
    told_to_wait_ = client::RetryAfter(status).count() > 0;
    away_until_ = loop_.clock().Monotonic() +
                  std::max(Jittered(away_delay_), client::RetryAfter(status));
    entry->due = entry->taken;  // the same one asks again: one open outcome, not many
    work_.Set();
    return;
  }
  if (entry->asked && std::exchange(away_delay_, base::Nanos(0)).count() > 0) work_.Set();
  if (status.ok()) {
    entry->delay = base::Nanos(0);
    return Check(*entry);
  }
  Failed(*entry, status);
}

void StatusManager::Failed(Entry& entry, const absl::Status& status) {
  if (client::IsNotFound(status)) {
    // Deleted a moment ago; should it be there all the same, the watch shows it.
    entry.lost = true;
    entry.delay = base::Nanos(0);
    return;
  }
  KLOG_WARNING("Failed to update status for pod; trying again", {"pod", ShortName(*entry.pod)},
               {"err", status});
  entry.delay = entry.delay.count() == 0 ? o_.retry_first : std::min(entry.delay * 2, o_.retry_max);
  entry.due = loop_.clock().Monotonic() + Jittered(entry.delay);
  work_.Set();
}

}  // namespace keelson::kubelet
