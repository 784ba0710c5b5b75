// SPDX-License-Identifier: Apache-2.0
// The steps of LoadOptions; callers outside this folder use options.h.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "kubelet/options/options.h"
#include "proto/codec/value.h"

namespace keelson::kubelet {

using Configuration = k8s::kubelet::v1beta1::KubeletConfiguration;

// The defaults that do not depend on other fields.
const Configuration& FixedDefaults();

// Fills what is unset as v1beta1 does: without a pointer zero counts as unset. `tree` is what
// `config` was read from and tells an empty list from none.
void ApplyDefaults(const proto::Value& tree, Configuration* config);
// What differs when there is no file: anonymous access, no webhooks, the read-only port, no eviction.
void ApplyLegacyDefaults(Configuration* config);

// File and drop-ins as one document. `config_dir` may be empty. Blocking reads of small files.
absl::StatusOr<proto::Value> ReadConfigFiles(const std::string& config, const std::string& config_dir,
                                             std::vector<std::string>* warnings);

bool IsFeatureGate(std::string_view name);
// Number of CPUs in a list such as 0-3,5; -1 when malformed.
int CountCpus(std::string_view list);

// Every problem there is, one line each; empty when all is well.
std::vector<std::string> Validate(const KubeletOptions& options);

std::string HelpText();
std::string VersionText(std::string_view form);

}  // namespace keelson::kubelet
