// SPDX-License-Identifier: Apache-2.0
#include "kubelet/admission.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "base/strings.h"
#include "kubelet/preemption.h"
#include "kubelet/resources.h"
#include "proto/codec/quantity.h"

namespace keelson::kubelet {

using base::StrCat;

namespace {

using HostPort = std::tuple<std::string, int, std::string>;  // protocol, port, address

std::set<HostPort> HostPorts(const v1::Pod& pod) {
  std::set<HostPort> ports;
  auto add = [&](const v1::Container& c) {
    for (const auto& p : c.ports())
      if (p.hostport() > 0)
        ports.emplace(p.protocol().empty() ? "TCP" : p.protocol(), p.hostport(),
                      p.hostip().empty() ? "0.0.0.0" : p.hostip());
  };
  for (const auto& c : pod.spec().containers()) add(c);
  for (const auto& c : pod.spec().initcontainers())
    if (IsSidecar(c)) add(c);
  return ports;
}

bool Conflict(const HostPort& a, const HostPort& b) {
  const auto& [proto_a, port_a, ip_a] = a;
  const auto& [proto_b, port_b, ip_b] = b;
  return proto_a == proto_b && port_a == port_b &&
         (ip_a == ip_b || ip_a == "0.0.0.0" || ip_b == "0.0.0.0");
}

bool PortsClash(const v1::Pod& pod, const std::vector<const v1::Pod*>& others) {
  const std::set<HostPort> mine = HostPorts(pod);
  if (mine.empty()) return false;
  for (const v1::Pod* other : others)
    for (const HostPort& theirs : HostPorts(*other))
      for (const HostPort& port : mine)
        if (Conflict(port, theirs)) return true;
  return false;
}

std::string Joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) base::StrAppend(&text, text.empty() ? "" : " ", word);
  return text;
}

// A name with a domain that is not Kubernetes' own. Nodes that do not have such a resource leave it
// to the cluster.
bool IsExtendedResource(const std::string& name) {
  return name.find('/') != std::string::npos && name.find("kubernetes.io/") == std::string::npos &&
         !name.starts_with("requests.");
}

// Of what is neither cpu nor memory, the kinds that a node counts.
bool IsCounted(const std::string& name, const NodeAllocatable& node) {
  if (node.other.empty()) return false;
  if (IsExtendedResource(name)) return node.other.contains(name);
  return name == "ephemeral-storage" || name.starts_with("hugepages-") ||
         name.find('/') != std::string::npos;
}

// Any profile but unconfined, in a field or in the annotations that were before it.
bool NeedsAppArmor(const v1::Pod& pod) {
  const auto confined = [](const auto& context) {
    return context.has_apparmorprofile() && context.apparmorprofile().type() != "Unconfined";
  };
  const auto any = [&](const auto& containers) {
    return std::any_of(containers.begin(), containers.end(),
                       [&](const auto& c) { return confined(c.securitycontext()); });
  };
  const v1::PodSpec& spec = pod.spec();
  if (confined(spec.securitycontext()) || any(spec.containers()) || any(spec.initcontainers()))
    return true;
  const auto& annotations = pod.metadata().annotations();
  return std::any_of(annotations.begin(), annotations.end(), [](const auto& annotation) {
    return annotation.first.starts_with("container.apparmor.security.beta.kubernetes.io/") &&
           annotation.second != "unconfined";
  });
}

int64_t At(const std::map<std::string, int64_t>& map, const std::string& name) {
  const auto found = map.find(name);
  return found == map.end() ? 0 : found->second;
}

}  // namespace

NodeAllocatable ToAllocatable(const std::map<std::string, std::string>& quantities) {
  NodeAllocatable node;
  for (const auto& [name, text] : quantities) {
    const auto quantity = proto::Quantity::Parse(text);
    if (!quantity.ok()) continue;
    if (name == "cpu")
      node.milli_cpu = quantity->MilliValue();
    else if (name == "memory")
      node.memory_bytes = quantity->Value();
    else if (name == "pods")
      node.pods = quantity->Value();
    else
      node.other[name] = quantity->Value();
  }
  return node;
}

struct Admission::Shortfall {
  std::string resource;
  int64_t requested, used, capacity;

  Rejection ToRejection() const {
    return {StrCat("OutOf", resource),
            StrCat("Node didn't have enough resource: ", resource, ", requested: ", requested,
                   ", used: ", used, ", capacity: ", capacity)};
  }
};

AdmissionVerdict Admission::Consider(const v1::Pod& pod,
                                     const std::vector<const v1::Pod*>& others) const {
  if (auto rejection = CheckPressure(pod)) return {rejection};
  if (std::string objection = sysctls_.Objection(pod); !objection.empty())
    return {Rejection{"SysctlForbidden", StrCat("forbidden sysctl: ", objection)}};
  if (auto rejection = CheckSystem(pod)) return {rejection};
  const std::vector<Shortfall> shortfalls = Shortfalls(pod, others);
  // Others can end for a critical pod, so that only the rest counts.
  const bool critical = IsCriticalPod(pod);
  if (!shortfalls.empty() && !critical) return {shortfalls[0].ToRejection()};
  if (auto rejection = CheckPlace(pod, others)) return {rejection};
  if (!apparmor_.value_or(true) && NeedsAppArmor(pod))
    return {Rejection{"AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"}};
  if (last_check_)
    if (auto rejection = last_check_()) return {rejection};
  if (shortfalls.empty()) return {};
  return MakeRoom(pod, others, shortfalls);
}

// Critical pods pass: the system needs them to get better.
std::optional<Rejection> Admission::CheckPressure(const v1::Pod& pod) const {
  if (pressure_.empty() || IsCriticalPod(pod)) return std::nullopt;
  if (pressure_.size() == 1 && pressure_[0] == "MemoryPressure") {
    if (QosOf(pod) != cgroups::QosClass::kBestEffort) return std::nullopt;
    v1::Taint taint;
    taint.set_key("node.kubernetes.io/memory-pressure");
    taint.set_effect("NoSchedule");
    if (Tolerates(pod, taint)) return std::nullopt;
  }
  return Rejection{"Evicted", StrCat("The node had condition: [", Joined(pressure_), "]. ")};
}

// What no other pod's end can mend. The first looks at the pod's labels, as upstream does.
std::optional<Rejection> Admission::CheckSystem(const v1::Pod& pod) const {
  auto label = pod.metadata().labels().find("kubernetes.io/os");
  if (label != pod.metadata().labels().end() && label->second != "linux")
    return Rejection{"PodOSSelectorNodeLabelDoesNotMatch",
                     "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"};
  if (pod.spec().has_os() && pod.spec().os().name() != "linux")
    return Rejection{"PodOSNotSupported",
                     "Failed to admit pod as the OS field doesn't match node OS"};
  const bool strict = pod.spec().securitycontext().supplementalgroupspolicy() == "Strict";
  if (strict && !supplemental_groups_policy_.value_or(true))
    return Rejection{"SupplementalGroupsPolicyNotSupported",
                     "SupplementalGroupsPolicy=Strict is not supported in this node"};
  return std::nullopt;
}

// Whether it is the right node, whoever else runs there.
std::optional<Rejection> Admission::CheckPlace(const v1::Pod& pod,
                                               const std::vector<const v1::Pod*>& others) const {
  if (node_ && !MatchesNode(pod, *node_))
    return Rejection{"NodeAffinity",
                     "Predicate NodeAffinity failed: node(s) didn't match Pod's node "
                     "affinity/selector"};
  if (node_ && !pod.spec().nodename().empty() && pod.spec().nodename() != node_->name)
    return Rejection{"NodeName",
                     "Predicate NodeName failed: node(s) didn't match the requested node name"};
  if (PortsClash(pod, others))
    return Rejection{"NodePorts",
                     "Predicate NodePorts failed: node(s) didn't have free ports for the requested "
                     "pod ports"};
  if (!node_ || IsStaticPod(pod)) return std::nullopt;
  for (const v1::Taint& taint : node_->taints)
    if (taint.effect() == "NoExecute" && !Tolerates(pod, taint))
      return Rejection{"TaintToleration",
                       "Predicate TaintToleration failed: node(s) had taints that the pod didn't "
                       "tolerate"};
  return std::nullopt;
}

std::vector<Admission::Shortfall> Admission::Shortfalls(
    const v1::Pod& pod, const std::vector<const v1::Pod*>& others) const {
  std::vector<Shortfall> all;
  const auto check = [&](const std::string& name, int64_t wanted, int64_t used, int64_t capacity) {
    if (wanted > 0 && wanted > capacity - used) all.push_back({name, wanted, used, capacity});
  };
  PodResources used;
  for (const v1::Pod* other : others) {
    const PodResources theirs = RequestsOf(*other);
    used.milli_cpu += theirs.milli_cpu;
    used.memory_bytes += theirs.memory_bytes;
    for (const auto& [name, amount] : theirs.other) used.other[name] += amount;
  }
  const PodResources wants = RequestsOf(pod);
  check("pods", 1, static_cast<int64_t>(others.size()), allocatable_.pods);
  check("cpu", wants.milli_cpu, used.milli_cpu, allocatable_.milli_cpu);
  check("memory", wants.memory_bytes, used.memory_bytes, allocatable_.memory_bytes);
  for (const auto& [name, amount] : wants.other)
    if (IsCounted(name, allocatable_))
      check(name, amount, At(used.other, name), At(allocatable_.other, name));
  return all;
}

AdmissionVerdict Admission::MakeRoom(const v1::Pod& pod, const std::vector<const v1::Pod*>& others,
                                     const std::vector<Shortfall>& shortfalls) const {
  std::vector<Shortage> shortages;
  for (const Shortfall& s : shortfalls)
    shortages.push_back({s.resource, s.requested - (s.capacity - s.used)});
  auto preempt = PodsToPreempt(pod, others, shortages);
  if (!preempt.ok())
    return {Rejection{
        "UnexpectedAdmissionError",
        StrCat("Unexpected error while attempting to recover from admission failure: ",
               base::Message(preempt.status()))}};
  return {shortfalls[0].ToRejection(), *std::move(preempt)};
}

}  // namespace keelson::kubelet
