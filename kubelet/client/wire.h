// SPDX-License-Identifier: Apache-2.0
// API requests and answers as they stand in HTTP. Pure.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kubelet/client/api_server.h"
#include "kubelet/client/watch_frames.h"

namespace keelson::kubelet::client {

struct WireBody {
  std::string content_type;  // empty: no body
  std::string bytes;
};

std::string_view HttpMethod(Verb verb);
// Path and query.
std::string UrlOf(const ApiRequest& request);
std::string WatchUrl(const Resource& resource, const std::string& ns, const WatchOptions& options);
std::string AcceptHeader(bool protobuf);

absl::StatusOr<WireBody> EncodeBody(const ApiRequest& request, bool protobuf);
// "application/vnd.kubernetes.protobuf;stream=watch" and the like; JSON if it is anything else.
Encoding EncodingOf(std::string_view content_type);
absl::Status DecodeAnswer(std::string_view content_type, std::string_view body, Message* answer);
// What an answer of 300 or more says. A body that is no Status is shown as text.
ApiError DecodeError(long http_status, std::string_view content_type, std::string_view body,
                     std::string_view retry_after);

}  // namespace keelson::kubelet::client
