// SPDX-License-Identifier: Apache-2.0
#include "kubelet/certificates/certificate_keeper.h"

#include <algorithm>

#include "base/errno_status.h"
#include "base/log.h"
#include "base/strings.h"

namespace keelson::kubelet {

using base::StrCat;
using base::Task;

namespace {

constexpr base::Nanos kLookAgain = std::chrono::minutes(1);

std::string Prefix(CertificatePurpose purpose) {
  return purpose == CertificatePurpose::kClient ? "kubelet-client" : "kubelet-server";
}

}  // namespace

// One request that is under way, and who looks after it.
struct SigningAttempt {
  explicit SigningAttempt(base::Loop& loop) : tasks(loop) {}
  absl::StatusOr<std::string> answer = absl::DeadlineExceededError("not asked");
  base::TaskGroup tasks;
};

CertificateKeeper::CertificateKeeper(base::Loop& loop, CertificateKeeperOptions options,
                                     Wanted wanted, ApiFor api, std::function<void()> on_new)
    : loop_(loop),
      o_(std::move(options)),
      wanted_(std::move(wanted)),
      api_(std::move(api)),
      on_new_(std::move(on_new)),
      store_(o_.cert_dir, Prefix(o_.purpose)),
      at_once_(o_.at_once),
      random_(o_.seed != 0 ? o_.seed : std::random_device()()) {
  Load();
  was_valid_ = Valid();
}

double CertificateKeeper::Chance() {
  return std::uniform_real_distribution<double>(0, 1)(random_);
}

void CertificateKeeper::Load() {
  auto found = store_.Current();
  if (found.ok()) {
    current_ = *std::move(found);
    chance_ = Chance();
  } else if (!absl::IsNotFound(found.status())) {
    KLOG_WARNING("The certificate in use cannot be read; asking for another",
                 {"err", found.status()});
  }
}

bool CertificateKeeper::Valid() const {
  return current_ && !Expired(*current_, loop_.clock().Now());
}

std::optional<base::WallTime> CertificateKeeper::Due(
    const std::optional<CertificateTemplate>& wanted) const {
  const base::WallTime now = loop_.clock().Now();
  if (!wanted) return std::nullopt;
  if (at_once_ || !Valid() || !Satisfies(current_->subject, *wanted)) return now;
  if (!o_.rotate) return std::nullopt;
  return RotationTime(*current_, chance_);
}

// A certificate also comes into its own when the clock is set right.
void CertificateKeeper::NoteValidity() {
  const bool valid = Valid();
  if (valid && !was_valid_) on_new_();
  was_valid_ = valid;
}

Task<void> CertificateKeeper::Run() {
  int tries = 0;
  for (;;) {
    NoteValidity();
    const auto wanted = wanted_();
    const auto due = Due(wanted);
    const base::WallTime now = loop_.clock().Now();
    if (wanted && !due && !o_.rotate) co_return;
    if (due && *due <= now) {
      absl::Status renewed = co_await Renew(*wanted);
      const auto next = Due(wanted_());
      if (renewed.ok() && !(next && *next <= loop_.clock().Now())) continue;
      // Signed by a clock far behind ours, it is due as it comes: no reason to ask without a pause.
      if (renewed.ok()) renewed = absl::FailedPreconditionError("the new one is due already");
      ++failures_;
      const base::Nanos pause = RetryDelay(tries++, Chance());
      KLOG_ERROR("No new certificate; trying again", {"signer", SignerName(o_.purpose)},
                 {"in", base::GoDuration(pause)}, {"err", renewed});
      co_await base::Sleep(loop_.clock(), pause);
      continue;
    }
    tries = 0;
    if (!due) {
      co_await changed_.Wait();
      continue;
    }
    const base::Nanos pause = std::min<base::Nanos>(*due - now, kLookAgain);
    co_await changed_.WaitUntil(loop_.clock(), loop_.clock().Monotonic() + pause);
  }
}

absl::StatusOr<SigningWish> CertificateKeeper::WishFor(const CertificateTemplate& wanted) {
  // A node's first request has a name that follows from its key, and the key is kept: who starts
  // again before it was approved finds the request, instead of leaving another for the approver.
  const bool first = o_.purpose == CertificatePurpose::kClient && !Valid();
  SigningWish wish;
  auto key = first ? store_.PendingKey() : MakePrivateKey();
  RETURN_IF_ERROR(key.status());
  wish.key_pem = *std::move(key);
  wish.signer = SignerName(o_.purpose);
  wish.usages = KeyUsages(o_.purpose, IsRsaKey(wish.key_pem));
  auto request = MakeCertificateRequest(wanted, wish.key_pem);
  RETURN_IF_ERROR(request.status());
  wish.request_pem = *std::move(request);
  if (!first) return wish;
  auto name = DigestedName(wish.key_pem, wanted, wish.usages);
  RETURN_IF_ERROR(name.status());
  wish.name = *std::move(name);
  return wish;
}

Task<void> CertificateKeeper::Ask(SigningWish wish, std::shared_ptr<SigningAttempt> attempt) {
  // A task that cancels its own group must have been suspended once.
  co_await base::Yield();
  client::ApiServer& api = *api_(Valid());
  attempt->answer = co_await RequestCertificate(loop_, api, std::move(wish));
  attempt->tasks.Cancel();
}

Task<void> CertificateKeeper::Watch(CertificateTemplate wanted,
                                    std::shared_ptr<SigningAttempt> attempt) {
  const base::MonoTime deadline = loop_.clock().Monotonic() + o_.signing_timeout;
  for (;;) {
    const bool woken = co_await changed_.WaitUntil(loop_.clock(), deadline);
    if (woken && wanted_() == wanted) continue;
    attempt->answer =
        woken ? absl::AbortedError("the node's addresses changed")
              : absl::DeadlineExceededError(
                    StrCat("nobody signed the certificate within ",
                           base::GoDuration(o_.signing_timeout),
                           "; see kubectl get csr, and kubectl certificate approve"));
    break;
  }
  attempt->tasks.Cancel();
}

Task<absl::Status> CertificateKeeper::Renew(CertificateTemplate wanted) {
  auto wish = WishFor(wanted);
  CO_RETURN_IF_ERROR(wish.status());
  const std::string key = wish->key_pem;
  const bool named = !wish->name.empty();
  auto attempt = std::make_shared<SigningAttempt>(loop_);
  // The first to end cancels the other, which has to have begun by then.
  attempt->tasks.Spawn("signing deadline", Watch(wanted, attempt));
  attempt->tasks.Spawn("ask for a certificate", Ask(*std::move(wish), attempt));
  co_await base::internal::JoinOrCancel(attempt->tasks);
  if (!attempt->answer.ok()) {
    // What is there under our key's name can never be used: begin anew.
    if (named && absl::IsFailedPrecondition(attempt->answer.status()) &&
        !client::ApiErrorOf(attempt->answer.status()))
      store_.DropPendingKey();
    co_return attempt->answer.status();
  }
  absl::Status kept = Keep(*attempt->answer, key, wanted);
  if (named) store_.DropPendingKey();
  co_return kept;
}

absl::Status CertificateKeeper::Keep(const std::string& cert_pem, const std::string& key_pem,
                                     const CertificateTemplate& wanted) {
  auto leaf = ParsePair(cert_pem, key_pem);
  RETURN_IF_ERROR(base::Annotate(leaf.status(), "the signed certificate"));
  const base::WallTime now = loop_.clock().Now();
  if (Expired(*leaf, now))
    return absl::FailedPreconditionError(
        StrCat("the signed certificate ended at ", base::FormatRfc3339(leaf->not_after),
               " and it is ", base::FormatRfc3339(now), " here: a clock is wrong"));
  if (!Satisfies(leaf->subject, wanted))
    return absl::FailedPreconditionError(
        StrCat("the signed certificate of ", leaf->subject.common_name,
               " does not say all that was asked for"));
  auto stored = store_.Update(cert_pem, key_pem, now);
  RETURN_IF_ERROR(base::Annotate(stored.status(), "store the new certificate"));
  current_ = *std::move(stored);
  chance_ = Chance();
  at_once_ = false;
  was_valid_ = true;
  KLOG_INFO("New certificate", {"signer", SignerName(o_.purpose)},
            {"path", store_.current_path()},
            {"expires", base::FormatRfc3339(current_->not_after)});
  on_new_();
  return absl::OkStatus();
}

}  // namespace keelson::kubelet
