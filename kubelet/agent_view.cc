// SPDX-License-Identifier: Apache-2.0
// The agent as its servers see it.
#include "base/strings.h"
#include "kubelet/agent_parts.h"
#include "kubelet/server/log_target.h"

namespace keelson::kubelet {

using base::StrCat;
using base::Task;

std::vector<k8s::v1::Pod> Agent::Pods() {
  std::vector<k8s::v1::Pod> pods;
  for (auto& entry : parts_->pods->Pods()) {
    pods.push_back(*entry.pod);
    *pods.back().mutable_status() = std::move(entry.status);
    // For people: a pod that is being removed shows as Terminating.
    if (entry.removed && entry.phase != WorkerPhase::kSyncing)
      SetTime(loop_.clock().Now(), pods.back().mutable_metadata()->mutable_deletiontimestamp());
  }
  return pods;
}

std::vector<k8s::v1::Event> Agent::Events() { return parts_->events.List(); }

Task<absl::StatusOr<std::vector<NodeImage>>> Agent::Images() {
  auto list = co_await parts_->runtime->ListImages();
  if (!list.ok()) co_return list.status();
  std::vector<NodeImage> images;
  for (const auto& image : list->images()) {
    NodeImage out;
    out.id = image.id();
    out.repo_tags.assign(image.repo_tags().begin(), image.repo_tags().end());
    out.repo_digests.assign(image.repo_digests().begin(), image.repo_digests().end());
    out.size_bytes = static_cast<int64_t>(image.size());
    out.pinned = image.pinned();
    images.push_back(std::move(out));
  }
  co_return images;
}

absl::StatusOr<ContainerLog> Agent::FindLog(const std::string& ns, const std::string& pod,
                                            const std::string& container, bool previous) {
  auto entry = parts_->pods->Find(ns, pod);
  if (!entry)
    return absl::NotFoundError(StrCat("pods \"", pod, "\" not found in namespace \"", ns, "\""));
  k8s::v1::Pod shown = *entry->pod;
  *shown.mutable_status() = entry->status;
  auto id = ChooseLogInstance(shown, container, previous);
  if (!id.ok()) return id.status();
  const ObservedContainer* seen = parts_->pleg.View(shown.metadata().uid()).FindById(*id);
  if (!seen || seen->log_path.empty())
    return absl::NotFoundError(StrCat("the log of container ", container, " is gone"));
  const std::string& root = parts_->files->paths().pod_logs_dir;
  if (!seen->log_path.starts_with(root + "/"))
    return absl::FailedPreconditionError(
        StrCat("the log of container ", container, " is not below ", root));
  return ContainerLog{root, seen->log_path, *id};
}

Task<void> Agent::ContainerEnded(std::string container_id) {
  co_await parts_->pleg.AwaitEnd(std::move(container_id));
}

const google::protobuf::Message& Agent::Configuration() { return options_.config; }

std::vector<InflightCall> Agent::Inflight() {
  std::vector<InflightCall> calls;
  base::MonoTime now = loop_.clock().Monotonic();
  for (auto& call : parts_->runtime->InFlightCalls())
    calls.push_back({"cri", call.method, call.object, now - call.started});
  return calls;
}

absl::Status Agent::Health() {
  // The loop turns, or nobody could ask.
  return absl::OkStatus();
}

}  // namespace keelson::kubelet
