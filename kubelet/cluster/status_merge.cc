// SPDX-License-Identifier: Apache-2.0
#include "kubelet/cluster/status_merge.h"

#include <algorithm>

#include "base/strings.h"
#include "kubelet/canonical.h"
#include "kubelet/cluster/api_pods.h"
#include "kubelet/conditions.h"
#include "kubelet/plan.h"

namespace keelson::kubelet {

using base::StrCat;

namespace {

// Ours to add when we end a pod, and others' at any time.
constexpr char kDisruptionTarget[] = "DisruptionTarget";

bool HasRestartAllRule(const v1::PodSpec& spec) {
  auto asks = [](const v1::Container& c) {
    return std::any_of(c.restartpolicyrules().begin(), c.restartpolicyrules().end(),
                       [](const auto& rule) { return rule.action() == "RestartAllContainers"; });
  };
  return std::any_of(spec.containers().begin(), spec.containers().end(), asks) ||
         std::any_of(spec.initcontainers().begin(), spec.initcontainers().end(), asks);
}

const v1::ContainerStatus* Find(const google::protobuf::RepeatedPtrField<v1::ContainerStatus>& list,
                                const std::string& name) {
  for (const auto& status : list)
    if (status.name() == name) return &status;
  return nullptr;
}

// The first container that has ended for good and is shown as not ended; empty when there is none.
std::string Revived(const v1::Pod& pod,
                    const google::protobuf::RepeatedPtrField<v1::Container>& specs,
                    const google::protobuf::RepeatedPtrField<v1::ContainerStatus>& before,
                    const google::protobuf::RepeatedPtrField<v1::ContainerStatus>& next) {
  for (const auto& spec : specs) {
    const v1::ContainerStatus* old = Find(before, spec.name());
    const v1::ContainerStatus* now = Find(next, spec.name());
    if (!old || !now || !old->state().has_terminated() || now->state().has_terminated()) continue;
    if (IsSidecar(spec)) continue;
    const int code = old->state().terminated().exitcode();
    if (DecideRestart(pod, spec, code) == RestartDecision::kNo) return spec.name();
  }
  return {};
}

void MergeConditions(const v1::PodStatus& server, const v1::PodStatus& wanted, bool ends,
                     v1::PodStatus* next) {
  next->clear_conditions();
  auto ours = [&](const std::string& type) {
    return IsOurCondition(type) || (type == kDisruptionTarget && ends);
  };
  for (const auto& c : server.conditions()) {
    const v1::PodCondition* mine = ours(c.type()) ? FindCondition(wanted, c.type()) : nullptr;
    if (mine) *next->add_conditions() = *mine;
    else if (!IsOurCondition(c.type())) *next->add_conditions() = c;
  }
  for (const auto& c : wanted.conditions())
    if (ours(c.type()) && !FindCondition(server, c.type())) *next->add_conditions() = c;
}

// Of the lists of a status that are merged element by element; empty for others.
std::string_view MergeKey(std::string_view list) {
  if (list == "conditions") return "type";
  return list == "podIPs" || list == "hostIPs" ? "ip" : "";
}

void UniteLists(const proto::Value& other, std::string_view key, proto::Value* list) {
  for (const auto& element : other.items) {
    const proto::Value* id = element.Find(key);
    auto same = std::find_if(list->items.begin(), list->items.end(), [&](const auto& mine) {
      const proto::Value* its = mine.Find(key);
      return id && its && its->text == id->text;
    });
    if (same == list->items.end()) list->items.push_back(element);
    else Unite(element, &*same);
  }
}

// Nobody may read of a pod that is over and ready.
void Unready(v1::PodStatus* status) {
  for (auto& c : *status->mutable_conditions()) {
    if ((c.type() != "Ready" && c.type() != "ContainersReady") || c.status() != "True") continue;
    c.set_status("False");
    c.set_reason(status->phase() == "Succeeded" ? "PodCompleted" : "PodFailed");
    c.clear_message();
  }
}

}  // namespace

void KeepTimes(const v1::PodStatus& before, v1::PodStatus* next) {
  if (before.has_starttime()) *next->mutable_starttime() = before.starttime();
  if (before.observedgeneration() > next->observedgeneration())
    next->set_observedgeneration(before.observedgeneration());
  for (auto& c : *next->mutable_conditions()) {
    if (!IsOurCondition(c.type()) && c.type() != kDisruptionTarget) continue;
    const v1::PodCondition* old = FindCondition(before, c.type());
    if (old && old->status() == c.status() && old->has_lasttransitiontime())
      *c.mutable_lasttransitiontime() = old->lasttransitiontime();
  }
}

std::string IllegalChange(const v1::Pod& pod, const v1::PodStatus& before,
                          const v1::PodStatus& next) {
  const v1::PodSpec& spec = pod.spec();
  if (spec.restartpolicy() == "Always" || HasRestartAllRule(spec)) return {};
  if (auto name = Revived(pod, spec.containers(), before.containerstatuses(),
                          next.containerstatuses());
      !name.empty())
    return StrCat("terminated container ", name,
                  " attempted illegal transition to non-terminated state");
  if (auto name = Revived(pod, spec.initcontainers(), before.initcontainerstatuses(),
                          next.initcontainerstatuses());
      !name.empty())
    return StrCat("terminated init container ", name,
                  " attempted illegal transition to non-terminated state");
  return {};
}

v1::PodStatus MergeStatus(const v1::Pod& pod, const v1::PodStatus& server,
                          const v1::PodStatus& wanted, bool may_run) {
  v1::PodStatus next = wanted;
  const bool was_over = IsTerminalPhase(server.phase());
  const bool ends = !was_over && IsTerminalPhase(wanted.phase());
  MergeConditions(server, wanted, ends && !may_run, &next);
  *next.mutable_resourceclaimstatuses() = server.resourceclaimstatuses();
  *next.mutable_nodeallocatableresourceclaimstatuses() =
      server.nodeallocatableresourceclaimstatuses();
  next.clear_extendedresourceclaimstatus();
  if (server.has_extendedresourceclaimstatus())
    *next.mutable_extendedresourceclaimstatus() = server.extendedresourceclaimstatus();
  if (server.has_nominatednodename()) next.set_nominatednodename(server.nominatednodename());
  const bool stays = was_over && !IsStaticPod(pod) && wanted.phase() != server.phase();
  if (stays || (ends && may_run)) {
    next.set_phase(server.phase());
    next.clear_reason();
    next.clear_message();
    if (server.has_reason()) next.set_reason(server.reason());
    if (server.has_message()) next.set_message(server.message());
  }
  if (IsTerminalPhase(next.phase())) Unready(&next);
  return next;
}

v1::PodStatus OwnStatus(const v1::PodStatus& status) {
  v1::PodStatus own = status;
  own.clear_conditions();
  own.clear_resourceclaimstatuses();
  own.clear_nodeallocatableresourceclaimstatuses();
  own.clear_extendedresourceclaimstatus();
  own.clear_nominatednodename();
  for (const auto& c : status.conditions())
    if (IsOurCondition(c.type())) *own.add_conditions() = c;
  std::sort(own.mutable_conditions()->begin(), own.mutable_conditions()->end(),
            [](const auto& a, const auto& b) { return a.type() < b.type(); });
  return own;
}

std::string OwnPart(const v1::PodStatus& status) { return Canonical(OwnStatus(status)); }

void Unite(const proto::Value& other, proto::Value* patch) {
  using Kind = proto::Value::Kind;
  for (const auto& member : other.members) {
    proto::Value* mine = patch->Find(member.key);
    if (!mine) {
      patch->members.push_back(member);
    } else if (mine->kind == Kind::kMap && member.value.kind == Kind::kMap) {
      Unite(member.value, mine);
    } else if (const auto key = MergeKey(member.key);
               !key.empty() && mine->kind == Kind::kList && member.value.kind == Kind::kList) {
      UniteLists(member.value, key, mine);
    }
  }
}

bool MayDelete(const v1::Pod& object, bool finished) {
  return finished && object.metadata().has_deletiontimestamp() && !IsMirrorPod(object) &&
         IsTerminalPhase(object.status().phase());
}

}  // namespace keelson::kubelet
