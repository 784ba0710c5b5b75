// SPDX-License-Identifier: Apache-2.0
// Requests and answers of the Kubernetes API as HTTP carries them, from a server's side: paths,
// queries, bodies, frames of watches; in Kubernetes protobuf or JSON. Pure.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "kubelet/client/api_server.h"
#include "proto/codec/codec.h"
#include "test/apiserver/http_session.h"

namespace keelson::apiserver {

using kubelet::client::ApiRequest;
using kubelet::client::Message;
using kubelet::client::WatchEvent;
using kubelet::client::WatchOptions;

inline constexpr std::string_view kProtobuf = "application/vnd.kubernetes.protobuf";

// What a request asks for, without its body.
struct Route {
  ApiRequest request;
  WatchOptions watch;
  bool is_watch = false;
};

// nullopt: the path is of no resource we know.
std::optional<Route> RouteOf(const HttpQuestion& question);
// Adds the body, or the patch, to `request`.
absl::Status ReadBody(const HttpQuestion& question, ApiRequest* request);
// An empty object of the type that answers, and what it is called.
std::unique_ptr<Message> NewAnswer(const ApiRequest& request);
proto::TypeMeta TypeOf(const ApiRequest& request);

std::string Encode(const Message& message, const proto::TypeMeta& type, bool protobuf);
// The error as a Status object.
std::string EncodeError(const kubelet::client::ApiError& error, bool protobuf);
// One event of a watch: "ADDED", or "ERROR", with an encoded object.
std::string FrameOf(std::string_view type, const std::string& object, bool protobuf);
std::string_view TypeName(WatchEvent::Type type);

}  // namespace keelson::apiserver
