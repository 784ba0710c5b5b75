// SPDX-License-Identifier: Apache-2.0
// Asks the cluster for a certificate and waits until somebody signed it (certificates.k8s.io/v1).
// Loop only.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/loop.h"
#include "base/task.h"
#include "kubelet/client/api_server.h"

namespace keelson::kubelet {

struct SigningWish {
  std::string name;  // empty: the server makes one up (csr-...)
  std::string signer;
  std::vector<std::string> usages;
  std::string request_pem;
  std::string key_pem;
};

// The signed certificate, PEM. A request of the wished name that is there already, for the same
// key, is waited for as if it were ours. Waits without end: the caller has the deadline. While the
// server is away once the request is made, it is asked again; errors are PermissionDenied (denied),
// Aborted (failed, gone, replaced), FailedPrecondition (the request that is there is not what we
// would make), and what making it met.
base::Task<absl::StatusOr<std::string>> RequestCertificate(base::Loop& loop,
                                                           client::ApiServer& api,
                                                           SigningWish wish);

}  // namespace keelson::kubelet
