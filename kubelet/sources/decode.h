// SPDX-License-Identifier: Apache-2.0
// The bytes of a manifest become Pod objects, nothing more: no defaults, no validation. Pure.
//
// Like upstream's kubelet, decoding is lenient: an unknown or a duplicate field is no error. We say
// so in a warning, because a misspelt field is the commonest mistake in a manifest.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "kubelet/pod.h"
#include "proto/codec/value.h"

namespace keelson::kubelet::sources {

// Upstream's maxConfigLength.
inline constexpr size_t kMaxManifestBytes = 10u << 20;

struct DecodedPods {
  std::vector<v1::Pod> pods;
  bool is_list = false;               // a PodList; then `tree` has its items in member "items"
  proto::Value tree;                  // what was read, for line numbers
  std::vector<std::string> warnings;  // one line each, with file and line
};

// Reads one v1 Pod, or with `allow_list` a v1 PodList, in YAML or JSON. `source` is the file or URL
// that messages name. InvalidArgument: one line per problem, "pod.yaml:12: spec.hostNetwork:
// expected ...".
absl::StatusOr<DecodedPods> DecodePods(std::string_view bytes, const std::string& source,
                                       bool allow_list);

// The line at which `path` (spec.containers[0].image) stands below `object`, or its nearest
// ancestor that was written; 0 when nothing is known.
int LineOf(const proto::Value& object, std::string_view path);

}  // namespace keelson::kubelet::sources
