// SPDX-License-Identifier: Apache-2.0
#include "kubelet/sysctl_policy.h"

#include <algorithm>
#include <optional>

#include "base/strings.h"

namespace keelson::kubelet {

using base::StrCat;

namespace {

// Isolated in every kernel we run on (openat2 needs 5.6; the last of these came in 4.15).
constexpr const char* kSafe[] = {
    "kernel.shm_rmid_forced",          "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",         "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",     "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",               "net.ipv4.tcp_wmem",
};

// ipc_namespaces(7); the last two stand for all that begins so.
constexpr const char* kIpc[] = {
    "kernel.sem",    "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.shm",    "kernel.msg",
};

// sysctl(8) allows both separators; the first one that appears decides (sysctl.d(5)).
std::string Dotted(std::string name) {
  const size_t first = name.find_first_of("./");
  if (first == std::string::npos || name[first] == '.') return name;
  for (char& c : name) c = c == '/' ? '.' : c == '.' ? '/' : c;
  return name;
}

// Whether it is of the IPC namespace or of the network's; nullopt: of neither.
std::optional<bool> IsIpc(const std::string& name) {
  if (std::find(std::begin(kIpc), std::end(kIpc), name) != std::end(kIpc)) return true;
  if (name.starts_with("fs.mqueue.")) return true;
  if (name.starts_with("net.")) return false;
  return std::nullopt;
}

}  // namespace

SysctlPolicy::SysctlPolicy() {
  for (const char* name : kSafe) rules_.push_back({name, false, *IsIpc(name)});
}

absl::StatusOr<SysctlPolicy> SysctlPolicy::Make(const std::vector<std::string>& unsafe) {
  SysctlPolicy policy;
  for (const std::string& pattern : unsafe) {
    Rule rule;
    rule.name = Dotted(pattern);
    if (const size_t star = rule.name.find('*'); star != std::string::npos) {
      rule.name.resize(star);
      rule.prefix = true;
    }
    const auto ipc = IsIpc(rule.name);
    if (!ipc)
      return absl::InvalidArgumentError(StrCat("allowedUnsafeSysctls: the sysctls \"", rule.name,
                                               "\" are not known to be namespaced"));
    rule.ipc = *ipc;
    policy.rules_.push_back(std::move(rule));
  }
  std::stable_partition(policy.rules_.begin(), policy.rules_.end(),
                        [](const Rule& rule) { return !rule.prefix; });
  return policy;
}

std::string SysctlPolicy::Objection(const std::string& sysctl, bool host_network,
                                    bool host_ipc) const {
  const std::string name = Dotted(sysctl);
  for (const Rule& rule : rules_) {
    if (rule.prefix ? !name.starts_with(rule.name) : name != rule.name) continue;
    if (rule.ipc && host_ipc) return StrCat("\"", name, "\" not allowed with host IPC enabled");
    if (!rule.ipc && host_network)
      return StrCat("\"", name, "\" not allowed with host Net enabled");
    return "";
  }
  return StrCat("\"", name, "\" not allowlisted");
}

std::string SysctlPolicy::Objection(const v1::Pod& pod) const {
  const v1::PodSpec& spec = pod.spec();
  for (const auto& sysctl : spec.securitycontext().sysctls()) {
    std::string objection = Objection(sysctl.name(), spec.hostnetwork(), spec.hostipc());
    if (!objection.empty()) return objection;
  }
  return "";
}

}  // namespace keelson::kubelet
