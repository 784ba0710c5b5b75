// SPDX-License-Identifier: Apache-2.0
// What an API server answers when it will not do something: a meta/v1 Status that travels inside an
// absl::Status. Pure; any thread.
//
// The absl code says what to do next, and is all most callers need:
//   NotFound (404), AlreadyExists (409 AlreadyExists), Aborted (409 Conflict: read again, retry),
//   OutOfRange (410 Gone, Expired: list anew), InvalidArgument (400, 413, 422), Unauthenticated
//   (401), PermissionDenied (403), ResourceExhausted (429), DeadlineExceeded (408, 504),
//   Unimplemented (405, 406, 415), Unavailable (502, 503), Internal (500 and others).
// Without an ApiError inside, the request did not reach a server that answered: Unavailable (no
// connection), DeadlineExceeded (no answer in time), ResourceExhausted (answer too long).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "base/time.h"

namespace k8s::meta::v1 {
class Status;
}

namespace keelson::kubelet::client {

struct ApiError {
  int code = 0;            // HTTP
  std::string reason;      // NotFound, AlreadyExists, Conflict, Expired, Forbidden, Invalid ...
  std::string message;     // for people
  std::string kind, name;  // of the object, when the server says
  std::vector<std::string> causes;  // reasons of its causes, as ResourceVersionTooLarge
  base::Nanos retry_after{0};       // 0: not said

  bool HasCause(std::string_view cause) const;
};

// `what` is the request: "GET /api/v1/nodes/a". REQUIRES: error.code is no success.
absl::Status ToStatus(const ApiError& error, std::string_view what);
// An answer's body, decoded, with its HTTP status (which counts when the body has none).
ApiError FromStatusObject(const k8s::meta::v1::Status& status, int http_code);
// nullopt: OK, or not from an API server.
std::optional<ApiError> ApiErrorOf(const absl::Status& status);

// The codes of these two mean nothing else.
using absl::IsAlreadyExists;
using absl::IsNotFound;
bool IsConflict(const absl::Status& status);  // somebody else wrote first
bool IsGone(const absl::Status& status);      // the resourceVersion is too old
bool IsTooManyRequests(const absl::Status& status);
bool IsForbidden(const absl::Status& status);
bool IsUnauthorized(const absl::Status& status);
bool IsInvalid(const absl::Status& status);
// The resourceVersion is newer than the server has, as after a restore of etcd or on a lagging one.
bool IsTooLargeResourceVersion(const absl::Status& status);
// Nobody answered: try again later, with the same request.
bool IsUnreachable(const absl::Status& status);
// How long the server wants us to wait; 0 when it did not say.
base::Nanos RetryAfter(const absl::Status& status);

}  // namespace keelson::kubelet::client
