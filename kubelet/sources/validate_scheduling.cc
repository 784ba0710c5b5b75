// SPDX-License-Identifier: Apache-2.0
#include <charconv>

#include "base/strings.h"
#include "kubelet/sources/checks.h"

namespace keelson::kubelet::sources {
namespace {

using base::StrCat;
using LabelSelector = k8s::meta::v1::LabelSelector;

constexpr std::string_view kNeedsValues =
    "must be specified when `operator` is 'In' or 'NotIn'";
constexpr std::string_view kTakesNoValues =
    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";

template <typename Requirement>
void CheckValues(const Requirement& requirement, const FieldPath& path, FieldErrors* errors) {
  for (int i = 0; i < requirement.values_size(); ++i) {
    errors->InvalidAll(path.Child("values").Index(i), requirement.values(i),
                       LabelValue(requirement.values(i)));
  }
}

void CheckNodeExpression(const v1::NodeSelectorRequirement& want, bool any_value,
                         const FieldPath& path, FieldErrors* errors) {
  const std::string& op = want.operator_();
  if (OneOf(op, {"In", "NotIn"})) {
    if (want.values().empty()) errors->Required(path.Child("values"), kNeedsValues);
  } else if (OneOf(op, {"Exists", "DoesNotExist"})) {
    if (!want.values().empty()) errors->Forbidden(path.Child("values"), kTakesNoValues);
  } else if (OneOf(op, {"Gt", "Lt"})) {
    if (want.values_size() != 1) {
      errors->Required(path.Child("values"),
                       "must be specified single value when `operator` is 'Lt' or 'Gt'");
    }
  } else {
    errors->Invalid(path.Child("operator"), op, "not a valid selector operator");
  }
  CheckQualifiedName(want.key(), path.Child("key"), errors);
  if (!any_value) CheckValues(want, path, errors);
}

void CheckNodeField(const v1::NodeSelectorRequirement& want, const FieldPath& path,
                    FieldErrors* errors) {
  if (!OneOf(want.operator_(), {"In", "NotIn"})) {
    errors->Invalid(path.Child("operator"), want.operator_(), "not a valid selector operator");
  } else if (want.values_size() != 1) {
    errors->Required(path.Child("values"),
                     "must be only one value when `operator` is 'In' or 'NotIn' for node field "
                     "selector");
  }
  if (want.key() != "metadata.name") {
    return errors->Invalid(path.Child("key"), want.key(), "not a valid field selector key");
  }
  for (int i = 0; i < want.values_size(); ++i) {
    CheckSubdomain(want.values(i), path.Child("values").Index(i), errors);
  }
}

void CheckNodeTerm(const v1::NodeSelectorTerm& term, bool any_value, const FieldPath& path,
                   FieldErrors* errors) {
  for (int i = 0; i < term.matchexpressions_size(); ++i) {
    CheckNodeExpression(term.matchexpressions(i), any_value,
                        path.Child("matchExpressions").Index(i), errors);
  }
  for (int i = 0; i < term.matchfields_size(); ++i) {
    CheckNodeField(term.matchfields(i), path.Child("matchFields").Index(i), errors);
  }
}

void CheckWeight(int weight, const FieldPath& path, FieldErrors* errors) {
  if (weight >= 1 && weight <= 100) return;
  errors->Invalid(path.Child("weight"), weight, "must be in the range 1-100");
}

void CheckNodeAffinity(const v1::NodeAffinity& affinity, const FieldPath& path,
                       FieldErrors* errors) {
  if (affinity.has_requiredduringschedulingignoredduringexecution()) {
    const auto& terms =
        affinity.requiredduringschedulingignoredduringexecution().nodeselectorterms();
    const FieldPath all =
        path.Child("requiredDuringSchedulingIgnoredDuringExecution").Child("nodeSelectorTerms");
    if (terms.empty()) errors->Required(all, "must have at least one node selector term");
    for (int i = 0; i < terms.size(); ++i) CheckNodeTerm(terms[i], false, all.Index(i), errors);
  }
  const auto& preferred = affinity.preferredduringschedulingignoredduringexecution();
  const FieldPath all = path.Child("preferredDuringSchedulingIgnoredDuringExecution");
  for (int i = 0; i < preferred.size(); ++i) {
    CheckWeight(preferred[i].weight(), all.Index(i), errors);
    CheckNodeTerm(preferred[i].preference(), true, all.Index(i).Child("preference"), errors);
  }
}

using Strings = google::protobuf::RepeatedPtrField<std::string>;

void CheckKeys(const Strings& keys, bool has_selector, const FieldPath& path,
               FieldErrors* errors) {
  if (keys.empty()) return;
  if (!has_selector) {
    return errors->Forbidden(path, "must not be specified when labelSelector is not set");
  }
  for (int i = 0; i < keys.size(); ++i) CheckQualifiedName(keys[i], path.Index(i), errors);
}

// matchLabelKeys and mismatchLabelKeys (KEP-3243, KEP-3633).
void CheckMatchKeys(const Strings& match, const Strings& mismatch, const LabelSelector* selector,
                    const FieldPath& path, FieldErrors* errors) {
  CheckKeys(match, selector != nullptr, path.Child("matchLabelKeys"), errors);
  CheckKeys(mismatch, selector != nullptr, path.Child("mismatchLabelKeys"), errors);
  std::map<std::string, int> index;
  for (int i = 0; i < match.size(); ++i) index[match[i]] = i;
  if (selector != nullptr) {
    std::set<std::string> seen;
    for (const auto& [key, value] : selector->matchlabels()) seen.insert(key);
    for (const auto& want : selector->matchexpressions()) {
      const auto found = index.find(want.key());
      if (found != index.end() && seen.contains(want.key())) {
        errors->Invalid(path.Index(found->second), want.key(),
                        "exists in both matchLabelKeys and labelSelector");
      }
      seen.insert(want.key());
    }
  }
  const std::set<std::string> others(mismatch.begin(), mismatch.end());
  for (int i = 0; i < match.size(); ++i) {
    if (!others.contains(match[i])) continue;
    errors->Invalid(path.Child("matchLabelKeys").Index(i), match[i],
                    "exists in both matchLabelKeys and mismatchLabelKeys");
  }
}

void CheckPodTerm(const v1::PodAffinityTerm& term, const FieldPath& path, FieldErrors* errors) {
  if (term.has_labelselector()) {
    CheckLabelSelector(term.labelselector(), path.Child("labelSelector"), errors);
  }
  if (term.has_namespaceselector()) {
    CheckLabelSelector(term.namespaceselector(), path.Child("namespaceSelector"), errors);
  }
  for (const std::string& name : term.namespaces()) {
    CheckLabel(name, path.Child("namespace"), errors);
  }
  CheckMatchKeys(term.matchlabelkeys(), term.mismatchlabelkeys(),
                 term.has_labelselector() ? &term.labelselector() : nullptr, path, errors);
  if (term.topologykey().empty()) {
    errors->Required(path.Child("topologyKey"), "can not be empty");
  }
  CheckQualifiedName(term.topologykey(), path.Child("topologyKey"), errors);
}

// PodAffinity or PodAntiAffinity.
template <typename A>
void CheckPodAffinity(const A& affinity, const FieldPath& path, FieldErrors* errors) {
  const auto& required = affinity.requiredduringschedulingignoredduringexecution();
  for (int i = 0; i < required.size(); ++i) {
    CheckPodTerm(required[i],
                 path.Child("requiredDuringSchedulingIgnoredDuringExecution").Index(i), errors);
  }
  const auto& preferred = affinity.preferredduringschedulingignoredduringexecution();
  for (int i = 0; i < preferred.size(); ++i) {
    const FieldPath at = path.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i);
    CheckWeight(preferred[i].weight(), at, errors);
    CheckPodTerm(preferred[i].podaffinityterm(), at.Child("podAffinityTerm"), errors);
  }
}

void CheckTolerationOperator(const v1::Toleration& toleration, const FieldPath& path,
                             FieldErrors* errors) {
  const std::string& op = toleration.operator_();
  const FieldPath at = path.Child("operator");
  if (op.empty() || op == "Equal") {
    std::string text;
    for (const std::string& each : LabelValue(toleration.value())) {
      base::StrAppend(&text, text.empty() ? "" : ";", each);
    }
    if (!text.empty()) errors->Invalid(at, toleration.value(), text);
  } else if (op == "Exists") {
    if (!toleration.value().empty()) {
      errors->Invalid(at, toleration.value(), "value must be empty when `operator` is 'Exists'");
    }
  } else if (op == "Lt" || op == "Gt") {  // gate TaintTolerationComparisonOperators is off
    errors->NotSupported(at, op, {"Equal", "Exists", "Lt", "Gt"});
  } else {
    errors->NotSupported(at, op, {"Equal", "Exists"});
  }
}

}  // namespace

void CheckLabels(const google::protobuf::Map<std::string, std::string>& labels,
                 const FieldPath& path, FieldErrors* errors) {
  const std::map<std::string, std::string> sorted(labels.begin(), labels.end());
  for (const auto& [key, value] : sorted) {
    CheckQualifiedName(key, path, errors);
    errors->InvalidAll(path, value, LabelValue(value));
  }
}

void CheckLabelSelector(const LabelSelector& selector, const FieldPath& path,
                        FieldErrors* errors) {
  CheckLabels(selector.matchlabels(), path.Child("matchLabels"), errors);
  for (int i = 0; i < selector.matchexpressions_size(); ++i) {
    const auto& want = selector.matchexpressions(i);
    const FieldPath at = path.Child("matchExpressions").Index(i);
    if (OneOf(want.operator_(), {"In", "NotIn"})) {
      if (want.values().empty()) errors->Required(at.Child("values"), kNeedsValues);
    } else if (OneOf(want.operator_(), {"Exists", "DoesNotExist"})) {
      if (!want.values().empty()) errors->Forbidden(at.Child("values"), kTakesNoValues);
    } else {
      errors->Invalid(at.Child("operator"), want.operator_(), "not a valid selector operator");
    }
    CheckQualifiedName(want.key(), at.Child("key"), errors);
    CheckValues(want, at, errors);
  }
}

void CheckTolerations(const v1::PodSpec& pod, const FieldPath& all, FieldErrors* errors) {
  for (int i = 0; i < pod.tolerations_size(); ++i) {
    const auto& toleration = pod.tolerations(i);
    const FieldPath path = all.Index(i);
    if (!toleration.key().empty()) {
      CheckQualifiedName(toleration.key(), path.Child("key"), errors);
    } else if (toleration.operator_() != "Exists") {
      errors->Invalid(path.Child("operator"), toleration.operator_(),
                      "operator must be Exists when `key` is empty, which means \"match all "
                      "values and all keys\"");
    }
    if (toleration.has_tolerationseconds() && toleration.effect() != "NoExecute") {
      errors->Invalid(path.Child("effect"), toleration.effect(),
                      "effect must be 'NoExecute' when `tolerationSeconds` is set");
    }
    CheckTolerationOperator(toleration, path, errors);
    if (!toleration.effect().empty()) {
      CheckEnum(toleration.effect(), {"NoSchedule", "PreferNoSchedule", "NoExecute"},
                path.Child("effect"), errors);
    }
  }
}

void CheckAffinity(const v1::Affinity& affinity, const FieldPath& path, FieldErrors* errors) {
  CheckNodeAffinity(affinity.nodeaffinity(), path.Child("nodeAffinity"), errors);
  CheckPodAffinity(affinity.podaffinity(), path.Child("podAffinity"), errors);
  CheckPodAffinity(affinity.podantiaffinity(), path.Child("podAntiAffinity"), errors);
}

void CheckTopologySpread(const v1::PodSpec& pod, const FieldPath& all, FieldErrors* errors) {
  const auto& constraints = pod.topologyspreadconstraints();
  for (int i = 0; i < constraints.size(); ++i) {
    const auto& constraint = constraints[i];
    const FieldPath path = all.Index(i);
    if (constraint.maxskew() <= 0) {
      errors->Invalid(path.Child("maxSkew"), constraint.maxskew(), "must be greater than zero");
    }
    if (constraint.topologykey().empty()) {
      errors->Required(path.Child("topologyKey"), "can not be empty");
    }
    const std::string& action = constraint.whenunsatisfiable();
    if (!OneOf(action, {"DoNotSchedule", "ScheduleAnyway"})) {
      errors->NotSupported(path.Child("whenUnsatisfiable"), action,
                           {"DoNotSchedule", "ScheduleAnyway"});
    }
    for (int j = i + 1; j < constraints.size(); ++j) {
      if (constraints[j].topologykey() != constraint.topologykey() ||
          constraints[j].whenunsatisfiable() != action) {
        continue;
      }
      errors->Duplicate(path.Child("{topologyKey, whenUnsatisfiable}"),
                        StrCat("{", constraint.topologykey(), ", ", action, "}"));
      break;
    }
    if (constraint.has_mindomains()) {
      const FieldPath at = path.Child("minDomains");
      if (constraint.mindomains() <= 0) {
        errors->Invalid(at, constraint.mindomains(), "must be greater than zero");
      }
      if (action != "DoNotSchedule") {
        errors->Invalid(
            at, constraint.mindomains(),
            StrCat("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ", action));
      }
    }
    if (constraint.has_nodeaffinitypolicy()) {
      if (!OneOf(constraint.nodeaffinitypolicy(), {"Honor", "Ignore"})) {
        errors->NotSupported(path.Child("nodeAffinityPolicy"), constraint.nodeaffinitypolicy(),
                             {"Honor", "Ignore"});
      }
    }
    if (constraint.has_nodetaintspolicy()) {
      if (!OneOf(constraint.nodetaintspolicy(), {"Honor", "Ignore"})) {
        errors->NotSupported(path.Child("nodeTaintsPolicy"), constraint.nodetaintspolicy(),
                             {"Honor", "Ignore"});
      }
    }
    CheckMatchKeys(constraint.matchlabelkeys(), {},
                   constraint.has_labelselector() ? &constraint.labelselector() : nullptr, path,
                   errors);
    if (constraint.has_labelselector()) {
      CheckLabelSelector(constraint.labelselector(), path.Child("labelSelector"), errors);
    }
  }
}

}  // namespace keelson::kubelet::sources
