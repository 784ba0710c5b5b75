// SPDX-License-Identifier: Apache-2.0
#include "kubelet/node/node_conditions.h"

#include "absl/strings/str_join.h"
#include "base/strings.h"

namespace keelson::kubelet {

using base::StrCat;
using k8s::v1::NodeCondition;
using k8s::v1::NodeStatus;

namespace {

struct Words {
  const char* type;
  const char* reason[2];  // false, true
  const char* message[2];
};

constexpr Words kMemory = {"MemoryPressure",
                           {"KubeletHasSufficientMemory", "KubeletHasInsufficientMemory"},
                           {"kubelet has sufficient memory available",
                            "kubelet has insufficient memory available"}};
constexpr Words kDisk = {"DiskPressure",
                         {"KubeletHasNoDiskPressure", "KubeletHasDiskPressure"},
                         {"kubelet has no disk pressure", "kubelet has disk pressure"}};
constexpr Words kPid = {"PIDPressure",
                        {"KubeletHasSufficientPID", "KubeletHasInsufficientPID"},
                        {"kubelet has sufficient PID available",
                         "kubelet has insufficient PID available"}};

void SetTime(base::WallTime time, k8s::meta::v1::Time* out) {
  out->set_seconds(base::ToUnixNanos(time) / 1'000'000'000);
}

const NodeCondition* Find(const NodeStatus& status, const std::string& type) {
  for (const auto& condition : status.conditions())
    if (condition.type() == type) return &condition;
  return nullptr;
}

void Put(NodeCondition condition, base::WallTime now, const NodeStatus& previous,
         NodeStatus* status) {
  const NodeCondition* old = Find(previous, condition.type());
  SetTime(now, condition.mutable_lastheartbeattime());
  SetTime(now, condition.mutable_lasttransitiontime());
  if (old && old->status() == condition.status())
    *condition.mutable_lasttransitiontime() = old->lasttransitiontime();
  for (auto& present : *status->mutable_conditions()) {
    if (present.type() != condition.type()) continue;
    present = std::move(condition);
    return;
  }
  *status->add_conditions() = std::move(condition);
}

NodeCondition Pressure(const Words& words, bool on) {
  NodeCondition condition;
  condition.set_type(words.type);
  condition.set_status(on ? "True" : "False");
  condition.set_reason(words.reason[on]);
  condition.set_message(words.message[on]);
  return condition;
}

NodeCondition Ready(const NodeState& state) {
  NodeCondition condition;
  condition.set_type("Ready");
  if (!state.problems.empty()) {
    condition.set_status("False");
    condition.set_reason("KubeletNotReady");
    // As apimachinery's aggregate prints them.
    const std::string all = absl::StrJoin(state.problems, ", ");
    condition.set_message(state.problems.size() == 1 ? all : StrCat("[", all, "]"));
    return condition;
  }
  condition.set_status("True");
  condition.set_reason("KubeletReady");
  condition.set_message("kubelet is posting ready status");
  if (!state.soft_problem.empty())
    condition.set_message(StrCat(condition.message(), ". WARNING: ", state.soft_problem));
  return condition;
}

}  // namespace

void SetConditions(const NodeState& state, base::WallTime now, const NodeStatus& previous,
                   NodeStatus* status) {
  Put(Pressure(kMemory, state.memory_pressure), now, previous, status);
  Put(Pressure(kDisk, state.disk_pressure), now, previous, status);
  Put(Pressure(kPid, state.pid_pressure), now, previous, status);
  Put(Ready(state), now, previous, status);
}

std::vector<std::string> RuntimeProblems(bool runtime_ready, const std::string& runtime_reason,
                                         const std::string& runtime_message, bool network_ready,
                                         const std::string& network_reason,
                                         const std::string& network_message) {
  std::vector<std::string> problems;
  if (!runtime_ready)
    problems.push_back(StrCat("container runtime not ready: RuntimeReady=false reason:",
                              runtime_reason, " message:", runtime_message));
  if (!network_ready)
    problems.push_back(StrCat("container runtime network not ready: NetworkReady=false reason:",
                              network_reason, " message:", network_message));
  return problems;
}

}  // namespace keelson::kubelet
