// SPDX-License-Identifier: Apache-2.0
// Keeps one certificate of the node good: the first one, and the next in good time.
//
// The present certificate is replaced after 70-90 % of its lifetime (chosen once for each by
// chance), at once when it is missing or expired, and when it does not say any more what it should.
// Times are compared with the wall clock again each minute and at every event, so a clock that is
// stepped, or a machine that slept, changes when we ask and nothing else. A request waits 15
// minutes for its signature; then, and after every failure, another try follows (2 s doubling to 32
// s, for ever).
//
// Loop only. Files: certificate_store.h.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "base/loop.h"
#include "base/task.h"
#include "kubelet/certificates/certificate_store.h"
#include "kubelet/certificates/rotation.h"
#include "kubelet/certificates/signing_request.h"
#include "kubelet/client/api_server.h"

namespace keelson::kubelet {

struct SigningAttempt;

struct CertificateKeeperOptions {
  CertificatePurpose purpose = CertificatePurpose::kClient;
  std::string cert_dir;
  bool rotate = true;    // false: only the first one, then Run ends
  bool at_once = false;  // replace the one that is there whatever it says
  base::Nanos signing_timeout = std::chrono::minutes(15);
  uint64_t seed = 0;  // 0: by chance
};

class CertificateKeeper {
 public:
  // Whom to ask: with a valid certificate, or (false) without. Not null; outlives the keeper.
  using ApiFor = std::function<client::ApiServer*(bool have_valid)>;
  // What to ask for now; nullopt: not known yet.
  using Wanted = std::function<std::optional<CertificateTemplate>()>;

  // `on_new` is called inside Run when another certificate is in use, or the one there has become
  // valid. It may call nothing of ours but current().
  CertificateKeeper(base::Loop& loop, CertificateKeeperOptions options, Wanted wanted,
                    ApiFor api, std::function<void()> on_new);

  // Until cancelled; REQUIRES: at most one at a time, ended before destruction.
  base::Task<void> Run();
  // What is wanted may have changed.
  void Changed() { changed_.Set(); }

  const std::string& current_path() const { return store_.current_path(); }
  // The certificate in use, also an expired one; nullopt: none.
  const std::optional<Leaf>& current() const { return current_; }
  // Requests that came to nothing so far.
  int64_t failures() const { return failures_; }

 private:
  void Load();
  bool Valid() const;
  // When to ask for another; nullopt: nothing to ask for.
  std::optional<base::WallTime> Due(const std::optional<CertificateTemplate>& wanted) const;
  void NoteValidity();
  base::Task<absl::Status> Renew(CertificateTemplate wanted);
  base::Task<void> Ask(SigningWish wish, std::shared_ptr<SigningAttempt> attempt);
  // Ends the attempt at its deadline, or when something else is wanted by now.
  base::Task<void> Watch(CertificateTemplate wanted, std::shared_ptr<SigningAttempt> attempt);
  absl::StatusOr<SigningWish> WishFor(const CertificateTemplate& wanted);
  absl::Status Keep(const std::string& cert_pem, const std::string& key_pem,
                    const CertificateTemplate& wanted);
  double Chance();

  base::Loop& loop_;
  const CertificateKeeperOptions o_;
  const Wanted wanted_;
  const ApiFor api_;
  const std::function<void()> on_new_;
  CertificateStore store_;
  std::optional<Leaf> current_;
  bool was_valid_ = false;
  bool at_once_;
  double chance_ = 0;  // of current_
  int64_t failures_ = 0;
  base::Wakeup changed_;
  std::mt19937_64 random_;
};

}  // namespace keelson::kubelet
