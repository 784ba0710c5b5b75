// SPDX-License-Identifier: Apache-2.0
// Connections to one server, and how each request on them is dressed: URL, TLS, proxy, credentials.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "kubelet/client/credentials.h"
#include "kubelet/client/curl_engine.h"
#include "kubelet/client/http_api_server.h"
#include "kubelet/client/proxy.h"

namespace keelson::kubelet::client {

// What goes over the wire.
struct HttpCall {
  std::string method;
  std::string path;  // with its query, escaped
  std::string accept;
  std::string content_type;  // empty: no body
  std::string body;
  bool compressed = false;  // the answer may be
  bool streaming = false;
  base::Nanos timeout{0};  // 0: none
  size_t max_body = 1 << 20;
};

class CurlTransport : public Transport {
 public:
  static absl::StatusOr<std::shared_ptr<CurlTransport>> Open(base::Loop& loop, KubeConfig config,
                                                             TransportOptions options);

  CredentialSource& credentials() { return *credentials_; }
  CurlEngine& engine() { return *engine_; }
  // Sends the call as `who`. New TLS credentials first end the connections of the old.
  absl::StatusOr<std::unique_ptr<Exchange>> Start(HttpCall call, const Credentials& who);

  // Tells who asked to hear of answers.
  void Answered(const std::string& method, int code, base::Nanos took) const;

  void CloseConnections() override { engine_->GiveUp(base::MonoTime::max()); }
  void CredentialsChanged() override { credentials_->LookAgain(); }
  std::optional<base::WallTime> CertificateExpiry() const override {
    return credentials_->CertificateExpiry();
  }

 private:
  CurlTransport(KubeConfig config, TransportOptions options);
  void Dress(Exchange* exchange, const std::string& path, const Credentials& who) const;
  void DressTls(CURL* easy, const Credentials& who) const;

  const KubeConfig config_;
  const TransportOptions options_;
  const ServerAddress server_;
  const std::string proxy_;
  std::unique_ptr<CredentialSource> credentials_;
  std::shared_ptr<const Credentials> last_;  // those of the latest request
  std::unique_ptr<CurlEngine> engine_;
};

}  // namespace keelson::kubelet::client
