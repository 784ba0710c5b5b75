// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "base/strings.h"
#include "kubelet/sources/checks.h"
#include "kubelet/sources/defaults.h"
#include "proto/codec/quantity.h"

namespace keelson::kubelet::sources {
namespace {

using base::StrCat;
using proto::Quantity;
using ResourceMap = google::protobuf::Map<std::string, k8s::resource::Quantity>;

bool IsNative(std::string_view name) {
  return name.find('/') == std::string_view::npos ||
         name.find("kubernetes.io/") != std::string_view::npos;
}

bool MayOvercommit(std::string_view name) { return IsNative(name) && !IsHugePages(name); }

bool IsExtended(std::string_view name) {
  return !IsNative(name) && !name.starts_with("requests.") &&
         QualifiedName(StrCat("requests.", name)).empty();
}

// Names that any object of the API may use without a domain.
bool IsStandard(std::string_view name) {
  return IsHugePages(name) || name.starts_with("requests.hugepages-") ||
         OneOf(name, {"cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory",
                      "requests.ephemeral-storage", "limits.cpu", "limits.memory",
                      "limits.ephemeral-storage", "pods", "resourcequotas", "services",
                      "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims",
                      "storage", "requests.storage", "services.nodeports",
                      "services.loadbalancers"});
}

// False when the name is no resource name at all.
bool CheckName(const std::string& name, const FieldPath& path, FieldErrors* errors) {
  const Complaints complaints = QualifiedName(name);
  errors->InvalidAll(path, name, complaints);
  if (!complaints.empty()) return false;
  if (name.find('/') != std::string::npos || IsStandard(name)) return true;
  errors->Invalid(path, name, "must be a standard resource type or fully qualified");
  return false;
}

void CheckContainerName(const std::string& name, const FieldPath& path, FieldErrors* errors) {
  CheckName(name, path, errors);
  if (name.find('/') == std::string::npos) {
    if (!IsHugePages(name) && !OneOf(name, {"cpu", "memory", "ephemeral-storage"})) {
      errors->Invalid(path, name, "must be a standard resource for containers");
    }
  } else if (!IsNative(name) && !IsExtended(name)) {
    errors->Invalid(path, name, "doesn't follow extended resource name standard");
  }
}

void CheckPodName(const std::string& name, const FieldPath& path, FieldErrors* errors) {
  if (!CheckName(name, path, errors) || IsPodLevelResource(name)) return;
  errors->NotSupported(path, name, {"cpu", "hugepages-", "memory"});
}

// The size of its pages divides an amount of huge pages.
bool WholePages(std::string_view name, const Quantity& amount) {
  const auto page = Quantity::Parse(name.substr(std::string_view("hugepages-").size()));
  if (!page.ok() || page->Sign() <= 0 || page->MilliValue() % 1000 != 0) return false;
  return amount.Value() % page->Value() == 0;
}

using NameCheck = void (*)(const std::string&, const FieldPath&, FieldErrors*);
using Amounts = std::map<std::string, Quantity>;

// One of limits and requests. Returns the amounts that are quantities.
Amounts CheckList(const ResourceMap& list, NameCheck name_check, const FieldPath& at,
                  FieldErrors* errors) {
  Amounts amounts;
  const std::map<std::string, k8s::resource::Quantity> sorted(list.begin(), list.end());
  for (const auto& [name, message] : sorted) {
    const FieldPath path = at.Key(name);
    name_check(name, path, errors);
    const auto amount = Quantity::From(message);
    if (!amount.ok()) {
      errors->Invalid(path, message.string(), base::Message(amount.status()));
      continue;
    }
    if (amount->Sign() < 0) {
      errors->Invalid(path, amount->ToString(), "must be greater than or equal to 0");
    }
    if (IsExtended(name) && amount->MilliValue() % 1000 != 0) {
      errors->Invalid(path, amount->ToString(), "must be an integer");
    }
    if (IsHugePages(name) && !WholePages(name, *amount)) {
      errors->Invalid(path, amount->ToString(),
                      StrCat(amount->ToString(), " is not positive integer multiple of ", name));
    }
    amounts.insert({name, *amount});
  }
  return amounts;
}

void CheckPair(const std::string& name, const Quantity& request, const Amounts& limits,
               const FieldPath& path, FieldErrors* errors) {
  const auto limit = limits.find(name);
  if (limit == limits.end()) {
    if (MayOvercommit(name)) return;
    errors->Required(path.Child("limits"), "Limit must be set for non overcommitable resources");
  } else if (request != limit->second && !MayOvercommit(name)) {
    errors->Invalid(path.Child("requests"), request.ToString(),
                    StrCat("must be equal to ", name, " limit of ", limit->second.ToString()));
  } else if (request > limit->second) {
    errors->Invalid(
        path.Child("requests"), request.ToString(),
        StrCat("must be less than or equal to ", name, " limit of ", limit->second.ToString()));
  }
}

void CheckClaims(const v1::ResourceRequirements& resources, const std::set<std::string>& claims,
                 const FieldPath& path, FieldErrors* errors) {
  std::set<std::string> seen;
  for (int i = 0; i < resources.claims_size(); ++i) {
    const auto& claim = resources.claims(i);
    if (claim.name().empty()) {
      errors->Required(path.Index(i));
      continue;
    }
    std::string key = claim.name();
    if (!claim.request().empty()) {
      CheckLabel(claim.request(), path.Index(i).Child("request"), errors);
      base::StrAppend(&key, "/", claim.request());
    }
    const auto part = seen.lower_bound(key + "/");
    const bool overlaps = part != seen.end() && part->starts_with(key + "/");
    if (seen.contains(claim.name()) || seen.contains(key) ||
        (claim.request().empty() && overlaps)) {
      errors->Duplicate(path.Index(i), seen.contains(claim.name()) ? claim.name() : key);
    }
    seen.insert(key);
    if (claims.contains(claim.name())) continue;
    std::string detail = "must be one of the names in pod.spec.resourceClaims";
    std::string names;
    for (const auto& name : claims) base::StrAppend(&names, names.empty() ? "" : ", ", name);
    base::StrAppend(&detail, claims.empty() ? " which is empty" : ": ", names);
    errors->NotFound(path.Index(i), claim.name(), detail);
  }
}

void CheckRequirements(const v1::ResourceRequirements& resources, NameCheck name_check,
                       const std::set<std::string>& claims, const FieldPath& path,
                       FieldErrors* errors) {
  const Amounts limits = CheckList(resources.limits(), name_check, path.Child("limits"), errors);
  const Amounts requests =
      CheckList(resources.requests(), name_check, path.Child("requests"), errors);
  bool huge = false, compute = false;
  const auto note = [&](const Amounts& amounts) {
    for (const auto& [name, amount] : amounts) {
      huge = huge || IsHugePages(name);
      compute = compute || name == "cpu" || name == "memory";
    }
  };
  note(limits);
  note(requests);
  for (const auto& [name, request] : requests) CheckPair(name, request, limits, path, errors);
  if (huge && !compute) errors->Forbidden(path, "HugePages require cpu or memory");
  CheckClaims(resources, claims, path.Child("claims"), errors);
}

// The amount that pod-level resources have for `name`.
std::optional<Quantity> PodAmount(const ResourceMap& list, const std::string& name) {
  const auto found = list.find(name);
  if (found == list.end()) return std::nullopt;
  const auto amount = Quantity::From(found->second);
  if (!amount.ok()) return std::nullopt;
  return *amount;
}

}  // namespace

void CheckContainerResources(const v1::ResourceRequirements& resources,
                             const std::set<std::string>& claims, const FieldPath& path,
                             FieldErrors* errors) {
  CheckRequirements(resources, CheckContainerName, claims, path, errors);
}

// KEP-2837.
void CheckPodResources(const v1::PodSpec& pod, const FieldPath& spec, FieldErrors* errors) {
  if (!pod.has_resources()) return;
  const FieldPath path = spec.Child("resources");
  if (pod.os().name() == "windows") {
    return errors->Forbidden(path, "may not be set for a windows pod");
  }
  const auto& resources = pod.resources();
  if (!resources.claims().empty()) {
    errors->Forbidden(path.Child("claims"), "claims may not be set for Resources at pod-level");
  }
  CheckRequirements(resources, CheckPodName, {}, path, errors);
  for (const auto& [name, sum] : SumRequests(pod)) {
    const auto have = PodAmount(resources.requests(), name);
    if (!have || sum <= *have) continue;
    errors->Invalid(path.Child("requests").Key(name), have->ToString(),
                    StrCat("must be greater than or equal to aggregate container requests of ",
                           sum.ToString()));
  }
  for (const auto& [name, sum] : SumLimits(pod)) {
    const auto have = PodAmount(resources.limits(), name);
    if (!IsHugePages(name) || !have || sum <= *have) continue;
    errors->Invalid(
        path.Child("limits").Key(name), have->ToString(),
        StrCat("must be greater than or equal to aggregate container limits of ", sum.ToString()));
  }
  for (int i = 0; i < pod.containers_size(); ++i) {
    const auto& limits = pod.containers(i).resources().limits();
    const std::map<std::string, k8s::resource::Quantity> sorted(limits.begin(), limits.end());
    for (const auto& [name, message] : sorted) {
      const auto have = PodAmount(resources.limits(), name);
      const auto limit = Quantity::From(message);
      if (!have || !limit.ok() || *limit <= *have) continue;
      errors->Invalid(path.Child("containers").Index(i).Key(name).Child("limits"),
                      limit->ToString(),
                      StrCat("must be less than or equal to pod limits of ", have->ToString()));
    }
  }
}

void CheckResourceClaims(const v1::PodSpec& pod, const FieldPath& all, FieldErrors* errors) {
  std::set<std::string> names;
  for (int i = 0; i < pod.resourceclaims_size(); ++i) {
    const auto& claim = pod.resourceclaims(i);
    const FieldPath path = all.Index(i);
    if (claim.name().empty()) {
      errors->Required(path.Child("name"));
    } else if (!names.insert(claim.name()).second) {
      errors->Duplicate(path.Child("name"), claim.name());
    } else {
      CheckLabel(claim.name(), path.Child("name"), errors);
    }
    if (claim.has_resourceclaimname() && claim.has_resourceclaimtemplatename()) {
      errors->Invalid(
          path, claim.name(),
          "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified");
    }
    if (!claim.has_resourceclaimname() && !claim.has_resourceclaimtemplatename()) {
      errors->Invalid(path, claim.name(),
                      "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
    }
    if (claim.has_resourceclaimname()) {
      CheckSubdomain(claim.resourceclaimname(), path.Child("resourceClaimName"), errors);
    }
    if (claim.has_resourceclaimtemplatename()) {
      CheckSubdomain(claim.resourceclaimtemplatename(), path.Child("resourceClaimTemplateName"),
                     errors);
    }
  }
}

}  // namespace keelson::kubelet::sources
