// SPDX-License-Identifier: Apache-2.0
#include "kubelet/auth/api_reviews.h"

#include <algorithm>
#include <cmath>

#include "base/errno_status.h"
#include "proto/k8s/authentication.pb.h"
#include "proto/k8s/authorization.pb.h"

namespace keelson::kubelet::auth {
namespace {

using base::Task;
using k8s::authentication::v1::TokenReview;
using k8s::authorization::v1::SubjectAccessReview;

constexpr int kTries = 5;
constexpr base::Nanos kFirstPause = std::chrono::milliseconds(500);
constexpr double kFactor = 1.5;
constexpr double kJitter = 0.2;

bool Transient(const absl::Status& failure) {
  const auto error = client::ApiErrorOf(failure);
  if (!error) return client::IsUnreachable(failure);
  return error->code == 429 || error->code == 500 || error->code == 503 || error->code == 504 ||
         error->retry_after.count() > 0;
}

User UserOf(const k8s::authentication::v1::UserInfo& info) {
  User user;
  user.name = info.username();
  user.uid = info.uid();
  user.groups.assign(info.groups().begin(), info.groups().end());
  for (const auto& [key, values] : info.extra())
    user.extra[key].assign(values.items().begin(), values.items().end());
  return user;
}

bool AnyOf(const google::protobuf::RepeatedPtrField<std::string>& has,
           const std::vector<std::string>& wanted) {
  return std::any_of(wanted.begin(), wanted.end(), [&](const std::string& audience) {
    return std::find(has.begin(), has.end(), audience) != has.end();
  });
}

SubjectAccessReview ReviewOf(const Attributes& attributes) {
  SubjectAccessReview review;
  auto* spec = review.mutable_spec();
  auto* resource = spec->mutable_resourceattributes();
  resource->set_verb(attributes.verb);
  resource->set_version("v1");
  resource->set_resource("nodes");
  resource->set_subresource(attributes.subresource);
  resource->set_name(attributes.node);
  spec->set_user(attributes.user.name);
  spec->set_uid(attributes.user.uid);
  for (const auto& group : attributes.user.groups) spec->add_groups(group);
  for (const auto& [key, values] : attributes.user.extra)
    for (const auto& value : values) (*spec->mutable_extra())[key].add_items(value);
  return review;
}

}  // namespace

std::optional<base::Nanos> NextReview(const absl::Status& failure, int tries, double chance) {
  if (tries >= kTries || !Transient(failure)) return std::nullopt;
  const double pause = static_cast<double>(kFirstPause.count()) * std::pow(kFactor, tries - 1) *
                       (1 + kJitter * chance);
  return std::max(base::Nanos(static_cast<int64_t>(pause)), client::RetryAfter(failure));
}

ApiReviews::ApiReviews(base::Loop& loop, client::ApiServer& api, uint64_t seed)
    : loop_(loop), api_(api), random_(seed != 0 ? seed : std::random_device()()) {}

template <typename T>
Task<absl::StatusOr<T>> ApiReviews::Ask(T review) {
  for (int tries = 1;; ++tries) {
    auto answer = co_await api_.Create<T>(review);
    if (answer.ok()) co_return answer;
    std::uniform_real_distribution<double> chance(0, 1);
    const auto pause = NextReview(answer.status(), tries, chance(random_));
    if (!pause) co_return answer.status();
    co_await base::Sleep(loop_.clock(), *pause);
  }
}

Task<absl::StatusOr<TokenVerdict>> ApiReviews::Review(std::string token,
                                                      std::vector<std::string> audiences) {
  TokenReview review;
  review.mutable_spec()->set_token(std::move(token));
  for (const auto& audience : audiences) review.mutable_spec()->add_audiences(audience);
  auto answer = co_await Ask<TokenReview>(std::move(review));
  CO_RETURN_IF_ERROR(answer.status());
  const auto& status = answer->status();
  TokenVerdict verdict;
  if (!status.authenticated()) {
    if (!status.error().empty())
      co_return absl::UnauthenticatedError(base::StrCat("TokenReview: ", status.error()));
    co_return verdict;
  }
  if (!audiences.empty() && !AnyOf(status.audiences(), audiences)) co_return verdict;
  verdict.authenticated = true;
  verdict.user = UserOf(status.user());
  co_return verdict;
}

Task<absl::StatusOr<bool>> ApiReviews::Authorize(Attributes attributes) {
  SubjectAccessReview review = ReviewOf(attributes);
  auto answer = co_await Ask<SubjectAccessReview>(std::move(review));
  CO_RETURN_IF_ERROR(answer.status());
  const auto& status = answer->status();
  // An evaluation error beside it is the server's affair: it says of a role binding that leads
  // nowhere, not of this decision.
  co_return status.allowed() && !status.denied();
}

}  // namespace keelson::kubelet::auth
