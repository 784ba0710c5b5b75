// SPDX-License-Identifier: Apache-2.0
// Everything a node does about its certificates, put together: who it is at start, its first
// certificate, rotation, and the serving certificate. Loop only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/loop.h"
#include "base/task.h"
#include "kubelet/certificates/bootstrap.h"
#include "kubelet/certificates/certificate_keeper.h"
#include "kubelet/client/http_api_server.h"

namespace keelson::kubelet {

struct NodeCertificatesOptions {
  NodeIdentityOptions identity;
  std::string node_name;
  bool serving = false;  // serverTLSBootstrap
  std::string user_agent;
  client::OnAnswer on_answer = nullptr;  // of the node's own connections
};

class NodeCertificates {
 public:
  // Pairs of type (InternalIP, Hostname ...) and value.
  using Addresses = std::function<std::vector<std::pair<std::string, std::string>>()>;

  // Reads, and for a bootstrap writes, the kubeconfig; asks nothing of the server. Errors say which
  // file is wrong, and how. `loop` outlives it.
  static absl::StatusOr<std::unique_ptr<NodeCertificates>> Make(base::Loop& loop,
                                                                NodeCertificatesOptions options);
  ~NodeCertificates();

  // The node's own connections. While it has no certificate yet, requests wait for it.
  const std::shared_ptr<client::Transport>& transport() const { return transport_; }
  // What the kubeconfig says that is ignored, for the log.
  const std::vector<std::string>& warnings() const { return warnings_; }
  // Where the serving certificate comes to be: both halves of ServingCertificateOptions' pair, with
  // may_come_later. Only with `serving`.
  static std::string ServingPath(const std::string& cert_dir);

  // Begins to ask for what is due. `addresses` are the node's own, as its status says them.
  void Start(Addresses addresses);
  void AddressesChanged();
  // REQUIRES: awaited before destruction, once started.
  base::Task<void> Close() { co_await tasks_.CancelAndJoin(); }

  // For metrics: certificate_manager_{client,server}_ttl_seconds; nullopt: not ours to keep, or
  // none yet. And server_expiration_renew_errors.
  std::optional<base::WallTime> ClientExpiry() const;
  std::optional<base::WallTime> ServingExpiry() const;
  int64_t client_failures() const { return client_ ? client_->failures() : 0; }
  int64_t serving_failures() const { return serving_ ? serving_->failures() : 0; }

 private:
  NodeCertificates(base::Loop& loop, NodeCertificatesOptions options, const NodeIdentity& identity,
                   std::shared_ptr<client::Transport> transport,
                   std::shared_ptr<client::Transport> bootstrap);

  base::Loop& loop_;
  const NodeCertificatesOptions options_;
  const std::shared_ptr<client::Transport> transport_;
  const std::vector<std::string> warnings_;
  // Both ask for certificates only.
  std::unique_ptr<client::ApiServer> api_, bootstrap_api_;
  Addresses addresses_;
  std::unique_ptr<CertificateKeeper> client_, serving_;
  base::TaskGroup tasks_;
};

}  // namespace keelson::kubelet
