// SPDX-License-Identifier: Apache-2.0
// Pairs of certificate and key in files, in upstream's layout: <dir>/<prefix>-<time>.pem with both
// (0600), and the link <dir>/<prefix>-current.pem to the one in use, which is replaced by rename.
// Blocks on small local files. Loop only.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "kubelet/certificates/certificate.h"

namespace keelson::kubelet {

class CertificateStore {
 public:
  // `prefix`: kubelet-client, kubelet-server. Nothing is touched before the first call.
  CertificateStore(std::string dir, std::string prefix);

  const std::string& current_path() const { return current_path_; }
  // The pair in use, also when it has expired. NotFound: none yet. A rotation that was interrupted
  // before the link was in place is ended first.
  absl::StatusOr<Leaf> Current() const;
  // Afterwards the pair is the one in use, even across a power cut; after failure the old one is.
  // InvalidArgument: no pair. FailedPrecondition: a file is where our link would be.
  absl::StatusOr<Leaf> Update(const std::string& cert_pem, const std::string& key_pem,
                              base::WallTime now);

  // The key of a request that waits for approval, kept so that the next start asks for the same
  // (kubelet-client.key.tmp); made when there is none.
  absl::StatusOr<std::string> PendingKey() const;
  void DropPendingKey() const;

 private:
  absl::Status Link(const std::string& target) const;

  const std::string dir_, prefix_;
  const std::string current_path_, updated_path_, pending_path_;
};

}  // namespace keelson::kubelet
