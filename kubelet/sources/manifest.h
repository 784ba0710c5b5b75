// SPDX-License-Identifier: Apache-2.0
// From the bytes of a manifest to static pods that are fit to run: decode, defaults, static pod
// rules, validation. Pure; may be called on any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "kubelet/pod.h"

namespace keelson::kubelet::sources {

struct ManifestOrigin {
  PodSource source = PodSource::kFile;
  std::string name;  // path or URL
  std::string node_name;
};

struct Manifest {
  std::vector<std::shared_ptr<v1::Pod>> pods;  // without config.seen
  std::vector<std::string> warnings;           // one line each
};

// All or nothing: InvalidArgument has one line per problem, each with origin, line and field, as in
// "/etc/pods/web.yaml:12: spec.containers[0].name: Required value".
absl::StatusOr<Manifest> ReadManifest(std::string_view bytes, const ManifestOrigin& origin);

// `text` with its lines joined by "; ": for a SourceProblem.
std::string OneLine(std::string_view text);

}  // namespace keelson::kubelet::sources
