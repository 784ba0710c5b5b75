// SPDX-License-Identifier: Apache-2.0
// A pod from a file or a URL belongs to this node and to nobody else. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/time.h"
#include "kubelet/pod.h"

namespace keelson::kubelet::sources {

// Makes `pod` (decoded, with defaults) a static pod of `node_name` from `origin`, a path or a URL:
// UID unless one was given, name suffix, namespace, nodeName, phase, and the annotations
// config.hash and config.source; from a file also the toleration of every NoExecute taint. The same
// content, origin and node give the same UID; any change of the content gives another.
void MakeStatic(v1::Pod* pod, PodSource source, std::string_view origin,
                std::string_view node_name);

// Sets the annotation config.seen, which does not count as content.
void SetFirstSeen(v1::Pod* pod, base::WallTime when);
// The same for a pod that was seen before.
void KeepFirstSeen(v1::Pod* pod, const v1::Pod& before);

// 32 hex digits that are equal when two pods are, config.seen aside.
std::string Fingerprint(const v1::Pod& pod);

}  // namespace keelson::kubelet::sources
