// SPDX-License-Identifier: Apache-2.0
#include "kubelet/node_match.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "proto/k8s/node.pb.h"

namespace keelson::kubelet {
namespace {

// What Go's ParseInt(text, 10, 64) takes.
std::optional<int64_t> Integer(std::string_view text) {
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) return std::nullopt;
  }
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool Compare(const std::string& op, const std::string& left, const std::string& right) {
  const auto a = Integer(left), b = Integer(right);
  if (!a || !b) return false;
  return op == "Gt" ? *a > *b : *a < *b;
}

bool Matches(const v1::NodeSelectorRequirement& wanted,
             const std::map<std::string, std::string>& labels) {
  const auto label = labels.find(wanted.key());
  const bool has = label != labels.end();
  const auto& values = wanted.values();
  const std::string& op = wanted.operator_();
  if (op == "Exists") return values.empty() && has;
  if (op == "DoesNotExist") return values.empty() && !has;
  if (op == "In" || op == "NotIn") {
    if (values.empty()) return false;  // malformed
    const bool in = has && std::find(values.begin(), values.end(), label->second) != values.end();
    return in == (op == "In");
  }
  if (op != "Gt" && op != "Lt") return false;
  return has && values.size() == 1 && Compare(op, label->second, values[0]);
}

// Of fields there is metadata.name alone, and one value a requirement.
bool MatchesField(const v1::NodeSelectorRequirement& wanted, const std::string& node) {
  if (wanted.values_size() != 1) return false;
  const std::string value = wanted.key() == "metadata.name" ? node : "";
  if (wanted.operator_() == "In") return value == wanted.values(0);
  return wanted.operator_() == "NotIn" && value != wanted.values(0);
}

bool Matches(const v1::NodeSelectorTerm& term, const NodeTerms& node) {
  if (term.matchexpressions().empty() && term.matchfields().empty()) return false;
  return std::all_of(term.matchexpressions().begin(), term.matchexpressions().end(),
                     [&](const auto& wanted) { return Matches(wanted, node.labels); }) &&
         std::all_of(term.matchfields().begin(), term.matchfields().end(),
                     [&](const auto& wanted) { return MatchesField(wanted, node.name); });
}

}  // namespace

NodeTerms TermsOf(const v1::Node& node) {
  NodeTerms terms;
  terms.name = node.metadata().name();
  terms.labels.insert(node.metadata().labels().begin(), node.metadata().labels().end());
  terms.taints.assign(node.spec().taints().begin(), node.spec().taints().end());
  return terms;
}

bool MatchesNode(const v1::Pod& pod, const NodeTerms& node) {
  for (const auto& [key, value] : pod.spec().nodeselector()) {
    const auto label = node.labels.find(key);
    if (label == node.labels.end() || label->second != value) return false;
  }
  const auto& affinity = pod.spec().affinity().nodeaffinity();
  if (!affinity.has_requiredduringschedulingignoredduringexecution()) return true;
  const auto& terms =
      affinity.requiredduringschedulingignoredduringexecution().nodeselectorterms();
  return std::any_of(terms.begin(), terms.end(),
                     [&](const auto& term) { return Matches(term, node); });
}

bool Tolerates(const v1::Toleration& toleration, const v1::Taint& taint) {
  if (!toleration.effect().empty() && toleration.effect() != taint.effect()) return false;
  if (!toleration.key().empty() && toleration.key() != taint.key()) return false;
  const std::string& op = toleration.operator_();
  if (op.empty() || op == "Equal") return toleration.value() == taint.value();
  if (op == "Lt" || op == "Gt") return Compare(op, taint.value(), toleration.value());
  return op == "Exists";
}

bool Tolerates(const v1::Pod& pod, const v1::Taint& taint) {
  const auto& all = pod.spec().tolerations();
  return std::any_of(all.begin(), all.end(),
                     [&](const auto& toleration) { return Tolerates(toleration, taint); });
}

}  // namespace keelson::kubelet
