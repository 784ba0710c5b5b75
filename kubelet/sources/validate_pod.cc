// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "base/strings.h"
#include "kubelet/sources/checks.h"
#include "kubelet/sources/validation.h"

namespace keelson::kubelet::sources {
namespace {

using base::StrCat;

void CheckOwners(const k8s::meta::v1::ObjectMeta& meta, const FieldPath& path,
                 FieldErrors* errors) {
  std::string controller;
  for (const auto& owner : meta.ownerreferences()) {
    if (owner.apiversion().empty()) {
      errors->Invalid(path.Child("apiVersion"), owner.apiversion(), "version must not be empty");
    }
    if (owner.kind().empty()) errors->Invalid(path.Child("kind"), "", "must not be empty");
    if (owner.name().empty()) errors->Invalid(path.Child("name"), "", "must not be empty");
    if (owner.uid().empty()) errors->Invalid(path.Child("uid"), "", "must not be empty");
    if (!owner.controller()) continue;
    const std::string name = StrCat(owner.kind(), "/", owner.name());
    if (!controller.empty()) {
      errors->Invalid(path, name,
                      StrCat("Only one reference can have Controller set to true. Found \"true\" "
                             "in references for ",
                             controller, " and ", name));
    } else {
      controller = name;
    }
  }
}

void CheckMetadata(const k8s::meta::v1::ObjectMeta& meta, FieldErrors* errors) {
  const FieldPath path("metadata");
  if (!meta.generatename().empty()) {
    // A prefix may end in a dash: the generated part follows.
    std::string prefix = meta.generatename();
    if (prefix.size() > 1 && prefix.ends_with('-')) prefix.back() = 'a';
    errors->InvalidAll(path.Child("generateName"), meta.generatename(), Dns1123Subdomain(prefix));
  }
  if (meta.name().empty()) {
    errors->Required(path.Child("name"), "name or generateName is required");
  } else {
    CheckSubdomain(meta.name(), path.Child("name"), errors);
  }
  if (meta.namespace_().empty()) {
    errors->Required(path.Child("namespace"));
  } else {
    CheckLabel(meta.namespace_(), path.Child("namespace"), errors);
  }
  if (meta.generation() < 0) {
    errors->Invalid(path.Child("generation"), meta.generation(),
                    "must be greater than or equal to 0");
  }
  CheckLabels(meta.labels(), path.Child("labels"), errors);
  size_t total = 0;
  const std::map<std::string, std::string> annotations(meta.annotations().begin(),
                                                       meta.annotations().end());
  for (const auto& [key, value] : annotations) {
    errors->InvalidAll(path.Child("annotations"), key, QualifiedName(Lower(key)));
    total += key.size() + value.size();
  }
  if (total > 256u << 10) errors->TooLong(path.Child("annotations"), 256 << 10);
  CheckOwners(meta, path.Child("ownerReferences"), errors);
  for (const std::string& finalizer : meta.finalizers()) {
    CheckQualifiedName(finalizer, path.Child("finalizers"), errors);
  }
}

void CheckDnsConfig(const v1::PodSpec& pod, const FieldPath& path, FieldErrors* errors) {
  const v1::PodDNSConfig& dns = pod.dnsconfig();
  if (pod.dnspolicy() == "None" && !pod.has_dnsconfig()) {
    return errors->Required(path, "must provide `dnsConfig` when `dnsPolicy` is None");
  }
  if (pod.dnspolicy() == "None" && dns.nameservers().empty()) {
    return errors->Required(path.Child("nameservers"),
                            "must provide at least one DNS nameserver when `dnsPolicy` is None");
  }
  const auto list = [](const auto& values) {
    std::string json;
    for (const auto& value : values) base::StrAppend(&json, json.empty() ? "" : ",", Quoted(value));
    return StrCat("[", json, "]");
  };
  if (dns.nameservers_size() > 3) {
    errors->InvalidJson(path.Child("nameservers"), list(dns.nameservers()),
                        "must not have more than 3 nameservers");
  }
  for (int i = 0; i < dns.nameservers_size(); ++i) {
    if (IsIpAddress(dns.nameservers(i))) continue;
    errors->Invalid(path.Child("nameservers").Index(i), dns.nameservers(i),
                    "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
  }
  const FieldPath searches = path.Child("searches");
  if (dns.searches_size() > 32) {
    errors->InvalidJson(searches, list(dns.searches()), "must not have more than 32 search paths");
  }
  size_t characters = dns.searches_size() == 0 ? 0 : static_cast<size_t>(dns.searches_size()) - 1;
  for (const std::string& search : dns.searches()) characters += search.size();
  if (characters > 2048) {
    errors->InvalidJson(
        searches, list(dns.searches()),
        "must not have more than 2048 characters (including spaces) in the search list");
  }
  for (int i = 0; i < dns.searches_size(); ++i) {
    std::string_view search = dns.searches(i);
    if (search == ".") continue;
    if (search.ends_with('.')) search.remove_suffix(1);
    errors->InvalidAll(searches.Index(i), search, Dns1123SubdomainWithUnderscore(search));
  }
  for (int i = 0; i < dns.options_size(); ++i) {
    if (dns.options(i).name().empty()) {
      errors->Required(path.Child("options").Index(i), "must not be empty");
    }
  }
}

void CheckHostNetworkPorts(const v1::PodSpec& pod, const FieldPath& spec, FieldErrors* errors) {
  if (!pod.hostnetwork()) return;
  for (int i = 0; i < pod.containers_size(); ++i) {
    const FieldPath ports = spec.Child("containers").Index(i).Child("ports");
    for (int j = 0; j < pod.containers(i).ports_size(); ++j) {
      const auto& port = pod.containers(i).ports(j);
      if (port.hostport() == port.containerport()) continue;
      errors->Invalid(ports.Index(j).Child("hostPort"), port.hostport(),
                      "must match `containerPort` when `hostNetwork` is true");
    }
  }
}

void CheckGates(const v1::PodSpec& pod, const FieldPath& spec, FieldErrors* errors) {
  for (int i = 0; i < pod.readinessgates_size(); ++i) {
    CheckQualifiedName(pod.readinessgates(i).conditiontype(),
                       spec.Child("readinessGates").Index(i).Child("conditionType"), errors);
  }
  std::set<std::string> seen;
  for (int i = 0; i < pod.schedulinggates_size(); ++i) {
    const FieldPath path = spec.Child("schedulingGates").Index(i);
    const std::string& name = pod.schedulinggates(i).name();
    CheckQualifiedName(name, path, errors);
    if (!seen.insert(name).second) errors->Duplicate(path, name);
  }
}

void CheckHostNames(const v1::PodSpec& pod, const FieldPath& spec, FieldErrors* errors) {
  if (!pod.has_hostnameoverride()) return;
  const FieldPath path = spec.Child("hostnameOverride");
  if (pod.sethostnameasfqdn()) {
    errors->Forbidden(path, "may not be specified when setHostnameAsFQDN is true");
  }
  if (pod.hostnetwork()) errors->Forbidden(path, "may not be specified when hostNetwork is true");
  if (pod.hostnameoverride().size() > 64) errors->TooLong(path, 64);
  CheckSubdomain(pod.hostnameoverride(), path, errors);
}

void CheckNames(const v1::PodSpec& pod, const FieldPath& spec, FieldErrors* errors) {
  const auto subdomain = [&](const std::string& value, std::string_view field) {
    if (!value.empty()) CheckSubdomain(value, spec.Child(field), errors);
  };
  subdomain(pod.serviceaccountname(), "serviceAccountName");
  subdomain(pod.nodename(), "nodeName");
  if (pod.has_activedeadlineseconds()) {
    constexpr int64_t max = std::numeric_limits<int32_t>::max();
    if (pod.activedeadlineseconds() < 1 || pod.activedeadlineseconds() > max) {
      errors->Invalid(spec.Child("activeDeadlineSeconds"), pod.activedeadlineseconds(),
                      RangeComplaint(1, max));
    }
  }
  if (!pod.hostname().empty()) CheckLabel(pod.hostname(), spec.Child("hostname"), errors);
  if (!pod.subdomain().empty()) CheckLabel(pod.subdomain(), spec.Child("subdomain"), errors);
  CheckTolerations(pod, spec.Child("tolerations"), errors);
  for (int i = 0; i < pod.hostaliases_size(); ++i) {
    const FieldPath path = spec.Child("hostAliases").Index(i);
    const auto& alias = pod.hostaliases(i);
    if (!IsIpAddress(alias.ip())) {
      errors->Invalid(path.Child("ip"), alias.ip(),
                      "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    }
    for (int j = 0; j < alias.hostnames_size(); ++j) {
      CheckSubdomain(alias.hostnames(j), path.Child("hostnames").Index(j), errors);
    }
  }
  subdomain(pod.priorityclassname(), "priorityClassName");
  if (pod.has_runtimeclassname()) {
    CheckSubdomain(pod.runtimeclassname(), spec.Child("runtimeClassName"), errors);
  }
  if (pod.has_preemptionpolicy()) {
    CheckEnum(pod.preemptionpolicy(), {"PreemptLowerPriority", "Never"},
              spec.Child("preemptionPolicy"), errors);
  }
}

// Env variables from a file need an emptyDir that holds it (KEP-3721).
void CheckFileKeyVolumes(const v1::PodSpec& pod, const FieldPath& spec, FieldErrors* errors) {
  std::map<std::string, const v1::Volume*> volumes;
  for (const auto& volume : pod.volumes()) volumes[volume.name()] = &volume;
  ForEachContainer(pod, spec, [&](const v1::Container& container, const FieldPath& at) {
    for (int i = 0; i < container.env_size(); ++i) {
      if (!container.env(i).valuefrom().has_filekeyref()) continue;
      const std::string& name = container.env(i).valuefrom().filekeyref().volumename();
      const FieldPath path =
          at.Child("env").Index(i).Child("valueFrom").Child("fileKeyRef").Child("volumeName");
      const auto found = volumes.find(name);
      if (found == volumes.end()) {
        errors->NotFound(path, name);
      } else if (!found->second->volumesource().has_emptydir()) {
        errors->Invalid(path, name, "referenced volume must be of type emptyDir");
      }
    }
  });
}

void CheckSpec(const v1::Pod& pod, FieldErrors* errors) {
  const FieldPath path("spec");
  const v1::PodSpec& spec = pod.spec();
  PodFacts facts{.spec = &spec,
                 .volumes = {},
                 .claims = {},
                 .grace = spec.terminationgraceperiodseconds(),
                 .host_users = !spec.has_hostusers() || spec.hostusers(),
                 .os = spec.os().name()};
  if (!spec.has_terminationgraceperiodseconds()) {
    errors->Required(path.Child("terminationGracePeriodSeconds"));
    facts.grace.reset();
  }
  facts.volumes = CheckVolumes(pod, path.Child("volumes"), errors);
  for (const auto& claim : spec.resourceclaims()) {
    if (!claim.name().empty()) facts.claims.insert(claim.name());
  }
  CheckResourceClaims(spec, path.Child("resourceClaims"), errors);
  CheckContainers(facts, path, errors);
  CheckInitContainers(facts, path, errors);
  CheckPodResources(spec, path, errors);
  CheckHostNetworkPorts(spec, path, errors);
  CheckEnum(spec.restartpolicy(), {"Always", "OnFailure", "Never"}, path.Child("restartPolicy"),
            errors);
  CheckEnum(spec.dnspolicy(), {"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"},
            path.Child("dnsPolicy"), errors);
  CheckLabels(spec.nodeselector(), path.Child("nodeSelector"), errors);
  CheckPodSecurity(spec, path.Child("securityContext"), errors);
  if (spec.has_affinity()) CheckAffinity(spec.affinity(), path.Child("affinity"), errors);
  CheckDnsConfig(spec, path.Child("dnsConfig"), errors);
  CheckGates(spec, path, errors);
  CheckTopologySpread(spec, path.Child("topologySpreadConstraints"), errors);
  CheckHostUsers(spec, path, errors);
  CheckHostNames(spec, path, errors);
  CheckNames(spec, path, errors);
  if (!spec.overhead().empty()) {
    v1::ResourceRequirements overhead;
    *overhead.mutable_limits() = spec.overhead();
    CheckContainerResources(overhead, {}, path.Child("overhead"), errors);
  }
  CheckOs(spec, path, errors);
  CheckFileKeyVolumes(spec, path, errors);
}

void CheckPodAnnotations(const v1::Pod& pod, FieldErrors* errors) {
  const FieldPath path = FieldPath("metadata").Child("annotations");
  if (const auto mirror = Annotation(pod, kConfigMirror)) {
    if (pod.spec().nodename().empty()) {
      errors->Invalid(path.Key(kConfigMirror), *mirror,
                      "must set spec.nodeName if mirror pod annotation is set");
    }
  }
  constexpr std::string_view key = "controller.kubernetes.io/pod-deletion-cost";
  if (const auto cost = Annotation(pod, key)) {
    const size_t sign = cost->starts_with('-') ? 1 : 0;
    const bool digits = !cost->empty() && cost->size() < 12 &&
                        cost->find_first_not_of("0123456789", sign) == std::string::npos;
    const bool plain = digits && *cost != "-" && ((*cost)[0] != '0' || cost->size() == 1);
    const int64_t value = plain ? std::stoll(*cost) : 0;
    if (!plain || value != static_cast<int32_t>(value)) {
      errors->Invalid(path.Key(key), *cost, "must be a 32bit integer");
    }
  }
  CheckSecurityAnnotations(pod, path, errors);
}

void CheckTokens(const v1::PodSpec& pod, const FieldPath& spec, FieldErrors* errors) {
  for (int i = 0; i < pod.volumes_size(); ++i) {
    const auto& projected = pod.volumes(i).volumesource().projected();
    for (int j = 0; j < projected.sources_size(); ++j) {
      if (!projected.sources(j).has_serviceaccounttoken()) continue;
      errors->Forbidden(spec.Child("volumes").Index(i).Child("projected").Child("sources").Index(j)
                            .Child("serviceAccountToken"),
                        "must not be specified when serviceAccountName is not set");
    }
  }
}

}  // namespace

FieldErrors ValidatePodCreate(const v1::Pod& pod) {
  FieldErrors errors;
  CheckMetadata(pod.metadata(), &errors);
  CheckPodAnnotations(pod, &errors);
  CheckSpec(pod, &errors);
  const FieldPath spec("spec");
  if (pod.spec().ephemeralcontainers_size() > 0) {
    errors.Forbidden(spec.Child("ephemeralContainers"), "cannot be set on create");
  }
  if (!pod.spec().nodename().empty() && pod.spec().schedulinggates_size() > 0) {
    errors.Forbidden(spec.Child("nodeName"),
                     "cannot be set until all schedulingGates have been cleared");
  }
  if (pod.spec().serviceaccountname().empty()) CheckTokens(pod.spec(), spec, &errors);
  CheckAnnotationsMatchFields(pod, spec, &errors);
  return errors;
}

}  // namespace keelson::kubelet::sources
