// SPDX-License-Identifier: Apache-2.0
#include "kubelet/cluster/api_pods.h"

#include "base/strings.h"
#include "base/time.h"

namespace keelson::kubelet {

using base::Task;

namespace {

client::ReflectorOptions ReflectorOf(const ApiPodsOptions& options,
                                     std::function<void(client::Message*)> prepare) {
  client::ReflectorOptions reflector;
  reflector.field_selector = base::StrCat("spec.nodeName=", options.node_name);
  reflector.seed = options.seed;
  reflector.prepare = std::move(prepare);
  return reflector;
}

}  // namespace

bool IsMirrorPod(const v1::Pod& pod) { return Annotation(pod, kConfigMirror).has_value(); }

ApiPods::ApiPods(base::Loop& loop, client::ApiServer& api, ApiPodsOptions options,
                 std::function<void(SourceUpdate)> on_update)
    : loop_(loop),
      on_update_(std::move(on_update)),
      pods_(loop, api, ReflectorOf(options, [this](client::Message* object) { Prepare(object); }),
            EventsOf()) {}

client::Reflector<v1::Pod>::Events ApiPods::EventsOf() {
  client::Reflector<v1::Pod>::Events events;
  events.changed = [this](const client::ObjectKey&, const PodPtr& before, const PodPtr& after) {
    Changed(before, after);
  };
  events.listed = [this] {
    for (const Listener& listener : listeners_) listener.listed();
    deliver_.Set();
  };
  return events;
}

void ApiPods::Listen(OnObject on_object, OnListed on_listed) {
  listeners_.push_back({std::move(on_object), std::move(on_listed)});
}

// Source and first sight are ours to say, whatever stands there. A mirror is no pod to run.
void ApiPods::Prepare(client::Message* object) const {
  auto* pod = static_cast<v1::Pod*>(object);
  if (IsMirrorPod(*pod)) return;
  auto* meta = pod->mutable_metadata();
  auto& annotations = *meta->mutable_annotations();
  annotations[std::string(kConfigSource)] = std::string(PodSourceName(PodSource::kApi));
  const PodPtr known = pods_.Find(meta->namespace_(), meta->name());
  std::optional<std::string> seen;
  if (known && known->metadata().uid() == meta->uid()) seen = Annotation(*known, kConfigSeen);
  annotations[std::string(kConfigSeen)] =
      seen.value_or(base::FormatRfc3339Nano(loop_.clock().Now()));
}

void ApiPods::Changed(const PodPtr& before, const PodPtr& after) {
  for (const Listener& listener : listeners_) listener.object(before, after);
  if (pods_.synced()) deliver_.Set();
}

Task<void> ApiPods::Run() {
  std::vector<Task<bool>> tasks;
  tasks.push_back(RunReflector());
  tasks.push_back(RunDelivery());
  co_await base::Gather(loop_, std::move(tasks));
}

Task<bool> ApiPods::RunReflector() {
  co_await pods_.Run();
  co_return true;
}

// In a turn of its own: what came in one piece is told in one.
Task<bool> ApiPods::RunDelivery() {
  while (true) {
    co_await deliver_.Wait();
    SourceUpdate update{PodSource::kApi, {}};
    for (PodPtr& pod : pods_.List())
      if (!IsMirrorPod(*pod)) update.pods.push_back(std::move(pod));
    on_update_(std::move(update));
  }
}

PodPtr ApiPods::Find(const std::string& ns, const std::string& name) const {
  return pods_.Find(ns, name);
}

std::vector<PodPtr> ApiPods::Mirrors() const {
  std::vector<PodPtr> mirrors;
  for (PodPtr& pod : pods_.List())
    if (IsMirrorPod(*pod)) mirrors.push_back(std::move(pod));
  return mirrors;
}

}  // namespace keelson::kubelet
