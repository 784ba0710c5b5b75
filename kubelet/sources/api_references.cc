// SPDX-License-Identifier: Apache-2.0
#include "kubelet/sources/checks.h"
#include "kubelet/sources/validation.h"

namespace keelson::kubelet::sources {
namespace {

using Reference = std::optional<ApiObjectReference>;

// Does the volume name a secret, as upstream visits them? Returns the field.
std::string SecretField(const v1::VolumeSource& s) {
  if (s.has_azurefile() && !s.azurefile().secretname().empty()) return "azureFile.secretName";
  if (s.has_cephfs() && s.cephfs().has_secretref()) return "cephfs.secretRef";
  if (s.has_cinder() && s.cinder().has_secretref()) return "cinder.secretRef";
  if (s.has_flexvolume() && s.flexvolume().has_secretref()) return "flexVolume.secretRef";
  if (s.has_rbd() && s.rbd().has_secretref()) return "rbd.secretRef";
  if (s.has_secret()) return "secret";
  if (s.has_scaleio() && s.scaleio().has_secretref()) return "scaleIO.secretRef";
  if (s.has_iscsi() && s.iscsi().has_secretref()) return "iscsi.secretRef";
  if (s.has_storageos() && s.storageos().has_secretref()) return "storageos.secretRef";
  if (s.has_csi() && s.csi().has_nodepublishsecretref()) return "csi.nodePublishSecretRef";
  for (int i = 0; i < s.projected().sources_size(); ++i) {
    if (s.projected().sources(i).has_secret()) {
      return FieldPath("projected.sources").Index(i).Child("secret").text();
    }
  }
  return {};
}

std::string ConfigMapField(const v1::VolumeSource& s) {
  if (s.has_configmap()) return "configMap";
  for (int i = 0; i < s.projected().sources_size(); ++i) {
    if (s.projected().sources(i).has_configmap()) {
      return FieldPath("projected.sources").Index(i).Child("configMap").text();
    }
  }
  return {};
}

// An env variable that comes from a secret, or with `secret` false from a config map.
template <typename C>
std::string EnvField(const C& container, bool secret, const FieldPath& at) {
  for (int i = 0; i < container.envfrom_size(); ++i) {
    const auto& from = container.envfrom(i);
    if (secret ? from.has_secretref() : from.has_configmapref()) {
      return at.Child("envFrom").Index(i).text();
    }
  }
  for (int i = 0; i < container.env_size(); ++i) {
    const auto& from = container.env(i).valuefrom();
    if (secret ? from.has_secretkeyref() : from.has_configmapkeyref()) {
      return at.Child("env").Index(i).Child("valueFrom").text();
    }
  }
  return {};
}

Reference Find(const v1::PodSpec& pod, bool secret, std::string (*volume_field)(
                                                       const v1::VolumeSource&)) {
  const std::string resource = secret ? "secrets" : "configmaps";
  const FieldPath spec("spec");
  std::string found;
  ForEachContainer(pod, spec, [&](const v1::Container& container, const FieldPath& at) {
    if (found.empty()) found = EnvField(container, secret, at);
  });
  if (!found.empty()) return ApiObjectReference{found, resource};
  for (int i = 0; i < pod.volumes_size(); ++i) {
    const std::string field = volume_field(pod.volumes(i).volumesource());
    if (field.empty()) continue;
    return ApiObjectReference{spec.Child("volumes").Index(i).Child(field).text(), resource};
  }
  return std::nullopt;
}

// What a volume needs from the API besides secrets and config maps.
std::string VolumeNeeds(const v1::VolumeSource& s) {
  if (s.has_csi()) return "csidrivers (via CSI volumes)";
  if (s.has_glusterfs()) return "endpoints (via glusterFS volumes)";
  if (s.has_persistentvolumeclaim()) return "persistentvolumeclaims";
  if (s.has_ephemeral()) return "persistentvolumeclaims (via ephemeral volumes)";
  if (s.has_azurefile()) return "secrets (via azureFile volumes)";
  for (const auto& source : s.projected().sources()) {
    if (source.has_serviceaccounttoken()) return "serviceaccounts (via projected volumes)";
    if (source.has_clustertrustbundle()) return "clustertrustbundles";
    if (source.has_podcertificate()) return "podcertificates";
    if (!source.has_downwardapi()) return "unknown sources of projected volumes";
  }
  return {};
}

}  // namespace

Reference ApiReference(const v1::Pod& pod) {
  const v1::PodSpec& spec = pod.spec();
  if (!spec.serviceaccountname().empty()) {
    return ApiObjectReference{"spec.serviceAccountName", "serviceaccounts"};
  }
  if (!spec.imagepullsecrets().empty()) {
    return ApiObjectReference{"spec.imagePullSecrets[0]", "secrets"};
  }
  if (auto secret = Find(spec, true, SecretField)) return secret;
  if (auto config = Find(spec, false, ConfigMapField)) return config;
  if (!spec.resourceclaims().empty()) {
    return ApiObjectReference{"spec.resourceClaims", "resourceclaims"};
  }
  for (int i = 0; i < spec.volumes_size(); ++i) {
    std::string needs = VolumeNeeds(spec.volumes(i).volumesource());
    if (needs.empty()) continue;
    return ApiObjectReference{FieldPath("spec.volumes").Index(i).text(), std::move(needs)};
  }
  return std::nullopt;
}

}  // namespace keelson::kubelet::sources
