// SPDX-License-Identifier: Apache-2.0
#include "kubelet/agent.h"

#include <unistd.h>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "cri/resources.h"
#include "kubelet/agent_parts.h"
#include "kubelet/pull_record_keeper.h"
#include "proto/codec/quantity.h"

namespace keelson::kubelet {

using base::StrCat;
using base::Task;

namespace {

constexpr std::chrono::minutes kRuntimeStartTimeout(2);

}  // namespace

Agent::Agent(base::Loop& loop, KubeletOptions options)
    : loop_(loop), options_(std::move(options)), node_name_(NodeName(options_)) {}

Agent::~Agent() = default;

absl::Status Agent::CheckNode() {
  if (::geteuid() != 0)
    return absl::PermissionDeniedError(
        "the kubelet mounts, makes cgroups and talks to the runtime: run it as root");
  auto swaps = base::ReadFile("/proc/swaps");
  if (options_.config.failswapon() && swaps.ok()) RETURN_IF_ERROR(cgroups::CheckSwapOff(*swaps));
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
  const std::string root =
      options_.config.cgrouproot().empty() ? "/" : options_.config.cgrouproot();
  auto groups = cgroups::MakePodCgroups(
      loop_, {options_.config.cgroupdriver(), root, std::move(hierarchies)});
  if (!groups.ok()) return groups.status();
  auto runtime = cri::GrpcRuntime::Make(loop_, RuntimeOf(options_));
  if (!runtime.ok()) return runtime.status();
  auto capacity = ReadNodeCapacity();
  if (!capacity.ok()) return capacity.status();

  auto allocatable = AllocatableOf(options_, *capacity);
  if (!allocatable.ok()) return allocatable.status();
  NodeConfigOptions config = NodeConfigOf(options_, *capacity, *allocatable, v2);
  const auto& unsafe = options_.config.allowedunsafesysctls();
  auto sysctls = SysctlPolicy::Make({unsafe.begin(), unsafe.end()});
  RETURN_IF_ERROR(sysctls.status());
  parts_ = std::make_unique<Parts>(
      loop_, options_, node_name_, *std::move(runtime), *std::move(groups), *capacity, *allocatable,
      std::move(config), *std::move(sysctls), *this, cluster_ ? &cluster_->objects() : nullptr);
  parts_->admission.SetAppArmor(HasAppArmor());
  RETURN_IF_ERROR(MakeImageCredentials());
  if (options_.config.enableserver())
    parts_->stats = std::make_unique<AgentStats>(
        AgentStatsDeps{loop_, *parts_->runtime, *parts_->cgroups, *parts_->pods, parts_->pleg,
                       parts_->prober, parts_->services, *this, cluster_.get()},
        options_, node_name_);
  parts_->images.OnPulled([this](const v1::Pod& pod, const cri::PulledImage& image) {
    Pulled(pod, image);
  });
  return absl::OkStatus();
}

void Agent::Pulled(const v1::Pod& pod, const cri::PulledImage& image) {
  if (parts_->runtime_state) parts_->runtime_state->ImagesChanged();
  if (!parts_->stats) return;
  parts_->stats->metrics().ImagePulled(image.size, image.total_time);
  parts_->stats->pod_starts().Pulled(pod.metadata().uid(), loop_.clock().Now(), image.total_time);
}

// What pods' images may be pulled with, and who may use those that are here.
absl::Status Agent::MakeImageCredentials() {
  Parts& p = *parts_;
  if (!options_.image_credential_provider_config.empty()) {
    auto plugins = cri::CredentialPlugins::Load(loop_, options_.image_credential_provider_config,
                                                options_.image_credential_provider_bin_dir);
    RETURN_IF_ERROR(plugins.status());
    p.plugins = *std::move(plugins);
    p.images.set_plugins(p.plugins.get());
  }
  if (cluster_) {
    p.images.set_objects(&cluster_->objects());
    p.accounts = std::make_unique<ApiServiceAccounts>(cluster_->api(), cluster_->objects());
    if (p.plugins) p.plugins->set_service_accounts(p.accounts.get());
  }
  p.records =
      std::make_unique<PullRecords>(loop_.clock(), options_.root_dir, PullPolicyOf(options_));
  p.images.set_records(p.records.get());
  return absl::OkStatus();
}

Task<absl::Status> Agent::Connect() {
  absl::Status serving = co_await parts_->runtime->WaitUntilServing(kRuntimeStartTimeout);
  CO_RETURN_IF_ERROR(serving);
  auto version = co_await parts_->runtime->Version();
  CO_RETURN_IF_ERROR(version.status());
  parts_->services.options.runtime_name = version->runtime_name();
  runtime_version_ = StrCat(version->runtime_name(), "://", version->runtime_version());
  KLOG_INFO("Container runtime initialized", {"containerRuntime", version->runtime_name()},
            {"version", version->runtime_version()});
  auto status = co_await parts_->runtime->Status();
  CO_RETURN_IF_ERROR(status.status());
  for (const auto& handler : status->runtime_handlers())
    if (handler.features().recursive_read_only_mounts())
      parts_->services.options.recursive_read_only_handlers.insert(handler.name());
  parts_->admission.SetSupplementalGroupsPolicy(status->features().supplemental_groups_policy());
  // The runtime knows best which driver it was set up for (KEP-4033); older ones cannot say.
  auto config = co_await parts_->runtime->RuntimeConfig();
  if (config.ok() && config->has_linux()) {
    const bool systemd = config->linux().cgroup_driver() == cri::rt::SYSTEMD;
    if (systemd != (options_.config.cgroupdriver() == "systemd"))
      co_return absl::FailedPreconditionError(
          StrCat("the runtime uses the ", systemd ? "systemd" : "cgroupfs",
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

// serverTLSBootstrap: the cluster signs what the server shows, unless the operator brought a pair.
void Agent::UseClusterCertificate(KubeletServerOptions* server) const {
  ServingCertificateOptions& shown = server->certificate;
  if (!cluster_ || !options_.config.servertlsbootstrap() || !shown.cert_file.empty()) return;
  shown.cert_file = shown.key_file = NodeCertificates::ServingPath(options_.cert_dir);
  shown.may_come_later = true;
}

void Agent::StartSources() {
  auto on_update = [this](SourceUpdate update) {
    if (cluster_) cluster_->StaticPods(update);
    parts_->pods->Apply(std::move(update));
  };
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
    file.rescan = DurationOf(c.filecheckfrequency());
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
    url.period = DurationOf(c.httpcheckfrequency());
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
  rotation.interval = DurationOf(options_.config.containerlogmonitorinterval());
  parts_->rotator = std::make_unique<LogRotator>(loop_, rotation, running, reopen);
  parts_->tasks.Spawn("log rotation", parts_->rotator->Run());
  co_return absl::OkStatus();
}

Task<absl::Status> Agent::Start() {
  CO_RETURN_IF_ERROR(CheckNode());
  CO_RETURN_IF_ERROR(MakeDirs());
  if (!options_.kubeconfig.empty()) {
    auto count = [this](const std::string& host, const std::string& method, int code,
                        base::Nanos took) {
      if (parts_ && parts_->stats) parts_->stats->metrics().ApiCall(host, method, code, took);
    };
    auto cluster = Cluster::Make(loop_, options_, node_name_, std::move(count));
    CO_RETURN_IF_ERROR(cluster.status());
    cluster_ = *std::move(cluster);
  }
  CO_RETURN_IF_ERROR(MakeParts());
  absl::Status connected = co_await Connect();
  CO_RETURN_IF_ERROR(connected);
  absl::Status cgroups = co_await PrepareCgroups();
  CO_RETURN_IF_ERROR(cgroups);
  CO_RETURN_IF_ERROR(AdmitByOwnWords());
  co_await RecoverPullRecords(*parts_->runtime, *parts_->records);
  parts_->tasks.Spawn("pull records",
                      PrunePullRecords(loop_, *parts_->runtime, *parts_->records));
  absl::Status adopted = co_await Adopt();
  CO_RETURN_IF_ERROR(adopted);
  WatchShutdown();
  if (cluster_) JoinCluster();
  StartSources();
  if (parts_->stats) {
    HttpRoutes more;
    parts_->stats->AddTo(more);
    parts_->local_api.set_more(std::move(more));
  }
  CO_RETURN_IF_ERROR(parts_->local_api.Start());
  if (options_.config.healthzport() > 0) {
    parts_->healthz =
        std::make_unique<HealthzServer>(loop_, options_.config.healthzbindaddress(),
                                        static_cast<uint16_t>(options_.config.healthzport()));
    parts_->healthz->Start();
  }
  if (options_.config.enableserver()) {
    KubeletServerOptions server = ServerOf(options_, node_name_);
    UseClusterCertificate(&server);
    parts_->stats->AddTo(&server);
    if (cluster_)
      parts_->reviews = std::make_unique<auth::ApiReviews>(loop_, cluster_->review_api());
    auth::ApiReviews* reviews = parts_->reviews.get();
    const bool tokens = options_.config.authentication().webhook().enabled();
    parts_->server = std::make_unique<KubeletServer>(
        loop_, *this, *parts_->runtime, std::move(server), tokens ? reviews : nullptr, reviews);
    absl::Status serving = co_await parts_->server->Start();
    CO_RETURN_IF_ERROR(serving);
  }
  KLOG_INFO("Started kubelet", {"node", node_name_}, {"pods", parts_->pleg.KnownPods().size()});
  co_return absl::OkStatus();
}

Task<void> Agent::Shutdown() {
  if (!parts_) co_return;
  if (parts_->server) co_await parts_->server->Close();
  co_await parts_->local_api.Close();
  if (parts_->stats) co_await parts_->stats->Close();
  if (parts_->healthz) co_await parts_->healthz->Close();
  if (parts_->file_source) co_await parts_->file_source->Stop();
  if (parts_->url_source) co_await parts_->url_source->Stop();
  if (cluster_) co_await cluster_->Close();
  if (parts_->pods) co_await parts_->pods->Close();
  co_await parts_->prober.Close();
  co_await parts_->pleg.Close();
  co_await parts_->tasks.CancelAndJoin();
}

}  // namespace keelson::kubelet
