// SPDX-License-Identifier: Apache-2.0
// Lets requests in: who is it (client certificate, bearer token, anonymous, in this order), and may
// they (AlwaysAllow, or the API server's word with caches). Answers 401, 403 and 500 in upstream's
// words. Loop only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/loop.h"
#include "kubelet/auth/client_certificate.h"
#include "kubelet/auth/reviews.h"
#include "kubelet/auth/verdict_cache.h"
#include "kubelet/server/http_message.h"

namespace keelson::kubelet::auth {

struct GuardOptions {
  std::string node;
  bool anonymous = false;
  bool always_allow = false;
  base::Nanos token_ttl = std::chrono::minutes(2);        // authentication.webhook.cacheTTL
  base::Nanos allowed_ttl = std::chrono::minutes(5);      // cacheAuthorizedTTL
  base::Nanos unauthorized_ttl = std::chrono::seconds(30);  // cacheUnauthorizedTTL
};

class Guard {
 public:
  // The reviewers outlive this; null: tokens are not looked at (webhook authentication is off), or
  // nothing can be authorized but by always_allow.
  Guard(base::Loop& loop, GuardOptions options, TokenReviewer* tokens, AccessReviewer* access);

  // Whom to believe from the next request on; null: client certificates mean nothing.
  void set_authorities(std::shared_ptr<const ClientAuthorities> authorities) {
    authorities_ = std::move(authorities);
  }

  // An HttpFilter.
  base::Task<bool> Admit(const HttpRequest& request, Responder& responder);

  // nullopt: not authenticated. Errors are logged.
  base::Task<std::optional<User>> Authenticate(const HttpRequest& request);
  base::Task<absl::StatusOr<bool>> Authorize(Attributes attributes);

 private:
  base::Task<std::optional<User>> AuthenticateToken(std::string token);

  base::Loop& loop_;
  const GuardOptions options_;
  TokenReviewer* const tokens_;
  AccessReviewer* const access_;
  std::shared_ptr<const ClientAuthorities> authorities_;
  // By a keyed hash: tokens are not kept in memory.
  VerdictCache<std::string, TokenVerdict> token_cache_;
  VerdictCache<Attributes, bool> access_cache_;
  const std::string hash_key_;
};

// The token of an Authorization header; nullopt: none (upstream's bearer token rules).
std::optional<std::string> BearerToken(const HttpRequest& request);

}  // namespace keelson::kubelet::auth
