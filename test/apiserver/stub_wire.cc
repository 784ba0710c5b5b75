// SPDX-License-Identifier: Apache-2.0
#include "test/apiserver/stub_wire.h"

#include <charconv>
#include <cstdlib>

#include "absl/strings/str_split.h"
#include "base/check.h"
#include "base/errno_status.h"
#include "base/strings.h"
#include "kubelet/client/resource.h"
#include "proto/k8s/authentication.pb.h"
#include "proto/k8s/meta.pb.h"

namespace keelson::apiserver {

using base::StrCat;
using kubelet::client::Verb;
namespace client = kubelet::client;

namespace {

std::string Unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16).ec == std::errc()) {
      plain += static_cast<char>(byte);
      i += 2;
    } else {
      plain += text[i] == '+' ? ' ' : text[i];
    }
  }
  return plain;
}

std::vector<std::string> Split(std::string_view text, char by) {
  return absl::StrSplit(base::ToAbsl(text), by, absl::SkipEmpty());
}

void ReadQuery(std::string_view text, Route* route) {
  for (const std::string& pair : Split(text, '&')) {
    const size_t equals = std::min(pair.find('='), pair.size() - 1);
    const std::string name = pair.substr(0, equals);
    const std::string value = Unescape(std::string_view(pair).substr(equals + 1));
    client::ListOptions& list = route->request.list;
    if (name == "fieldSelector") list.field_selector = value;
    if (name == "labelSelector") list.label_selector = value;
    if (name == "resourceVersion") list.resource_version = value;
    if (name == "resourceVersionMatch") list.resource_version_match = value;
    if (name == "limit") list.limit = std::atoll(value.c_str());
    if (name == "continue") list.continue_token = value;
    if (name == "watch") route->is_watch = value == "true" || value == "1";
    if (name == "allowWatchBookmarks") route->watch.bookmarks = value == "true";
    if (name == "timeoutSeconds")
      route->watch.timeout = std::chrono::seconds(std::atoll(value.c_str()));
  }
  route->watch.field_selector = route->request.list.field_selector;
  route->watch.label_selector = route->request.list.label_selector;
  route->watch.resource_version = route->request.list.resource_version;
}

// /api/v1/... or /apis/group/version/..., then [namespaces/ns/]resource[/name[/subresource]].
bool ReadPath(std::string_view path, ApiRequest* request) {
  std::vector<std::string> parts = Split(path, '/');
  for (auto& part : parts) part = Unescape(part);
  const bool core = !parts.empty() && parts[0] == "api";
  const size_t first = core ? 1 : 2;
  if (parts.size() < first + 2 || (!core && parts[0] != "apis")) return false;
  const std::string group = core ? "" : parts[1];
  const std::string version = parts[first];
  size_t at = first + 1;
  if (parts[at] == "namespaces" && parts.size() > at + 2) {
    request->ns = parts[at + 1];
    at += 2;
  }
  request->resource = client::FindResource(group, version, parts[at]);
  if (parts.size() > at + 1) request->name = parts[at + 1];
  if (parts.size() > at + 2) request->subresource = parts[at + 2];
  return request->resource != nullptr && parts.size() <= at + 3;
}

}  // namespace

std::optional<Route> RouteOf(const HttpQuestion& question) {
  const std::string_view target = question.path;
  const size_t mark = std::min(target.find('?'), target.size());
  Route route;
  ReadQuery(target.substr(std::min(mark + 1, target.size())), &route);
  ApiRequest& request = route.request;
  if (!ReadPath(target.substr(0, mark), &request)) return std::nullopt;
  request.verb = question.method == "POST"     ? Verb::kCreate
                 : question.method == "PUT"    ? Verb::kUpdate
                 : question.method == "PATCH"  ? Verb::kPatch
                 : question.method == "DELETE" ? Verb::kDelete
                 : request.name.empty()        ? Verb::kList
                                               : Verb::kGet;
  return route;
}

absl::Status ReadBody(const HttpQuestion& question, ApiRequest* request) {
  const auto type = question.headers.find("content-type");
  const std::string content_type = type == question.headers.end() ? "" : type->second;
  if (request->verb == Verb::kPatch) {
    request->patch_type =
        content_type.starts_with("application/merge-patch")  ? client::PatchType::kMerge
        : content_type.starts_with("application/json-patch") ? client::PatchType::kJson
                                                             : client::PatchType::kStrategicMerge;
    auto patch = proto::ParseJsonTree(question.body, {});
    RETURN_IF_ERROR(patch.status());
    request->patch = *std::move(patch);
    return absl::OkStatus();
  }
  if (question.body.empty()) return absl::OkStatus();
  std::shared_ptr<Message> body;
  if (request->verb == Verb::kDelete) {
    body = std::make_shared<::k8s::meta::v1::DeleteOptions>();
  } else if (request->subresource == "token") {
    body = std::make_shared<::k8s::authentication::v1::TokenRequest>();
  } else {
    body = request->resource->New();
  }
  RETURN_IF_ERROR(content_type.starts_with(kProtobuf)
                      ? proto::DecodeKubeProtobuf(question.body, nullptr, body.get())
                      : proto::DecodeJson(question.body, body.get(), {}));
  request->body = std::move(body);
  return absl::OkStatus();
}

std::unique_ptr<Message> NewAnswer(const ApiRequest& request) {
  if (request.verb == Verb::kList) return request.resource->NewList();
  if (request.subresource == "token") {
    return std::make_unique<::k8s::authentication::v1::TokenRequest>();
  }
  return request.resource->New();
}

std::string Encode(const Message& message, const proto::TypeMeta& type, bool protobuf) {
  if (protobuf) return proto::EncodeKubeProtobuf(message, type);
  proto::EncodeOptions options;
  options.type = type;
  auto json = proto::EncodeJson(message, options);
  KEELSON_CHECK(json.ok());
  return *std::move(json);
}

std::string EncodeError(const client::ApiError& error, bool protobuf) {
  ::k8s::meta::v1::Status status;
  status.set_status("Failure");
  status.set_code(error.code);
  status.set_reason(error.reason);
  status.set_message(error.message);
  for (const auto& cause : error.causes) status.mutable_details()->add_causes()->set_reason(cause);
  return Encode(status, {"v1", "Status"}, protobuf);
}

proto::TypeMeta TypeOf(const ApiRequest& request) {
  if (request.subresource == "token") return {"authentication.k8s.io/v1", "TokenRequest"};
  return {request.resource->ApiVersion(),
          StrCat(request.resource->kind, request.verb == Verb::kList ? "List" : "")};
}

std::string FrameOf(std::string_view type, const std::string& object, bool protobuf) {
  ::k8s::meta::v1::WatchEvent event;
  event.set_type(std::string(type));
  event.mutable_object()->set_raw(object);
  if (!protobuf) {
    auto json = proto::EncodeJson(event);
    KEELSON_CHECK(json.ok());
    return *json + "\n";
  }
  const std::string bytes = event.SerializePartialAsString();
  std::string frame;
  for (int shift = 24; shift >= 0; shift -= 8) {
    frame += static_cast<char>(bytes.size() >> shift & 0xff);
  }
  return frame + bytes;
}

std::string_view TypeName(WatchEvent::Type type) {
  switch (type) {
    case WatchEvent::Type::kAdded:
      return "ADDED";
    case WatchEvent::Type::kModified:
      return "MODIFIED";
    case WatchEvent::Type::kDeleted:
      return "DELETED";
    case WatchEvent::Type::kBookmark:
      return "BOOKMARK";
  }
  return "";
}

}  // namespace keelson::apiserver
