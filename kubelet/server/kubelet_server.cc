// SPDX-License-Identifier: Apache-2.0
// Listeners, routes, and the endpoints that only tell.
#include "kubelet/server/kubelet_server.h"

#include <algorithm>
#include <map>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/log.h"
#include "kubelet/server/local_api.h"
#include "kubelet/server/log_target.h"
#include "kubelet/server/replies.h"
#include "kubelet/server/system_logs.h"
#include "proto/codec/codec.h"
#include "proto/k8s/kubelet_config.pb.h"

namespace keelson::kubelet {
namespace {

using base::StrCat;
using base::Task;

constexpr std::string_view kDebuggingPaths[] = {
    "/run", "/exec", "/attach", "/portForward", "/containerLogs", "/runningpods", "/debug/pprof",
    "/logs"};

HttpResponse Json(absl::StatusOr<std::string> body) {
  if (!body.ok()) return TextResponse(500, std::string(base::Message(body.status())));
  return JsonResponse(*std::move(body));
}

HttpHandler Says(int status, std::string body) {
  return [status, body](const HttpRequest&, Responder& responder) {
    return Reply(responder, TextResponse(status, body));
  };
}

// The servers' words when a named check fails; what is wrong stays in the log.
HttpResponse HealthAnswer(const HttpRequest& request, const absl::Status& health) {
  const std::string check = request.params.contains("check") ? request.params.at("check") : "";
  static constexpr std::string_view kChecks[] = {"ping", "log", "syncloop"};
  if (!check.empty()) {
    if (std::find(std::begin(kChecks), std::end(kChecks), check) == std::end(kChecks))
      return TextResponse(404, "404 page not found\n");
    if (check == "syncloop" && !health.ok())
      return TextResponse(500, StrCat("internal server error: ", base::Message(health), "\n"));
    return TextResponse(200, "ok");
  }
  if (health.ok() && !request.QueryValue("verbose")) return TextResponse(200, "ok");
  std::string list;
  for (std::string_view name : kChecks) {
    const bool failed = name == "syncloop" && !health.ok();
    base::StrAppend(&list, failed ? "[-]" : "[+]", name,
                    failed ? " failed: reason withheld\n" : " ok\n");
  }
  return health.ok() ? TextResponse(200, list + "healthz check passed\n")
                     : TextResponse(500, list + "healthz check failed\n");
}

bool MaySplitLogs(NodeView& view) {
  const auto* config = dynamic_cast<const k8s::kubelet::v1beta1::KubeletConfiguration*>(
      &view.Configuration());
  if (config == nullptr) return false;
  auto gate = config->featuregates().find("PodLogsQuerySplitStreams");
  return gate != config->featuregates().end() && gate->second;
}

absl::StatusOr<std::string> ListJson(const k8s::v1::PodList& list) {
  proto::EncodeOptions options;
  options.type = {"v1", "PodList"};
  return proto::EncodeJson(list, options);
}

// What runs according to the runtime, as pods with little more than names.
k8s::v1::PodList PodsOf(const cri::rt::ListPodSandboxResponse& sandboxes,
                        const cri::rt::ListContainersResponse& containers) {
  std::map<std::string, k8s::v1::Pod> pods;  // by uid
  std::map<std::string, std::string> uid_of;  // by sandbox
  for (const auto& sandbox : sandboxes.items()) {
    const auto& meta = sandbox.metadata();
    uid_of[sandbox.id()] = meta.uid();
    k8s::v1::Pod& pod = pods[meta.uid()];
    pod.mutable_metadata()->set_uid(meta.uid());
    pod.mutable_metadata()->set_name(meta.name());
    pod.mutable_metadata()->set_namespace_(meta.namespace_());
  }
  for (const auto& container : containers.containers()) {
    auto uid = uid_of.find(container.pod_sandbox_id());
    if (uid == uid_of.end()) continue;
    auto* shown = pods[uid->second].mutable_spec()->add_containers();
    shown->set_name(container.metadata().name());
    shown->set_image(container.image().image());
  }
  k8s::v1::PodList list;
  for (auto& [uid, pod] : pods) list.add_items()->Swap(&pod);
  return list;
}

}  // namespace

KubeletServer::KubeletServer(base::Loop& loop, NodeView& view, cri::Runtime& runtime,
                             KubeletServerOptions options, auth::TokenReviewer* tokens,
                             auth::AccessReviewer* access)
    : loop_(loop),
      view_(view),
      runtime_(runtime),
      options_(std::move(options)),
      guard_(loop, options_.guard, tokens, access),
      streaming_(loop, view, runtime, /*local=*/false),
      log_watches_(loop),
      certificate_(loop, options_.certificate),
      secure_(loop, Routes(true), options_.limits),
      read_only_(loop, Routes(false), options_.limits) {}

HttpRoutes KubeletServer::Routes(bool secure) {
  HttpRoutes routes;
  AddPublicRoutes(routes);
  routes.observer = secure ? options_.secure_observer : options_.read_only_observer;
  if (options_.more_routes) options_.more_routes(routes, secure && options_.debugging_handlers);
  if (secure && options_.debugging_handlers)
    AddDebuggingRoutes(routes);
  else
    RefuseDebuggingRoutes(routes);
  if (secure)
    routes.filter = [this](const HttpRequest& request, Responder& responder) {
      return guard_.Admit(request, responder);
    };
  return routes;
}

// Calls a member as a handler.
#define KEELSON_HANDLER(Method) \
  [this](const HttpRequest& request, Responder& responder) { return Method(request, responder); }

void KubeletServer::AddPublicRoutes(HttpRoutes& routes) {
  routes.Add("GET", "/healthz", KEELSON_HANDLER(GetHealth));
  routes.Add("GET", "/healthz/{check}", KEELSON_HANDLER(GetHealth));
  routes.Add("GET", "/pods", KEELSON_HANDLER(GetPods));
}

void KubeletServer::AddDebuggingRoutes(HttpRoutes& routes) {
  routes.Add("GET", "/runningpods", KEELSON_HANDLER(GetRunningPods));
  routes.Add("GET", "/configz", KEELSON_HANDLER(GetConfig));
  routes.Add("GET", "/containerLogs/{namespace}/{pod}/{container}",
             KEELSON_HANDLER(GetContainerLogs));
  streaming_.AddRoutes(routes);
  if (options_.system_log_handler)
    routes.Add("GET", "/logs/{path*}", KEELSON_HANDLER(GetSystemLogs));
  else
    routes.Add("*", "/logs/{path*}", Says(405, "logs endpoint is disabled.\n"));
  if (!options_.profiling_handler)  // else it is one of more_routes
    routes.Add("*", "/debug/pprof/{name*}", Says(405, "profiling endpoint is disabled.\n"));
}

#undef KEELSON_HANDLER

void KubeletServer::RefuseDebuggingRoutes(HttpRoutes& routes) {
  for (std::string_view path : kDebuggingPaths)
    routes.Add("*", StrCat(path, "/{rest*}"), Says(405, "Debug endpoints are disabled.\n"));
}

absl::Status KubeletServer::LoadClientCa() {
  auto pem = base::ReadFile(options_.client_ca_file);
  if (!pem.ok()) return pem.status();
  auto authorities = auth::ClientAuthorities::Parse(*pem);
  if (!authorities.ok())
    return base::Annotate(authorities.status(),
                          StrCat("unable to load client CA file ", options_.client_ca_file));
  guard_.set_authorities(std::move(*authorities));
  return absl::OkStatus();
}

Task<absl::Status> KubeletServer::Start() {
  absl::Status certificate = co_await certificate_.Start();
  CO_RETURN_IF_ERROR(certificate);
  if (!options_.client_ca_file.empty()) {
    CO_RETURN_IF_ERROR(LoadClientCa());
    std::vector<std::string> files = {options_.client_ca_file};
    ca_watch_ = std::make_unique<FilesWatch>(loop_, std::move(files), [this] {
      absl::Status loaded = LoadClientCa();
      if (!loaded.ok())
        KLOG_WARNING("The client CA file cannot be used; the old one stays", {"err", loaded});
    });
    CO_RETURN_IF_ERROR(ca_watch_->Start());
  }
  auto context = [this] { return certificate_.context(); };
  auto secure = ListenTcp(loop_, options_.address, options_.port, TlsStreams(loop_, context));
  CO_RETURN_IF_ERROR(secure.status());
  name_ = (*secure)->Name();
  KLOG_INFO("Starting to listen", {"address", name_});
  secure_.Serve(std::move(*secure));
  if (options_.read_only_port == 0) co_return absl::OkStatus();
  auto plain = ListenTcp(loop_, options_.address, options_.read_only_port);
  CO_RETURN_IF_ERROR(plain.status());
  KLOG_INFO("Starting to listen read-only", {"address", (*plain)->Name()});
  read_only_.Serve(std::move(*plain));
  co_return absl::OkStatus();
}

Task<void> KubeletServer::Close() {
  co_await secure_.Close();
  co_await read_only_.Close();
  co_await log_watches_.Close();
  if (ca_watch_) co_await ca_watch_->Close();
  co_await certificate_.Close();
}

Task<void> KubeletServer::GetHealth(const HttpRequest& request, Responder& responder) {
  const absl::Status health = view_.Health();
  if (!health.ok()) KLOG_WARNING("Health check failed", {"err", health});
  return Reply(responder, HealthAnswer(request, health));
}

Task<void> KubeletServer::GetPods(const HttpRequest&, Responder& responder) {
  k8s::v1::PodList list;
  for (k8s::v1::Pod& pod : view_.Pods()) list.add_items()->Swap(&pod);
  return Reply(responder, Json(ListJson(list)));
}

Task<void> KubeletServer::GetRunningPods(const HttpRequest&, Responder& responder) {
  cri::rt::PodSandboxFilter ready;
  ready.mutable_state()->set_state(cri::rt::SANDBOX_READY);
  auto sandboxes = co_await runtime_.ListPodSandbox(std::move(ready));
  HttpResponse answer;
  if (sandboxes.ok()) {
    cri::rt::ContainerFilter running;
    running.mutable_state()->set_state(cri::rt::CONTAINER_RUNNING);
    auto containers = co_await runtime_.ListContainers(std::move(running));
    answer = containers.ok() ? Json(ListJson(PodsOf(*sandboxes, *containers)))
                             : TextResponse(500, std::string(base::Message(containers.status())));
  } else {
    answer = TextResponse(500, std::string(base::Message(sandboxes.status())));
  }
  co_await Reply(responder, std::move(answer));
}

Task<void> KubeletServer::GetConfig(const HttpRequest&, Responder& responder) {
  absl::StatusOr<proto::Value> config = proto::EncodeTree(view_.Configuration());
  if (!config.ok())
    return Reply(responder, TextResponse(500, std::string(base::Message(config.status()))));
  proto::Value whole = proto::Value::Map();
  whole.members.push_back({"kubeletconfig", 0, std::move(*config)});
  return Reply(responder, Json(ToJson(whole)));
}

Task<void> KubeletServer::GetContainerLogs(const HttpRequest& request, Responder& responder) {
  absl::StatusOr<LogQuery> query = ParseLogQuery(request.query, loop_.clock().Now());
  const std::string& name = request.params.at("pod");
  const std::string& container = request.params.at("container");
  HttpResponse refused;
  if (absl::IsInvalidArgument(query.status())) {
    refused = TextResponse(400, R"({"message": "Unable to decode query."})");
  } else if (!query.ok()) {
    refused = TextResponse(422, R"({"message": "Invalid request."})");
  } else {
    refused = TextResponse(404, StrCat("pod \"", name, "\" does not exist"));
    for (const k8s::v1::Pod& pod : view_.Pods()) {
      if (pod.metadata().namespace_() != request.params.at("namespace") ||
          pod.metadata().name() != name)
        continue;
      refused = TextResponse(
          404, StrCat("container \"", container, "\" not found in pod \"", name, "\""));
      if (!HasContainer(pod.spec(), container)) continue;
      if (query->request.filter.stream.empty() || MaySplitLogs(view_))
        return ServeContainerLogs(loop_, view_, log_watches_, std::move(query), request, responder);
      refused = TextResponse(
          400, StrCat("unable to return the given log stream: \"",
                      request.QueryValue("stream").value_or(""),
                      "\". Please enable PodLogsQuerySplitStreams feature gate in kubelet"));
    }
  }
  return Reply(responder, std::move(refused));
}

Task<void> KubeletServer::GetSystemLogs(const HttpRequest& request, Responder& responder) {
  return ServeSystemLog(loop_, options_.system_log_dir, request.params.at("path"), responder);
}

}  // namespace keelson::kubelet
