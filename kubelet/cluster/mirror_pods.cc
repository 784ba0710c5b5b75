// SPDX-License-Identifier: Apache-2.0
#include "kubelet/cluster/mirror_pods.h"

#include <algorithm>

#include "base/errno_status.h"
#include "base/log.h"
#include "base/strings.h"
#include "kubelet/client/api_error.h"
#include "proto/k8s/node.pb.h"

namespace keelson::kubelet {

using base::MonoTime;
using base::Task;
using client::ObjectKey;

v1::Pod MirrorOf(const v1::Pod& pod, const v1::Node& node) {
  v1::Pod mirror = pod;
  auto* meta = mirror.mutable_metadata();
  meta->clear_uid();
  meta->clear_resourceversion();
  (*meta->mutable_annotations())[std::string(kConfigMirror)] =
      Annotation(pod, kConfigHash).value_or("");
  // The server lets a node make mirrors only of its own (KEP-1314).
  meta->clear_ownerreferences();
  auto* owner = meta->add_ownerreferences();
  owner->set_apiversion("v1");
  owner->set_kind("Node");
  owner->set_name(node.metadata().name());
  owner->set_uid(node.metadata().uid());
  owner->set_controller(true);
  return mirror;
}

bool IsMirrorOf(const v1::Pod& mirror, const v1::Pod& pod) {
  const auto shown = Annotation(mirror, kConfigMirror);
  return shown && FullName(mirror) == FullName(pod) && shown == Annotation(pod, kConfigHash);
}

MirrorPods::MirrorPods(base::Loop& loop, client::ApiServer& api, ApiPods& pods,
                       std::function<const v1::Node*()> node, MirrorPodsOptions options)
    : loop_(loop),
      api_(api),
      pods_(pods),
      node_(std::move(node)),
      o_(std::move(options)),
      random_(o_.seed != 0 ? o_.seed : std::random_device{}()) {
  pods_.Listen(
      [this](const PodPtr& before, const PodPtr& after) {
        const v1::Pod& pod = after ? *after : *before;
        made_.erase(client::KeyOf(pod));
        if (!after) deleted_.erase(pod.metadata().uid());
        if (IsMirrorPod(pod)) wake_.Set();
      },
      [this] {
        // What came and went between two lists is not told.
        made_.clear();
        deleted_.clear();
        wake_.Set();
      });
}

void MirrorPods::Apply(const SourceUpdate& update) {
  if (update.source == PodSource::kApi) return;
  auto& wanted = wanted_[update.source];
  wanted.clear();
  for (const PodPtr& pod : update.pods) wanted[client::KeyOf(*pod)] = pod;
  wake_.Set();
}

Task<void> MirrorPods::Run() {
  while (true) {
    if (pods_.synced()) co_await Look();
    std::optional<MonoTime> again;
    for (const auto& [key, trouble] : trouble_)
      again = again ? std::min(*again, trouble.retry_at) : trouble.retry_at;
    if (again) {
      co_await wake_.WaitUntil(loop_.clock(), *again);
    } else {
      co_await wake_.Wait();
    }
  }
}

Task<void> MirrorPods::Look() {
  std::map<ObjectKey, PodPtr> wanted;
  for (const auto& [source, pods] : wanted_) wanted.insert(pods.begin(), pods.end());
  const bool all_spoke = std::all_of(o_.sources.begin(), o_.sources.end(),
                                     [&](PodSource source) { return wanted_.contains(source); });
  for (const PodPtr& mirror : pods_.Mirrors()) {
    const ObjectKey key = client::KeyOf(*mirror);
    if (!all_spoke || wanted.contains(key) || Resting(key)) continue;
    if (o_.ending(FullName(*mirror))) continue;
    absl::Status gone = co_await Replace(mirror);
    Note(key, gone, "Cannot delete an orphaned mirror pod; trying again");
  }
  for (const auto& [key, pod] : wanted)
    if (!Resting(key)) co_await Keep(key, pod);
  std::erase_if(trouble_, [&](const auto& item) {
    return !wanted.contains(item.first) && !pods_.Find(item.first.ns, item.first.name);
  });
}

Task<void> MirrorPods::Keep(ObjectKey key, PodPtr pod) {
  const PodPtr present = pods_.Find(key.ns, key.name);
  const bool going = present && deleted_.contains(present->metadata().uid());
  if (present && !going) {
    // A pod of somebody else's that has our name stays; the mirror is made when it is gone.
    if (!IsMirrorPod(*present)) co_return;
    if (IsMirrorOf(*present, *pod) && !present->metadata().has_deletiontimestamp()) {
      trouble_.erase(key);
      co_return;
    }
    if (!IsMirrorOf(*present, *pod) && o_.ending(FullName(*pod))) co_return;
    absl::Status removed = co_await Replace(present);
    if (!removed.ok()) co_return Note(key, removed, "Cannot delete a mirror pod; trying again");
  }
  if (made_.contains(key)) co_return;
  absl::Status made = co_await Make(pod);
  Note(key, made, "Cannot make a mirror pod; trying again");
}

// The watch shows when it is gone.
Task<absl::Status> MirrorPods::Replace(PodPtr mirror) {
  const auto& meta = mirror->metadata();
  if (deleted_.contains(meta.uid())) co_return absl::OkStatus();
  client::DeleteOptions options;
  options.grace_period_seconds = 0;
  options.uid = meta.uid();
  absl::Status status = co_await api_.Delete<v1::Pod>(meta.namespace_(), meta.name(), options);
  if (!status.ok() && !client::IsNotFound(status) && !client::IsConflict(status)) co_return status;
  deleted_.insert(meta.uid());
  co_return absl::OkStatus();
}

Task<absl::Status> MirrorPods::Make(PodPtr pod) {
  const v1::Node* node = node_();
  if (!node || node->metadata().uid().empty())
    co_return absl::FailedPreconditionError("the node is not registered yet");
  if (node->metadata().has_deletiontimestamp())
    co_return absl::FailedPreconditionError("the node is being removed from the cluster");
  const ObjectKey key = client::KeyOf(*pod);
  auto made = co_await api_.Create<v1::Pod>(MirrorOf(*pod, *node));
  CO_RETURN_IF_ERROR(made.status());
  const PodPtr seen = pods_.Find(key.ns, key.name);
  if (!seen || seen->metadata().uid() != made->metadata().uid()) made_.insert(key);
  co_return absl::OkStatus();
}

bool MirrorPods::Resting(const ObjectKey& key) const {
  auto it = trouble_.find(key);
  return it != trouble_.end() && loop_.clock().Monotonic() < it->second.retry_at;
}

void MirrorPods::Note(const ObjectKey& key, const absl::Status& status, std::string_view what) {
  if (status.ok()) {
    trouble_.erase(key);
    return;
  }
  KLOG_WARNING(what, {"pod", base::StrCat(key.ns, "/", key.name)}, {"err", status});
  Trouble& trouble = trouble_[key];
  trouble.delay = trouble.delay.count() == 0 ? o_.retry_first
                                             : std::min(trouble.delay * 2, o_.retry_max);
  const base::Nanos jitter(random_() % static_cast<uint64_t>(trouble.delay.count() / 2 + 1));
  trouble.retry_at =
      loop_.clock().Monotonic() + std::max(trouble.delay + jitter, client::RetryAfter(status));
}

}  // namespace keelson::kubelet
