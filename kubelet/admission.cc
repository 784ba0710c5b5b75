// SPDX-License-Identifier: Apache-2.0
#include "kubelet/admission.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "base/strings.h"
#include "kubelet/resources.h"

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

Rejection OutOf(const std::string& resource, int64_t requested, int64_t used, int64_t capacity) {
  return {StrCat("OutOf", resource),
          StrCat("Node didn't have enough resource: ", resource, ", requested: ", requested,
                 ", used: ", used, ", capacity: ", capacity)};
}

// What no other pod's end can mend. The first looks at the pod's labels, as upstream does.
std::optional<Rejection> CheckSystem(const v1::Pod& pod) {
  auto label = pod.metadata().labels().find("kubernetes.io/os");
  if (label != pod.metadata().labels().end() && label->second != "linux")
    return Rejection{"PodOSSelectorNodeLabelDoesNotMatch",
                     "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"};
  if (pod.spec().has_os() && pod.spec().os().name() != "linux")
    return Rejection{"PodOSNotSupported",
                     "Failed to admit pod as the OS field doesn't match node OS"};
  return std::nullopt;
}

}  // namespace

std::optional<Rejection> Admission::Decide(const v1::Pod& pod,
                                           const std::vector<const v1::Pod*>& others) const {
  if (auto rejection = CheckSystem(pod)) return rejection;
  if (auto rejection = CheckResources(pod, others)) return rejection;
  if (PortsClash(pod, others))
    return Rejection{"NodePorts",
                     "Predicate NodePorts failed: node(s) didn't have free ports for the requested "
                     "pod ports"};
  return std::nullopt;
}

std::optional<Rejection> Admission::CheckResources(
    const v1::Pod& pod, const std::vector<const v1::Pod*>& others) const {
  const int64_t count = static_cast<int64_t>(others.size());
  if (count + 1 > node_.pods) return OutOf("pods", 1, count, node_.pods);
  int64_t used_cpu = 0, used_memory = 0;
  for (const v1::Pod* other : others) {
    PodResources theirs = RequestsOf(*other);
    used_cpu += theirs.milli_cpu;
    used_memory += theirs.memory_bytes;
  }
  PodResources wants = RequestsOf(pod);
  if (wants.milli_cpu > 0 && wants.milli_cpu > node_.milli_cpu - used_cpu)
    return OutOf("cpu", wants.milli_cpu, used_cpu, node_.milli_cpu);
  if (wants.memory_bytes > 0 && wants.memory_bytes > node_.memory_bytes - used_memory)
    return OutOf("memory", wants.memory_bytes, used_memory, node_.memory_bytes);
  return std::nullopt;
}

}  // namespace keelson::kubelet
