// SPDX-License-Identifier: Apache-2.0
// What the pod manager tells of a pod, for whoever passes it on to an API server. Plain data.
#pragma once

#include "kubelet/pod.h"

namespace keelson::kubelet {

struct PodReport {
  PodPtr pod;  // as its source has it now
  v1::PodStatus status;
  // A container may still run: a phase that says otherwise must not leave the node yet.
  bool may_run = false;
  // Nothing of the pod is left here and it is never started again; its object may go.
  bool finished = false;
  // Its source has it no more: the last that is heard of it.
  bool gone = false;
};

}  // namespace keelson::kubelet
