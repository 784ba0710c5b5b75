// SPDX-License-Identifier: Apache-2.0
// Events: what happened to a pod, in the exact words users' tools look for
// (reasons: docs/events.md). Loop only.
#pragma once

#include <string>
#include <string_view>

#include "kubelet/pod.h"

namespace keelson::kubelet {

enum class EventType { kNormal, kWarning };

class EventRecorder {
 public:
  virtual ~EventRecorder() = default;
  // `field_path` names a part of the pod, such as spec.containers{web}, or is empty.
  virtual void PodEvent(const v1::Pod& pod, EventType type, std::string_view reason,
                        std::string message, std::string field_path = {}) = 0;
  virtual void NodeEvent(EventType type, std::string_view reason, std::string message) = 0;
};

}  // namespace keelson::kubelet
