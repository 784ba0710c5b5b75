// SPDX-License-Identifier: Apache-2.0
// Probes the containers of this node: one worker for each probe of each running container instance.
//
// Loop only. Borrows `loop` and `runtime`, which outlive it. A worker's life is that of the instance
// in Update(); its result lives as long. An agent that finds containers running spreads their first
// probes over a period. Before the destructor: co_await Close().
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/loop.h"
#include "base/task.h"
#include "cri/runtime.h"
#include "probes/checks.h"
#include "probes/hooks.h"
#include "probes/probe_state.h"
#include "probes/prober.h"

namespace keelson::probes {

class NodeProber : public Prober {
 public:
  // Something about a container that its users should know; the reason and text of an API event.
  using OnEvent = probes::OnEvent;

  // `on_result` runs, on the loop, after a result of the pod has changed.
  NodeProber(base::Loop& loop, cri::Runtime& runtime, OnEvent on_event,
             std::function<void(const std::string& pod_uid)> on_result);
  ~NodeProber() override;

  HookRunner& hooks() { return hooks_; }
  // Hears of every answer, and how long it took.
  using OnAnswer = std::function<void(const k8s::v1::Pod& pod, const std::string& container,
                                      ProbeKind kind, Verdict verdict, base::Nanos took)>;
  void set_on_answer(OnAnswer on_answer) { on_answer_ = std::move(on_answer); }

  void Update(PodPtr pod, std::vector<Target> running, std::vector<std::string> pod_ips) override;
  const Results& ResultsOf(const std::string& pod_uid) const override;
  // What liveness and startup probes said last gives way to success: they cause no further kill.
  void BeginTermination(const std::string& pod_uid) override;
  void Remove(const std::string& pod_uid) override;

  // Ends all workers and returns when they have ended. REQUIRES: no Update() afterwards.
  base::Task<void> Close();

  // Workers that run, for debugging and metrics.
  size_t workers() const;

 private:
  struct Instance;
  struct PodEntry;
  using PodEntryPtr = std::shared_ptr<PodEntry>;
  using InstancePtr = std::shared_ptr<Instance>;

  void Start(const PodEntryPtr& pod, const Target& target);
  void Spawn(const PodEntryPtr& pod, const InstancePtr& instance, ProbeKind kind);
  // Cancels the instance's workers; their last turns are awaited in the background.
  void Stop(const InstancePtr& instance);
  static base::Task<void> JoinBoth(InstancePtr instance);
  base::Task<void> Work(PodEntryPtr pod, InstancePtr instance, ProbeKind kind, base::MonoTime turn);
  void Publish(const PodEntryPtr& pod, const InstancePtr& instance, ProbeKind kind, Result result);

  base::Loop& loop_;
  const OnEvent on_event_;
  const std::function<void(const std::string&)> on_result_;
  OnAnswer on_answer_;  // empty: nobody counts
  Checks checks_;
  NodeHooks hooks_;
  const base::MonoTime begun_;
  std::map<std::string, PodEntryPtr> pods_;  // by uid
  base::TaskGroup ending_;                   // last: joins what was stopped
};

}  // namespace keelson::probes
