// SPDX-License-Identifier: Apache-2.0
// TLS for the servers: contexts made from PEM files, and streams that speak it straight on the socket.
// Loop only, but for MakeTlsContext and MakeSelfSigned, which any thread may call.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/loop.h"
#include "kubelet/server/stream.h"

struct ssl_ctx_st;  // OpenSSL's SSL_CTX

namespace keelson::kubelet {

using TlsContextPtr = std::shared_ptr<ssl_ctx_st>;

struct TlsOptions {
  std::vector<std::string> cipher_suites{};  // IANA names, TLS 1.2 and older; empty: OpenSSL's choice
  std::vector<int> curves{};                 // IANA numbers in order of preference; empty: OpenSSL's
  std::string min_version{};                 // VersionTLS10..13; empty: 1.2
  bool ask_for_client_certificate = false;
};

// A certificate chain, leaf first, and its key.
struct CertificatePair {
  std::string certificate_pem;
  std::string key_pem;
};

// InvalidArgument says which option or which PEM cannot be used.
absl::StatusOr<TlsContextPtr> MakeTlsContext(const TlsOptions& options,
                                             const CertificatePair& pair);

// A leaf for `host`, signed by an authority made for it alone, for a year, as upstream makes it:
// common name `<host>@<unix time>`, RSA 2048. Takes some 100 ms.
absl::StatusOr<CertificatePair> MakeSelfSigned(const std::string& host, base::WallTime now);

// Says which context a new connection gets; null: handshakes fail until there is one.
using TlsContextSource = std::function<TlsContextPtr()>;

// Streams for ListenTcp. A client certificate is asked for, never required, and not verified here.
StreamFactory TlsStreams(base::Loop& loop, TlsContextSource source);

}  // namespace keelson::kubelet
