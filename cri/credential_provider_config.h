// SPDX-License-Identifier: Apache-2.0
// --image-credential-provider-config: which credential provider plugins there are, and for what
// (CredentialProviderConfig of kubelet.config.k8s.io).
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace k8s::kubelet::v1beta1 {
class CredentialProviderConfig;
}  // namespace k8s::kubelet::v1beta1

namespace keelson::cri {

// What is wrong with the configuration, in upstream's words; empty: nothing. Pure.
std::vector<std::string> CheckProviders(
    const k8s::kubelet::v1beta1::CredentialProviderConfig& config);
// A file, or every *.json, *.yaml and *.yml of a directory in order. Reads small local files.
absl::StatusOr<k8s::kubelet::v1beta1::CredentialProviderConfig> LoadProviders(
    const std::string& path);

}  // namespace keelson::cri
