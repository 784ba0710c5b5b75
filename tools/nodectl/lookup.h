// SPDX-License-Identifier: Apache-2.0
// Which pod and which container a person means. Blocking; one thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "proto/k8s/objects.pb.h"
#include "proto/k8s/pod.pb.h"
#include "tools/nodectl/commands.h"

namespace keelson::nodectl {

// `web` for pod/web, pods/web, po/web and web.
std::string BareName(const std::string& name);

// All pods of options.ns, or of all namespaces.
absl::StatusOr<k8s::v1::PodList> FetchPods(const Options& options);
absl::StatusOr<k8s::v1::EventList> FetchEvents(const Options& options);

// Leaves the pods of these names, or all; NotFound names the first that is missing.
absl::Status KeepNamed(const std::vector<std::string>& names, k8s::v1::PodList* pods);

// FailedPrecondition: several namespaces have one; the error names them.
absl::StatusOr<k8s::v1::Pod> OnePod(const Options& options, const std::string& name);

// options.container, or the one that is meant when none is named (kubectl's annotation, else the
// first); a choice among several is told on stderr.
std::string ContainerOf(const Options& options, const k8s::v1::Pod& pod);

}  // namespace keelson::nodectl
