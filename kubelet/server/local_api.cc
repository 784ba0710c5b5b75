// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/local_api.h"

#include "base/errno_status.h"
#include "base/log.h"
#include "kubelet/server/replies.h"
#include "proto/codec/codec.h"

namespace keelson::kubelet {
namespace {

using base::Task;
using proto::Value;

HttpResponse Json(absl::StatusOr<std::string> body) {
  if (!body.ok()) return TextResponse(500, base::StrCat(base::Message(body.status()), "\n"));
  return JsonResponse(*std::move(body));
}

HttpResponse ErrorText(const absl::Status& status) {
  int code = 500;
  if (absl::IsNotFound(status)) code = 404;
  if (absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status)) code = 400;
  if (absl::IsOutOfRange(status)) code = 422;
  return TextResponse(code, base::StrCat(base::Message(status), "\n"));
}

Value List(std::vector<Value> items) {
  Value value = Value::List();
  value.items = std::move(items);
  return value;
}

Value Map(std::vector<std::pair<std::string, Value>> members) {
  Value value = Value::Map();
  for (auto& [key, member] : members)
    value.members.push_back({std::move(key), 0, std::move(member)});
  return value;
}

Value Strings(const std::vector<std::string>& texts) {
  std::vector<Value> items;
  for (const std::string& text : texts) items.push_back(Value::String(text));
  return List(std::move(items));
}

// {"images": [{"id", "repoTags", "repoDigests", "sizeBytes", "pinned"}]}
std::string ImagesJson(const std::vector<NodeImage>& images) {
  std::vector<Value> items;
  for (const NodeImage& image : images)
    items.push_back(Map({{"id", Value::String(image.id)},
                         {"repoTags", Strings(image.repo_tags)},
                         {"repoDigests", Strings(image.repo_digests)},
                         {"sizeBytes", Value::Number(base::StrCat(image.size_bytes))},
                         {"pinned", Value::Bool(image.pinned)}}));
  return ToJson(Map({{"images", List(std::move(items))}}));
}

// {"calls": [{"target", "call", "object", "ageMilliseconds"}]}
std::string InflightJson(const std::vector<InflightCall>& calls) {
  std::vector<Value> items;
  for (const InflightCall& call : calls) {
    const auto age = std::chrono::duration_cast<std::chrono::milliseconds>(call.age).count();
    items.push_back(Map({{"target", Value::String(call.target)},
                         {"call", Value::String(call.call)},
                         {"object", Value::String(call.object)},
                         {"ageMilliseconds", Value::Number(base::StrCat(age))}}));
  }
  return ToJson(Map({{"calls", List(std::move(items))}}));
}

bool Wanted(const HttpRequest& request, const std::string& ns) {
  const auto wanted = request.QueryValue("namespace");
  return !wanted || wanted->empty() || *wanted == ns;
}

}  // namespace

LocalApi::LocalApi(base::Loop& loop, NodeView& view, LocalApiOptions options, cri::Runtime* runtime)
    : loop_(loop),
      view_(view),
      options_(std::move(options)),
      log_watches_(loop),
      streaming_(runtime == nullptr
                     ? nullptr
                     : std::make_unique<StreamingEndpoints>(loop, view, *runtime, /*local=*/true)),
      server_(loop, Routes(), options_.limits) {}

absl::Status LocalApi::Start() {
  auto listener = ListenUnix(loop_, {options_.socket_path, options_.allowed_uid});
  if (!listener.ok()) return listener.status();
  server_.Serve(std::move(*listener));
  return absl::OkStatus();
}

Task<void> LocalApi::Close() {
  co_await server_.Close();
  co_await log_watches_.Close();
}

HttpRoutes LocalApi::Routes() {
  HttpRoutes routes;
  auto get = [&](std::string pattern,
                 Task<void> (LocalApi::*method)(const HttpRequest&, Responder&)) {
    routes.Add("GET", std::move(pattern),
               [this, method](const HttpRequest& request, Responder& responder) {
                 return (this->*method)(request, responder);
               });
  };
  get("/pods", &LocalApi::GetPods);
  get("/pods/{namespace}/{name}", &LocalApi::GetPod);
  get("/events", &LocalApi::GetEvents);
  get("/images", &LocalApi::GetImages);
  get("/configz", &LocalApi::GetConfig);
  get("/inflight", &LocalApi::GetInflight);
  get("/healthz", &LocalApi::GetHealth);
  get("/containerLogs/{namespace}/{pod}/{container}", &LocalApi::GetLogs);
  if (streaming_) streaming_->AddRoutes(routes);
  get("/{more*}", &LocalApi::GetMore);
  return routes;
}

Task<void> LocalApi::GetPods(const HttpRequest& request, Responder& responder) {
  k8s::v1::PodList list;
  for (k8s::v1::Pod& pod : view_.Pods())
    if (Wanted(request, pod.metadata().namespace_())) list.add_items()->Swap(&pod);
  proto::EncodeOptions options;
  options.type = {"v1", "PodList"};
  HttpResponse response = Json(proto::EncodeJson(list, options));
  co_await Reply(responder, std::move(response));
}

Task<void> LocalApi::GetPod(const HttpRequest& request, Responder& responder) {
  proto::EncodeOptions options;
  options.type = {"v1", "Pod"};
  HttpResponse response = TextResponse(404, "pod does not exist\n");
  for (const k8s::v1::Pod& pod : view_.Pods()) {
    if (pod.metadata().namespace_() == request.params.at("namespace") &&
        pod.metadata().name() == request.params.at("name"))
      response = Json(proto::EncodeJson(pod, options));
  }
  co_await Reply(responder, std::move(response));
}

Task<void> LocalApi::GetEvents(const HttpRequest& request, Responder& responder) {
  k8s::v1::EventList list;
  for (k8s::v1::Event& event : view_.Events())
    if (Wanted(request, event.metadata().namespace_())) list.add_items()->Swap(&event);
  proto::EncodeOptions options;
  options.type = {"v1", "EventList"};
  HttpResponse response = Json(proto::EncodeJson(list, options));
  co_await Reply(responder, std::move(response));
}

Task<void> LocalApi::GetImages(const HttpRequest&, Responder& responder) {
  absl::StatusOr<std::vector<NodeImage>> images = co_await view_.Images();
  HttpResponse response = images.ok() ? Json(ImagesJson(*images)) : ErrorText(images.status());
  co_await Reply(responder, std::move(response));
}

Task<void> LocalApi::GetConfig(const HttpRequest&, Responder& responder) {
  absl::StatusOr<Value> config = proto::EncodeTree(view_.Configuration());
  HttpResponse response = config.ok() ? Json(ToJson(Map({{"kubeletconfig", std::move(*config)}})))
                                      : ErrorText(config.status());
  co_await Reply(responder, std::move(response));
}

Task<void> LocalApi::GetInflight(const HttpRequest&, Responder& responder) {
  HttpResponse response = Json(InflightJson(view_.Inflight()));
  co_await Reply(responder, std::move(response));
}

Task<void> LocalApi::GetHealth(const HttpRequest&, Responder& responder) {
  const absl::Status health = view_.Health();
  HttpResponse response =
      health.ok() ? TextResponse(200, "ok")
                  : TextResponse(500, base::StrCat(base::Message(health), "\n"));
  co_await Reply(responder, std::move(response));
}

Task<void> LocalApi::GetMore(const HttpRequest& request, Responder& responder) {
  HttpRequest routed = request;
  const HttpRoutes::Found found = more_.Find(routed);
  HttpResponse unknown = TextResponse(404, "404 page not found\n");
  if (found.handler != nullptr)
    co_await (*found.handler)(routed, responder);
  else
    co_await Reply(responder, std::move(unknown));
}

Task<void> LocalApi::GetLogs(const HttpRequest& request, Responder& responder) {
  absl::StatusOr<LogQuery> query = ParseLogQuery(request.query, loop_.clock().Now());
  return ServeContainerLogs(loop_, view_, log_watches_, std::move(query), request, responder);
}

Task<void> ServeContainerLogs(base::Loop& loop, NodeView& view, LogWatches& watches,
                              absl::StatusOr<LogQuery> query, const HttpRequest& request,
                              Responder& responder) {
  if (!query.ok()) {
    HttpResponse refused = ErrorText(query.status());
    co_await Reply(responder, std::move(refused));
    co_return;
  }
  absl::StatusOr<ContainerLog> log =
      view.FindLog(request.params.at("namespace"), request.params.at("pod"),
                   request.params.at("container"), query->previous);
  if (!log.ok()) {
    HttpResponse refused = ErrorText(log.status());
    co_await Reply(responder, std::move(refused));
    co_return;
  }
  LogRequest wanted = std::move(query->request);
  wanted.root = log->root;
  wanted.path = log->path;
  // The head waits for the first output, so that a log that cannot be read still gets its error.
  bool started = false;
  // Lives in StreamLog's frame, longer than any call of it.
  LogSink sink = [&](std::string text) -> Task<absl::Status> {
    if (!started) {
      started = true;
      HttpResponse head;
      CO_RETURN_IF_ERROR(co_await responder.Start(std::move(head)));
    }
    co_return co_await responder.Write(std::move(text));
  };
  LogEnd end = [&] { return view.ContainerEnded(log->container_id); };
  absl::Status read = co_await StreamLog(loop, watches, std::move(wanted), sink, std::move(end));
  if (started && !read.ok() && !absl::IsUnavailable(read))
    KLOG_WARNING("Container log cut short", {"path", log->path}, {"err", read});
  if (started) co_return;
  HttpResponse answer = read.ok() ? TextResponse(200, {}) : ErrorText(read);
  co_await Reply(responder, std::move(answer));
}

}  // namespace keelson::kubelet
