// SPDX-License-Identifier: Apache-2.0
// How a credential plugin is called. Answers: credentials.h.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/process.h"
#include "kubelet/client/kubeconfig.h"

namespace keelson::kubelet::client {

// What to run: our environment, the plugin's own variables and KUBERNETES_EXEC_INFO. NotFound, with
// the install hint, when there is no such program.
absl::StatusOr<base::ChildOptions> PluginCommand(const ExecConfig& exec,
                                                 const ClusterConfig& cluster,
                                                 const std::string& ca_pem);
// For messages: "credential plugin /usr/bin/x".
std::string PluginName(const ExecConfig& exec);

}  // namespace keelson::kubelet::client
