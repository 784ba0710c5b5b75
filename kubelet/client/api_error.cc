// SPDX-License-Identifier: Apache-2.0
#include "kubelet/client/api_error.h"

#include <algorithm>

#include "absl/strings/cord.h"
#include "base/strings.h"
#include "proto/k8s/meta.pb.h"

namespace keelson::kubelet::client {
namespace {

constexpr const char* kPayload = "keelson/k8s.meta.v1.Status";

absl::StatusCode CodeFor(const ApiError& error) {
  switch (error.code) {
    case 400:
    case 413:
    case 422:
      return absl::StatusCode::kInvalidArgument;
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kNotFound;
    case 405:
    case 406:
    case 415:
      return absl::StatusCode::kUnimplemented;
    case 408:
    case 504:
      return absl::StatusCode::kDeadlineExceeded;
    case 409:
      return error.reason == "AlreadyExists" ? absl::StatusCode::kAlreadyExists
                                             : absl::StatusCode::kAborted;
    case 410:
      return absl::StatusCode::kOutOfRange;
    case 429:
      return absl::StatusCode::kResourceExhausted;
    case 502:
    case 503:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kInternal;
  }
}

// Of a status that says nothing itself, as a proxy's (apimachinery NewGenericServerResponse).
std::string ReasonFor(int code) {
  switch (code) {
    case 400:
      return "BadRequest";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "NotFound";
    case 405:
      return "MethodNotAllowed";
    case 406:
      return "NotAcceptable";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 413:
      return "RequestEntityTooLarge";
    case 415:
      return "UnsupportedMediaType";
    case 422:
      return "Invalid";
    case 429:
      return "TooManyRequests";
    case 503:
      return "ServiceUnavailable";
    case 504:
      return "Timeout";
    default:
      return "InternalError";
  }
}

bool HasReason(const absl::Status& status, int code, std::string_view reason) {
  const auto error = ApiErrorOf(status);
  return error && (error->reason.empty() ? error->code == code : error->reason == reason);
}

}  // namespace

bool ApiError::HasCause(std::string_view cause) const {
  return std::find(causes.begin(), causes.end(), cause) != causes.end();
}

absl::Status ToStatus(const ApiError& error, std::string_view what) {
  k8s::meta::v1::Status wire;
  wire.set_code(error.code);
  wire.set_reason(error.reason);
  wire.set_message(error.message);
  auto* details = wire.mutable_details();
  details->set_kind(error.kind);
  details->set_name(error.name);
  // Nanoseconds: the payload never leaves the process, and tests back off by less than a second.
  wire.mutable_metadata()->set_remainingitemcount(error.retry_after.count());
  for (const auto& cause : error.causes) details->add_causes()->set_reason(cause);
  std::string text = base::StrCat(what, ": ", error.code, " ", error.reason);
  if (!error.message.empty()) base::StrAppend(&text, ": ", error.message);
  absl::Status status(CodeFor(error), text);
  status.SetPayload(kPayload, absl::Cord(wire.SerializePartialAsString()));
  return status;
}

ApiError FromStatusObject(const k8s::meta::v1::Status& status, int http_code) {
  ApiError error;
  error.code = status.code() >= 400 ? status.code() : http_code;
  error.reason = status.reason().empty() ? ReasonFor(error.code) : status.reason();
  error.message = status.message();
  error.kind = status.details().kind();
  error.name = status.details().name();
  for (const auto& cause : status.details().causes()) error.causes.push_back(cause.reason());
  error.retry_after = std::chrono::seconds(std::max(0, status.details().retryafterseconds()));
  return error;
}

std::optional<ApiError> ApiErrorOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayload);
  k8s::meta::v1::Status wire;
  if (!payload || !wire.ParsePartialFromString(std::string(*payload))) return std::nullopt;
  ApiError error = FromStatusObject(wire, wire.code());
  error.retry_after = base::Nanos(wire.metadata().remainingitemcount());
  return error;
}

bool IsConflict(const absl::Status& status) { return HasReason(status, 409, "Conflict"); }
bool IsGone(const absl::Status& status) {
  const auto error = ApiErrorOf(status);
  return error && (error->code == 410 || error->reason == "Expired" || error->reason == "Gone");
}
bool IsTooManyRequests(const absl::Status& status) {
  return HasReason(status, 429, "TooManyRequests");
}
bool IsForbidden(const absl::Status& status) { return HasReason(status, 403, "Forbidden"); }
bool IsUnauthorized(const absl::Status& status) { return HasReason(status, 401, "Unauthorized"); }
bool IsInvalid(const absl::Status& status) { return HasReason(status, 422, "Invalid"); }

bool IsTooLargeResourceVersion(const absl::Status& status) {
  const auto error = ApiErrorOf(status);
  if (!error || error->reason != "Timeout") return false;
  // Servers before 1.17 gave no cause.
  return error->HasCause("ResourceVersionTooLarge") ||
         error->message.find("Too large resource version") != std::string::npos;
}

bool IsUnreachable(const absl::Status& status) {
  return !status.ok() && !ApiErrorOf(status) &&
         (absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status));
}

base::Nanos RetryAfter(const absl::Status& status) {
  const auto error = ApiErrorOf(status);
  return error ? error->retry_after : base::Nanos(0);
}

}  // namespace keelson::kubelet::client
