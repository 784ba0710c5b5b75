// SPDX-License-Identifier: Apache-2.0
#include "cri/error.h"

#include "absl/strings/cord.h"
#include "base/strings.h"

namespace keelson::cri {
namespace {

constexpr char kMessagePayload[] = "keelson/cri-message";

// The words of google.golang.org/grpc/codes.
std::string_view CodeName(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk: return "OK";
    case absl::StatusCode::kCancelled: return "Canceled";
    case absl::StatusCode::kUnknown: return "Unknown";
    case absl::StatusCode::kInvalidArgument: return "InvalidArgument";
    case absl::StatusCode::kDeadlineExceeded: return "DeadlineExceeded";
    case absl::StatusCode::kNotFound: return "NotFound";
    case absl::StatusCode::kAlreadyExists: return "AlreadyExists";
    case absl::StatusCode::kPermissionDenied: return "PermissionDenied";
    case absl::StatusCode::kResourceExhausted: return "ResourceExhausted";
    case absl::StatusCode::kFailedPrecondition: return "FailedPrecondition";
    case absl::StatusCode::kAborted: return "Aborted";
    case absl::StatusCode::kOutOfRange: return "OutOfRange";
    case absl::StatusCode::kUnimplemented: return "Unimplemented";
    case absl::StatusCode::kInternal: return "Internal";
    case absl::StatusCode::kUnavailable: return "Unavailable";
    case absl::StatusCode::kDataLoss: return "DataLoss";
    case absl::StatusCode::kUnauthenticated: return "Unauthenticated";
    default: return "Unknown";  // the enum asks its users for a default
  }
}

}  // namespace

absl::Status CallError(absl::StatusCode code, std::string_view call, std::string_view message) {
  absl::Status status(code, base::ToAbsl(base::StrCat("CRI ", call, ": ", message)));
  status.SetPayload(kMessagePayload, absl::Cord(base::ToAbsl(message)));
  return status;
}

std::string RuntimeMessage(const absl::Status& status) {
  if (auto words = status.GetPayload(kMessagePayload)) return std::string(*words);
  return std::string(base::Message(status));
}

std::string GrpcErrorText(const absl::Status& status) {
  return base::StrCat("rpc error: code = ", CodeName(status.code()),
                      " desc = ", RuntimeMessage(status));
}

}  // namespace keelson::cri
