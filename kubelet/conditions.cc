// SPDX-License-Identifier: Apache-2.0
#include "kubelet/conditions.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "absl/strings/str_join.h"
#include "base/strings.h"

namespace keelson::kubelet {

using base::StrCat;

namespace {

struct Outcome {
  bool ok = true;
  std::string reason;
  std::string message;
};

// Names that keep a condition from being True, and the sentence upstream makes of them.
struct Culprits {
  std::vector<std::string> unknown;
  std::vector<std::string> failing;

  bool none() const { return unknown.empty() && failing.empty(); }
  std::string Message(std::string_view what) const {
    std::vector<std::string> parts;
    if (!unknown.empty())
      parts.push_back(StrCat("containers with unknown status: [", absl::StrJoin(unknown, " "), "]"));
    if (!failing.empty())
      parts.push_back(
          StrCat("containers with ", what, " status: [", absl::StrJoin(failing, " "), "]"));
    return absl::StrJoin(parts, ", ");
  }
};

const v1::ContainerStatus* Find(
    const google::protobuf::RepeatedPtrField<v1::ContainerStatus>& list, const std::string& name) {
  for (const auto& s : list)
    if (s.name() == name) return &s;
  return nullptr;
}

bool AnyRegularStarted(const v1::PodStatus& status) {
  for (const auto& s : status.containerstatuses())
    if (s.state().has_running() || s.state().has_terminated() || s.laststate().has_terminated())
      return true;
  return false;
}

Outcome Initialized(const StatusInput& in, const v1::PodStatus& status) {
  if (status.phase() == "Succeeded") return {true, "PodCompleted", ""};
  if (AnyRegularStarted(status)) return {};
  Culprits culprits;
  for (const auto& c : in.pod.spec().initcontainers()) {
    const v1::ContainerStatus* s = Find(status.initcontainerstatuses(), c.name());
    if (!s) culprits.unknown.push_back(c.name());
    else if (IsSidecar(c) ? !s->started() : !s->ready()) culprits.failing.push_back(c.name());
  }
  if (culprits.none()) return {};
  // Init containers may run again (KEP-5532); the pod stays initialized.
  const v1::PodCondition* before = FindCondition(in.previous, "Initialized");
  if (before && before->status() == "True") return {};
  return {false, "ContainersNotInitialized", culprits.Message("incomplete")};
}

Outcome ContainersReady(const StatusInput& in, const v1::PodStatus& status) {
  if (status.phase() == "Succeeded") return {false, "PodCompleted", ""};
  if (status.phase() == "Failed") return {false, "PodFailed", ""};
  if (status.containerstatuses().empty()) return {false, "UnknownContainerStatuses", ""};
  Culprits culprits;
  auto check = [&](const v1::Container& c, const auto& list) {
    const v1::ContainerStatus* s = Find(list, c.name());
    if (!s) culprits.unknown.push_back(c.name());
    else if (!s->ready()) culprits.failing.push_back(c.name());
  };
  for (const auto& c : in.pod.spec().initcontainers())
    if (IsSidecar(c)) check(c, status.initcontainerstatuses());
  for (const auto& c : in.pod.spec().containers()) check(c, status.containerstatuses());
  if (culprits.none()) return {};
  return {false, "ContainersNotReady", culprits.Message("unready")};
}

Outcome Ready(const StatusInput& in, const Outcome& containers_ready) {
  if (!containers_ready.ok) return containers_ready;
  std::vector<std::string> unready;
  for (const auto& gate : in.pod.spec().readinessgates()) {
    const v1::PodCondition* c = FindCondition(in.pod.status(), gate.conditiontype());
    if (!c)
      unready.push_back(StrCat("corresponding condition of pod readiness gate \"",
                               gate.conditiontype(), "\" does not exist."));
    else if (c->status() != "True")
      unready.push_back(StrCat("the status of pod readiness gate \"", gate.conditiontype(),
                               "\" is not \"True\", but ", c->status()));
  }
  if (unready.empty()) return {};
  return {false, "ReadinessGatesNotReady", absl::StrJoin(unready, ", ")};
}

// KEP-5532; nullopt for a pod without such a rule.
std::optional<Outcome> AllContainersRestarting(const StatusInput& in, const v1::PodStatus& status) {
  auto has_rule = [](const v1::Container& c) {
    return std::any_of(
        c.restartpolicyrules().begin(), c.restartpolicyrules().end(),
        [](const auto& rule) { return rule.action() == "RestartAllContainers"; });
  };
  const v1::PodSpec& spec = in.pod.spec();
  if (std::none_of(spec.containers().begin(), spec.containers().end(), has_rule) &&
      std::none_of(spec.initcontainers().begin(), spec.initcontainers().end(), has_rule))
    return std::nullopt;
  if (status.phase() == "Succeeded") return Outcome{false, "PodCompleted", ""};
  if (status.phase() == "Failed") return Outcome{false, "PodFailed", ""};
  if (!RestartAllAsked(in.pod, in.seen)) return Outcome{false, "", ""};
  return Outcome{true, "RestartAllContainersStarted", "container exited with restart policy rule"};
}

void Add(const StatusInput& in, const std::string& type, const Outcome& outcome,
         v1::PodStatus& status) {
  auto* c = status.add_conditions();
  c->set_type(type);
  c->set_status(outcome.ok ? "True" : "False");
  if (!outcome.reason.empty()) c->set_reason(outcome.reason);
  if (!outcome.message.empty()) c->set_message(outcome.message);
  if (in.pod.metadata().generation() > 0)
    c->set_observedgeneration(in.pod.metadata().generation());
  const v1::PodCondition* before = FindCondition(in.previous, type);
  if (before && before->status() == c->status())
    *c->mutable_lasttransitiontime() = before->lasttransitiontime();
  else
    SetTime(in.now, c->mutable_lasttransitiontime());
}

constexpr char kDisruption[] = "DisruptionTarget";
constexpr std::array<std::string_view, 8> kOurs = {
    "PodReadyToStartContainers", "Initialized",           "Ready",
    "ContainersReady",           "PodScheduled",          "AllContainersRestarting",
    "PodResizePending",          "PodResizeInProgress"};

}  // namespace

bool IsOurCondition(const std::string& type) {
  return std::find(kOurs.begin(), kOurs.end(), type) != kOurs.end();
}

const v1::PodCondition* FindCondition(const v1::PodStatus& status, const std::string& type) {
  for (const auto& c : status.conditions())
    if (c.type() == type) return &c;
  return nullptr;
}

void AddConditions(const StatusInput& in, v1::PodStatus& status) {
  Outcome containers_ready = ContainersReady(in, status);
  Add(in, "PodReadyToStartContainers", {in.sandbox_ready, "", ""}, status);
  Add(in, "Initialized", Initialized(in, status), status);
  Add(in, "Ready", Ready(in, containers_ready), status);
  Add(in, "ContainersReady", containers_ready, status);
  Add(in, "PodScheduled", {}, status);
  if (auto restarting = AllContainersRestarting(in, status))
    Add(in, "AllContainersRestarting", *restarting, status);
  // Shared with eviction and others, who set it on the object.
  const bool disrupted = in.verdict && !in.verdict->disruption.empty();
  if (disrupted)
    Add(in, kDisruption, {true, "TerminationByKubelet", in.verdict->disruption}, status);
  for (const auto& c : in.pod.status().conditions())
    if (!IsOurCondition(c.type()) && !(disrupted && c.type() == kDisruption))
      *status.add_conditions() = c;
}

}  // namespace keelson::kubelet
