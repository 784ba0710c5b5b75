// SPDX-License-Identifier: Apache-2.0
#include "kubelet/cluster/token_cache.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "proto/k8s/authentication.pb.h"
#include "proto/k8s/objects.pb.h"

namespace keelson::kubelet {

using base::Nanos;
using base::StrCat;
using base::Task;

namespace {

constexpr Nanos kLongestUse = std::chrono::hours(24);
constexpr Nanos kChance = std::chrono::seconds(10);
// A token that is due is asked for again this often. Also how long a machine that slept, whose
// timers stood still, trusts its tokens after it woke.
constexpr Nanos kLookAgain = std::chrono::minutes(1);
// Whatever life a server grants, a token is not asked for again at once, and no time overflows.
constexpr std::chrono::seconds kLeastLife = std::chrono::minutes(1);
constexpr std::chrono::seconds kMostLife = std::chrono::hours(24 * 365);

k8s::authentication::v1::TokenRequest RequestOf(const csi::TokenSpec& spec) {
  k8s::authentication::v1::TokenRequest request;
  if (!spec.audience.empty()) request.mutable_spec()->add_audiences(spec.audience);
  request.mutable_spec()->set_expirationseconds(spec.expiration_seconds);
  auto* pod = request.mutable_spec()->mutable_boundobjectref();
  pod->set_kind("Pod");
  pod->set_apiversion("v1");
  pod->set_name(spec.pod_name);
  pod->set_uid(spec.pod_uid);
  return request;
}

// For a person: what the server said, without our request around it.
absl::Status Said(const absl::Status& status, std::string_view prefix) {
  const auto api = client::ApiErrorOf(status);
  const std::string_view words = api ? api->message : base::Message(status);
  return absl::Status(status.code(), StrCat(prefix, words));
}

}  // namespace

TokenCache::TokenCache(base::Loop& loop, client::ApiServer& api,
                       std::function<bool(const std::string&)> due, uint64_t seed)
    : loop_(loop),
      api_(api),
      due_(std::move(due)),
      random_(seed != 0 ? seed : std::random_device{}()) {}

Nanos TokenCache::Age(const Entry& entry) const {
  const base::Clock& clock = loop_.clock();
  return std::max<Nanos>(clock.Monotonic() - entry.came_mono, clock.Now() - entry.came_wall);
}

Task<absl::StatusOr<csi::Token>> TokenCache::Get(csi::TokenSpec spec) {
  auto had = tokens_.find(spec);
  if (had != tokens_.end() && Age(had->second) < had->second.due_after)
    co_return had->second.token;
  auto fresh = co_await Request(spec);
  if (fresh.ok()) co_return *std::move(fresh);
  had = tokens_.find(spec);
  if (had == tokens_.end()) co_return Said(fresh.status(), "failed to fetch token: ");
  if (Age(had->second) >= had->second.life)
    co_return Said(fresh.status(), StrCat("token of service account ", spec.pod_namespace, "/",
                                          spec.service_account, " expired and refresh failed: "));
  KLOG_WARNING("Cannot renew a token; the pod keeps the one it has",
               {"namespace", spec.pod_namespace}, {"pod", spec.pod_name},
               {"serviceAccount", spec.service_account}, {"err", fresh.status()});
  co_return had->second.token;
}

Task<absl::StatusOr<csi::Token>> TokenCache::Request(csi::TokenSpec spec) {
  k8s::authentication::v1::TokenRequest request = RequestOf(spec);
  auto answer = co_await api_.CreateSubresource<k8s::v1::ServiceAccount>(
      spec.pod_namespace, spec.service_account, "token", std::move(request));
  if (!answer.ok()) co_return answer.status();
  csi::Token token;
  token.value = answer->status().token();
  const auto& expires = answer->status().expirationtimestamp();
  token.issued = loop_.clock().Now();
  token.expires = base::FromUnixNanos(expires.seconds() * 1'000'000'000 + expires.nanos());
  // The server may grant another life than was asked for, and says which.
  const int64_t seconds = answer->spec().has_expirationseconds()
                              ? answer->spec().expirationseconds()
                              : spec.expiration_seconds;
  Keep(spec, token, std::clamp(std::chrono::seconds(seconds), kLeastLife, kMostLife));
  co_return token;
}

void TokenCache::Keep(const csi::TokenSpec& spec, const csi::Token& token, Nanos life) {
  Entry entry;
  entry.token = token;
  entry.life = life;
  const Nanos chance(random_() % static_cast<uint64_t>(kChance.count()));
  entry.due_after = std::min<Nanos>(life - life / 5, kLongestUse) - chance;
  entry.came_wall = loop_.clock().Now();
  entry.came_mono = loop_.clock().Monotonic();
  entry.told = entry.came_mono;
  tokens_[spec] = std::move(entry);
  changed_.Set();
}

void TokenCache::Forget(const std::string& pod_uid) {
  std::erase_if(tokens_, [&](const auto& entry) { return entry.first.pod_uid == pod_uid; });
}

base::MonoTime TokenCache::Look() {
  const base::MonoTime now = loop_.clock().Monotonic();
  base::MonoTime next = base::MonoTime::max();
  std::set<std::string> due;
  for (auto& [spec, entry] : tokens_) {
    const Nanos left = entry.due_after - Age(entry);
    if (left.count() > 0) {
      next = std::min(next, now + std::min<Nanos>(left, kLookAgain));
      continue;
    }
    if (entry.told == entry.came_mono || now - entry.told >= kLookAgain) {
      entry.told = now;
      due.insert(spec.pod_uid);
    }
    next = std::min(next, entry.told + kLookAgain);
  }
  for (const std::string& uid : due)  // last: it may change what we keep
    if (!due_(uid)) Forget(uid);
  return next;
}

Task<void> TokenCache::Run() {
  for (;;) {
    const base::MonoTime next = Look();
    if (next == base::MonoTime::max()) {
      co_await changed_.Wait();
    } else {
      co_await changed_.WaitUntil(loop_.clock(), next);
    }
  }
}

}  // namespace keelson::kubelet
