// SPDX-License-Identifier: Apache-2.0
// The real HookRunner: exec in the container, httpGet, sleep. Loop only.
#pragma once

#include <functional>
#include <string>

#include "cri/runtime.h"
#include "probes/prober.h"

namespace keelson::probes {

// As in NodeProber.
using OnEvent =
    std::function<void(const k8s::v1::Pod& pod, const std::string& container, bool warning,
                       const std::string& reason, const std::string& message)>;

// Borrows `loop` and `runtime`, which outlive it. The destructor REQUIRES that no hook runs.
class NodeHooks : public HookRunner {
 public:
  NodeHooks(base::Loop& loop, cri::Runtime& runtime, OnEvent on_event)
      : loop_(loop), runtime_(runtime), on_event_(std::move(on_event)) {}

  base::Task<absl::Status> PostStart(PodPtr pod, HookTarget target) override;
  base::Task<absl::Status> PreStop(PodPtr pod, HookTarget target, base::Nanos limit) override;

 private:
  base::Task<absl::Status> Run(PodPtr pod, HookTarget target,
                               const k8s::v1::LifecycleHandler& handler);
  base::Task<absl::Status> Exec(const HookTarget& target, const k8s::v1::Pod& pod,
                                const k8s::v1::ExecAction& action);
  base::Task<absl::Status> HttpGet(const HookTarget& target, const k8s::v1::Pod& pod,
                                   const k8s::v1::HTTPGetAction& action);
  base::Task<void> RunInto(PodPtr pod, HookTarget target, const k8s::v1::LifecycleHandler& handler,
                           std::shared_ptr<absl::Status> result);

  base::Loop& loop_;
  cri::Runtime& runtime_;
  const OnEvent on_event_;
};

}  // namespace keelson::probes
