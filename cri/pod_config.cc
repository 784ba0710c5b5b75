// SPDX-License-Identifier: Apache-2.0
#include "cri/pod_config.h"

#include <set>

#include "base/strings.h"

namespace keelson::cri {

using base::StrCat;

namespace {

constexpr char kEtcHosts[] = "/etc/hosts";

rt::Protocol ProtocolOf(const std::string& name) {
  if (name == "UDP") return rt::UDP;
  if (name == "SCTP") return rt::SCTP;
  return rt::TCP;
}

// A port named twice in one container counts once; without a name, all its parts are its name.
std::string PortKey(const v1::ContainerPort& port) {
  if (!port.name().empty()) return port.name();
  const std::string_view family = port.hostip().empty()                          ? "any"
                                  : port.hostip().find(':') != std::string::npos ? "v6"
                                                                                 : "v4";
  return StrCat(family, "-", port.protocol(), "-", port.hostip(), ":", port.containerport(), ":",
                port.hostport());
}

void AddPorts(const v1::Pod& pod, rt::PodSandboxConfig* config) {
  for (const auto& container : pod.spec().containers()) {
    std::set<std::string> seen;
    for (const auto& port : container.ports()) {
      if (!seen.insert(PortKey(port)).second) continue;
      auto* mapping = config->add_port_mappings();
      mapping->set_protocol(ProtocolOf(port.protocol()));
      mapping->set_container_port(port.containerport());
      mapping->set_host_port(port.hostport());
      mapping->set_host_ip(port.hostip());
    }
  }
}

// The kernel's names separate with dots; sysctl(8) takes both.
std::string SysctlName(std::string name) {
  const size_t first = name.find_first_of("./");
  if (first == name.npos || name[first] == '.') return name;
  for (char& c : name) c = c == '/' ? '.' : c == '.' ? '/' : c;
  return name;
}

void SetMap(const StringMap& from, google::protobuf::Map<std::string, std::string>* to) {
  to->insert(from.begin(), from.end());
}

absl::StatusOr<rt::MountPropagation> Propagation(const v1::VolumeMount& mount) {
  const std::string& mode = mount.mountpropagation();
  if (mode.empty() || mode == "None") return rt::PROPAGATION_PRIVATE;
  if (mode == "HostToContainer") return rt::PROPAGATION_HOST_TO_CONTAINER;
  if (mode == "Bidirectional") return rt::PROPAGATION_BIDIRECTIONAL;
  return absl::InvalidArgumentError(StrCat("invalid MountPropagation mode: \"", mode, "\""));
}

// KEP-3857.
absl::StatusOr<bool> RecursiveReadOnly(const v1::VolumeMount& mount, bool supported) {
  const std::string& mode = mount.recursivereadonly();
  if (mode.empty() || mode == "Disabled") return false;
  const std::string volume = StrCat("failed to resolve recursive read-only mode: volume \"",
                                    mount.name(), "\" requested recursive read-only mode, but it ");
  if (!mount.readonly()) return absl::InvalidArgumentError(StrCat(volume, "is not read-only"));
  if (!mount.mountpropagation().empty() && mount.mountpropagation() != "None")
    return absl::InvalidArgumentError(
        StrCat(volume, "is not compatible with propagation \"", mount.mountpropagation(), "\""));
  if (mode == "IfPossible") return supported;
  if (mode != "Enabled")
    return absl::InvalidArgumentError(StrCat("unknown recursive read-only mode \"", mode, "\""));
  if (supported) return true;
  return absl::FailedPreconditionError(StrCat(volume, "is not supported by the runtime"));
}

std::string Absolute(const std::string& path) {
  return path.starts_with('/') ? path : StrCat("/", path);
}

// Where a mount's content is: a path of this host, or an image.
absl::Status SetSource(const v1::Container& container, int index, const ContainerInputs& inputs,
                       const HostVolume& volume, rt::Mount* out) {
  const v1::VolumeMount& mount = container.volumemounts(index);
  auto sub_path = SubPathOf(mount, inputs.env);
  if (!sub_path.ok()) return sub_path.status();
  if (volume.image) {
    *out->mutable_image() = *volume.image;
    out->set_image_sub_path(*sub_path);
    return absl::OkStatus();
  }
  if (sub_path->empty()) {
    out->set_host_path(volume.host_path);
    return absl::OkStatus();
  }
  auto bound = inputs.sub_paths.find(index);
  if (bound == inputs.sub_paths.end())
    return absl::FailedPreconditionError(StrCat("failed to prepare subPath for volumeMount \"",
                                                mount.name(), "\" of container \"",
                                                container.name(), "\""));
  out->set_host_path(bound->second);
  return absl::OkStatus();
}

absl::StatusOr<rt::Mount> MakeMount(const v1::Container& container, int index,
                                    const ContainerInputs& inputs) {
  const v1::VolumeMount& mount = container.volumemounts(index);
  auto volume = inputs.volumes.find(mount.name());
  if (volume == inputs.volumes.end())
    return absl::NotFoundError(StrCat("cannot find volume \"", mount.name(),
                                      "\" to mount into container \"", container.name(), "\""));
  rt::Mount out;
  if (auto status = SetSource(container, index, inputs, volume->second, &out); !status.ok())
    return status;
  auto propagation = Propagation(mount);
  if (!propagation.ok()) return propagation.status();
  auto recursive = RecursiveReadOnly(mount, inputs.recursive_read_only);
  if (!recursive.ok()) return recursive.status();
  out.set_container_path(Absolute(mount.mountpath()));
  out.set_readonly(mount.readonly() || volume->second.read_only);
  out.set_recursive_read_only(*recursive);
  out.set_propagation(*propagation);
  out.set_selinux_relabel(volume->second.selinux_relabel);
  return out;
}

void AddFile(const std::string& host_path, const std::string& container_path,
             rt::ContainerConfig* config) {
  auto* mount = config->add_mounts();
  mount->set_host_path(host_path);
  mount->set_container_path(container_path);
}

// Devices' mounts, volumes in order, /etc/hosts, and the termination log last.
absl::Status AddMounts(const v1::Container& container, const ContainerInputs& inputs,
                       rt::ContainerConfig* config) {
  for (const rt::Mount& mount : inputs.extra.mounts) *config->add_mounts() = mount;
  bool own_hosts = false;
  for (int i = 0; i < container.volumemounts_size(); ++i) {
    auto mount = MakeMount(container, i, inputs);
    if (!mount.ok()) return mount.status();
    own_hosts |= container.volumemounts(i).mountpath() == kEtcHosts;
    *config->add_mounts() = *std::move(mount);
  }
  if (!inputs.etc_hosts.empty() && !own_hosts) AddFile(inputs.etc_hosts, kEtcHosts, config);
  if (!inputs.termination_log.empty() && !container.terminationmessagepath().empty())
    AddFile(inputs.termination_log, Absolute(container.terminationmessagepath()), config);
  return absl::OkStatus();
}

// Every mount of a pod with users of its own is shown with those users.
void MapMountIds(rt::ContainerConfig* config) {
  const auto& users = config->linux().security_context().namespace_options().userns_options();
  for (auto& mount : *config->mutable_mounts()) {
    *mount.mutable_uidmappings() = users.uids();
    *mount.mutable_gidmappings() = users.gids();
  }
}

void SetCommand(const v1::Container& container, const ContainerInputs& inputs,
                rt::ContainerConfig* config) {
  for (const auto& word : container.command()) config->add_command(Expand(word, inputs.env));
  for (const auto& word : container.args()) config->add_args(Expand(word, inputs.env));
  config->set_working_dir(container.workingdir());
  config->set_stdin(container.stdin());
  config->set_stdin_once(container.stdinonce());
  config->set_tty(container.tty());
  for (const EnvVar& var : inputs.env) {
    auto* env = config->add_envs();
    env->set_key(var.name);
    env->set_value(var.value);
  }
}

}  // namespace

absl::StatusOr<std::string> SubPathOf(const v1::VolumeMount& mount,
                                      const std::vector<EnvVar>& env) {
  std::string path = mount.subpath();
  if (!mount.subpathexpr().empty()) {
    auto expanded = ExpandSubPath(mount.subpathexpr(), env);
    if (!expanded.ok()) return expanded.status();
    path = *std::move(expanded);
  }
  if (path.starts_with('/'))
    return absl::InvalidArgumentError(
        StrCat("error SubPath `", path, "` must not be an absolute path"));
  if (StrCat("/", path, "/").find("/../") != std::string::npos)
    return absl::InvalidArgumentError(
        StrCat("unable to provision SubPath `", path, "`: must not contain '..'"));
  return path;
}

absl::StatusOr<rt::PodSandboxConfig> MakeSandboxConfig(const v1::Pod& pod,
                                                       const SandboxInputs& inputs,
                                                       const SecurityContext& security,
                                                       const NodeResources& node) {
  const auto& meta = pod.metadata();
  rt::PodSandboxConfig config;
  config.mutable_metadata()->set_name(meta.name());
  config.mutable_metadata()->set_namespace_(meta.namespace_());
  config.mutable_metadata()->set_uid(meta.uid());
  config.mutable_metadata()->set_attempt(inputs.attempt);
  config.set_hostname(inputs.hostname);
  config.set_log_directory(inputs.log_directory);
  *config.mutable_dns_config() = inputs.dns;
  AddPorts(pod, &config);
  SetMap(PodLabels(pod), config.mutable_labels());
  *config.mutable_annotations() = meta.annotations();

  auto* own = config.mutable_linux();
  own->set_cgroup_parent(inputs.cgroup_parent);
  for (const auto& sysctl : pod.spec().securitycontext().sysctls())
    (*own->mutable_sysctls())[SysctlName(sysctl.name())] = sysctl.value();
  auto context = SandboxSecurity(pod, security);
  if (!context.ok()) return context.status();
  *own->mutable_security_context() = *std::move(context);
  auto resources = PodSandboxResources(pod, node);
  if (!resources.ok()) return resources.status();
  *own->mutable_resources() = std::move(resources->resources);
  *own->mutable_overhead() = std::move(resources->overhead);
  return config;
}

absl::StatusOr<rt::ContainerConfig> MakeContainerConfig(const v1::Pod& pod,
                                                        const v1::Container& container,
                                                        const ContainerInputs& inputs,
                                                        const SecurityContext& security,
                                                        const NodeResources& node) {
  rt::ContainerConfig config;
  config.mutable_metadata()->set_name(container.name());
  config.mutable_metadata()->set_attempt(inputs.restart_count);
  config.mutable_image()->set_image(inputs.image_ref);
  config.mutable_image()->set_user_specified_image(container.image());
  SetCommand(container, inputs, &config);
  SetMap(ContainerLabels(pod, container), config.mutable_labels());
  auto annotations = ContainerAnnotations(pod, container, inputs.restart_count);
  if (!annotations.ok()) return annotations.status();
  annotations->insert(inputs.extra.annotations.begin(), inputs.extra.annotations.end());
  SetMap(*annotations, config.mutable_annotations());
  config.set_log_path(ContainerLogPath(container.name(), inputs.restart_count));
  if (auto status = AddMounts(container, inputs, &config); !status.ok()) return status;
  for (const rt::Device& device : inputs.extra.devices) *config.add_devices() = device;
  for (const std::string& name : inputs.extra.cdi_devices) config.add_cdi_devices()->set_name(name);

  auto context =
      ContainerSecurity(pod, container, inputs.image_user, inputs.target_container, security);
  if (!context.ok()) return context.status();
  *config.mutable_linux()->mutable_security_context() = *std::move(context);
  auto resources = ContainerResources(pod, container, inputs.resources, node);
  if (!resources.ok()) return resources.status();
  *config.mutable_linux()->mutable_resources() = *std::move(resources);
  MapMountIds(&config);
  return config;
}

}  // namespace keelson::cri
