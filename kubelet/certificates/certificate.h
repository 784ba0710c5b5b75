// SPDX-License-Identifier: Apache-2.0
// Keys, requests for certificates and what certificates say: X.509 as far as a node needs it. Pure
// but for fresh randomness; any thread. InvalidArgument says what cannot be read.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/time.h"

namespace keelson::kubelet {

// What a certificate is to say of us.
struct CertificateTemplate {
  std::string common_name;
  std::vector<std::string> organizations;
  std::vector<std::string> dns, ips;  // subject alternative names; sorted, ips as inet_ntop(3)
  auto operator<=>(const CertificateTemplate&) const = default;
};

// The first certificate of a chain.
struct Leaf {
  CertificateTemplate subject;
  base::WallTime not_before, not_after;
};

// A new ECDSA P-256 key as PEM (SEC 1, "EC PRIVATE KEY").
absl::StatusOr<std::string> MakePrivateKey();
// OK when `key_pem` holds an unencrypted private key.
absl::Status CheckPrivateKey(const std::string& key_pem);
bool IsRsaKey(const std::string& key_pem);
// A PKCS #10 request as PEM, signed with the key (RFC 2986).
absl::StatusOr<std::string> MakeCertificateRequest(const CertificateTemplate& wanted,
                                                   const std::string& key_pem);
// Whether the request (PEM) is signed with this key.
bool RequestHasKey(const std::string& request_pem, const std::string& key_pem);
// The key's public half as SubjectPublicKeyInfo, DER.
absl::StatusOr<std::string> PublicKeyDer(const std::string& key_pem);

// Every certificate in `pem`, leaf first. InvalidArgument: none.
absl::StatusOr<std::vector<Leaf>> ParseCertificates(const std::string& pem);
// The leaf of a pair; also sure that the key is its key.
absl::StatusOr<Leaf> ParsePair(const std::string& cert_pem, const std::string& key_pem);
// Certificates, then the key, as upstream keeps both in one file: nothing but their PEM blocks.
absl::StatusOr<std::string> JoinPair(const std::string& cert_pem, const std::string& key_pem);

// SHA-512/256 (FIPS 180-4), 32 bytes.
std::string Sha512_256(std::string_view data);

}  // namespace keelson::kubelet
