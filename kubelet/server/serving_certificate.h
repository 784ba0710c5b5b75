// SPDX-License-Identifier: Apache-2.0
// The certificate the HTTPS server shows: the operator's files, or a self-signed pair in certDirectory
// (kubelet.crt, kubelet.key) made when it is not there. Files that change are read again; what cannot
// be used leaves the old one in place. Loop only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/inotify.h"
#include "base/loop.h"
#include "kubelet/server/tls.h"

namespace keelson::kubelet {

// Calls `on_change` when something happens in the directories of `paths`, which may also be links
// that are replaced. Loop only; before the destructor: co_await Close().
class FilesWatch {
 public:
  FilesWatch(base::Loop& loop, std::vector<std::string> paths, std::function<void()> on_change);
  // NotFound: a directory is missing.
  absl::Status Start();
  base::Task<void> Close() { co_await tasks_.CancelAndJoin(); }

 private:
  base::Task<void> Watch();

  const std::vector<std::string> paths_;
  const std::function<void()> on_change_;
  base::Loop& loop_;
  std::unique_ptr<base::Inotify> inotify_;
  base::TaskGroup tasks_;
};

struct ServingCertificateOptions {
  std::string cert_file, key_file;  // both empty: the self-signed pair in cert_dir
  std::string cert_dir;
  std::string host;  // of the self-signed certificate
  TlsOptions tls;
  // The pair may be missing at first (serverTLSBootstrap): without a context until it is there.
  bool may_come_later = false;
};

class ServingCertificate {
 public:
  ServingCertificate(base::Loop& loop, ServingCertificateOptions options);
  // Afterwards there is a context (but for may_come_later) and changes are noticed. An error says which file is wrong.
  base::Task<absl::Status> Start();
  base::Task<void> Close() { co_await watch_.Close(); }

  TlsContextPtr context() const { return context_; }
  const std::string& cert_file() const { return options_.cert_file; }

 private:
  base::Task<absl::Status> MakePair();
  absl::Status Load();

  base::Loop& loop_;
  ServingCertificateOptions options_;
  const bool self_signed_;
  TlsContextPtr context_;
  CertificatePair loaded_;
  FilesWatch watch_;
};

}  // namespace keelson::kubelet
