// SPDX-License-Identifier: Apache-2.0
#include "kubelet/pod.h"

#include "base/strings.h"

namespace keelson::kubelet {
namespace {
// Priorities of system pods start here (k8s scheduling API, SystemCriticalPriority).
constexpr int32_t kSystemCriticalPriority = 2'000'000'000;
}  // namespace

std::string_view PodSourceName(PodSource source) {
  switch (source) {
    case PodSource::kFile: return "file";
    case PodSource::kUrl: return "http";
    case PodSource::kApi: return "api";
  }
  return "";
}

std::string FullName(const v1::Pod& pod) {
  return base::StrCat(pod.metadata().name(), "_", pod.metadata().namespace_());
}

std::string ShortName(const v1::Pod& pod) {
  return base::StrCat(pod.metadata().namespace_(), "/", pod.metadata().name());
}

bool IsStaticPod(const v1::Pod& pod) {
  const auto source = Annotation(pod, kConfigSource);
  return source.has_value() && *source != PodSourceName(PodSource::kApi);
}

bool IsCriticalPod(const v1::Pod& pod) {
  return IsStaticPod(pod) || Annotation(pod, kConfigMirror).has_value() ||
         pod.spec().priority() >= kSystemCriticalPriority;
}

std::optional<std::string> Annotation(const v1::Pod& pod, std::string_view key) {
  const auto& all = pod.metadata().annotations();
  const auto found = all.find(std::string(key));
  if (found == all.end()) return std::nullopt;
  return found->second;
}

bool IsSidecar(const v1::Container& init_container) {
  return init_container.restartpolicy() == "Always";
}

}  // namespace keelson::kubelet
