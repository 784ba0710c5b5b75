// SPDX-License-Identifier: Apache-2.0
#include "kubelet/sources/defaults.h"

#include <algorithm>

namespace keelson::kubelet::sources {
namespace {

using ResourceMap = google::protobuf::Map<std::string, k8s::resource::Quantity>;

proto::Quantity Parsed(const k8s::resource::Quantity& message) {
  auto parsed = proto::Quantity::From(message);
  return parsed.ok() ? *parsed : proto::Quantity();
}

// The API keeps thousandths; finer amounts are rounded up.
void RoundToMilli(ResourceMap* list) {
  for (auto& [name, message] : *list) {
    const proto::Quantity exact = Parsed(message);
    const auto rounded = proto::Quantity::FromMilli(exact.MilliValue(), exact.format());
    if (rounded > exact) rounded.To(&message);
  }
}

void RequestsFromLimits(v1::ResourceRequirements* resources) {
  for (const auto& [name, limit] : resources->limits()) {
    resources->mutable_requests()->insert({name, limit});
  }
}

void DefaultHttpGet(v1::HTTPGetAction* action) {
  if (action->path().empty()) action->set_path("/");
  if (action->scheme().empty()) action->set_scheme("HTTP");
}

void DefaultProbe(v1::Probe* probe) {
  if (probe->timeoutseconds() == 0) probe->set_timeoutseconds(1);
  if (probe->periodseconds() == 0) probe->set_periodseconds(10);
  if (probe->successthreshold() == 0) probe->set_successthreshold(1);
  if (probe->failurethreshold() == 0) probe->set_failurethreshold(3);
  if (probe->handler().has_httpget()) DefaultHttpGet(probe->mutable_handler()->mutable_httpget());
  if (probe->handler().has_grpc() && !probe->handler().grpc().has_service()) {
    probe->mutable_handler()->mutable_grpc()->set_service("");
  }
}

void DefaultLifecycle(v1::Lifecycle* lifecycle) {
  if (lifecycle->poststart().has_httpget()) {
    DefaultHttpGet(lifecycle->mutable_poststart()->mutable_httpget());
  }
  if (lifecycle->prestop().has_httpget()) {
    DefaultHttpGet(lifecycle->mutable_prestop()->mutable_httpget());
  }
}

void DefaultFieldRef(v1::ObjectFieldSelector* ref) {
  if (ref->apiversion().empty()) ref->set_apiversion("v1");
}

void DefaultEnv(v1::EnvVar* env) {
  if (env->valuefrom().has_fieldref()) {
    DefaultFieldRef(env->mutable_valuefrom()->mutable_fieldref());
  }
  if (env->valuefrom().has_filekeyref() && !env->valuefrom().filekeyref().has_optional()) {
    env->mutable_valuefrom()->mutable_filekeyref()->set_optional(false);
  }
}

// Container or EphemeralContainerCommon, which have the same fields.
template <typename C>
void DefaultContainer(C* container) {
  if (container->imagepullpolicy().empty()) {
    container->set_imagepullpolicy(std::string(DefaultPullPolicy(container->image())));
  }
  if (container->terminationmessagepath().empty()) {
    container->set_terminationmessagepath("/dev/termination-log");
  }
  if (container->terminationmessagepolicy().empty()) {
    container->set_terminationmessagepolicy("File");
  }
  for (auto& port : *container->mutable_ports()) {
    if (port.protocol().empty()) port.set_protocol("TCP");
  }
  for (auto& env : *container->mutable_env()) DefaultEnv(&env);
  if (container->has_resources()) {
    RoundToMilli(container->mutable_resources()->mutable_limits());
    RoundToMilli(container->mutable_resources()->mutable_requests());
  }
  if (container->has_livenessprobe()) DefaultProbe(container->mutable_livenessprobe());
  if (container->has_readinessprobe()) DefaultProbe(container->mutable_readinessprobe());
  if (container->has_startupprobe()) DefaultProbe(container->mutable_startupprobe());
  if (container->has_lifecycle()) DefaultLifecycle(container->mutable_lifecycle());
}

// A container on the host's network listens there, whatever hostPort says.
void HostPorts(v1::Container* container) {
  for (auto& port : *container->mutable_ports()) {
    if (port.hostport() == 0) port.set_hostport(port.containerport());
  }
}

void DefaultDownward(google::protobuf::RepeatedPtrField<v1::DownwardAPIVolumeFile>* items) {
  for (auto& item : *items) {
    if (item.has_fieldref()) DefaultFieldRef(item.mutable_fieldref());
  }
}

void DefaultProjected(v1::ProjectedVolumeSource* projected) {
  if (!projected->has_defaultmode()) projected->set_defaultmode(0644);
  for (auto& source : *projected->mutable_sources()) {
    if (source.has_downwardapi()) {
      DefaultDownward(source.mutable_downwardapi()->mutable_items());
    }
    if (source.has_serviceaccounttoken() &&
        !source.serviceaccounttoken().has_expirationseconds()) {
      source.mutable_serviceaccounttoken()->set_expirationseconds(3600);
    }
  }
}

void DefaultAzureDisk(v1::AzureDiskVolumeSource* disk) {
  if (!disk->has_cachingmode()) disk->set_cachingmode("ReadWrite");
  if (!disk->has_fstype()) disk->set_fstype("ext4");
  if (!disk->has_readonly()) disk->set_readonly(false);
  if (!disk->has_kind()) disk->set_kind("Shared");
}

void DefaultRbd(v1::RBDVolumeSource* rbd) {
  if (rbd->pool().empty()) rbd->set_pool("rbd");
  if (rbd->user().empty()) rbd->set_user("admin");
  if (rbd->keyring().empty()) rbd->set_keyring("/etc/ceph/keyring");
}

void DefaultScaleIo(v1::ScaleIOVolumeSource* scale) {
  if (scale->storagemode().empty()) scale->set_storagemode("ThinProvisioned");
  if (scale->fstype().empty()) scale->set_fstype("xfs");
}

void DefaultClaimTemplate(v1::PersistentVolumeClaimTemplate* claim) {
  auto* spec = claim->mutable_spec();
  if (!spec->has_volumemode()) spec->set_volumemode("Filesystem");
  if (!spec->has_resources()) return;
  RoundToMilli(spec->mutable_resources()->mutable_limits());
  RoundToMilli(spec->mutable_resources()->mutable_requests());
}

template <typename Source>
void DefaultMode(Source* source) {
  if (!source->has_defaultmode()) source->set_defaultmode(0644);
}

void DefaultVolume(v1::Volume* volume) {
  auto* source = volume->mutable_volumesource();
  if (source->ByteSizeLong() == 0) source->mutable_emptydir();
  if (source->has_hostpath() && !source->hostpath().has_type()) {
    source->mutable_hostpath()->set_type("");
  }
  if (source->has_secret()) DefaultMode(source->mutable_secret());
  if (source->has_configmap()) DefaultMode(source->mutable_configmap());
  if (source->has_downwardapi()) {
    DefaultMode(source->mutable_downwardapi());
    DefaultDownward(source->mutable_downwardapi()->mutable_items());
  }
  if (source->has_projected()) DefaultProjected(source->mutable_projected());
  if (source->has_iscsi() && source->iscsi().iscsiinterface().empty()) {
    source->mutable_iscsi()->set_iscsiinterface("default");
  }
  if (source->has_rbd()) DefaultRbd(source->mutable_rbd());
  if (source->has_azuredisk()) DefaultAzureDisk(source->mutable_azuredisk());
  if (source->has_scaleio()) DefaultScaleIo(source->mutable_scaleio());
  if (source->has_ephemeral() && source->ephemeral().has_volumeclaimtemplate()) {
    DefaultClaimTemplate(source->mutable_ephemeral()->mutable_volumeclaimtemplate());
  }
  if (source->has_image() && source->image().pullpolicy().empty()) {
    source->mutable_image()->set_pullpolicy(
        std::string(DefaultPullPolicy(source->image().reference())));
  }
}

// KEP-2837: a pod-level limit of huge pages follows from the containers' limits.
void DefaultPodHugePages(v1::PodSpec* spec) {
  auto* resources = spec->mutable_resources();
  if (resources->limits().empty() && resources->requests().empty()) return;
  for (const auto& [name, sum] : SumLimits(*spec)) {
    if (!IsHugePages(name) || resources->requests().contains(name)) continue;
    if (!resources->limits().contains(name)) sum.To(&(*resources->mutable_limits())[name]);
  }
}

// KEP-2837: with pod-level limits given, requests follow from the containers, else from the limits.
void DefaultPodRequests(v1::PodSpec* spec) {
  auto* resources = spec->mutable_resources();
  if (resources->limits().empty()) return;
  for (const auto& [name, sum] : SumRequests(*spec)) {
    if (!IsPodLevelResource(name) || IsHugePages(name)) continue;
    if (!resources->requests().contains(name)) sum.To(&(*resources->mutable_requests())[name]);
  }
  for (const auto& [name, limit] : resources->limits()) {
    if (IsPodLevelResource(name)) resources->mutable_requests()->insert({name, limit});
  }
}

void DefaultSpec(v1::PodSpec* spec) {
  if (!spec->has_enableservicelinks()) spec->set_enableservicelinks(true);
  if (spec->dnspolicy().empty()) spec->set_dnspolicy("ClusterFirst");
  if (spec->restartpolicy().empty()) spec->set_restartpolicy("Always");
  if (!spec->has_securitycontext()) spec->mutable_securitycontext();
  if (!spec->has_terminationgraceperiodseconds()) spec->set_terminationgraceperiodseconds(30);
  // A negative period is forced to one second, as the API's conversion does.
  if (spec->terminationgraceperiodseconds() < 0) spec->set_terminationgraceperiodseconds(1);
  if (spec->schedulername().empty()) spec->set_schedulername("default-scheduler");
  // serviceAccount is the old name of serviceAccountName; both are kept alike.
  if (spec->serviceaccountname().empty()) spec->set_serviceaccountname(spec->serviceaccount());
  if (spec->serviceaccountname().empty()) {
    spec->clear_serviceaccountname();
  } else {
    spec->set_serviceaccount(spec->serviceaccountname());
  }
}

void Add(ResourceSums* into, const ResourceMap& list) {
  for (const auto& [name, amount] : list) (*into)[name].Add(Parsed(amount));
}

void Max(ResourceSums* into, const ResourceSums& other) {
  for (const auto& [name, amount] : other) {
    auto [at, fresh] = into->insert({name, amount});
    if (!fresh && amount > at->second) at->second = amount;
  }
}

ResourceSums Sum(const v1::PodSpec& spec,
                 const ResourceMap& (v1::ResourceRequirements::*list)() const) {
  ResourceSums running, sidecars, initial;
  for (const auto& container : spec.containers()) Add(&running, (container.resources().*list)());
  for (const auto& container : spec.initcontainers()) {
    ResourceSums now = sidecars;
    Add(&now, (container.resources().*list)());
    if (IsSidecar(container)) {
      Add(&running, (container.resources().*list)());
      sidecars = now;
    }
    Max(&initial, now);
  }
  Max(&running, initial);
  return running;
}

bool IsHexId(std::string_view name) {
  return name.size() == 64 && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// The part of an image's name after its registry's host.
std::string_view RemoteName(std::string_view name) {
  const size_t slash = name.find('/');
  if (slash == std::string_view::npos) return name;
  const std::string_view host = name.substr(0, slash);
  const bool is_host = host.find_first_of(".:") != std::string_view::npos || host == "localhost";
  return is_host ? name.substr(slash + 1) : name;
}

}  // namespace

std::string_view DefaultPullPolicy(std::string_view image) {
  const size_t at = image.find('@');
  std::string_view name = image.substr(0, at);
  const size_t slash = name.rfind('/');
  const size_t colon = name.find(':', slash == std::string_view::npos ? 0 : slash);
  const std::string_view tag =
      colon == std::string_view::npos ? std::string_view() : name.substr(colon + 1);
  name = name.substr(0, colon);
  const std::string_view remote = RemoteName(name);
  // What is no image name has no tag; starting it fails later with InvalidImageName.
  const bool malformed = remote.empty() || IsHexId(name) ||
                         std::any_of(remote.begin(), remote.end(),
                                     [](char c) { return c >= 'A' && c <= 'Z'; });
  if (malformed) return "IfNotPresent";
  const bool latest = tag == "latest" || (tag.empty() && at == std::string_view::npos);
  return latest ? "Always" : "IfNotPresent";
}

bool IsHugePages(std::string_view name) { return name.starts_with("hugepages-"); }

bool IsPodLevelResource(std::string_view name) {
  return name == "cpu" || name == "memory" || IsHugePages(name);
}

ResourceSums SumRequests(const v1::PodSpec& spec) {
  return Sum(spec, &v1::ResourceRequirements::requests);
}

ResourceSums SumLimits(const v1::PodSpec& spec) {
  return Sum(spec, &v1::ResourceRequirements::limits);
}

void ApplyDefaults(v1::Pod* pod) {
  v1::PodSpec* spec = pod->mutable_spec();
  for (auto& container : *spec->mutable_containers()) {
    if (container.has_resources()) RequestsFromLimits(container.mutable_resources());
  }
  for (auto& container : *spec->mutable_initcontainers()) {
    if (container.has_resources()) RequestsFromLimits(container.mutable_resources());
  }
  if (spec->has_resources()) {
    DefaultPodHugePages(spec);
    DefaultPodRequests(spec);
    RoundToMilli(spec->mutable_resources()->mutable_limits());
    RoundToMilli(spec->mutable_resources()->mutable_requests());
  }
  if (spec->hostnetwork()) {
    for (auto& container : *spec->mutable_containers()) HostPorts(&container);
    for (auto& container : *spec->mutable_initcontainers()) HostPorts(&container);
  }
  DefaultSpec(spec);
  for (auto& volume : *spec->mutable_volumes()) DefaultVolume(&volume);
  for (auto& container : *spec->mutable_initcontainers()) DefaultContainer(&container);
  for (auto& container : *spec->mutable_containers()) DefaultContainer(&container);
  for (auto& container : *spec->mutable_ephemeralcontainers()) {
    DefaultContainer(container.mutable_ephemeralcontainercommon());
  }
  RoundToMilli(spec->mutable_overhead());
}

}  // namespace keelson::kubelet::sources
