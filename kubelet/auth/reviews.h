// SPDX-License-Identifier: Apache-2.0
// Who asks, what for, and whom we ask about it: the seam between the HTTPS server and the API server's
// reviews. Loop only.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/task.h"

namespace keelson::kubelet::auth {

struct User {
  std::string name;
  std::string uid;
  std::vector<std::string> groups;
  std::map<std::string, std::vector<std::string>> extra;
  auto operator<=>(const User&) const = default;
};

// What a request wants, in the words of a SubjectAccessReview's resourceAttributes.
struct Attributes {
  User user;
  std::string verb;         // get, create, ...; empty for methods without one
  std::string subresource;  // of nodes
  std::string node;         // the resource's name
  auto operator<=>(const Attributes&) const = default;
};

struct TokenVerdict {
  bool authenticated = false;
  User user;  // when authenticated
};

// authentication.k8s.io/v1 TokenReview.
class TokenReviewer {
 public:
  virtual ~TokenReviewer() = default;
  // An error means that nobody could tell; retries are done by then.
  virtual base::Task<absl::StatusOr<TokenVerdict>> Review(std::string token,
                                                          std::vector<std::string> audiences) = 0;
};

// authorization.k8s.io/v1 SubjectAccessReview.
class AccessReviewer {
 public:
  virtual ~AccessReviewer() = default;
  // Whether it is allowed. An error means that nobody could tell; retries are done by then.
  virtual base::Task<absl::StatusOr<bool>> Authorize(Attributes attributes) = 0;
};

}  // namespace keelson::kubelet::auth
