// SPDX-License-Identifier: Apache-2.0
#include "kubelet/agent_settings.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "base/strings.h"
#include "cri/node_facts.h"
#include "cri/resources.h"
#include "kubelet/node_addresses.h"
#include "proto/codec/quantity.h"

namespace keelson::kubelet {

using base::StrCat;

namespace {

// kubeReserved and systemReserved together, of one resource.
int64_t Reserved(const KubeletOptions& o, const std::string& name, bool milli) {
  int64_t sum = 0;
  for (const auto* map : {&o.config.kubereserved(), &o.config.systemreserved()}) {
    auto it = map->find(name);
    if (it == map->end()) continue;
    auto quantity = proto::Quantity::Parse(it->second);
    if (quantity.ok()) sum += milli ? quantity->MilliValue() : quantity->Value();
  }
  return sum;
}

int64_t MaxPods(const KubeletOptions& o, const NodeCapacity& capacity) {
  int64_t max = o.config.maxpods();
  if (o.config.podspercore() > 0)
    max = std::min(max, o.config.podspercore() * capacity.milli_cpu / 1000);
  return max;
}

template <typename M>
std::map<std::string, std::string> Plain(const M& map) {
  return {map.begin(), map.end()};
}

}  // namespace

base::Nanos DurationOf(const k8s::meta::v1::Duration& duration) {
  return base::Nanos(duration.duration());
}

std::string NodeName(const KubeletOptions& options) {
  std::string name = options.hostname_override;
  if (name.empty()) {
    char host[256] = {};
    if (::gethostname(host, sizeof(host) - 1) == 0) name = host;
  }
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

cri::GrpcRuntimeOptions RuntimeOf(const KubeletOptions& o) {
  return {o.config.containerruntimeendpoint(), o.config.imageserviceendpoint(),
          DurationOf(o.config.runtimerequesttimeout())};
}

cri::ImagePullOptions PullOf(const KubeletOptions& o) {
  cri::ImagePullOptions pull;
  pull.serialize = o.config.serializeimagepulls();
  pull.max_parallel = o.config.maxparallelimagepulls();
  pull.qps = o.config.registrypullqps();
  pull.burst = o.config.registryburst();
  return pull;
}

PullPolicy PullPolicyOf(const KubeletOptions& o) {
  PullPolicy policy;
  if (o.config.has_imagepullcredentialsverificationpolicy())
    policy.policy = o.config.imagepullcredentialsverificationpolicy();
  policy.allowlist.assign(o.config.preloadedimagesverificationallowlist().begin(),
                          o.config.preloadedimagesverificationallowlist().end());
  return policy;
}

PodPaths PathsOf(const KubeletOptions& o) {
  PodPaths paths;
  paths.root_dir = o.root_dir;
  paths.pod_logs_dir = o.config.podlogsdir();
  // Beside a log directory of its own an agent has links of its own.
  if (paths.pod_logs_dir != "/var/log/pods")
    paths.container_logs_dir =
        paths.pod_logs_dir.substr(0, paths.pod_logs_dir.find_last_of('/')) + "/containers";
  return paths;
}

KubeletServerOptions ServerOf(const KubeletOptions& o, const std::string& node) {
  const auto& c = o.config;
  KubeletServerOptions server;
  server.address = c.address();
  server.port = static_cast<uint16_t>(c.port());
  server.read_only_port = static_cast<uint16_t>(c.readonlyport());
  server.certificate = {c.tlscertfile(), c.tlsprivatekeyfile(), o.cert_dir, node, {}};
  TlsOptions& tls = server.certificate.tls;
  tls.cipher_suites.assign(c.tlsciphersuites().begin(), c.tlsciphersuites().end());
  tls.curves.assign(c.tlscurvepreferences().begin(), c.tlscurvepreferences().end());
  tls.min_version = c.tlsminversion();
  server.client_ca_file = c.authentication().x509().clientcafile();
  tls.ask_for_client_certificate = !server.client_ca_file.empty();
  server.guard.node = node;
  server.guard.anonymous = c.authentication().anonymous().enabled();
  server.guard.always_allow = c.authorization().mode() == "AlwaysAllow";
  server.guard.token_ttl = DurationOf(c.authentication().webhook().cachettl());
  server.guard.allowed_ttl = DurationOf(c.authorization().webhook().cacheauthorizedttl());
  server.guard.unauthorized_ttl = DurationOf(c.authorization().webhook().cacheunauthorizedttl());
  server.debugging_handlers = c.enabledebugginghandlers();
  server.system_log_handler = c.enablesystemloghandler();
  server.profiling_handler = c.enableprofilinghandler();
  return server;
}

absl::StatusOr<NodeAllocatable> AllocatableOf(const KubeletOptions& o,
                                              const NodeCapacity& capacity) {
  NodeAllocatable allocatable;
  allocatable.milli_cpu = capacity.milli_cpu - Reserved(o, "cpu", true);
  allocatable.memory_bytes = capacity.memory_bytes - Reserved(o, "memory", false);
  allocatable.pods = MaxPods(o, capacity);
  if (allocatable.milli_cpu <= 0 || allocatable.memory_bytes <= 0)
    return absl::InvalidArgumentError(
        "kubeReserved and systemReserved leave nothing of this node for pods; lower them");
  return allocatable;
}

NodeConfigOptions NodeConfigOf(const KubeletOptions& o, const NodeCapacity& capacity,
                               const NodeAllocatable& allocatable, bool v2) {
  NodeConfigOptions config;
  config.paths = PathsOf(o);
  config.resolv_conf = o.config.resolvconf();
  config.cluster_dns.assign(o.config.clusterdns().begin(), o.config.clusterdns().end());
  config.cluster_domain = o.config.clusterdomain();
  config.node_ips = NodeAddresses(o.node_ip);
  config.resources.cgroup_v2 = v2;
  config.resources.cpu_cfs_quota = o.config.cpucfsquota();
  config.resources.cpu_cfs_period_us =
      DurationOf(o.config.cpucfsquotaperiod()) / std::chrono::microseconds(1);
  config.resources.single_process_oom_kill =
      o.config.has_singleprocessoomkill() ? o.config.singleprocessoomkill() : !v2;
  config.resources.huge_pages = cri::HugePageSizes();
  config.resources.memory = capacity.memory_bytes;
  config.resources.allocatable_memory = allocatable.memory_bytes;
  config.resources.page_size = ::sysconf(_SC_PAGESIZE);
  config.security.seccomp_root = o.root_dir + "/seccomp";
  config.security.seccomp_default = o.config.seccompdefault();
  config.security.masked_cpu_paths = cri::ThermalThrottlePaths();
  config.cfs = {o.config.cpucfsquota(), config.resources.cpu_cfs_period_us,
                o.config.podpidslimit()};
  config.allocatable["cpu"] = proto::Quantity::FromMilli(allocatable.milli_cpu).ToString();
  config.allocatable["memory"] = StrCat(allocatable.memory_bytes);
  // What the Node object says, though there may be none: a limit that is not set shows it to pods.
  if (auto node = Allocatable(NodeSettingsOf(o, NodeName(o), capacity, "")); node.ok())
    for (const auto& [name, quantity] : *node) config.allocatable[name] = quantity;
  return config;
}

NodeSettings NodeSettingsOf(const KubeletOptions& o, const std::string& node,
                            const NodeCapacity& capacity, const std::string& runtime_version) {
  NodeSettings settings;
  settings.name = settings.hostname = node;
  settings.labels = o.node_labels;
  settings.taints.assign(o.config.registerwithtaints().begin(),
                         o.config.registerwithtaints().end());
  settings.provider_id = o.config.providerid();
  settings.external_cloud = o.cloud_provider == "external";
  settings.controller_attach_detach = o.config.enablecontrollerattachdetach();
  settings.node_ips = NodeAddresses(o.node_ip);
  settings.node_ip_given = !o.node_ip.empty();
  settings.port = o.config.port();
  settings.capacity.base = capacity;
  settings.capacity.huge_pages = ReadHugePages();
  if (auto size = FileSystemSize(o.root_dir); size.ok() && o.config.localstoragecapacityisolation())
    settings.capacity.ephemeral_storage = *size;
  settings.capacity.pods = MaxPods(o, capacity);
  settings.kube_reserved = Plain(o.config.kubereserved());
  settings.system_reserved = Plain(o.config.systemreserved());
  settings.eviction_hard = Plain(o.config.evictionhard());
  settings.info = ReadSystemInfo();
  settings.info.set_containerruntimeversion(runtime_version);
  settings.info.set_kubeletversion(std::string(KubeletVersion()));
  settings.max_images = o.config.nodestatusmaximages();
  return settings;
}

cri::NodeKeyring::Places KeyringPlaces(const KubeletOptions& o) {
  char cwd[4096] = {};
  const char* home = std::getenv("HOME");
  return cri::NodeKeyring::DefaultPlaces(o.root_dir, ::getcwd(cwd, sizeof(cwd) - 1) ? cwd : "/",
                                         home ? home : "");
}
std::set<PodSource> StaticSourcesOf(const KubeletOptions& o) {
  std::set<PodSource> sources;
  if (!o.config.staticpodpath().empty()) sources.insert(PodSource::kFile);
  if (!o.config.staticpodurl().empty()) sources.insert(PodSource::kUrl);
  return sources;
}

std::set<PodSource> SourcesOf(const KubeletOptions& o) {
  std::set<PodSource> sources = StaticSourcesOf(o);
  if (!o.kubeconfig.empty()) sources.insert(PodSource::kApi);
  return sources;
}
LocalApiOptions LocalApiOf(const KubeletOptions& o) {
  LocalApiOptions api;
  api.socket_path = o.root_dir + "/nodectl.sock";
  return api;
}
WorkerOptions WorkerOf(const KubeletOptions& o) {
  WorkerOptions w;
  w.sync_frequency = DurationOf(o.config.syncfrequency());
  // Measured: up to three a processor each takes its time, with more all get slower.
  w.starts_at_once = std::max<int>(4, 3 * static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN)));
  if (o.config.crashloopbackoff().has_maxcontainerrestartperiod()) {
    w.crash_backoff_max = DurationOf(o.config.crashloopbackoff().maxcontainerrestartperiod());
    w.crash_backoff_initial = std::min(w.crash_backoff_initial, w.crash_backoff_max);
  }
  return w;
}

}  // namespace keelson::kubelet
