// SPDX-License-Identifier: Apache-2.0
// Whether a pod and a node want each other: node selectors, node affinity, taints. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "kubelet/pod.h"

namespace k8s::v1 {
class Node;
}

namespace keelson::kubelet {

// The node as its object says it.
struct NodeTerms {
  std::string name;
  std::map<std::string, std::string> labels;
  std::vector<v1::Taint> taints;
};

NodeTerms TermsOf(const v1::Node& node);

// nodeSelector and required node affinity; a term that is malformed or empty matches nothing.
bool MatchesNode(const v1::Pod& pod, const NodeTerms& node);

// Equal, Exists, and Lt and Gt on whole numbers (KEP-5471); an empty key or effect is any.
bool Tolerates(const v1::Toleration& toleration, const v1::Taint& taint);
bool Tolerates(const v1::Pod& pod, const v1::Taint& taint);

}  // namespace keelson::kubelet
