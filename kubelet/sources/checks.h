// SPDX-License-Identifier: Apache-2.0
// The parts of ValidatePodCreate. Private to this folder. Each appends its complaints about what
// stands at `path`; all are pure.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "kubelet/pod.h"
#include "kubelet/sources/field_errors.h"
#include "kubelet/sources/names.h"

namespace keelson::kubelet::sources {

// What the checks of a container need to know about its pod.
struct PodFacts {
  const v1::PodSpec* spec = nullptr;
  std::map<std::string, const v1::VolumeSource*> volumes;  // valid ones, by name
  std::set<std::string> claims;                            // names in spec.resourceClaims
  std::optional<int64_t> grace;                            // terminationGracePeriodSeconds
  bool host_users = true;
  std::string os;  // spec.os.name or empty
};

// validate_volumes.cc. Returns the volumes without complaints.
std::map<std::string, const v1::VolumeSource*> CheckVolumes(const v1::Pod& pod,
                                                            const FieldPath& path,
                                                            FieldErrors* errors);

// validate_refs.cc
void CheckNoBacksteps(std::string_view value, const FieldPath& path, FieldErrors* errors);
// Relative, and no `..` in it.
void CheckDescending(std::string_view value, const FieldPath& path, FieldErrors* errors);
void CheckFieldRef(const v1::ObjectFieldSelector& ref, bool in_volume, const FieldPath& path,
                   FieldErrors* errors);
void CheckResourceRef(const v1::ResourceFieldSelector& ref, bool in_volume, const FieldPath& path,
                      FieldErrors* errors);

// validate_containers.cc
void CheckContainers(const PodFacts& pod, const FieldPath& spec, FieldErrors* errors);
void CheckInitContainers(const PodFacts& pod, const FieldPath& spec, FieldErrors* errors);

// validate_probes.cc
void CheckLifecycle(const v1::Container& container, const PodFacts& pod, const FieldPath& path,
                    FieldErrors* errors);
void CheckProbes(const v1::Container& container, const PodFacts& pod, const FieldPath& path,
                 FieldErrors* errors);

// validate_resources.cc
void CheckContainerResources(const v1::ResourceRequirements& resources,
                             const std::set<std::string>& claims, const FieldPath& path,
                             FieldErrors* errors);
void CheckPodResources(const v1::PodSpec& pod, const FieldPath& spec, FieldErrors* errors);
void CheckResourceClaims(const v1::PodSpec& pod, const FieldPath& path, FieldErrors* errors);

// validate_security.cc
void CheckSecurityContext(const v1::Container& container, bool host_users, const FieldPath& path,
                          FieldErrors* errors);
void CheckPodSecurity(const v1::PodSpec& pod, const FieldPath& path, FieldErrors* errors);
void CheckSecurityAnnotations(const v1::Pod& pod, const FieldPath& path, FieldErrors* errors);
void CheckAnnotationsMatchFields(const v1::Pod& pod, const FieldPath& spec, FieldErrors* errors);
void CheckHostUsers(const v1::PodSpec& pod, const FieldPath& spec, FieldErrors* errors);
void CheckOs(const v1::PodSpec& pod, const FieldPath& spec, FieldErrors* errors);

// validate_scheduling.cc
void CheckTolerations(const v1::PodSpec& pod, const FieldPath& path, FieldErrors* errors);
void CheckAffinity(const v1::Affinity& affinity, const FieldPath& path, FieldErrors* errors);
void CheckTopologySpread(const v1::PodSpec& pod, const FieldPath& path, FieldErrors* errors);
void CheckLabelSelector(const k8s::meta::v1::LabelSelector& selector, const FieldPath& path,
                        FieldErrors* errors);
void CheckLabels(const google::protobuf::Map<std::string, std::string>& labels,
                 const FieldPath& path, FieldErrors* errors);

inline void CheckLabel(std::string_view value, const FieldPath& path, FieldErrors* errors) {
  errors->InvalidAll(path, value, Dns1123Label(value));
}
inline void CheckSubdomain(std::string_view value, const FieldPath& path, FieldErrors* errors) {
  errors->InvalidAll(path, value, Dns1123Subdomain(value));
}
inline void CheckQualifiedName(std::string_view value, const FieldPath& path,
                               FieldErrors* errors) {
  errors->InvalidAll(path, value, QualifiedName(value));
}
inline bool OneOf(std::string_view value, std::initializer_list<std::string_view> allowed) {
  for (std::string_view each : allowed) {
    if (each == value) return true;
  }
  return false;
}
// Required when empty, unsupported when not one of `allowed`.
inline void CheckEnum(std::string_view value, std::initializer_list<std::string_view> allowed,
                      const FieldPath& path, FieldErrors* errors) {
  if (value.empty()) {
    errors->Required(path);
  } else if (!OneOf(value, allowed)) {
    errors->NotSupported(path, value, allowed);
  }
}

// Calls fn(container, path) for init containers, then regular ones, as upstream visits them.
template <typename F>
void ForEachContainer(const v1::PodSpec& pod, const FieldPath& spec, F fn) {
  for (int i = 0; i < pod.initcontainers_size(); ++i) {
    fn(pod.initcontainers(i), spec.Child("initContainers").Index(i));
  }
  for (int i = 0; i < pod.containers_size(); ++i) {
    fn(pod.containers(i), spec.Child("containers").Index(i));
  }
}

}  // namespace keelson::kubelet::sources
