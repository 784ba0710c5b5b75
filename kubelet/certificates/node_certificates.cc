// SPDX-License-Identifier: Apache-2.0
#include "kubelet/certificates/node_certificates.h"

#include "base/errno_status.h"
#include "base/log.h"

namespace keelson::kubelet {
namespace {

absl::StatusOr<std::shared_ptr<client::Transport>> Connect(base::Loop& loop,
                                                           const client::KubeConfig& config,
                                                           const std::string& user_agent,
                                                           bool certificate_may_come,
                                                           client::OnAnswer on_answer = nullptr) {
  client::TransportOptions options;
  options.user_agent = user_agent;
  options.certificate_may_come = certificate_may_come;
  options.on_answer = std::move(on_answer);
  return client::Transport::Create(loop, config, std::move(options));
}

std::unique_ptr<client::ApiServer> Client(base::Loop& loop,
                                          std::shared_ptr<client::Transport> transport) {
  return client::NewHttpApiServer(loop, std::move(transport), client::ClientOptions());
}

}  // namespace

absl::StatusOr<std::unique_ptr<NodeCertificates>> NodeCertificates::Make(
    base::Loop& loop, NodeCertificatesOptions options) {
  auto identity = FindNodeIdentity(options.identity, loop.clock().Now());
  RETURN_IF_ERROR(identity.status());
  auto transport = Connect(loop, identity->config, options.user_agent,
                           identity->needs_certificate, options.on_answer);
  RETURN_IF_ERROR(transport.status());
  std::shared_ptr<client::Transport> bootstrap;
  if (identity->keeper && identity->bootstrap) {
    auto made = Connect(loop, *identity->bootstrap, options.user_agent, false);
    if (made.ok()) {
      bootstrap = *std::move(made);
    } else if (identity->needs_certificate) {
      return base::Annotate(made.status(), "bootstrap kubeconfig");
    }
  }
  return std::unique_ptr<NodeCertificates>(new NodeCertificates(
      loop, std::move(options), *identity, *std::move(transport), std::move(bootstrap)));
}

NodeCertificates::NodeCertificates(base::Loop& loop, NodeCertificatesOptions options,
                                   const NodeIdentity& identity,
                                   std::shared_ptr<client::Transport> transport,
                                   std::shared_ptr<client::Transport> bootstrap)
    : loop_(loop),
      options_(std::move(options)),
      transport_(std::move(transport)),
      warnings_(identity.config.warnings),
      api_(Client(loop, transport_)),
      bootstrap_api_(bootstrap ? Client(loop, std::move(bootstrap)) : nullptr),
      tasks_(loop) {
  if (!identity.keeper) return;
  CertificateKeeperOptions keeper;
  keeper.cert_dir = options_.identity.cert_dir;
  keeper.rotate = options_.identity.rotate;
  keeper.at_once = identity.replace_at_once;
  client_ = std::make_unique<CertificateKeeper>(
      loop_, std::move(keeper),
      [this] { return std::optional(ClientTemplate(options_.node_name)); },
      [this](bool valid) { return valid || !bootstrap_api_ ? api_.get() : bootstrap_api_.get(); },
      [this] { transport_->CredentialsChanged(); });
}

NodeCertificates::~NodeCertificates() = default;

std::string NodeCertificates::ServingPath(const std::string& cert_dir) {
  return CertificateStore(cert_dir, "kubelet-server").current_path();
}

void NodeCertificates::Start(Addresses addresses) {
  addresses_ = std::move(addresses);
  if (client_) tasks_.Spawn("client certificate", client_->Run());
  if (!options_.serving) return;
  CertificateKeeperOptions keeper;
  keeper.purpose = CertificatePurpose::kServing;
  keeper.cert_dir = options_.identity.cert_dir;
  // ServingCertificate watches the file.
  serving_ = std::make_unique<CertificateKeeper>(
      loop_, std::move(keeper),
      [this] { return ServingTemplate(options_.node_name, addresses_()); },
      [this](bool) { return api_.get(); }, [] {});
  tasks_.Spawn("serving certificate", serving_->Run());
}

void NodeCertificates::AddressesChanged() {
  if (serving_) serving_->Changed();
}

std::optional<base::WallTime> NodeCertificates::ClientExpiry() const {
  if (client_ && client_->current()) return client_->current()->not_after;
  return transport_->CertificateExpiry();
}

std::optional<base::WallTime> NodeCertificates::ServingExpiry() const {
  if (!serving_ || !serving_->current()) return std::nullopt;
  return serving_->current()->not_after;
}

}  // namespace keelson::kubelet
