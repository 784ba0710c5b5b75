// SPDX-License-Identifier: Apache-2.0
// The agent as a node: of a cluster, and of a machine that is shut down.
#include "absl/strings/str_join.h"
#include "base/log.h"
#include "kubelet/agent_parts.h"
#include "kubelet/node/address_watch.h"
#include "kubelet/node_addresses.h"

namespace keelson::kubelet {

using base::Task;

namespace {

constexpr std::chrono::seconds kAddressPause(1);

// By the names of the conditions, as admission has them.
std::vector<std::string> PressureConditions(const Pressures& pressures) {
  std::vector<std::string> names;
  if (pressures.memory) names.push_back("MemoryPressure");
  if (pressures.disk) names.push_back("DiskPressure");
  if (pressures.pid) names.push_back("PIDPressure");
  return names;
}

std::vector<ShutdownGroup> ShutdownGroupsOf(const KubeletOptions& o) {
  std::vector<ShutdownGroup> by_priority;
  for (const auto& group : o.config.shutdowngraceperiodbypodpriority())
    by_priority.push_back({group.priority(), group.shutdowngraceperiodseconds()});
  return ShutdownGroups(DurationOf(o.config.shutdowngraceperiod()),
                        DurationOf(o.config.shutdowngraceperiodcriticalpods()),
                        std::move(by_priority));
}

}  // namespace

void Agent::WatchShutdown() {
  ShutdownOptions options{ShutdownGroupsOf(options_),
                          options_.root_dir + "/graceful_node_shutdown_state"};
  if (options.groups.empty()) return;
  ShutdownHooks hooks;
  hooks.active_pods = [this] { return parts_->pods->ActivePods(); };
  hooks.end_pod = [this](const PodUid& uid, int64_t grace, const PodVerdict& verdict) {
    parts_->pods->End(uid, {.grace = grace, .verdict = verdict});
  };
  hooks.pod_ended = [this](const PodUid& uid) { return parts_->pods->HasEnded(uid); };
  hooks.changed = [this] {
    if (cluster_) cluster_->NodeChanged();
  };
  auto connect = [this] { return ConnectLoginBus(loop_, {}); };
  parts_->shutdown = std::make_unique<NodeShutdown>(loop_, connect, parts_->events,
                                                    std::move(options), std::move(hooks));
  parts_->pods->OnPodEnding([this] { parts_->shutdown->PodsChanged(); });
  parts_->admission.SetLastCheck([this] { return parts_->shutdown->Admit(); });
  parts_->tasks.Spawn("node shutdown", parts_->shutdown->Run());
}

void Agent::JoinCluster() {
  auto changed = [this] {
    parts_->admission.SetPressure(PressureConditions(parts_->pressure->now()));
    cluster_->NodeChanged();
  };
  RuntimeStateOptions runtime;
  runtime.pod_cidr = options_.config.podcidr();
  auto relist = [this] { return parts_->pleg.last_relist(); };
  parts_->runtime_state =
      std::make_unique<RuntimeState>(loop_, *parts_->runtime, std::move(runtime), relist, changed);
  PressureWatchOptions pressure;
  pressure.root_dir = options_.root_dir;
  PressureState thresholds(ThresholdsOf(options_.config),
                           DurationOf(options_.config.evictionpressuretransitionperiod()));
  parts_->pressure =
      std::make_unique<PressureWatch>(loop_, std::move(thresholds), std::move(pressure), changed);
  parts_->tasks.Spawn("runtime state", parts_->runtime_state->Run());
  parts_->tasks.Spawn("pressure", parts_->pressure->Run());
  node_ips_ = NodeAddresses(options_.node_ip);
  auto look = [this] { LookAtAddresses(); };
  parts_->tasks.Spawn("addresses", WatchAddresses(loop_, kAddressPause, std::move(look)));

  parts_->pods->OnReport([this](const PodReport& report) { cluster_->Report(report); });
  parts_->events.SetListener([this](const v1::Event& event, const std::string& key) {
    cluster_->RecordEvent(event, key);
  });
  ClusterHooks hooks;
  hooks.node_state = [this] { return State(); };
  hooks.on_pod_cidr = [this](const std::string& cidr) { parts_->runtime_state->SetPodCidr(cidr); };
  hooks.on_pods = [this](SourceUpdate update) { parts_->pods->Apply(std::move(update)); };
  hooks.on_node = [this](const v1::Node& node) { AdmitBy(node); };
  if (parts_->stats)
    hooks.on_object = [this](const PodPtr& before, const PodPtr& after) {
      parts_->stats->pod_starts().Watched((after ? after : before)->metadata().uid(), after.get(),
                                          loop_.clock().Now());
    };
  hooks.static_pod_ending = [this](const std::string& name) {
    return parts_->pods->IsEnding(name);
  };
  cluster_->Start(NodeSettingsOf(options_, node_name_, parts_->capacity, runtime_version_),
                  StaticSourcesOf(options_), parts_->events, std::move(hooks));
  parts_->pods->OnPodEnding([this] { cluster_->PodEnded(); });
  parts_->pods->OnOldNode([this] { return cluster_->RefreshNode(); });
}

// What the node would be registered as holds until the API server says more; without one, always.
absl::Status Agent::AdmitByOwnWords() {
  const NodeSettings settings =
      NodeSettingsOf(options_, node_name_, parts_->capacity, runtime_version_);
  auto node = NewNode(settings, {}, loop_.clock().Now());
  if (!node.ok()) return node.status();
  for (const auto& [name, quantity] : node->status().allocatable())
    own_allocatable_[name] = quantity.string();
  AdmitBy(*node);
  return absl::OkStatus();
}

// Labels and taints as they are written, and resources: our own, and those others added to the node.
void Agent::AdmitBy(const v1::Node& node) {
  parts_->admission.SetNode(TermsOf(node));
  std::map<std::string, std::string> quantities = own_allocatable_;
  for (const auto& [name, quantity] : node.status().allocatable())
    quantities.emplace(name, quantity.string());
  parts_->admission.SetAllocatable(ToAllocatable(quantities));
}

// A lease of DHCP ended, an administrator renumbered: the cluster is told, and asked for a certificate.
void Agent::LookAtAddresses() {
  std::vector<std::string> now = NodeAddresses(options_.node_ip);
  if (now.empty() || now == node_ips_) return;
  KLOG_INFO("The node's addresses have changed", {"from", absl::StrJoin(node_ips_, ",")},
            {"to", absl::StrJoin(now, ",")});
  node_ips_ = std::move(now);
  cluster_->NodeChanged();
}

NodeState Agent::State() const {
  NodeState state;
  state.node_ips = node_ips_;
  parts_->runtime_state->Fill(&state);
  const Pressures& pressure = parts_->pressure->now();
  state.memory_pressure = pressure.memory;
  state.disk_pressure = pressure.disk;
  state.pid_pressure = pressure.pid;
  if (parts_->shutdown)
    if (std::string problem = parts_->shutdown->Problem(); !problem.empty())
      state.problems.push_back(std::move(problem));
  return state;
}

}  // namespace keelson::kubelet
