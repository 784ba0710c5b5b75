// SPDX-License-Identifier: Apache-2.0
#include "kubelet/auth/guard.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "base/log.h"
#include "base/strings.h"
#include "kubelet/auth/attributes.h"
#include "kubelet/server/stream.h"

namespace keelson::kubelet::auth {
namespace {

using base::Task;

constexpr size_t kMostTokens = 4096;
constexpr size_t kMostDecisions = 8192;
// As upstream: what is longer is asked about each time, so that a caller cannot fill our memory.
constexpr size_t kMostCachedBytes = 10'000;

std::string RandomKey() {
  std::string key(32, '\0');
  RAND_bytes(reinterpret_cast<unsigned char*>(key.data()), static_cast<int>(key.size()));
  return key;
}

std::string KeyedHash(const std::string& key, const std::string& text) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), out, &size);
  return std::string(reinterpret_cast<char*>(out), size);
}

size_t SizeOf(const Attributes& attributes) {
  size_t size = attributes.user.name.size() + attributes.user.uid.size() + attributes.verb.size();
  for (const std::string& group : attributes.user.groups) size += group.size();
  for (const auto& [name, values] : attributes.user.extra) {
    size += name.size();
    for (const std::string& value : values) size += value.size();
  }
  return size;
}

Task<bool> Refuse(Responder& responder, int status, std::string body) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(body);
  static_cast<void>(co_await responder.Send(std::move(response)));  // who left needs no refusal
  co_return false;
}

std::string Joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) base::StrAppend(&text, text.empty() ? "" : " ", word);
  return text;
}

}  // namespace

std::optional<std::string> BearerToken(const HttpRequest& request) {
  auto header = request.Header("authorization");
  if (!header) return std::nullopt;
  std::string_view text = *header;
  while (text.starts_with(' ')) text.remove_prefix(1);
  const size_t space = text.find(' ');
  if (space == text.npos) return std::nullopt;
  std::string scheme(text.substr(0, space));
  for (char& c : scheme) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (scheme != "bearer") return std::nullopt;
  // Split at single spaces: after two of them the token is empty, which is none.
  std::string_view token = text.substr(space + 1);
  token = token.substr(0, token.find(' '));
  if (token.empty()) return std::nullopt;
  return std::string(token);
}

Guard::Guard(base::Loop& loop, GuardOptions options, TokenReviewer* tokens, AccessReviewer* access)
    : loop_(loop),
      options_(std::move(options)),
      tokens_(tokens),
      access_(access),
      token_cache_(kMostTokens),
      access_cache_(kMostDecisions),
      hash_key_(RandomKey()) {}

Task<std::optional<User>> Guard::AuthenticateToken(std::string token) {
  const std::string key = KeyedHash(hash_key_, token);
  std::optional<TokenVerdict> verdict = token_cache_.Find(key, loop_.clock().Monotonic());
  if (!verdict) {
    std::vector<std::string> audiences;
    absl::StatusOr<TokenVerdict> asked =
        co_await tokens_->Review(std::move(token), std::move(audiences));
    if (!asked.ok()) {  // not kept: the next caller may have more luck
      KLOG_ERROR("Unable to authenticate the request due to an error", {"err", asked.status()});
      co_return std::nullopt;
    }
    verdict = std::move(*asked);
    token_cache_.Put(key, *verdict, loop_.clock().Monotonic(), options_.token_ttl);
  }
  if (!verdict->authenticated) co_return std::nullopt;
  User user = std::move(verdict->user);
  user.groups.push_back("system:authenticated");
  co_return user;
}

Task<std::optional<User>> Guard::Authenticate(const HttpRequest& request) {
  bool bad_credentials = false;
  if (authorities_ && request.peer) {
    absl::StatusOr<User> user = authorities_->Verify(request.peer->der, loop_.clock().Now());
    if (user.ok()) {
      user->groups.push_back("system:authenticated");
      co_return *user;
    }
    KLOG_ERROR("Unable to authenticate the request due to an error", {"err", user.status()});
    bad_credentials = true;
  }
  std::optional<std::string> token = BearerToken(request);
  if (tokens_ != nullptr && token) {
    std::optional<User> user = co_await AuthenticateToken(std::move(*token));
    if (user) co_return user;
    bad_credentials = true;
  }
  // Wrong credentials are no credentials of nobody.
  if (bad_credentials || !options_.anonymous) co_return std::nullopt;
  User nobody;
  nobody.name = "system:anonymous";
  nobody.groups = {"system:unauthenticated"};
  co_return nobody;
}

Task<absl::StatusOr<bool>> Guard::Authorize(Attributes attributes) {
  if (options_.always_allow) co_return true;
  if (access_ == nullptr)
    co_return absl::FailedPreconditionError(
        "authorization.mode is Webhook and there is no API server to ask");
  const bool keep = SizeOf(attributes) < kMostCachedBytes;
  if (keep) {
    std::optional<bool> known = access_cache_.Find(attributes, loop_.clock().Monotonic());
    if (known) co_return *known;
  }
  absl::StatusOr<bool> allowed = co_await access_->Authorize(attributes);
  if (allowed.ok() && keep)
    access_cache_.Put(attributes, *allowed, loop_.clock().Monotonic(),
                      *allowed ? options_.allowed_ttl : options_.unauthorized_ttl);
  co_return allowed;
}

Task<bool> Guard::Admit(const HttpRequest& request, Responder& responder) {
  std::optional<User> user = co_await Authenticate(request);
  if (!user) {
    std::string words = "Unauthorized";
    co_return co_await Refuse(responder, 401, std::move(words));
  }
  Attributes attributes;
  attributes.user = std::move(*user);
  attributes.verb = VerbOf(request.method);
  attributes.node = options_.node;
  const std::vector<std::string> subresources = SubresourcesOf(request.path);
  for (const std::string& subresource : subresources) {
    attributes.subresource = subresource;
    absl::StatusOr<bool> allowed = co_await Authorize(attributes);
    if (!allowed.ok()) {
      std::string words = base::StrCat("Authorization error (user=", attributes.user.name,
                                       ", verb=", attributes.verb,
                                       ", resource=nodes, subresource=", subresource, ")");
      KLOG_ERROR("Authorization error", {"user", attributes.user.name}, {"verb", attributes.verb},
                 {"subresource", subresource}, {"err", allowed.status()});
      co_return co_await Refuse(responder, 500, std::move(words));
    }
    if (*allowed) co_return true;
  }
  std::string words = base::StrCat("Forbidden (user=", attributes.user.name,
                                   ", verb=", attributes.verb,
                                   ", resource=nodes, subresource(s)=[", Joined(subresources), "])\n");
  co_return co_await Refuse(responder, 403, std::move(words));
}

}  // namespace keelson::kubelet::auth
