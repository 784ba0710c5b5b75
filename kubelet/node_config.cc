// SPDX-License-Identifier: Apache-2.0
#include "kubelet/node_config.h"

#include <set>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "cri/dns.h"
#include "cri/environment.h"
#include "cri/identity.h"

namespace keelson::kubelet {

namespace rt = ::runtime::v1;

namespace {

class NodeConfig : public PodConfigurator {
 public:
  NodeConfig(cgroups::PodCgroups& cgroups, EventRecorder& events, NodeConfigOptions options)
      : cgroups_(cgroups), events_(events), o_(std::move(options)) {}

  absl::StatusOr<rt::PodSandboxConfig> Sandbox(const v1::Pod& pod, uint32_t attempt) override {
    auto name = cri::MakePodHostname(pod, o_.cluster_domain);
    if (!name.ok()) return name.status();
    auto hostname = cri::KernelHostname(pod, *name);
    if (!hostname.ok()) return hostname.status();
    auto dns = Dns(pod);
    if (!dns.ok()) return dns.status();
    cri::SandboxInputs inputs;
    inputs.attempt = attempt;
    inputs.hostname = *hostname;
    inputs.log_directory = cri::PodLogDirectory(o_.paths.pod_logs_dir, pod);
    inputs.cgroup_parent = cgroups_.CgroupParent(pod.metadata().uid(), QosOf(pod));
    inputs.dns = *std::move(dns);
    return cri::MakeSandboxConfig(pod, inputs, o_.security, o_.resources);
  }

  absl::StatusOr<rt::ContainerConfig> Container(const v1::Pod& pod,
                                                const v1::Container& container,
                                                const ContainerInputs& inputs) override {
    auto env = Environment(pod, container, inputs);
    if (!env.ok()) return env.status();
    cri::ContainerInputs in;
    in.restart_count = inputs.restart_count;
    in.image_ref = inputs.image.ref;
    in.image_user = {inputs.image.uid, inputs.image.username};
    in.env = *std::move(env);
    for (const auto& [name, volume] : inputs.volumes)
      in.volumes[name] = {.host_path = volume.host_path, .read_only = volume.read_only};
    in.sub_paths = inputs.sub_paths;
    in.etc_hosts = inputs.etc_hosts;
    in.termination_log = inputs.termination_log;
    in.target_container = inputs.target_container;
    in.recursive_read_only = inputs.recursive_read_only;
    in.resources.qos = QosOf(pod);
    in.resources.critical_pod = IsCriticalPod(pod);
    bool node_critical =
        IsCriticalPod(pod) && pod.spec().priorityclassname() == "system-node-critical";
    auto score = cri::OomScoreAdj(pod, container, in.resources.qos, node_critical,
                                  o_.resources.memory);
    if (!score.ok()) return score.status();
    in.resources.oom_score_adj = *score;
    return cri::MakeContainerConfig(pod, container, in, o_.security, o_.resources);
  }

  std::string Hash(const v1::Container& container) const override {
    return cri::ContainerHash(container);
  }

  std::string EtcHosts(const v1::Pod& pod, const std::vector<std::string>& pod_ips) override {
    if (pod.spec().hostnetwork()) {
      auto hosts = base::ReadFile("/etc/hosts");
      return cri::NodeHosts(pod, hosts.ok() ? *hosts : "");
    }
    auto name = cri::MakePodHostname(pod, o_.cluster_domain);
    if (pod_ips.empty() || !name.ok()) return "";
    return cri::ManagedHosts(pod, *name, pod_ips);
  }

  absl::StatusOr<std::string> SubPath(const v1::Pod& pod, const v1::Container& container,
                                      const v1::VolumeMount& mount,
                                      const ContainerInputs& inputs) override {
    auto env = Environment(pod, container, inputs);
    if (!env.ok()) return env.status();
    return cri::SubPathOf(mount, *env);
  }

  cgroups::QosClass Qos(const v1::Pod& pod) const override { return QosOf(pod); }
  cgroups::Limits PodLimits(const v1::Pod& pod) const override {
    return PodCgroupLimits(pod, o_.cfs);
  }
  std::vector<std::string> NodeIps() const override { return o_.node_ips; }

 private:
  absl::StatusOr<std::vector<cri::EnvVar>> Environment(const v1::Pod& pod,
                                                       const v1::Container& container,
                                                       const ContainerInputs& inputs) const {
    cri::EnvironmentContext context = ContextOf(inputs.environment);
    context.pod_ips = pod.spec().hostnetwork() ? o_.node_ips : inputs.pod_ips;
    context.host_ips = o_.node_ips;
    context.allocatable = o_.allocatable;
    return cri::MakeEnvironment(pod, container, context);
  }

  absl::StatusOr<rt::DNSConfig> Dns(const v1::Pod& pod) {
    cri::DnsSettings settings;
    settings.cluster_dns = o_.cluster_dns;
    settings.cluster_domain = o_.cluster_domain;
    settings.node_ips = o_.node_ips;
    if (!o_.resolv_conf.empty()) {
      auto text = base::ReadFile(o_.resolv_conf);
      // A host without the file has no servers to give; its pods get none.
      if (!text.ok() && !absl::IsNotFound(text.status())) return text.status();
      auto host = cri::ParseResolvConf(text.ok() ? *text : "");
      if (!host.ok()) return base::Annotate(host.status(), o_.resolv_conf);
      settings.host = *std::move(host);
    }
    cri::PodDns dns = cri::MakePodDns(pod, settings);
    for (const auto& warning : dns.warnings)
      if (warned_.insert(pod.metadata().uid() + warning.reason).second)
        events_.PodEvent(pod, EventType::kWarning, warning.reason, warning.message);
    if (warned_.size() > kMaxWarned) warned_.clear();
    return dns.config;
  }

  static constexpr size_t kMaxWarned = 4096;
  cgroups::PodCgroups& cgroups_;
  EventRecorder& events_;
  const NodeConfigOptions o_;
  std::set<std::string> warned_;  // pod uid and reason: one event each
};

}  // namespace

std::unique_ptr<PodConfigurator> MakeNodeConfig(cgroups::PodCgroups& cgroups,
                                                EventRecorder& events, NodeConfigOptions options) {
  return std::make_unique<NodeConfig>(cgroups, events, std::move(options));
}

}  // namespace keelson::kubelet
