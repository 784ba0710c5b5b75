// SPDX-License-Identifier: Apache-2.0
#include "kubelet/client/wire.h"

#include <google/protobuf/message.h>

#include <charconv>

#include "base/check.h"
#include "base/strings.h"
#include "proto/codec/codec.h"
#include "proto/k8s/meta.pb.h"

namespace keelson::kubelet::client {
namespace {

using base::StrCat;

constexpr std::string_view kProtobuf = "application/vnd.kubernetes.protobuf";
constexpr std::string_view kJson = "application/json";
constexpr size_t kShownBody = 500;

class Query {
 public:
  explicit Query(std::string path) : url_(std::move(path)) {}
  void Add(std::string_view name, std::string_view value) {
    if (value.empty()) return;
    base::StrAppend(&url_, first_ ? "?" : "&", name, "=", Escape(value));
    first_ = false;
  }
  std::string Take() { return std::move(url_); }

 private:
  std::string url_;
  bool first_ = true;
};

std::string_view PatchContentType(PatchType type) {
  switch (type) {
    case PatchType::kStrategicMerge:
      return "application/strategic-merge-patch+json";
    case PatchType::kMerge:
      return "application/merge-patch+json";
    case PatchType::kJson:
      return "application/json-patch+json";
  }
  return "";
}

// Answers are the server's and bounded in bytes already.
proto::DecodeOptions Options(std::string_view body) {
  proto::DecodeOptions options;
  options.max_bytes = body.size();
  options.max_nodes = body.size() + 1;
  return options;
}

}  // namespace

std::string_view HttpMethod(Verb verb) {
  switch (verb) {
    case Verb::kGet:
      return "GET";
    case Verb::kList:
      return "GET";
    case Verb::kCreate:
      return "POST";
    case Verb::kUpdate:
      return "PUT";
    case Verb::kPatch:
      return "PATCH";
    case Verb::kDelete:
      return "DELETE";
  }
  return "";
}

std::string UrlOf(const ApiRequest& request) {
  Query query(request.resource->Path(request.ns, request.name, request.subresource));
  const ListOptions& list = request.list;
  query.Add("fieldSelector", list.field_selector);
  query.Add("labelSelector", list.label_selector);
  query.Add("resourceVersion", list.resource_version);
  query.Add("resourceVersionMatch", list.resource_version_match);
  if (list.limit > 0) query.Add("limit", StrCat(list.limit));
  query.Add("continue", list.continue_token);
  return query.Take();
}

std::string WatchUrl(const Resource& resource, const std::string& ns, const WatchOptions& options) {
  Query query(resource.Path(ns, ""));
  query.Add("allowWatchBookmarks", options.bookmarks ? "true" : "");
  query.Add("fieldSelector", options.field_selector);
  query.Add("labelSelector", options.label_selector);
  query.Add("resourceVersion", options.resource_version);
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(options.timeout).count();
  if (seconds > 0) query.Add("timeoutSeconds", StrCat(seconds));
  query.Add("watch", "true");
  return query.Take();
}

std::string AcceptHeader(bool protobuf) {
  return protobuf ? StrCat(kProtobuf, ",", kJson) : std::string(kJson);
}

absl::StatusOr<WireBody> EncodeBody(const ApiRequest& request, bool protobuf) {
  if (request.verb == Verb::kPatch) {
    return WireBody{std::string(PatchContentType(request.patch_type)),
                    proto::ToJson(request.patch)};
  }
  if (request.body == nullptr) return WireBody{};
  const Resource& resource = request.body_type == nullptr ? *request.resource : *request.body_type;
  proto::TypeMeta type{resource.ApiVersion(), std::string(resource.kind)};
  if (request.verb == Verb::kDelete) type = {"v1", "DeleteOptions"};
  if (protobuf) {
    return WireBody{std::string(kProtobuf), proto::EncodeKubeProtobuf(*request.body, type)};
  }
  proto::EncodeOptions options;
  options.type = type;
  auto json = proto::EncodeJson(*request.body, options);
  if (!json.ok()) return json.status();
  return WireBody{std::string(kJson), *std::move(json)};
}

Encoding EncodingOf(std::string_view content_type) {
  return content_type.starts_with(kProtobuf) ? Encoding::kProtobuf : Encoding::kJson;
}

absl::Status DecodeAnswer(std::string_view content_type, std::string_view body, Message* answer) {
  if (EncodingOf(content_type) == Encoding::kProtobuf) {
    return proto::DecodeKubeProtobuf(body, nullptr, answer, body.size());
  }
  if (!content_type.starts_with(kJson)) {
    return absl::InternalError(
        StrCat("the answer is ", content_type, ", expected ", kProtobuf, " or ", kJson));
  }
  return proto::DecodeJson(body, answer, Options(body));
}

ApiError DecodeError(long http_status, std::string_view content_type, std::string_view body,
                     std::string_view retry_after) {
  k8s::meta::v1::Status status;
  bool is_status = false;
  if (EncodingOf(content_type) == Encoding::kProtobuf) {
    proto::TypeMeta meta;
    is_status = proto::DecodeKubeProtobuf(body, &meta, &status).ok() && meta.kind == "Status";
  } else if (content_type.starts_with(kJson)) {
    is_status = proto::DecodeJson(body, &status, Options(body)).ok() && status.has_code();
  }
  if (!is_status) {
    status.Clear();
    status.set_message(std::string(body.substr(0, kShownBody)));
  }
  ApiError error = FromStatusObject(status, static_cast<int>(http_status));
  int seconds = 0;
  const auto parsed =
      std::from_chars(retry_after.data(), retry_after.data() + retry_after.size(), seconds);
  // The other form, a date, no API server sends.
  if (parsed.ec == std::errc() && seconds > 0) error.retry_after = std::chrono::seconds(seconds);
  return error;
}

}  // namespace keelson::kubelet::client
