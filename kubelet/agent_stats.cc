// SPDX-License-Identifier: Apache-2.0
#include "kubelet/agent_stats.h"

#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "base/files.h"
#include "base/strings.h"
#include "cri/grpc_runtime.h"
#include "kubelet/cluster/cluster.h"
#include "kubelet/agent_settings.h"
#include "kubelet/pleg.h"
#include "kubelet/pod_manager.h"
#include "kubelet/resources.h"
#include "kubelet/shown_flags.h"
#include "probes/node_prober.h"

namespace keelson::kubelet {
namespace {

using base::StrCat;

// Stages as in 1.36; none once a feature is generally available.
struct GateInfo {
  const char *name, *stage;
  bool otherwise;
};
constexpr GateInfo kGates[] = {
    {"ComponentFlagz", "BETA", true},           {"ComponentStatusz", "BETA", true},
    {"ContainerCheckpoint", "BETA", true},      {"KubeletPSI", "", true},
    {"NodeLogQuery", "", true},                 {"PodAndContainerStatsFromCRI", "ALPHA", false},
    {"PodLogsQuerySplitStreams", "ALPHA", false},
};

bool Gate(const KubeletOptions& o, const char* name, bool otherwise) {
  auto it = o.config.featuregates().find(name);
  return it == o.config.featuregates().end() ? otherwise : it->second;
}

// The pods' root as the driver names it.
std::string PodsGroup(const KubeletOptions& o) {
  const std::string& root = o.config.cgrouproot();
  const bool systemd = o.config.cgroupdriver() == "systemd";
  return StrCat(root.empty() || root == "/" ? "" : root, systemd ? "/kubepods.slice" : "/kubepods");
}

StatsOptions StatsOf(const KubeletOptions& o, const std::string& node_name) {
  StatsOptions stats;
  stats.node_name = node_name;
  stats.root_dir = o.root_dir;
  stats.pod_logs_dir = o.config.podlogsdir();
  auto mountinfo = base::ReadFile("/proc/self/mountinfo", 64 << 20);
  if (mountinfo.ok()) stats.hierarchies = cgroups::ParseHierarchies(*mountinfo);
  stats.pods_group = PodsGroup(o);
  stats.kubelet_group = o.config.kubeletcgroups();
  stats.system_group = o.config.systemcgroups();
  stats.folder_age = DurationOf(o.config.volumestatsaggperiod());
  stats.runtime_group = o.runtime_cgroups;
  constexpr std::string_view kUnix = "unix://";
  stats.runtime_socket = o.config.containerruntimeendpoint();
  if (stats.runtime_socket.starts_with(kUnix)) stats.runtime_socket.erase(0, kUnix.size());
  stats.from_cri = Gate(o, "PodAndContainerStatsFromCRI", false);
  return stats;
}

DebugEndpointOptions DebugOf(base::Loop& loop, const KubeletOptions& o) {
  DebugEndpointOptions debug;
  debug.checkpoints_dir = o.root_dir + "/checkpoints";
  debug.version = KEELSON_VERSION;
  debug.started = loop.clock().Now();
  debug.profiling = o.config.enableprofilinghandler();
  debug.debug_flags = o.config.enabledebugflagshandler();
  debug.checkpoint = Gate(o, "ContainerCheckpoint", true);
  debug.flagz = Gate(o, "ComponentFlagz", true);
  debug.statusz = Gate(o, "ComponentStatusz", true);
  debug.flags = [&o] { return ShownFlags(o); };
  return debug;
}

const char* ProbeType(probes::ProbeKind kind) {
  switch (kind) {
    case probes::ProbeKind::kLiveness: return "Liveness";
    case probes::ProbeKind::kReadiness: return "Readiness";
    case probes::ProbeKind::kStartup: return "Startup";
  }
  return "";
}

const char* ProbeResultName(probes::Verdict verdict) {
  switch (verdict) {
    case probes::Verdict::kSuccess:
    case probes::Verdict::kWarning: return "successful";
    case probes::Verdict::kFailure: return "failed";
    case probes::Verdict::kUnknown: return "unknown";
  }
  return "";
}

const char* StateName(ContainerState state) {
  switch (state) {
    case ContainerState::kCreated: return "created";
    case ContainerState::kRunning: return "running";
    case ContainerState::kExited: return "exited";
    case ContainerState::kUnknown: return "unknown";
  }
  return "";
}

// Upstream's name of how far a pod has come.
const char* LifecycleName(WorkerPhase phase) {
  switch (phase) {
    case WorkerPhase::kSyncing: return "sync";
    case WorkerPhase::kTerminating: return "terminating";
    case WorkerPhase::kTerminated:
    case WorkerPhase::kFinished: return "terminated";
  }
  return "";
}

// Writes counted things, one series for each combination of label values.
void WriteCounts(const char* name, const char* help, const std::vector<std::string_view>& labels,
                 const std::map<std::vector<std::string>, int>& counts, MetricsText& text) {
  text.Family(name, help, MetricType::kGauge);
  for (const auto& [values, count] : counts) {
    Labels series;
    for (size_t i = 0; i < labels.size(); ++i) series.emplace_back(labels[i], values[i]);
    text.Sample(series, count);
  }
}

}  // namespace

AgentStats::AgentStats(AgentStatsDeps deps, const KubeletOptions& options,
                       const std::string& node_name)
    : deps_(deps),
      options_(options),
      node_name_(node_name),
      collector_(deps.loop, deps.runtime, StatsOf(options, node_name), [this] { return Pods(); }),
      stats_(collector_, {.pressure = Gate(options, "KubeletPSI", true)}),
      counts_(metrics_, {[this] { return Checks(); }, [this] { return MeasureLogs(); },
                         [this] { ForgetProbes(); }}),
      debug_(deps.loop, deps.view, deps.runtime, DebugOf(deps.loop, options)),
      node_logs_(deps.loop, "/var/log"),
      query_node_logs_(options.config.enablesystemloghandler() &&
                       options.config.enablesystemlogquery() &&
                       Gate(options, "NodeLogQuery", true)) {
  Listen();
}

void AgentStats::Listen() {
  deps_.runtime.set_observer(
      [this](const char* method, const absl::Status& status, base::Nanos took) {
        metrics_.RuntimeCall(method, status, took);
      });
  deps_.pleg.set_on_relist([this](base::Nanos took, std::optional<base::Nanos> since_last) {
    metrics_.Relisted(took, since_last);
  });
  deps_.prober.set_on_answer([this](const v1::Pod& pod, const std::string& container,
                                    probes::ProbeKind kind, probes::Verdict verdict,
                                    base::Nanos took) {
    const auto& meta = pod.metadata();
    metrics_.Probed({ProbeType(kind), ProbeResultName(verdict), container, meta.name(),
                     meta.namespace_(), meta.uid(), took});
  });
  deps_.services.observer = &metrics_;
  metrics_.main().OnScrape([this](MetricsText& text) {
    WriteNode(text);
    WritePods(text);
    WriteContainers(text);
    WriteLogs(text);
    WriteGates(text);
    WriteCluster(text);
  });
}

std::vector<StatsPod> AgentStats::Pods() const {
  std::map<PodUid, PodPtr> wanted;
  for (const auto& entry : deps_.pods.Pods()) wanted[entry.pod->metadata().uid()] = entry.pod;
  std::vector<StatsPod> pods;
  for (const PodUid& uid : deps_.pleg.KnownPods()) {
    StatsPod& pod = pods.emplace_back();
    pod.seen = deps_.pleg.View(uid);
    auto it = wanted.find(uid);
    if (it == wanted.end()) continue;
    pod.pod = it->second;
    pod.group = deps_.groups.CgroupParent(uid, QosOf(*it->second));
  }
  return pods;
}

std::vector<HealthCheck> AgentStats::Checks() const {
  // The loop turns and the log is written, or nobody could ask.
  return {{"log", absl::OkStatus()}, {"ping", absl::OkStatus()}, {"syncloop", deps_.view.Health()}};
}

base::Task<void> AgentStats::MeasureLogs() { logs_ = co_await collector_.MeasureLogs(); }

void AgentStats::WriteLogs(MetricsText& text) const {
  text.Family("kubelet_container_log_filesystem_used_bytes", "What a container's logs take on disk",
              MetricType::kGauge);
  for (const StatsCollector::LogUse& log : logs_)
    text.Sample({{"container", log.container}, {"namespace", log.ns}, {"pod", log.pod},
                 {"uid", log.uid}},
                static_cast<double>(log.bytes));
}

// Of the gates that change what this agent does.
void AgentStats::WriteGates(MetricsText& text) const {
  text.Family("kubernetes_feature_enabled", "1 when the feature is on, else 0", MetricType::kGauge);
  for (const GateInfo& gate : kGates)
    text.Sample({{"name", gate.name}, {"stage", gate.stage}},
                Gate(options_, gate.name, gate.otherwise) ? 1 : 0);
}

void AgentStats::ForgetProbes() {
  std::set<std::string> uids;
  std::set<KubeletMetrics::PodName> names;
  for (const auto& entry : deps_.pods.Pods()) {
    const auto& meta = entry.pod->metadata();
    uids.insert(meta.uid());
    names.insert({meta.namespace_(), meta.name()});
  }
  metrics_.KeepProbesOf(uids, names);
}

void AgentStats::WriteNode(MetricsText& text) const {
  text.Family("kubelet_node_name", "The node's name", MetricType::kGauge);
  text.Sample({{"node", node_name_}}, 1);
  text.Family("kubelet_cgroup_version", "Version of cgroups on the node", MetricType::kGauge);
  text.Sample({}, collector_.options().hierarchies.is_v2() ? 2 : 1);
  if (auto last = deps_.pleg.last_relist()) {
    const base::Clock& clock = deps_.loop.clock();
    text.Family("kubelet_pleg_last_seen_seconds", "When all pods were last listed, in Unix time",
                MetricType::kGauge);
    text.Sample({}, Seconds((clock.Now() - (clock.Monotonic() - *last)).time_since_epoch()));
  }
  text.Family("kubernetes_build_info", "What this program is", MetricType::kGauge);
  text.Sample({{"compiler", "gcc " __VERSION__},
               {"git_version", KEELSON_VERSION},
               {"platform", "linux"}},
              1);
}

void AgentStats::WriteCluster(MetricsText& text) const {
  text.Family("kubelet_mirror_pods", "Mirror pods of this node at the API server",
              MetricType::kGauge);
  text.Sample({}, deps_.cluster ? static_cast<double>(deps_.cluster->mirror_pods()) : 0);
  if (!deps_.cluster) return;
  const NodeCertificates& certificates = deps_.cluster->certificates();
  auto ttl = [&](const char* name, const char* help, std::optional<base::WallTime> expiry) {
    if (!expiry) return;
    text.Family(name, help, MetricType::kGauge);
    text.Sample({}, std::trunc(Seconds(*expiry - deps_.loop.clock().Now())));
  };
  ttl("kubelet_certificate_manager_client_ttl_seconds",
      "Seconds until the client certificate expires", certificates.ClientExpiry());
  ttl("kubelet_certificate_manager_server_ttl_seconds",
      "Seconds until the serving certificate expires", certificates.ServingExpiry());
  text.Family("kubelet_certificate_manager_client_expiration_renew_errors",
              "Failures to renew the client certificate", MetricType::kCounter);
  text.Sample({}, static_cast<double>(certificates.client_failures()));
  text.Family("kubelet_server_expiration_renew_errors",
              "Failures to renew the serving certificate", MetricType::kCounter);
  text.Sample({}, static_cast<double>(certificates.serving_failures()));
}

void AgentStats::WritePods(MetricsText& text) const {
  std::map<std::vector<std::string>, int> desired, active, working;
  for (const char* is_static : {"false", "true"}) desired[{is_static}] = active[{is_static}] = 0;
  int ephemeral = 0;
  for (const auto& entry : deps_.pods.Pods()) {
    const std::string is_static = IsStaticPod(*entry.pod) ? "true" : "false";
    if (!entry.removed) ++desired[{is_static}];
    if (entry.phase < WorkerPhase::kTerminated) ++active[{is_static}];
    ++working[{entry.removed ? "orphan" : "desired", LifecycleName(entry.phase), is_static}];
    ephemeral += entry.pod->spec().ephemeralcontainers_size();
  }
  WriteCounts("kubelet_desired_pods", "Pods the sources want", {"static"}, desired, text);
  WriteCounts("kubelet_active_pods", "Pods that have not ended", {"static"}, active, text);
  WriteCounts("kubelet_working_pods", "Pods there is work for", {"config", "lifecycle", "static"},
              working, text);
  WriteCounts("kubelet_managed_ephemeral_containers", "Ephemeral containers of pods", {},
              {{{}, ephemeral}}, text);
}

void AgentStats::WriteContainers(MetricsText& text) const {
  int running_pods = 0;
  std::map<std::vector<std::string>, int> states;
  for (const PodUid& uid : deps_.pleg.KnownPods()) {
    const ObservedPod& pod = deps_.pleg.View(uid);
    running_pods += pod.sandbox() != nullptr && pod.sandbox()->ready;
    for (const ObservedContainer& container : pod.containers)
      ++states[{StateName(container.state)}];
  }
  WriteCounts("kubelet_running_pods", "Pods with a sandbox that is ready", {},
              {{{}, running_pods}}, text);
  WriteCounts("kubelet_running_containers", "Containers the runtime has", {"container_state"},
              states, text);
}

void AgentStats::AddTo(KubeletServerOptions* server) {
  server->more_routes = [this](HttpRoutes& routes, bool debugging) {
    stats_.AddRoutes(routes);
    counts_.AddRoutes(routes);
    if (debugging) debug_.AddRoutes(routes);
    if (debugging && query_node_logs_) node_logs_.AddRoutes(routes);
  };
  server->secure_observer = counts_.ObserverOf(true);
  server->read_only_observer = counts_.ObserverOf(false);
}

}  // namespace keelson::kubelet
