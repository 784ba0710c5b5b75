// SPDX-License-Identifier: Apache-2.0
#include "kubelet/certificates/signing_request.h"

#include <algorithm>
#include <optional>

#include "base/errno_status.h"
#include "base/log.h"
#include "base/strings.h"
#include "kubelet/certificates/rotation.h"
#include "proto/k8s/certificates.pb.h"

namespace keelson::kubelet {
namespace {

using base::StrCat;
using base::Task;
using k8s::certificates::v1::CertificateSigningRequest;
using Answer = absl::StatusOr<std::string>;

// Between looks at a server that does not let us watch.
constexpr base::Nanos kFirstPause = std::chrono::seconds(1);
constexpr base::Nanos kLongestPause = std::chrono::seconds(30);

CertificateSigningRequest ObjectOf(const SigningWish& wish) {
  CertificateSigningRequest object;
  if (wish.name.empty()) {
    object.mutable_metadata()->set_generatename("csr-");
  } else {
    object.mutable_metadata()->set_name(wish.name);
  }
  object.mutable_spec()->set_request(wish.request_pem);
  object.mutable_spec()->set_signername(wish.signer);
  for (const std::string& usage : wish.usages) object.mutable_spec()->add_usages(usage);
  return object;
}

// Whether what an earlier life (or somebody else) left is as good as a request of ours.
absl::Status Compatible(const CertificateSigningRequest& found, const SigningWish& wish,
                        base::WallTime now) {
  const auto unfit = [&](std::string_view why) {
    return absl::FailedPreconditionError(
        StrCat("certificate signing request ", wish.name, " exists and cannot be used: ", why));
  };
  if (!RequestHasKey(found.spec().request(), wish.key_pem)) return unfit("it is for another key");
  if (found.spec().signername() != wish.signer) return unfit("it is for another signer");
  if (found.status().certificate().empty()) return absl::OkStatus();
  auto issued = ParseCertificates(found.status().certificate());
  if (!issued.ok()) return unfit(base::Message(issued.status()));
  const bool expired = std::any_of(issued->begin(), issued->end(),
                                   [&](const Leaf& leaf) { return Expired(leaf, now); });
  return expired ? unfit("its certificate has expired") : absl::OkStatus();
}

// What the request has come to; nullopt: wait on.
std::optional<Answer> Outcome(const CertificateSigningRequest& request, const std::string& uid) {
  SigningVerdict verdict = Judge(request, uid);
  if (!verdict.failure.ok()) return Answer(verdict.failure);
  if (verdict.certificate.empty()) return std::nullopt;
  return Answer(std::move(verdict.certificate));
}

Task<absl::StatusOr<CertificateSigningRequest>> MakeOrFind(base::Loop& loop,
                                                           client::ApiServer& api,
                                                           SigningWish wish) {
  auto made = co_await api.Create<CertificateSigningRequest>(ObjectOf(wish));
  if (made.ok()) {
    KLOG_INFO("Certificate signing request created", {"csr", made->metadata().name()});
    co_return made;
  }
  if (!client::IsAlreadyExists(made.status()) || wish.name.empty())
    co_return base::Annotate(made.status(), "cannot create certificate signing request");
  auto found = co_await api.Get<CertificateSigningRequest>("", wish.name);
  if (!found.ok())
    co_return base::Annotate(found.status(), "cannot retrieve certificate signing request");
  CO_RETURN_IF_ERROR(Compatible(*found, wish, loop.clock().Now()));
  KLOG_INFO("The certificate signing request of an earlier start is still valid",
            {"csr", wish.name});
  co_return found;
}

// Follows changes after `version` until the watch ends (nullopt) or all is decided.
Task<absl::StatusOr<std::optional<std::string>>> Follow(client::ApiServer& api, std::string name,
                                                        std::string uid, std::string version) {
  client::WatchOptions options;
  options.field_selector = StrCat("metadata.name=", name);
  options.resource_version = std::move(version);
  const auto& resource = client::ResourceOf<CertificateSigningRequest>();
  auto stream = co_await api.Watch(resource, "", std::move(options));
  CO_RETURN_IF_ERROR(stream.status());
  for (;;) {
    auto event = co_await (*stream)->Next();
    CO_RETURN_IF_ERROR(event.status());
    if (!*event) co_return std::nullopt;
    if ((*event)->type == client::WatchEvent::Type::kBookmark) continue;
    const auto& object = static_cast<const CertificateSigningRequest&>(*(*event)->object);
    if (object.metadata().name() != name) continue;
    if ((*event)->type == client::WatchEvent::Type::kDeleted)
      co_return absl::AbortedError(StrCat("certificate signing request ", name, " was deleted"));
    auto outcome = Outcome(object, uid);
    if (!outcome) continue;
    CO_RETURN_IF_ERROR(outcome->status());
    co_return std::optional<std::string>(**std::move(outcome));
  }
}

// The server's word about the request, rather than trouble on the way to it.
bool Final(const absl::Status& status) {
  return !client::ApiErrorOf(status) &&
         (absl::IsAborted(status) || absl::IsPermissionDenied(status));
}

}  // namespace

Task<Answer> RequestCertificate(base::Loop& loop, client::ApiServer& api, SigningWish wish) {
  auto request = co_await MakeOrFind(loop, api, wish);
  CO_RETURN_IF_ERROR(request.status());
  const std::string name = request->metadata().name(), uid = request->metadata().uid();
  base::Nanos pause = kFirstPause;
  for (;;) {
    if (request.ok()) {
      if (auto outcome = Outcome(*request, uid)) co_return *std::move(outcome);
      auto followed =
          co_await Follow(api, name, uid, request->metadata().resourceversion());
      if (followed.ok() && *followed) co_return **std::move(followed);
      if (followed.ok()) {
        pause = kFirstPause;
      } else if (Final(followed.status())) {
        co_return followed.status();
      } else {
        KLOG_WARNING("Cannot watch the certificate signing request", {"csr", name},
                     {"err", followed.status()});
      }
    }
    co_await base::Sleep(loop.clock(), pause);
    pause = std::min(2 * pause, kLongestPause);
    request = co_await api.Get<CertificateSigningRequest>("", name);
    if (client::IsNotFound(request.status()))
      co_return absl::AbortedError(StrCat("certificate signing request ", name, " was deleted"));
  }
}

}  // namespace keelson::kubelet
