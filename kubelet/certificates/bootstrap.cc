// SPDX-License-Identifier: Apache-2.0
#include "kubelet/certificates/bootstrap.h"

#include <algorithm>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "kubelet/certificates/certificate_store.h"
#include "kubelet/certificates/rotation.h"

namespace keelson::kubelet {
namespace {

absl::StatusOr<std::string> Read(const client::PemSource& source) {
  if (!source.data.empty() || source.file.empty()) return source.data;
  return base::ReadFile(source.file);
}

absl::Status CheckCertificate(const client::KubeConfig& config, base::WallTime now) {
  if (config.user.certificate.empty())
    return absl::NotFoundError("it has no client certificate");
  auto cert = Read(config.user.certificate);
  RETURN_IF_ERROR(cert.status());
  auto key = Read(config.user.key);
  RETURN_IF_ERROR(key.status());
  RETURN_IF_ERROR(ParsePair(*cert, *key).status());
  auto chain = ParseCertificates(*cert);
  RETURN_IF_ERROR(chain.status());
  for (const Leaf& part : *chain)
    if (Expired(part, now))
      return absl::FailedPreconditionError(base::StrCat(
          "part of the client certificate expired at ", base::FormatRfc3339(part.not_after)));
  return absl::OkStatus();
}

void UsePath(const std::string& pem_path, client::KubeConfig* config) {
  config->user.certificate = {"", pem_path};
  config->user.key = {"", pem_path};
}

std::string DirOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

// From now on the store's files are what we are.
absl::Status AdoptCertificate(CertificateStore& store, base::WallTime now, NodeIdentity* identity) {
  client::UserConfig& user = identity->config.user;
  if (user.certificate.data.empty() && user.certificate.file == store.current_path() &&
      user.key.file == store.current_path())
    return absl::OkStatus();
  auto stored = store.Current();
  if (!stored.ok() || Expired(*stored, now)) {
    auto cert = Read(user.certificate);
    RETURN_IF_ERROR(cert.status());
    auto key = Read(user.key);
    RETURN_IF_ERROR(key.status());
    RETURN_IF_ERROR(store.Update(*cert, *key, now).status());
    identity->replace_at_once = true;
  }
  UsePath(store.current_path(), &identity->config);
  return absl::OkStatus();
}

absl::StatusOr<NodeIdentity> Bootstrap(const NodeIdentityOptions& options,
                                       const CertificateStore& store,
                                       const client::KubeConfig& bootstrap, base::WallTime now) {
  auto text = client::WriteKubeConfig(bootstrap.cluster, store.current_path());
  RETURN_IF_ERROR(text.status());
  RETURN_IF_ERROR(base::MakeDirs(DirOf(options.kubeconfig), 0755));
  RETURN_IF_ERROR(base::Annotate(base::WriteFileAtomic(options.kubeconfig, *text, 0600),
                                 "write the node's kubeconfig"));
  NodeIdentity identity;
  identity.config.cluster = bootstrap.cluster;
  identity.config.ns = "default";
  UsePath(store.current_path(), &identity.config);
  identity.bootstrap = bootstrap;
  auto stored = store.Current();
  identity.needs_certificate = !stored.ok() || Expired(*stored, now);
  identity.keeper = true;
  return identity;
}

}  // namespace

bool HasValidCertificate(const client::KubeConfig& config, base::WallTime now) {
  return CheckCertificate(config, now).ok();
}

absl::StatusOr<NodeIdentity> FindNodeIdentity(const NodeIdentityOptions& options,
                                              base::WallTime now) {
  CertificateStore store(options.cert_dir, "kubelet-client");
  auto own = client::LoadKubeConfig(options.kubeconfig);
  const bool may_bootstrap = !options.bootstrap_kubeconfig.empty();
  if (!may_bootstrap) RETURN_IF_ERROR(own.status());
  absl::Status usable = own.ok() ? CheckCertificate(*own, now) : own.status();
  std::optional<client::KubeConfig> bootstrap;
  if (may_bootstrap) {
    auto loaded = client::LoadKubeConfig(options.bootstrap_kubeconfig);
    if (loaded.ok()) bootstrap = *std::move(loaded);
    // kubeadm removes the file once the node has joined.
    if (!loaded.ok() && !usable.ok())
      return base::Annotate(loaded.status(), base::StrCat("kubeconfig ", options.kubeconfig,
                                                          " cannot be used (",
                                                          base::Message(usable),
                                                          "), and for a new one"));
  }
  if (may_bootstrap && !usable.ok()) {
    KLOG_INFO("Using the bootstrap kubeconfig to get the node's certificate",
              {"kubeconfig", options.kubeconfig}, {"because", base::Message(usable)});
    return Bootstrap(options, store, *bootstrap, now);
  }
  NodeIdentity identity;
  identity.config = *std::move(own);
  identity.bootstrap = std::move(bootstrap);
  if (!options.rotate) return identity;
  if (identity.config.user.certificate.empty()) {
    KLOG_WARNING("rotateCertificates: the kubeconfig has no client certificate to rotate",
                 {"kubeconfig", options.kubeconfig});
    return identity;
  }
  identity.keeper = true;
  RETURN_IF_ERROR(base::Annotate(AdoptCertificate(store, now, &identity), options.kubeconfig));
  return identity;
}

}  // namespace keelson::kubelet
