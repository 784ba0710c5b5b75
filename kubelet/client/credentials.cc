// SPDX-License-Identifier: Apache-2.0
#include "kubelet/client/credentials.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/log.h"
#include "base/process.h"
#include "base/strings.h"
#include "kubelet/client/exec_plugin.h"
#include "proto/codec/text.h"

namespace keelson::kubelet::client {
namespace {

using base::StrCat;
using base::Task;

constexpr base::Nanos kTokenAge = std::chrono::minutes(1);  // client-go's cachingTokenSource

struct FreeSsl {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* cert) const { X509_free(cert); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Bio = std::unique_ptr<BIO, FreeSsl>;

Bio Memory(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

absl::StatusOr<std::string> ReadTokenFile(const std::string& path) {
  auto text = base::ReadFile(path, 1 << 20);
  if (!text.ok()) return base::Annotate(text.status(), "token file");
  const size_t from = std::min(text->find_first_not_of(" \t\r\n"), text->size());
  const size_t to = text->find_last_not_of(" \t\r\n") + 1;
  if (from >= to) return absl::InvalidArgumentError(StrCat("token file ", path, " is empty"));
  std::string token = text->substr(from, to - from);
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (std::any_of(token.begin(), token.end(), control)) {
    return absl::InvalidArgumentError(StrCat("token file ", path, " holds more than a token"));
  }
  return token;
}

}  // namespace

absl::StatusOr<base::WallTime> CheckKeyPair(const std::string& cert_pem,
                                            const std::string& key_pem) {
  const Bio cert_bio = Memory(cert_pem), key_bio = Memory(key_pem);
  const std::unique_ptr<X509, FreeSsl> cert(
      PEM_read_bio_X509(cert_bio.get(), nullptr, nullptr, nullptr));
  // No prompt for a passphrase: an encrypted key is none we can use.
  const std::unique_ptr<EVP_PKEY, FreeSsl> key(PEM_read_bio_PrivateKey(
      key_bio.get(), nullptr, [](char*, int, int, void*) { return -1; }, nullptr));
  const bool pair = cert && key && X509_check_private_key(cert.get(), key.get()) == 1;
  ERR_clear_error();
  if (!cert) return absl::InvalidArgumentError("client certificate: no PEM certificate in it");
  if (!key) return absl::InvalidArgumentError("client key: no unencrypted PEM private key in it");
  if (!pair) return absl::InvalidArgumentError("client key is not the client certificate's");
  std::tm end{};
  ASN1_TIME_to_tm(X509_get0_notAfter(cert.get()), &end);
  return base::WallTime(std::chrono::seconds(::timegm(&end)));
}

bool CredentialSource::Watched::Changed() const {
  struct stat now {};
  if (::stat(path.c_str(), &now) < 0) return seen.st_ino != 0;
  return now.st_ino != seen.st_ino || now.st_size != seen.st_size ||
         now.st_mtim.tv_sec != seen.st_mtim.tv_sec || now.st_mtim.tv_nsec != seen.st_mtim.tv_nsec;
}

CredentialSource::CredentialSource(base::Loop& loop, KubeConfig config, bool certificate_may_come)
    : loop_(loop),
      config_(std::move(config)),
      current_(std::make_shared<Credentials>()),
      awaited_(certificate_may_come && !config_.user.certificate.empty()) {}

absl::StatusOr<std::unique_ptr<CredentialSource>> CredentialSource::Create(
    base::Loop& loop, KubeConfig config, bool certificate_may_come) {
  std::unique_ptr<CredentialSource> source(
      new CredentialSource(loop, std::move(config), certificate_may_come));
  RETURN_IF_ERROR(source->LoadFiles());
  const UserConfig& user = source->config_.user;
  if (!user.token_file.empty()) {
    RETURN_IF_ERROR(source->ReadToken());
  } else if (!user.token.empty() || !user.username.empty()) {
    Credentials next = *source->current_;
    next.authorization =
        !user.token.empty()
            ? StrCat("Bearer ", user.token)
            : StrCat("Basic ", proto::EncodeBase64(StrCat(user.username, ":", user.password)));
    source->Publish(std::move(next));
  }
  return source;
}

absl::StatusOr<std::string> CredentialSource::ReadPem(const PemSource& source) {
  if (!source.data.empty() || source.file.empty()) return source.data;
  Watched watched{source.file};
  // Looked at before it is read: a write in between shows as a change.
  if (::stat(source.file.c_str(), &watched.seen) < 0) {
    return base::ErrnoStatus("open", source.file);
  }
  files_.push_back(watched);
  return base::ReadFile(source.file);
}

absl::Status CredentialSource::LoadFiles() {
  files_.clear();
  auto ca = ReadPem(config_.cluster.ca);
  RETURN_IF_ERROR(ca.status());
  Credentials next = *current_;
  next.ca_pem = *std::move(ca);
  if (absl::Status loaded = LoadCertificate(&next); !loaded.ok() && !awaited_) return loaded;
  Publish(std::move(next));
  return absl::OkStatus();
}

absl::Status CredentialSource::LoadCertificate(Credentials* next) {
  auto cert = ReadPem(config_.user.certificate);
  RETURN_IF_ERROR(cert.status());
  auto key = ReadPem(config_.user.key);
  RETURN_IF_ERROR(key.status());
  if (cert->empty()) return absl::OkStatus();
  auto expiry = CheckKeyPair(*cert, *key);
  RETURN_IF_ERROR(expiry.status());
  expiry_ = *expiry;
  next->cert_pem = *std::move(cert);
  next->key_pem = *std::move(key);
  if (*expiry > loop_.clock().Now()) awaited_ = false;
  return absl::OkStatus();
}

void CredentialSource::LookAgain() {
  if (!awaited_) return ReloadIfChanged();
  // Not by what changed: the files may be the same, and the clock is right now.
  if (absl::Status status = LoadFiles(); !status.ok()) {
    KLOG_WARNING("Cannot read the API server's credentials", {"err", status});
  }
  if (!awaited_) came_.Set();
}

void CredentialSource::ReloadIfChanged() {
  const auto changed = [](const Watched& file) { return file.Changed(); };
  if (std::none_of(files_.begin(), files_.end(), changed)) return;
  auto before = files_;
  if (absl::Status status = LoadFiles(); !status.ok()) {
    KLOG_WARNING("New client certificates are not usable, keeping those in use", {"err", status});
    // Remembers what was seen, so that only the next change is looked at.
    for (Watched& file : before) {
      if (::stat(file.path.c_str(), &file.seen) < 0) file.seen = {};
    }
    files_ = std::move(before);
    return;
  }
  KLOG_INFO("Client certificates reloaded");
}

absl::Status CredentialSource::ReadToken() {
  auto token = ReadTokenFile(config_.user.token_file);
  RETURN_IF_ERROR(token.status());
  token_read_ = loop_.clock().Monotonic();
  token_refused_ = false;
  Credentials next = *current_;
  next.authorization = "Bearer " + *token;
  Publish(std::move(next));
  return absl::OkStatus();
}

void CredentialSource::Publish(Credentials next) {
  const bool same = next.ca_pem == current_->ca_pem && next.cert_pem == current_->cert_pem &&
                    next.key_pem == current_->key_pem;
  next.tls_version = current_->tls_version + (same ? 0 : 1);
  current_ = std::make_shared<const Credentials>(std::move(next));
}

bool CredentialSource::Refused(const Credentials& used) {
  if (used.authorization != current_->authorization || used.cert_pem != current_->cert_pem) {
    return true;  // renewed since
  }
  if (config_.user.exec) {
    plugin_done_ = false;
    return true;
  }
  if (config_.user.token_file.empty()) return false;
  token_refused_ = true;
  const auto token = ReadTokenFile(config_.user.token_file);
  return token.ok() && "Bearer " + *token != used.authorization;
}

Task<absl::StatusOr<std::shared_ptr<const Credentials>>> CredentialSource::Get() {
  while (awaited_) co_await came_.Wait();
  ReloadIfChanged();
  if (!config_.user.token_file.empty() &&
      (token_refused_ || loop_.clock().Monotonic() - token_read_ >= kTokenAge)) {
    if (absl::Status status = ReadToken(); !status.ok()) {
      // The token we have may still be good: it is what a vanished file's last reader had.
      KLOG_WARNING("Token file not readable, using the token read before", {"err", status});
      token_read_ = loop_.clock().Monotonic();
    }
  }
  while (config_.user.exec &&
         (!plugin_done_ || (plugin_expires_ && loop_.clock().Now() >= *plugin_expires_))) {
    if (plugin_running_) {
      co_await plugin_ended_.Wait();
      continue;
    }
    auto status = co_await AskPlugin();
    CO_RETURN_IF_ERROR(status);
    break;  // also when it gave something expired already: the server decides
  }
  co_return current_;
}

Task<absl::Status> CredentialSource::AskPlugin() {
  struct Running {
    explicit Running(CredentialSource* source) : source(source) { source->plugin_running_ = true; }
    ~Running() {
      source->plugin_running_ = false;
      source->plugin_ended_.Set();
    }
    CredentialSource* source;
  };
  Running running(this);
  const ExecConfig& exec = *config_.user.exec;
  auto child = PluginCommand(exec, config_.cluster, current_->ca_pem);
  CO_RETURN_IF_ERROR(child.status());
  auto result = co_await base::RunChild(loop_, *std::move(child));
  if (!result.ok()) co_return base::Annotate(result.status(), PluginName(exec));
  if (result->exit_code != 0) {
    co_return absl::UnavailableError(StrCat(PluginName(exec), ": exit code ", result->exit_code,
                                            ": ", result->err.substr(0, 500)));
  }
  auto answer = ParseExecAnswer(result->out, exec.api_version);
  if (!answer.ok()) co_return base::Annotate(answer.status(), PluginName(exec));
  co_return UsePlugin(*answer);
}

absl::Status CredentialSource::UsePlugin(const ExecAnswer& answer) {
  Credentials next = *current_;
  if (!answer.cert_pem.empty()) {
    auto expiry = CheckKeyPair(answer.cert_pem, answer.key_pem);
    if (!expiry.ok()) return base::Annotate(expiry.status(), PluginName(*config_.user.exec));
    expiry_ = *expiry;
  }
  next.cert_pem = answer.cert_pem;
  next.key_pem = answer.key_pem;
  next.authorization = answer.token.empty() ? "" : "Bearer " + answer.token;
  Publish(std::move(next));
  plugin_done_ = true;
  plugin_expires_ = answer.expires;
  return absl::OkStatus();
}

}  // namespace keelson::kubelet::client
