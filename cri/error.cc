// SPDX-License-Identifier: Apache-2.0
#include "cri/error.h"

#include "base/strings.h"

namespace keelson::cri {
namespace {

constexpr std::string_view kPrefix = "CRI ";
constexpr std::string_view kSeparator = ": ";  // never in a call's name or object

// The words of google.golang.org/grpc/codes.
std::string_view CodeName(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return "OK";
    case absl::StatusCode::kCancelled:
      return "Canceled";
    case absl::StatusCode::kUnknown:
      return "Unknown";
    case absl::StatusCode::kInvalidArgument:
      return "InvalidArgument";
    case absl::StatusCode::kDeadlineExceeded:
      return "DeadlineExceeded";
    case absl::StatusCode::kNotFound:
      return "NotFound";
    case absl::StatusCode::kAlreadyExists:
      return "AlreadyExists";
    case absl::StatusCode::kPermissionDenied:
      return "PermissionDenied";
    case absl::StatusCode::kResourceExhausted:
      return "ResourceExhausted";
    case absl::StatusCode::kFailedPrecondition:
      return "FailedPrecondition";
    case absl::StatusCode::kAborted:
      return "Aborted";
    case absl::StatusCode::kOutOfRange:
      return "OutOfRange";
    case absl::StatusCode::kUnimplemented:
      return "Unimplemented";
    case absl::StatusCode::kInternal:
      return "Internal";
    case absl::StatusCode::kUnavailable:
      return "Unavailable";
    case absl::StatusCode::kDataLoss:
      return "DataLoss";
    case absl::StatusCode::kUnauthenticated:
      return "Unauthenticated";
    default:
      return "Unknown";  // the enum asks its users for a default
  }
}

}  // namespace

absl::Status CallError(absl::StatusCode code, std::string_view call, std::string_view message) {
  return absl::Status(code, base::ToAbsl(base::StrCat(kPrefix, call, kSeparator, message)));
}

std::string RuntimeMessage(const absl::Status& status) {
  std::string_view text = base::Message(status);
  const size_t end = text.starts_with(kPrefix) ? text.find(kSeparator) : text.npos;
  if (end != text.npos) text.remove_prefix(end + kSeparator.size());
  return std::string(text);
}

std::string GrpcErrorText(const absl::Status& status) {
  return base::StrCat("rpc error: code = ", CodeName(status.code()),
                      " desc = ", RuntimeMessage(status));
}

}  // namespace keelson::cri
