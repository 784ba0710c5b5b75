// SPDX-License-Identifier: Apache-2.0
#include "csi/projection.h"

#include <filesystem>
#include <optional>
#include <set>
#include <utility>

#include "base/errno_status.h"
#include "base/strings.h"
#include "cri/environment.h"
#include "csi/containers.h"
#include "proto/k8s/objects.pb.h"

namespace keelson::csi {

namespace v1 = ::k8s::v1;
using base::StrCat;
using base::Task;

namespace {

constexpr mode_t kDefaultMode = 0644;

// Without empty, `.` and `..` elements, as a path in a container's file system.
std::string CleanPath(const std::string& path) {
  std::string clean = std::filesystem::path("/" + path).lexically_normal().relative_path();
  if (clean.ends_with('/')) clean.pop_back();
  return clean;
}

using Data = std::map<std::string, std::string>;

template <typename Source>
mode_t DefaultMode(const Source& source) {
  return source.has_defaultmode() ? static_cast<mode_t>(source.defaultmode()) : kDefaultMode;
}

// Later files take the place of earlier ones, under the path as it will be on disk.
absl::Status Add(Payload* payload, const std::string& path, ProjectedFile file) {
  auto clean = CleanPayloadPath(path);
  if (!clean.ok()) return clean.status();
  (*payload)[*std::move(clean)] = std::move(file);
  return absl::OkStatus();
}

// The keys that `items` choose, or all. `missing` is what upstream says of a key that is not there.
template <typename Items>
absl::Status AddKeys(const Data& data, const Items& items, mode_t mode, bool optional,
                     std::string_view missing, Payload* payload) {
  if (items.empty())
    for (const auto& [key, value] : data)
      RETURN_IF_ERROR(Add(payload, key, {value, mode, std::nullopt}));
  for (const auto& item : items) {
    auto it = data.find(item.key());
    if (it == data.end()) {
      if (optional) continue;
      return absl::NotFoundError(StrCat(missing, item.key()));
    }
    const mode_t own = item.has_mode() ? static_cast<mode_t>(item.mode()) : mode;
    RETURN_IF_ERROR(Add(payload, item.path(), {it->second, own, std::nullopt}));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> DownwardValue(const v1::Pod& pod, const v1::DownwardAPIVolumeFile& item,
                                          const Data& allocatable) {
  if (item.has_fieldref()) {
    const std::string& path = item.fieldref().fieldpath();
    const auto& meta = pod.metadata();
    if (path == "metadata.labels")
      return cri::FormatMap({meta.labels().begin(), meta.labels().end()});
    if (path == "metadata.annotations")
      return cri::FormatMap({meta.annotations().begin(), meta.annotations().end()});
    // What only a running pod knows is for environments: a volume is there before the sandbox.
    if (!path.starts_with("metadata."))
      return absl::InvalidArgumentError(StrCat("unsupported fieldPath: ", path));
    return cri::FieldRefValue(pod, item.fieldref(), {});
  }
  if (!item.has_resourcefieldref()) return std::string();
  if (item.resourcefieldref().containername().empty() || pod.spec().containers().empty())
    return absl::NotFoundError("container  not found");
  return cri::ResourceFieldValue(pod, pod.spec().containers(0), item.resourcefieldref(),
                                 allocatable);
}

template <typename Items>
absl::Status AddDownward(const v1::Pod& pod, const Items& items, mode_t mode,
                         const Data& allocatable, Payload* payload) {
  for (const auto& item : items) {
    auto value = DownwardValue(pod, item, allocatable);
    if (!value.ok()) return value.status();
    const mode_t own = item.has_mode() ? static_cast<mode_t>(item.mode()) : mode;
    RETURN_IF_ERROR(Add(payload, item.path(), {*std::move(value), own, std::nullopt}));
  }
  return absl::OkStatus();
}

// The one user all containers run as, if they do (KEP-1205: the token's owner).
std::optional<uid_t> OnlyUser(const v1::Pod& pod) {
  std::optional<uid_t> only;
  bool differs = false;
  auto look = [&](const auto& c) {
    std::optional<uid_t> user;
    if (c.securitycontext().has_runasuser())
      user = static_cast<uid_t>(c.securitycontext().runasuser());
    else if (pod.spec().securitycontext().has_runasuser())
      user = static_cast<uid_t>(pod.spec().securitycontext().runasuser());
    if (!user || (only && *only != *user)) differs = true;
    only = user;
  };
  ForEachContainer(pod, look);
  return differs ? std::nullopt : only;
}

// Nobody else may read a token; its group may once the volume is the group's.
ProjectedFile TokenFile(const v1::Pod& pod, std::string token, mode_t mode) {
  ProjectedFile file{std::move(token), mode, OnlyUser(pod)};
  if (file.owner || pod.spec().securitycontext().has_fsgroup()) file.mode = 0600;
  return file;
}

// Gathers one volume; lives in the coroutine that made it.
class Collector {
 public:
  Collector(ObjectSource* objects, PodPtr pod, v1::Volume volume, Data allocatable)
      : objects_(objects),
        pod_(std::move(pod)),
        volume_(std::move(volume)),
        allocatable_(std::move(allocatable)) {}

  Task<absl::Status> Collect() {
    const v1::VolumeSource& source = volume_.volumesource();
    if (source.has_downwardapi()) {
      const auto& from = source.downwardapi();
      co_return AddDownward(*pod_, from.items(), DefaultMode(from), allocatable_, &payload);
    }
    if (!objects_)
      co_return absl::FailedPreconditionError(StrCat("cannot setup volume ", volume_.name(),
                                                     " because kube client is not configured"));
    if (source.has_configmap()) {
      const auto& from = source.configmap();
      std::string name = from.localobjectreference().name();
      auto data = co_await ConfigMap(std::move(name), from.optional());
      if (!data.ok()) co_return data.status();
      co_return AddKeys(*data, from.items(), DefaultMode(from), from.optional(),
                        "configmap references non-existent config key: ", &payload);
    }
    if (source.has_secret()) {
      const auto& from = source.secret();
      std::string name = from.secretname();
      auto data = co_await Secret(std::move(name), from.optional());
      if (!data.ok()) co_return data.status();
      co_return AddKeys(*data, from.items(), DefaultMode(from), from.optional(),
                        "references non-existent secret key: ", &payload);
    }
    const mode_t mode = DefaultMode(source.projected());
    for (const auto& part : source.projected().sources()) {
      absl::Status status = co_await Part(&part, mode);
      if (!status.ok()) co_return status;
    }
    co_return absl::OkStatus();
  }

  Payload payload;

 private:
  Task<absl::Status> Part(const v1::VolumeProjection* part, mode_t mode) {
    if (part->has_downwardapi())
      co_return AddDownward(*pod_, part->downwardapi().items(), mode, allocatable_, &payload);
    if (part->has_configmap()) {
      const auto& from = part->configmap();
      std::string name = from.localobjectreference().name();
      auto data = co_await ConfigMap(std::move(name), from.optional());
      if (!data.ok()) co_return data.status();
      co_return AddKeys(*data, from.items(), mode, from.optional(),
                        "configmap references non-existent config key: ", &payload);
    }
    if (part->has_secret()) {
      const auto& from = part->secret();
      std::string name = from.localobjectreference().name();
      auto data = co_await Secret(std::move(name), from.optional());
      if (!data.ok()) co_return data.status();
      co_return AddKeys(*data, from.items(), mode, from.optional(),
                        "references non-existent secret key: ", &payload);
    }
    if (part->has_serviceaccounttoken()) co_return co_await Token(part, mode);
    co_return absl::UnimplementedError(
        part->has_clustertrustbundle() ? "projected clusterTrustBundle is not served by this node"
        : part->has_podcertificate()   ? "projected podCertificate is not served by this node"
                                       : "projected source of a kind this node does not know");
  }

  Task<absl::Status> Token(const v1::VolumeProjection* part, mode_t mode) {
    const auto& from = part->serviceaccounttoken();
    TokenSpec spec;
    spec.pod_namespace = pod_->metadata().namespace_();
    spec.service_account = pod_->spec().serviceaccountname();
    spec.pod_name = pod_->metadata().name();
    spec.pod_uid = pod_->metadata().uid();
    spec.audience = from.audience();
    if (from.has_expirationseconds()) spec.expiration_seconds = from.expirationseconds();
    auto token = co_await objects_->ServiceAccountToken(std::move(spec));
    if (!token.ok()) co_return token.status();
    co_return Add(&payload, from.path(), TokenFile(*pod_, token->value, mode));
  }

  Task<absl::StatusOr<Data>> ConfigMap(std::string name, bool optional) {
    std::string name_space = pod_->metadata().namespace_();
    auto object = co_await objects_->ConfigMap(std::move(name_space), std::move(name));
    if (!object.ok()) {
      if (optional && absl::IsNotFound(object.status())) co_return Data();
      co_return object.status();
    }
    Data data((*object)->data().begin(), (*object)->data().end());
    data.insert((*object)->binarydata().begin(), (*object)->binarydata().end());
    co_return data;
  }

  Task<absl::StatusOr<Data>> Secret(std::string name, bool optional) {
    std::string name_space = pod_->metadata().namespace_();
    auto object = co_await objects_->Secret(std::move(name_space), std::move(name));
    if (!object.ok()) {
      if (optional && absl::IsNotFound(object.status())) co_return Data();
      co_return object.status();
    }
    co_return Data((*object)->data().begin(), (*object)->data().end());
  }

  ObjectSource* const objects_;
  const PodPtr pod_;
  const v1::Volume volume_;
  const Data allocatable_;
};

template <typename C>
void AddEnvironment(const C& container, References* out) {
  for (const auto& from : container.envfrom()) {
    if (from.has_configmapref())
      out->config_maps.insert(from.configmapref().localobjectreference().name());
    if (from.has_secretref()) out->secrets.insert(from.secretref().localobjectreference().name());
  }
  for (const auto& var : container.env()) {
    const auto& from = var.valuefrom();
    if (from.has_configmapkeyref())
      out->config_maps.insert(from.configmapkeyref().localobjectreference().name());
    if (from.has_secretkeyref())
      out->secrets.insert(from.secretkeyref().localobjectreference().name());
  }
}

}  // namespace

References ReferencesOf(const v1::Pod& pod) {
  References out;
  ForEachContainer(pod, [&](const auto& c) { AddEnvironment(c, &out); });
  for (const auto& secret : pod.spec().imagepullsecrets()) out.secrets.insert(secret.name());
  for (const auto& volume : pod.spec().volumes()) {
    const auto& source = volume.volumesource();
    if (source.has_configmap())
      out.config_maps.insert(source.configmap().localobjectreference().name());
    if (source.has_secret()) out.secrets.insert(source.secret().secretname());
    for (const auto& part : source.projected().sources()) {
      if (part.has_configmap())
        out.config_maps.insert(part.configmap().localobjectreference().name());
      if (part.has_secret()) out.secrets.insert(part.secret().localobjectreference().name());
    }
  }
  out.config_maps.erase("");
  out.secrets.erase("");
  return out;
}

std::vector<std::string> NestedMountPoints(const v1::Pod& pod, const std::string& volume) {
  std::set<std::string> nested;
  ForEachContainer(pod, [&](const auto& container) {
    for (const auto& outer : container.volumemounts()) {
      if (outer.name() != volume || !outer.subpath().empty() || !outer.subpathexpr().empty())
        continue;
      const std::string below = CleanPath(outer.mountpath()) + "/";
      for (const auto& inner : container.volumemounts()) {
        const std::string path = CleanPath(inner.mountpath());
        if (path.starts_with(below)) nested.insert(path.substr(below.size()));
      }
    }
  });
  return {nested.begin(), nested.end()};
}

Task<absl::StatusOr<Payload>> CollectPayload(ObjectSource* objects, PodPtr pod, v1::Volume volume,
                                             std::map<std::string, std::string> allocatable) {
  Collector collector(objects, std::move(pod), std::move(volume), std::move(allocatable));
  absl::Status status = co_await collector.Collect();
  if (!status.ok()) co_return status;
  co_return std::move(collector.payload);
}

}  // namespace keelson::csi
