// SPDX-License-Identifier: Apache-2.0
// Paths inside volumes, and references to the pod's own fields and resources.
#include "base/strings.h"
#include "kubelet/sources/checks.h"
#include "proto/codec/quantity.h"

namespace keelson::kubelet::sources {
namespace {

using base::StrCat;

// Splits "metadata.labels['key']".
bool Subscripted(const std::string& path, std::string* name, std::string* key) {
  const size_t open = path.find("['");
  if (open == std::string::npos || !path.ends_with("']") || open + 4 > path.size()) return false;
  *name = path.substr(0, open);
  *key = path.substr(open + 2, path.size() - open - 4);
  return true;
}

}  // namespace

void CheckNoBacksteps(std::string_view value, const FieldPath& path, FieldErrors* errors) {
  for (std::string_view part : Split(value, '/')) {
    if (part == "..") return errors->Invalid(path, value, "must not contain '..'");
  }
}

void CheckDescending(std::string_view value, const FieldPath& path, FieldErrors* errors) {
  if (value.starts_with('/')) errors->Invalid(path, value, "must be a relative path");
  CheckNoBacksteps(value, path, errors);
}

void CheckFieldRef(const v1::ObjectFieldSelector& ref, bool in_volume, const FieldPath& path,
                   FieldErrors* errors) {
  if (ref.apiversion().empty()) return errors->Required(path.Child("apiVersion"));
  if (ref.fieldpath().empty()) return errors->Required(path.Child("fieldPath"));
  const FieldPath at = path.Child("fieldPath");
  const auto unconvertible = [&](const std::string& why) {
    errors->Invalid(at, ref.fieldpath(), StrCat("error converting fieldPath: ", why));
  };
  if (ref.apiversion() != "v1") {
    return unconvertible(StrCat("unsupported pod version: ", ref.apiversion()));
  }
  std::string name, key;
  if (Subscripted(ref.fieldpath(), &name, &key)) {
    if (!OneOf(name, {"metadata.annotations", "metadata.labels"})) {
      return unconvertible(StrCat("field label does not support subscript: ", ref.fieldpath()));
    }
    const bool annotations = name == "metadata.annotations";
    return CheckQualifiedName(annotations ? Lower(key) : key, path, errors);
  }
  const std::string field = ref.fieldpath() == "spec.host" ? "spec.nodeName" : ref.fieldpath();
  if (!OneOf(field,
             {"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace",
              "metadata.uid", "spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName",
              "spec.schedulerName", "status.phase", "status.hostIP", "status.hostIPs",
              "status.podIP", "status.podIPs"})) {
    return unconvertible(StrCat("field label not supported: ", field));
  }
  if (in_volume && !OneOf(field, {"metadata.annotations", "metadata.labels", "metadata.name",
                                  "metadata.namespace", "metadata.uid"})) {
    errors->NotSupported(at, field, {"metadata.annotations", "metadata.labels", "metadata.name",
                                     "metadata.namespace", "metadata.uid"});
  } else if (!in_volume &&
             !OneOf(field, {"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
                            "spec.serviceAccountName", "status.hostIP", "status.hostIPs",
                            "status.podIP", "status.podIPs"})) {
    errors->NotSupported(
        at, field,
        {"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
         "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP",
         "status.podIPs"});
  }
}

void CheckResourceRef(const v1::ResourceFieldSelector& ref, bool in_volume, const FieldPath& path,
                      FieldErrors* errors) {
  const std::string& name = ref.resource();
  const bool huge =
      name.starts_with("limits.hugepages-") || name.starts_with("requests.hugepages-");
  if (in_volume && ref.containername().empty()) {
    errors->Required(path.Child("containerName"));
  } else if (name.empty()) {
    errors->Required(path.Child("resource"));
  } else if (!huge &&
             !OneOf(name, {"limits.cpu", "limits.ephemeral-storage", "limits.memory",
                           "requests.cpu", "requests.ephemeral-storage", "requests.memory"})) {
    errors->NotSupported(path.Child("resource"), name,
                         {"limits.cpu", "limits.ephemeral-storage", "limits.memory",
                          "requests.cpu", "requests.ephemeral-storage", "requests.memory"});
  }
  const auto divisor = proto::Quantity::From(ref.divisor());
  if (!divisor.ok()) {
    return errors->Invalid(path.Child("divisor"), ref.divisor().string(),
                           base::Message(divisor.status()));
  }
  if (divisor->IsZero()) return;
  const std::string text = divisor->ToString();
  if (name.ends_with(".cpu")) {
    if (OneOf(text, {"1m", "1"})) return;
    return errors->Invalid(path.Child("divisor"), name,
                           "only divisor's values 1m and 1 are supported with the cpu resource");
  }
  if (OneOf(text, {"1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi",
                   "1Ei"})) {
    return;
  }
  const std::string_view kind = name.ends_with(".memory")              ? "memory"
                                : name.ends_with(".ephemeral-storage") ? "local ephemeral storage"
                                : huge                                 ? "hugepages"
                                                                       : "";
  if (kind.empty()) return;
  errors->Invalid(path.Child("divisor"), name,
                  StrCat("only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, "
                         "1Pi, 1Ei are supported with the ",
                         kind, " resource"));
}

}  // namespace keelson::kubelet::sources
