// SPDX-License-Identifier: Apache-2.0
// The query parameters of /containerLogs (PodLogOptions). Pure.
#pragma once

#include "absl/status/statusor.h"
#include "kubelet/logs/log_reader.h"
#include "kubelet/server/http_message.h"

namespace keelson::kubelet {

struct LogQuery {
  LogRequest request;  // without root and path
  bool previous = false;
};

// `now` is what sinceSeconds counts from. InvalidArgument: not a value of its type (400);
// OutOfRange: a value that makes no sense, or two that exclude each other (422).
absl::StatusOr<LogQuery> ParseLogQuery(const Query& query, base::WallTime now);

}  // namespace keelson::kubelet
