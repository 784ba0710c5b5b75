// SPDX-License-Identifier: Apache-2.0
// The decisions about a node's certificates: what they say, what they are called, when the next one
// is due. Rules are upstream's (client-go's certificate manager, kubelet's bootstrap). Pure; any
// thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/time.h"
#include "kubelet/certificates/certificate.h"

namespace k8s::certificates::v1 {
class CertificateSigningRequest;
}

namespace keelson::kubelet {

enum class CertificatePurpose { kClient, kServing };

// kubernetes.io/kube-apiserver-client-kubelet, kubernetes.io/kubelet-serving.
std::string_view SignerName(CertificatePurpose purpose);
// digital signature, client or server auth; for RSA keys also key encipherment.
std::vector<std::string> KeyUsages(CertificatePurpose purpose, bool rsa);

// system:node:<name> of system:nodes.
CertificateTemplate ClientTemplate(const std::string& node_name);
// The same with the node's addresses, as pairs of type and value; nullopt while none is an IP.
std::optional<CertificateTemplate> ServingTemplate(
    const std::string& node_name, const std::vector<std::pair<std::string, std::string>>& addresses);

// node-csr-<digest of key, subject and usages>: who starts again finds the request it left.
absl::StatusOr<std::string> DigestedName(const std::string& key_pem,
                                         const CertificateTemplate& wanted,
                                         const std::vector<std::string>& usages);

// kubelet-client-2026-01-02-15-04-05.pem; "-current" for the link and "-updated" for its successor.
std::string PairFileName(const std::string& prefix, base::WallTime now);

// The certificate says at least what is wanted.
bool Satisfies(const CertificateTemplate& has, const CertificateTemplate& wanted);
bool Expired(const Leaf& leaf, base::WallTime now);
// 70 % of the lifetime, and up to 20 % more; `chance` in [0, 1).
base::WallTime RotationTime(const Leaf& leaf, double chance);
// Before try `tries` + 1: 2 s, doubling to 32 s, each with up to 10 % more.
base::Nanos RetryDelay(int tries, double chance);

// What became of a signing request.
struct SigningVerdict {
  std::string certificate;  // PEM, once it is issued
  absl::Status failure;     // PermissionDenied: denied; Aborted: failed, or a namesake by now
};
// Neither set: wait on. `uid` is that of the request we made.
SigningVerdict Judge(const k8s::certificates::v1::CertificateSigningRequest& request,
                     const std::string& uid);

}  // namespace keelson::kubelet
