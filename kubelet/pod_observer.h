// SPDX-License-Identifier: Apache-2.0
// Hears what happens to pods, to count it. Loop only; must not call back.
#pragma once

#include <string>

#include "base/time.h"
#include "kubelet/plan.h"
#include "kubelet/pod.h"

namespace keelson::kubelet {

class PodObserver {
 public:
  virtual ~PodObserver() = default;
  // One look at a pod and what it led to, without the calls it began.
  virtual void PodSynced(base::Nanos took) = 0;
  // A pod that was Pending became Running, so long after it was first seen.
  virtual void PodRunning(const v1::Pod& pod, base::Nanos since_seen) = 0;
  virtual void SandboxMade(bool ok) = 0;
  // RunPodSandbox was answered; `handler` is the runtime class's, empty for the default one.
  virtual void SandboxRun(const std::string& handler, bool ok, base::Nanos took) = 0;
  // `failure` is the reason in its status, CreateContainerError; empty: it started.
  virtual void ContainerStarted(ContainerKind kind, const std::string& failure) = 0;
};

}  // namespace keelson::kubelet
