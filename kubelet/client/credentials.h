// SPDX-License-Identifier: Apache-2.0
// Who we are, at the moment of a request: files are looked at again when they change, plugins asked
// again when what they said expires or is refused.
#pragma once

#include <sys/stat.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/loop.h"
#include "base/task.h"
#include "kubelet/client/kubeconfig.h"

namespace keelson::kubelet::client {

struct Credentials {
  std::string ca_pem;             // empty: the system's
  std::string cert_pem, key_pem;  // both or none
  std::string authorization;      // value of the header, empty: none
  uint64_t tls_version = 0;       // another number: another certificate, key or CA
};

// End of the first certificate of `cert_pem`, once it is sure that `key_pem` is its key.
absl::StatusOr<base::WallTime> CheckKeyPair(const std::string& cert_pem,
                                            const std::string& key_pem);

// What a credential plugin answered (client.authentication.k8s.io), checked.
struct ExecAnswer {
  std::string token, cert_pem, key_pem;
  std::optional<base::WallTime> expires;  // nullopt: as long as the server takes it
};
absl::StatusOr<ExecAnswer> ParseExecAnswer(std::string_view json, const std::string& api_version);

// Loop only. Errors name the file or the plugin; Unavailable is a plugin that failed this time.
class CredentialSource {
 public:
  // Reads all files once; plugins run with the first request. `loop` outlives it. With
  // `certificate_may_come` a client certificate that is missing, broken or expired is waited for.
  static absl::StatusOr<std::unique_ptr<CredentialSource>> Create(
      base::Loop& loop, KubeConfig config, bool certificate_may_come = false);

  // Those to use now. Files are compared by stat(2), tokens in files read again after a minute
  // (they are rotated by rename). When new files do not make a pair the old ones stay in use.
  base::Task<absl::StatusOr<std::shared_ptr<const Credentials>>> Get();
  // Looks at the files now, for requests that wait for them.
  void LookAgain();
  // The server answered 401 to `used`: a plugin's answer or token file is not used again. True when
  // there may be something better now.
  bool Refused(const Credentials& used);
  // Of the client certificate in use.
  std::optional<base::WallTime> CertificateExpiry() const { return expiry_; }

 private:
  // A file as it was when read.
  struct Watched {
    std::string path;
    struct stat seen {};
    bool Changed() const;  // also when it is gone: the reload says so
  };

  CredentialSource(base::Loop& loop, KubeConfig config, bool certificate_may_come);
  absl::Status LoadFiles();
  absl::StatusOr<std::string> ReadPem(const PemSource& source);
  // The client certificate, into `next`.
  absl::Status LoadCertificate(Credentials* next);
  void ReloadIfChanged();
  absl::Status ReadToken();
  base::Task<absl::Status> AskPlugin();
  absl::Status UsePlugin(const ExecAnswer& answer);
  // Makes `current_` of its parts.
  void Publish(Credentials next);

  base::Loop& loop_;
  const KubeConfig config_;
  std::vector<Watched> files_;
  std::shared_ptr<const Credentials> current_;
  std::optional<base::WallTime> expiry_;
  bool awaited_;  // the first client certificate
  base::Wakeup came_;
  base::MonoTime token_read_;
  bool token_refused_ = false;

  bool plugin_done_ = false;  // current_ has the plugin's answer
  std::optional<base::WallTime> plugin_expires_;
  bool plugin_running_ = false;
  base::Wakeup plugin_ended_;
};

}  // namespace keelson::kubelet::client
