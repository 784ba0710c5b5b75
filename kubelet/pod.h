// SPDX-License-Identifier: Apache-2.0
// Words of the whole room: a pod, its identity, where it came from.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/k8s/pod.pb.h"

namespace keelson::kubelet {

namespace v1 = ::k8s::v1;

// Pods are shared and never changed after a source made them; a change is a new object.
using PodPtr = std::shared_ptr<const v1::Pod>;

// Of metadata.uid; unique among all pods of all times on this node.
using PodUid = std::string;

enum class PodSource { kFile, kUrl, kApi };
// The word of annotation kubernetes.io/config.source.
std::string_view PodSourceName(PodSource source);

inline constexpr std::string_view kConfigHash = "kubernetes.io/config.hash";
inline constexpr std::string_view kConfigSource = "kubernetes.io/config.source";
inline constexpr std::string_view kConfigSeen = "kubernetes.io/config.seen";
inline constexpr std::string_view kConfigMirror = "kubernetes.io/config.mirror";

// name_namespace: what two static pods must not share.
std::string FullName(const v1::Pod& pod);
// namespace/name, for people.
std::string ShortName(const v1::Pod& pod);
// Static: from a file or a URL.
bool IsStaticPod(const v1::Pod& pod);
// Static, mirror, or of priority >= 2000000000 (scheduling API).
bool IsCriticalPod(const v1::Pod& pod);
std::optional<std::string> Annotation(const v1::Pod& pod, std::string_view key);

// An init container with restartPolicy Always (KEP-753).
bool IsSidecar(const v1::Container& init_container);

// Everything a source wants to run at this moment. Replaces what the same source said before.
struct SourceUpdate {
  PodSource source;
  std::vector<PodPtr> pods;
};

// Something about a source that a person should see: a broken manifest, a server that is away.
struct SourceProblem {
  std::string object;   // file or URL
  std::string message;  // one line
};

}  // namespace keelson::kubelet
