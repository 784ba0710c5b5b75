// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/serving_certificate.h"

#include <sys/inotify.h>

#include <set>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/log.h"

namespace keelson::kubelet {

using base::Task;

FilesWatch::FilesWatch(base::Loop& loop, std::vector<std::string> paths,
                       std::function<void()> on_change)
    : paths_(std::move(paths)), on_change_(std::move(on_change)), loop_(loop), tasks_(loop) {}

absl::Status FilesWatch::Start() {
  auto inotify = base::Inotify::Create(loop_);
  if (!inotify.ok()) return inotify.status();
  std::set<std::string> dirs;
  for (const std::string& path : paths_) {
    const size_t slash = path.rfind('/');
    dirs.insert(slash == path.npos ? "." : slash == 0 ? "/" : path.substr(0, slash));
  }
  for (const std::string& dir : dirs) {
    auto added = (*inotify)->Add(dir, IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB);
    if (!added.ok()) return added.status();
  }
  inotify_ = std::move(*inotify);
  tasks_.Spawn("watch files", Watch());
  return absl::OkStatus();
}

Task<void> FilesWatch::Watch() {
  for (;;) {
    auto events = co_await inotify_->Next();
    if (!events.ok()) {
      KLOG_ERROR("Changes of files are not noticed any more", {"err", events.status()});
      co_return;
    }
    on_change_();
  }
}

namespace {

ServingCertificateOptions WithPaths(ServingCertificateOptions options) {
  if (options.cert_file.empty() && options.key_file.empty()) {
    options.cert_file = base::JoinPath(options.cert_dir, "kubelet.crt");
    options.key_file = base::JoinPath(options.cert_dir, "kubelet.key");
  }
  return options;
}

}  // namespace

ServingCertificate::ServingCertificate(base::Loop& loop, ServingCertificateOptions options)
    : loop_(loop),
      options_(WithPaths(options)),
      self_signed_(options.cert_file.empty() && options.key_file.empty()),
      watch_(loop, {options_.cert_file, options_.key_file}, [this] {
        absl::Status loaded = Load();
        const bool awaited = !context_ && absl::IsNotFound(loaded);
        if (!loaded.ok() && !awaited)
          KLOG_WARNING("The serving certificate on disk cannot be used; the old one stays",
                       {"err", loaded});
      }) {}

Task<absl::Status> ServingCertificate::Start() {
  if (self_signed_) {
    absl::Status made = co_await MakePair();
    CO_RETURN_IF_ERROR(made);
  }
  if (options_.may_come_later) CO_RETURN_IF_ERROR(base::MakeDirs(options_.cert_dir, 0755));
  CO_RETURN_IF_ERROR(watch_.Start());
  absl::Status loaded = Load();
  if (options_.may_come_later && absl::IsNotFound(loaded)) co_return absl::OkStatus();
  co_return loaded;
}

Task<absl::Status> ServingCertificate::MakePair() {
  const bool cert = base::PathExists(options_.cert_file), key = base::PathExists(options_.key_file);
  if (cert && key) co_return absl::OkStatus();
  if (cert != key)
    co_return absl::FailedPreconditionError(
        base::StrCat("of the serving certificate only ", cert ? options_.cert_file : options_.key_file,
                     " is there; remove it, or add the other half"));
  CO_RETURN_IF_ERROR(base::MakeDirs(options_.cert_dir, 0755));
  auto make = [host = options_.host, now = loop_.clock().Now()] {
    return MakeSelfSigned(host, now);
  };
  absl::StatusOr<CertificatePair> pair = co_await base::RunBlocking(loop_, std::move(make));
  CO_RETURN_IF_ERROR(pair.status());
  CO_RETURN_IF_ERROR(base::WriteFileAtomic(options_.key_file, pair->key_pem, 0600));
  CO_RETURN_IF_ERROR(base::WriteFileAtomic(options_.cert_file, pair->certificate_pem, 0644));
  KLOG_INFO("Using self-signed cert", {"path", options_.cert_file});
  co_return absl::OkStatus();
}

absl::Status ServingCertificate::Load() {
  auto certificate = base::ReadFile(options_.cert_file);
  if (!certificate.ok()) return certificate.status();
  auto key = base::ReadFile(options_.key_file);
  if (!key.ok()) return key.status();
  CertificatePair pair{std::move(*certificate), std::move(*key)};
  if (context_ && pair.certificate_pem == loaded_.certificate_pem && pair.key_pem == loaded_.key_pem)
    return absl::OkStatus();
  auto context = MakeTlsContext(options_.tls, pair);
  if (!context.ok())
    return base::Annotate(context.status(),
                          base::StrCat("use ", options_.cert_file, " and ", options_.key_file));
  if (context_) KLOG_INFO("Serving certificate reloaded", {"path", options_.cert_file});
  context_ = std::move(*context);
  loaded_ = std::move(pair);
  return absl::OkStatus();
}

}  // namespace keelson::kubelet
