// SPDX-License-Identifier: Apache-2.0
// Asks the API server who holds a token and who may do what. Loop only.
//
// As upstream's webhooks, a question is put up to five times, 500 ms apart and each time half as
// long again (with up to a fifth more by chance), when the server may answer another time: no
// connection, 429, 500, 503 and 504. Whatever else it says, and the last failure, is the answer;
// nobody is let in by an error.
#pragma once

#include <cstdint>
#include <random>

#include "base/loop.h"
#include "kubelet/auth/reviews.h"
#include "kubelet/client/api_server.h"

namespace keelson::kubelet::auth {

// Whether, and when, try number `tries` (1 is the first) that ended in `failure` is followed by
// another; nullopt: no. `chance` in [0, 1). Pure.
std::optional<base::Nanos> NextReview(const absl::Status& failure, int tries, double chance);

class ApiReviews : public TokenReviewer, public AccessReviewer {
 public:
  // Both outlive it. `api` should have no retries of its own to speak of.
  ApiReviews(base::Loop& loop, client::ApiServer& api, uint64_t seed = 0);

  // With audiences, the token must be for one of them by the server's word: a server that says
  // nothing about audiences did not check them.
  base::Task<absl::StatusOr<TokenVerdict>> Review(std::string token,
                                                  std::vector<std::string> audiences) override;
  base::Task<absl::StatusOr<bool>> Authorize(Attributes attributes) override;

 private:
  // Creates the review until it is answered.
  template <typename T>
  base::Task<absl::StatusOr<T>> Ask(T review);

  base::Loop& loop_;
  client::ApiServer& api_;
  std::mt19937_64 random_;
};

}  // namespace keelson::kubelet::auth
