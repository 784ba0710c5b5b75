// SPDX-License-Identifier: Apache-2.0
#include "tools/nodectl/lookup.h"

#include <cstdio>

#include "base/errno_status.h"
#include "proto/codec/codec.h"
#include "tools/nodectl/client.h"

namespace keelson::nodectl {

using k8s::v1::EventList;
using k8s::v1::Pod;
using k8s::v1::PodList;

namespace {

// The agent's answer may be larger than a manifest: thousands of pods.
constexpr size_t kMaxAnswer = 1u << 30;

template <typename List>
absl::StatusOr<List> Fetch(const Options& options, const std::string& path) {
  QueryParams query;
  if (!options.ns.empty()) query.emplace_back("namespace", options.ns);
  auto json = Client(options.socket).Get(path, query);
  if (!json.ok()) return json.status();
  List list;
  proto::DecodeOptions bounds;
  bounds.max_bytes = kMaxAnswer;
  bounds.max_nodes = 100'000'000;
  bounds.source = "answer of the agent";
  RETURN_IF_ERROR(proto::DecodeJson(*json, &list, bounds));
  return list;
}

std::string DefaultContainer(const Pod& pod) {
  const auto& annotations = pod.metadata().annotations();
  if (auto it = annotations.find("kubectl.kubernetes.io/default-container");
      it != annotations.end())
    return it->second;
  if (pod.spec().containers().empty()) return {};
  std::string name = pod.spec().containers(0).name();
  std::string all;
  for (const auto& container : pod.spec().containers())
    base::StrAppend(&all, all.empty() ? "" : ", ", container.name());
  for (const auto& container : pod.spec().initcontainers())
    base::StrAppend(&all, ", ", container.name(), " (init)");
  if (all != name)
    std::fprintf(stderr, "Defaulted container \"%s\" out of: %s\n", name.c_str(), all.c_str());
  return name;
}

}  // namespace

std::string BareName(const std::string& name) {
  for (std::string_view prefix : {"pod/", "pods/", "po/"})
    if (name.starts_with(prefix)) return name.substr(prefix.size());
  return name;
}

absl::StatusOr<PodList> FetchPods(const Options& options) {
  return Fetch<PodList>(options, "/pods");
}

absl::StatusOr<EventList> FetchEvents(const Options& options) {
  return Fetch<EventList>(options, "/events");
}

absl::Status KeepNamed(const std::vector<std::string>& names, PodList* pods) {
  if (names.empty()) return absl::OkStatus();
  PodList kept;
  for (const std::string& given : names) {
    const std::string name = BareName(given);
    const int before = kept.items_size();
    for (const Pod& pod : pods->items())
      if (pod.metadata().name() == name) *kept.add_items() = pod;
    if (kept.items_size() == before)
      return absl::NotFoundError(base::StrCat("pods \"", name, "\" not found"));
  }
  pods->Swap(&kept);
  return absl::OkStatus();
}

absl::StatusOr<Pod> OnePod(const Options& options, const std::string& name) {
  auto pods = FetchPods(options);
  if (!pods.ok()) return pods.status();
  RETURN_IF_ERROR(KeepNamed({name}, &*pods));
  if (pods->items_size() == 1) return pods->items(0);
  std::string where;
  for (const Pod& pod : pods->items())
    base::StrAppend(&where, where.empty() ? "" : ", ", pod.metadata().namespace_());
  return absl::FailedPreconditionError(base::StrCat(
      "there is a pod \"", name, "\" in each of these namespaces: ", where, "; choose with -n"));
}

std::string ContainerOf(const Options& options, const Pod& pod) {
  return options.container.empty() ? DefaultContainer(pod) : options.container;
}

}  // namespace keelson::nodectl
