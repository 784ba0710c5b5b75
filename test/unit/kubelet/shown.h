// SPDX-License-Identifier: Apache-2.0
// What is shown of a pod, from a scene, and words for it, for tables of statuses.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kubelet/conditions.h"
#include "kubelet/status.h"
#include "test/unit/kubelet/scene.h"

namespace keelson::kubelet {

// One status from a scene; the fields are what a test may set before it asks.
struct Shown {
  Shown(const std::string& spec, std::string_view seen) : scene(spec, seen) {}

  v1::PodStatus Now() const {
    StatusInput in{scene.pod,    scene.view, previous,     now,
                   start,        waiting,    scene.probes, messages,
                   "containerd", "Burstable", node_ips,    last_pod_ips};
    in.sandbox_ready = !NeedSandbox(scene.pod, scene.view).create;
    in.terminating = terminating;
    in.terminal = terminal;
    in.verdict = verdict;
    in.restart_counts = restart_counts;
    in.start_again = scene.again;
    in.recursive_read_only = recursive_read_only;
    return MakePodStatus(in);
  }
  // As Now, remembered as what was said last; then the runtime shows `seen`.
  Shown& Then(const std::string& spec, std::string_view seen) {
    previous = Now();
    scene = Scene(spec, seen);
    return *this;
  }

  Scene scene;
  v1::PodStatus previous;
  base::WallTime now = base::FromUnixNanos(1'000'000'000'000);
  base::WallTime start = base::FromUnixNanos(900'000'000'000);
  std::map<std::string, Waiting> waiting;
  std::map<std::string, std::string> messages;
  std::vector<std::string> node_ips;
  std::vector<std::string> last_pod_ips;
  std::map<std::string, uint32_t> restart_counts;
  std::optional<PodVerdict> verdict;
  bool terminating = false, terminal = false, recursive_read_only = false;
};

inline std::string StateWord(const v1::ContainerState& state) {
  if (state.has_running()) return "running";
  if (state.has_waiting()) return "waiting/" + state.waiting().reason();
  if (state.has_terminated())
    return base::StrCat("terminated/", state.terminated().reason(), "/",
                        state.terminated().exitcode());
  return "none";
}
// STATE, and <LAST STATE when there is one.
inline std::string Word(const v1::ContainerStatus& s) {
  std::string word = StateWord(s.state());
  if (s.has_laststate() && s.laststate().has_terminated())
    word += " <" + StateWord(s.laststate());
  return word;
}
// TYPE=STATUS/REASON/MESSAGE
inline std::string ConditionWord(const v1::PodStatus& status, const std::string& type) {
  const v1::PodCondition* c = FindCondition(status, type);
  if (!c) return "missing";
  return base::StrCat(c->status(), "/", c->reason(), "/", c->message());
}

inline constexpr char kAlways[] = "{restartPolicy: Always, containers: [{name: c}]}";
inline constexpr char kOnFailure[] = "{restartPolicy: OnFailure, containers: [{name: c}]}";
inline constexpr char kNever[] = "{restartPolicy: Never, containers: [{name: c}]}";
inline constexpr char kTwoNever[] = "{restartPolicy: Never, containers: [{name: c}, {name: d}]}";
inline constexpr char kInit[] =
    "{restartPolicy: Always, initContainers: [{name: i}], containers: [{name: c}]}";
inline constexpr char kInitNever[] =
    "{restartPolicy: Never, initContainers: [{name: i}], containers: [{name: c}]}";
inline constexpr char kSidecar[] =
    "{restartPolicy: Never, initContainers: [{name: s, restartPolicy: Always}],"
    " containers: [{name: c}]}";
inline constexpr char kProbedSidecar[] =
    "{restartPolicy: Never, initContainers: [{name: s, restartPolicy: Always,"
    " startupProbe: {tcpSocket: {port: 1}}}], containers: [{name: c}]}";

}  // namespace keelson::kubelet
