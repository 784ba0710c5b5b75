// SPDX-License-Identifier: Apache-2.0
#include "kubelet/agent.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <set>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "cgroups/factory.h"
#include "cri/grpc_runtime.h"
#include "cri/node_facts.h"
#include "cri/resources.h"
#include "csi/pod_volumes.h"
#include "kubelet/events.h"
#include "kubelet/idle_memory.h"
#include "kubelet/logs/log_rotator.h"
#include "kubelet/node_addresses.h"
#include "kubelet/node_config.h"
#include "kubelet/node_images.h"
#include "kubelet/pod_manager.h"
#include "kubelet/server/healthz.h"
#include "kubelet/server/kubelet_server.h"
#include "kubelet/server/local_api.h"
#include "kubelet/server/log_target.h"
#include "kubelet/sources/file_source.h"
#include "kubelet/sources/url_source.h"
#include "probes/node_prober.h"
#include "proto/codec/quantity.h"

namespace keelson::kubelet {

using base::StrCat;
using base::Task;

namespace {

constexpr std::chrono::minutes kRuntimeStartTimeout(2);

base::Nanos Of(const k8s::meta::v1::Duration& duration) { return base::Nanos(duration.duration()); }

cri::GrpcRuntimeOptions RuntimeOptions(const KubeletOptions& o) {
  return {o.config.containerruntimeendpoint(), o.config.imageserviceendpoint(),
          Of(o.config.runtimerequesttimeout())};
}

cri::ImagePullOptions PullOptions(const KubeletOptions& o) {
  cri::ImagePullOptions pull;
  pull.serialize = o.config.serializeimagepulls();
  pull.max_parallel = o.config.maxparallelimagepulls();
  pull.qps = o.config.registrypullqps();
  pull.burst = o.config.registryburst();
  return pull;
}

PodPaths Paths(const KubeletOptions& o) {
  PodPaths paths;
  paths.root_dir = o.root_dir;
  paths.pod_logs_dir = o.config.podlogsdir();
  // Beside a log directory of its own an agent has links of its own.
  if (paths.pod_logs_dir != "/var/log/pods")
    paths.container_logs_dir =
        paths.pod_logs_dir.substr(0, paths.pod_logs_dir.find_last_of('/')) + "/containers";
  return paths;
}

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

KubeletServerOptions ServerOptions(const KubeletOptions& o, const std::string& node) {
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
  server.guard.token_ttl = Of(c.authentication().webhook().cachettl());
  server.guard.allowed_ttl = Of(c.authorization().webhook().cacheauthorizedttl());
  server.guard.unauthorized_ttl = Of(c.authorization().webhook().cacheunauthorizedttl());
  server.debugging_handlers = c.enabledebugginghandlers();
  server.system_log_handler = c.enablesystemloghandler();
  server.profiling_handler = c.enableprofilinghandler();
  return server;
}

int64_t MaxPods(const KubeletOptions& o, const NodeCapacity& capacity) {
  int64_t max = o.config.maxpods();
  if (o.config.podspercore() > 0)
    max = std::min(max, o.config.podspercore() * capacity.milli_cpu / 1000);
  return max;
}

}  // namespace

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

struct Agent::Parts {
  Parts(base::Loop& loop, const KubeletOptions& o, const std::string& node,
        std::unique_ptr<cri::GrpcRuntime> connected, std::unique_ptr<cgroups::PodCgroups> groups,
        NodeCapacity node_capacity, NodeAllocatable node_allocatable, NodeConfigOptions config_options,
        NodeView& view)
      : runtime(std::move(connected)),
        cgroups(std::move(groups)),
        capacity(node_capacity),
        allocatable(node_allocatable),
        events(loop.clock(), node),
        files(MakeDiskPodFiles(loop, Paths(o))),
        volumes(csi::MakePodVolumes(loop, {o.root_dir, allocatable.memory_bytes, nullptr,
                                           config_options.allocatable})),
        images(loop, *runtime, events, PullOptions(o), KeyringPlaces(o)),
        config(MakeNodeConfig(*cgroups, events, std::move(config_options))),
        prober(loop, *runtime, ProbeEvents(),
               [this](const std::string& uid) { pods->OnProbeResult(uid); }),
        idle_memory(loop),
        pleg(loop, *runtime, PlegOptions(),
             [this](const PodUid& uid) {
               idle_memory.Touch();
               pods->OnRuntimeChange(uid);
             }),
        admission(allocatable),
        services{loop,   *runtime, pleg,    *files, *volumes,      *cgroups,
                 images, events,   *config, prober, prober.hooks(), Worker(o)},
        pods(std::make_unique<PodManager>(services, Sources(o), admission)),
        local_api(loop, view, ApiOptions(o)),
        tasks(loop) {}

  static cri::NodeKeyring::Places KeyringPlaces(const KubeletOptions& o) {
    char cwd[4096] = {};
    const char* home = std::getenv("HOME");
    return cri::NodeKeyring::DefaultPlaces(
        o.root_dir, ::getcwd(cwd, sizeof(cwd) - 1) ? cwd : "/", home ? home : "");
  }
  static std::set<PodSource> Sources(const KubeletOptions& o) {
    std::set<PodSource> sources;
    if (!o.config.staticpodpath().empty()) sources.insert(PodSource::kFile);
    if (!o.config.staticpodurl().empty()) sources.insert(PodSource::kUrl);
    return sources;
  }
  static LocalApiOptions ApiOptions(const KubeletOptions& o) {
    LocalApiOptions api;
    api.socket_path = o.root_dir + "/nodectl.sock";
    return api;
  }
  static WorkerOptions Worker(const KubeletOptions& o) {
    WorkerOptions w;
    w.sync_frequency = Of(o.config.syncfrequency());
    if (o.config.crashloopbackoff().has_maxcontainerrestartperiod()) {
      w.crash_backoff_max = Of(o.config.crashloopbackoff().maxcontainerrestartperiod());
      w.crash_backoff_initial = std::min(w.crash_backoff_initial, w.crash_backoff_max);
    }
    return w;
  }
  probes::NodeProber::OnEvent ProbeEvents() {
    return [this](const k8s::v1::Pod& pod, const std::string& container, bool warning,
                  const std::string& reason, const std::string& message) {
      events.PodEvent(pod, warning ? EventType::kWarning : EventType::kNormal, reason, message,
                      FieldPath(ContainerKind::kRegular, container));
    };
  }

  std::unique_ptr<cri::GrpcRuntime> runtime;
  std::unique_ptr<cgroups::PodCgroups> cgroups;
  NodeCapacity capacity;
  NodeAllocatable allocatable;
  EventLog events;
  std::unique_ptr<PodFiles> files;
  std::unique_ptr<csi::PodVolumes> volumes;
  NodeImages images;
  std::unique_ptr<PodConfigurator> config;
  probes::NodeProber prober;
  IdleMemory idle_memory;
  Pleg pleg;
  Admission admission;
  PodServices services;
  std::unique_ptr<PodManager> pods;
  std::unique_ptr<sources::FileSource> file_source;
  std::unique_ptr<sources::UrlSource> url_source;
  std::unique_ptr<LogRotator> rotator;
  LocalApi local_api;
  std::unique_ptr<HealthzServer> healthz;
  std::unique_ptr<KubeletServer> server;
  base::TaskGroup tasks;
};

Agent::Agent(base::Loop& loop, KubeletOptions options)
    : loop_(loop), options_(std::move(options)), node_name_(NodeName(options_)) {}

Agent::~Agent() = default;

absl::Status Agent::CheckNode() {
  if (::geteuid() != 0)
    return absl::PermissionDeniedError(
        "the kubelet mounts, makes cgroups and talks to the runtime: run it as root");
  auto swaps = base::ReadFile("/proc/swaps");
  if (options_.config.failswapon() && swaps.ok())
    RETURN_IF_ERROR(cgroups::CheckSwapOff(*swaps));
  return absl::OkStatus();
}

absl::Status Agent::MakeDirs() {
  const std::string& root = options_.root_dir;
  for (const char* dir : {"", "/pods", "/plugins", "/plugins_registry", "/pod-resources"})
    RETURN_IF_ERROR(base::MakeDirs(root + dir, 0750));
  return base::MakeDirs(options_.config.podlogsdir(), 0755);
}

absl::Status Agent::MakeParts() {
  auto mountinfo = base::ReadFile("/proc/self/mountinfo", 64 << 20);
  if (!mountinfo.ok()) return mountinfo.status();
  cgroups::Hierarchies hierarchies = cgroups::ParseHierarchies(*mountinfo);
  RETURN_IF_ERROR(cgroups::CheckCgroupVersion(hierarchies, options_.config.failcgroupv1()));
  const bool v2 = hierarchies.is_v2();
  const std::string root = options_.config.cgrouproot().empty() ? "/" : options_.config.cgrouproot();
  auto groups = cgroups::MakePodCgroups(
      loop_, {options_.config.cgroupdriver(), root, std::move(hierarchies)});
  if (!groups.ok()) return groups.status();
  auto runtime = cri::GrpcRuntime::Make(loop_, RuntimeOptions(options_));
  if (!runtime.ok()) return runtime.status();
  auto capacity = ReadNodeCapacity();
  if (!capacity.ok()) return capacity.status();

  NodeAllocatable allocatable;
  allocatable.milli_cpu = capacity->milli_cpu - Reserved(options_, "cpu", true);
  allocatable.memory_bytes = capacity->memory_bytes - Reserved(options_, "memory", false);
  allocatable.pods = MaxPods(options_, *capacity);
  if (allocatable.milli_cpu <= 0 || allocatable.memory_bytes <= 0)
    return absl::InvalidArgumentError(
        "kubeReserved and systemReserved leave nothing of this node for pods; lower them");

  NodeConfigOptions config;
  config.paths = Paths(options_);
  config.resolv_conf = options_.config.resolvconf();
  config.cluster_dns.assign(options_.config.clusterdns().begin(),
                            options_.config.clusterdns().end());
  config.cluster_domain = options_.config.clusterdomain();
  config.node_ips = NodeAddresses(options_.node_ip);
  config.resources.cgroup_v2 = v2;
  config.resources.cpu_cfs_quota = options_.config.cpucfsquota();
  config.resources.cpu_cfs_period_us =
      Of(options_.config.cpucfsquotaperiod()) / std::chrono::microseconds(1);
  config.resources.single_process_oom_kill =
      options_.config.has_singleprocessoomkill() ? options_.config.singleprocessoomkill() : !v2;
  config.resources.huge_pages = cri::HugePageSizes();
  config.resources.memory = capacity->memory_bytes;
  config.resources.allocatable_memory = allocatable.memory_bytes;
  config.resources.page_size = ::sysconf(_SC_PAGESIZE);
  config.security.seccomp_root = options_.root_dir + "/seccomp";
  config.security.seccomp_default = options_.config.seccompdefault();
  config.security.masked_cpu_paths = cri::ThermalThrottlePaths();
  config.cfs = {options_.config.cpucfsquota(), config.resources.cpu_cfs_period_us,
                options_.config.podpidslimit()};
  config.allocatable["cpu"] = proto::Quantity::FromMilli(allocatable.milli_cpu).ToString();
  config.allocatable["memory"] = StrCat(allocatable.memory_bytes);
  parts_ = std::make_unique<Parts>(loop_, options_, node_name_, *std::move(runtime),
                                   *std::move(groups), *capacity, allocatable, std::move(config),
                                   *this);
  return absl::OkStatus();
}

Task<absl::Status> Agent::Connect() {
  absl::Status serving = co_await parts_->runtime->WaitUntilServing(kRuntimeStartTimeout);
  CO_RETURN_IF_ERROR(serving);
  auto version = co_await parts_->runtime->Version();
  CO_RETURN_IF_ERROR(version.status());
  parts_->services.options.runtime_name = version->runtime_name();
  KLOG_INFO("Container runtime initialized", {"containerRuntime", version->runtime_name()},
            {"version", version->runtime_version()});
  // The runtime knows best which driver it was set up for (KEP-4033); older ones cannot say.
  auto config = co_await parts_->runtime->RuntimeConfig();
  if (config.ok() && config->has_linux()) {
    const bool systemd = config->linux().cgroup_driver() == cri::rt::SYSTEMD;
    if (systemd != (options_.config.cgroupdriver() == "systemd"))
      co_return absl::FailedPreconditionError(StrCat(
          "the runtime uses the ", systemd ? "systemd" : "cgroupfs",
          " cgroup driver and the kubelet is set to ", options_.config.cgroupdriver(),
          "; set cgroupDriver to the runtime's"));
  }
  if (!options_.config.podcidr().empty()) {
    absl::Status told = co_await parts_->runtime->UpdatePodCidr(options_.config.podcidr());
    if (!told.ok()) KLOG_WARNING("The runtime did not take the pod CIDR", {"err", told});
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Agent::PrepareCgroups() {
  cgroups::Limits kubepods, burstable, besteffort;
  kubepods.cpu_shares = static_cast<uint64_t>(cri::CpuShares(parts_->allocatable.milli_cpu));
  kubepods.memory_bytes = parts_->allocatable.memory_bytes;
  burstable.cpu_shares = besteffort.cpu_shares = 2;
  absl::Status made = co_await parts_->cgroups->EnsureRoot(kubepods, burstable, besteffort);
  co_return base::Annotate(made, "make the pods' root cgroup");
}

void Agent::StartSources() {
  auto on_update = [this](SourceUpdate update) { parts_->pods->Apply(std::move(update)); };
  auto on_problem = [this](SourceProblem problem) {
    KLOG_ERROR("Cannot use a manifest", {"source", problem.object}, {"err", problem.message});
    parts_->events.NodeEvent(EventType::kWarning, "FailedValidation",
                             problem.message.starts_with(problem.object)
                                 ? problem.message
                                 : StrCat(problem.object, ": ", problem.message));
  };
  const auto& c = options_.config;
  if (!c.staticpodpath().empty()) {
    sources::FileSource::Options file;
    file.path = c.staticpodpath();
    file.node_name = node_name_;
    file.rescan = Of(c.filecheckfrequency());
    parts_->file_source =
        std::make_unique<sources::FileSource>(loop_, std::move(file), on_update, on_problem);
    parts_->file_source->Start();
  }
  if (!c.staticpodurl().empty()) {
    sources::UrlSource::Options url;
    url.url = c.staticpodurl();
    for (const auto& [name, values] : c.staticpodurlheader())
      for (const auto& value : values.items()) url.headers.emplace_back(name, value);
    url.node_name = node_name_;
    url.period = Of(c.httpcheckfrequency());
    parts_->url_source =
        std::make_unique<sources::UrlSource>(loop_, std::move(url), on_update, on_problem);
    parts_->url_source->Start();
  }
}

Task<absl::Status> Agent::Adopt() {
  absl::Status listed = co_await parts_->pleg.Start();
  CO_RETURN_IF_ERROR(listed);
  parts_->tasks.Spawn("pleg", parts_->pleg.Run());
  parts_->tasks.Spawn("pods", parts_->pods->Run());
  parts_->tasks.Spawn("idle memory", parts_->idle_memory.Run());
  auto running = [this] {
    std::vector<RunningLog> logs;
    for (const PodUid& uid : parts_->pleg.KnownPods())
      for (const auto& c : parts_->pleg.View(uid).containers)
        if (c.state == ContainerState::kRunning && !c.log_path.empty())
          logs.push_back({c.id, c.log_path});
    return logs;
  };
  auto reopen = [this](std::string id) { return parts_->runtime->ReopenContainerLog(id); };
  RotatorOptions rotation;
  if (auto size = proto::Quantity::Parse(options_.config.containerlogmaxsize()); size.ok())
    rotation.max_size_bytes = size->Value();
  rotation.max_files = options_.config.containerlogmaxfiles();
  rotation.workers = options_.config.containerlogmaxworkers();
  rotation.interval = Of(options_.config.containerlogmonitorinterval());
  parts_->rotator = std::make_unique<LogRotator>(loop_, rotation, running, reopen);
  parts_->tasks.Spawn("log rotation", parts_->rotator->Run());
  co_return absl::OkStatus();
}

Task<absl::Status> Agent::Start() {
  CO_RETURN_IF_ERROR(CheckNode());
  CO_RETURN_IF_ERROR(MakeDirs());
  CO_RETURN_IF_ERROR(MakeParts());
  absl::Status connected = co_await Connect();
  CO_RETURN_IF_ERROR(connected);
  absl::Status cgroups = co_await PrepareCgroups();
  CO_RETURN_IF_ERROR(cgroups);
  absl::Status adopted = co_await Adopt();
  CO_RETURN_IF_ERROR(adopted);
  StartSources();
  CO_RETURN_IF_ERROR(parts_->local_api.Start());
  if (options_.config.healthzport() > 0) {
    parts_->healthz = std::make_unique<HealthzServer>(
        loop_, options_.config.healthzbindaddress(),
        static_cast<uint16_t>(options_.config.healthzport()));
    parts_->healthz->Start();
  }
  if (options_.config.enableserver()) {
    parts_->server = std::make_unique<KubeletServer>(
        loop_, *this, *parts_->runtime, ServerOptions(options_, node_name_), nullptr, nullptr);
    absl::Status serving = co_await parts_->server->Start();
    CO_RETURN_IF_ERROR(serving);
  }
  KLOG_INFO("Started kubelet", {"node", node_name_},
            {"pods", parts_->pleg.KnownPods().size()});
  co_return absl::OkStatus();
}

Task<void> Agent::Shutdown() {
  if (!parts_) co_return;
  if (parts_->server) co_await parts_->server->Close();
  if (parts_->healthz) co_await parts_->healthz->Close();
  co_await parts_->local_api.Close();
  if (parts_->file_source) co_await parts_->file_source->Stop();
  if (parts_->url_source) co_await parts_->url_source->Stop();
  if (parts_->pods) co_await parts_->pods->Close();
  co_await parts_->prober.Close();
  co_await parts_->pleg.Close();
  co_await parts_->tasks.CancelAndJoin();
}

std::vector<k8s::v1::Pod> Agent::Pods() {
  std::vector<k8s::v1::Pod> pods;
  for (auto& entry : parts_->pods->Pods()) {
    pods.push_back(*entry.pod);
    *pods.back().mutable_status() = std::move(entry.status);
    // For people: a pod that is being removed shows as Terminating.
    if (entry.removed && entry.phase != WorkerPhase::kSyncing)
      SetTime(loop_.clock().Now(), pods.back().mutable_metadata()->mutable_deletiontimestamp());
  }
  return pods;
}

std::vector<k8s::v1::Event> Agent::Events() { return parts_->events.List(); }

Task<absl::StatusOr<std::vector<NodeImage>>> Agent::Images() {
  auto list = co_await parts_->runtime->ListImages();
  if (!list.ok()) co_return list.status();
  std::vector<NodeImage> images;
  for (const auto& image : list->images()) {
    NodeImage out;
    out.id = image.id();
    out.repo_tags.assign(image.repo_tags().begin(), image.repo_tags().end());
    out.repo_digests.assign(image.repo_digests().begin(), image.repo_digests().end());
    out.size_bytes = static_cast<int64_t>(image.size());
    out.pinned = image.pinned();
    images.push_back(std::move(out));
  }
  co_return images;
}

absl::StatusOr<ContainerLog> Agent::FindLog(const std::string& ns, const std::string& pod,
                                            const std::string& container, bool previous) {
  auto entry = parts_->pods->Find(ns, pod);
  if (!entry)
    return absl::NotFoundError(StrCat("pods \"", pod, "\" not found in namespace \"", ns, "\""));
  k8s::v1::Pod shown = *entry->pod;
  *shown.mutable_status() = entry->status;
  auto id = ChooseLogInstance(shown, container, previous);
  if (!id.ok()) return id.status();
  const ObservedContainer* seen = parts_->pleg.View(shown.metadata().uid()).FindById(*id);
  if (!seen || seen->log_path.empty())
    return absl::NotFoundError(StrCat("the log of container ", container, " is gone"));
  const std::string& root = parts_->files->paths().pod_logs_dir;
  if (!seen->log_path.starts_with(root + "/"))
    return absl::FailedPreconditionError(
        StrCat("the log of container ", container, " is not below ", root));
  return ContainerLog{root, seen->log_path, *id};
}

Task<void> Agent::ContainerEnded(std::string container_id) {
  co_await parts_->pleg.AwaitEnd(std::move(container_id));
}

const google::protobuf::Message& Agent::Configuration() { return options_.config; }

std::vector<InflightCall> Agent::Inflight() {
  std::vector<InflightCall> calls;
  base::MonoTime now = loop_.clock().Monotonic();
  for (auto& call : parts_->runtime->InFlightCalls())
    calls.push_back({"cri", call.method, call.object, now - call.started});
  return calls;
}

absl::Status Agent::Health() {
  // The loop turns, or nobody could ask.
  return absl::OkStatus();
}

}  // namespace keelson::kubelet
