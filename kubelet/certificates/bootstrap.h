// SPDX-License-Identifier: Apache-2.0
// Who the node is to the API server when it starts: what --kubeconfig says, or somebody who may ask
// for the node's first certificate (--bootstrap-kubeconfig). Reads and writes small local files;
// loop only.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "kubelet/client/kubeconfig.h"

namespace keelson::kubelet {

struct NodeIdentityOptions {
  std::string kubeconfig, bootstrap_kubeconfig;  // the latter may be empty
  std::string cert_dir;
  bool rotate = false;  // rotateCertificates
};

struct NodeIdentity {
  // What the node's client uses. With `bootstrap` set, the files of its certificate may not exist
  // yet, or hold one that has expired.
  client::KubeConfig config;
  // Asks for the node's certificate while there is no valid one. Also set when none is needed now:
  // a node that was off for long finds its certificate expired while it runs.
  std::optional<client::KubeConfig> bootstrap;
  bool needs_certificate = false;  // nothing can be asked of the server before there is one
  bool keeper = false;             // a CertificateKeeper is to run (rotation, or the first one)
  bool replace_at_once = false;    // CertificateKeeperOptions::at_once
};

// Upstream's rules: a kubeconfig whose client certificates are all valid is used as it is.
// Otherwise --bootstrap-kubeconfig must be readable, and a kubeconfig is written that points to the
// certificate directory. With rotation, a certificate that the kubeconfig brings along is copied
// there, used from there, and replaced at once (kubeadm's on control planes is broader than a
// node's own). Errors name the file.
absl::StatusOr<NodeIdentity> FindNodeIdentity(const NodeIdentityOptions& options,
                                              base::WallTime now);

// Whether `config` has a client certificate of which no part has expired.
bool HasValidCertificate(const client::KubeConfig& config, base::WallTime now);

}  // namespace keelson::kubelet
