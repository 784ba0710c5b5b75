// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/streaming_endpoints.h"

#include "base/strings.h"
#include "kubelet/server/replies.h"
#include "kubelet/server/spdy_tunnel.h"
#include "kubelet/server/streaming.h"
#include "kubelet/server/websocket_streams.h"

namespace keelson::kubelet {
namespace {

using base::StrCat;
using base::Task;

constexpr char kPodUidLabel[] = "io.kubernetes.pod.uid";
constexpr char kContainerLabel[] = "io.kubernetes.container.name";

// How a failed call of the runtime reads (cri-streaming's WriteError).
HttpResponse RuntimeError(const absl::Status& status) {
  HttpResponse response = TextResponse(500, std::string(base::Message(status)));
  if (absl::IsNotFound(status)) response.status = 404;
  if (absl::IsResourceExhausted(status)) {
    response.status = 429;
    response.headers.emplace_back("Retry-After", "60");
  }
  return response;
}

bool WantsTerminal(const k8s::v1::PodSpec& spec, const std::string& name) {
  for (const auto* list : {&spec.containers(), &spec.initcontainers()})
    for (const auto& container : *list)
      if (container.name() == name) return container.tty();
  for (const auto& container : spec.ephemeralcontainers())
    if (container.ephemeralcontainercommon().name() == name)
      return container.ephemeralcontainercommon().tty();
  return false;
}

std::vector<std::string> Values(const Query& query, std::string_view wanted) {
  std::vector<std::string> values;
  for (const auto& [name, value] : query)
    if (name == wanted) values.push_back(value);
  return values;
}

// `a b` as Go splits it: every single space counts.
std::vector<std::string> SplitAtSpaces(const std::string& text) {
  std::vector<std::string> words(1);
  for (char c : text) {
    if (c == ' ')
      words.emplace_back();
    else
      words.back() += c;
  }
  return words;
}

absl::Status NoContainer(const HttpRequest& request) {
  return absl::InternalError(
      StrCat("container not found (\"", request.params.at("container"), "\")"));
}

template <typename Request>
void SetStreams(const StreamOptions& options, Request* request) {
  request->set_stdin(options.stdin_on);
  request->set_stdout(options.stdout_on);
  request->set_stderr(options.stderr_on);
  request->set_tty(options.tty);
}

}  // namespace

void StreamingEndpoints::AddRoutes(HttpRoutes& routes) {
  auto add = [&](std::string method, std::string pattern,
                 Task<void> (StreamingEndpoints::*handler)(const HttpRequest&, Responder&)) {
    routes.Add(std::move(method), std::move(pattern),
               [this, handler](const HttpRequest& request, Responder& responder) {
                 return (this->*handler)(request, responder);
               });
  };
  for (const char* uid : {"", "/{uid}"}) {
    const std::string pod = StrCat("/{namespace}/{pod}", uid);
    add("POST", StrCat("/run", pod, "/{container}"), &StreamingEndpoints::Run);
    for (const char* method : {"GET", "POST"}) {
      add(method, StrCat("/exec", pod, "/{container}"), &StreamingEndpoints::Exec);
      add(method, StrCat("/attach", pod, "/{container}"), &StreamingEndpoints::Attach);
      add(method, StrCat("/portForward", pod), &StreamingEndpoints::PortForward);
    }
  }
}

Task<std::optional<k8s::v1::Pod>> StreamingEndpoints::FindPod(const HttpRequest& request,
                                                              Responder& responder) {
  for (k8s::v1::Pod& pod : view_.Pods())
    if (pod.metadata().namespace_() == request.params.at("namespace") &&
        pod.metadata().name() == request.params.at("pod"))
      co_return std::move(pod);
  HttpResponse unknown = TextResponse(404, "pod does not exist");
  co_await Reply(responder, std::move(unknown));
  co_return std::nullopt;
}

Task<absl::StatusOr<std::string>> StreamingEndpoints::FindContainer(const HttpRequest& request,
                                                                    const k8s::v1::Pod& pod) {
  auto uid = request.params.find("uid");
  if (uid != request.params.end() && uid->second != pod.metadata().uid()) co_return std::string();
  cri::rt::ContainerFilter filter;
  filter.mutable_state()->set_state(cri::rt::CONTAINER_RUNNING);
  (*filter.mutable_label_selector())[kPodUidLabel] = pod.metadata().uid();
  (*filter.mutable_label_selector())[kContainerLabel] = request.params.at("container");
  auto found = co_await runtime_.ListContainers(std::move(filter));
  if (!found.ok()) co_return found.status();
  if (found->containers().empty()) co_return std::string();
  co_return found->containers(0).id();
}

Task<void> StreamingEndpoints::Run(const HttpRequest& request, Responder& responder) {
  std::optional<k8s::v1::Pod> pod = co_await FindPod(request, responder);
  if (!pod) co_return;
  absl::StatusOr<std::string> id = co_await FindContainer(request, *pod);
  if (id.ok() && id->empty()) id = NoContainer(request);
  HttpResponse answer;
  if (!id.ok()) {
    answer = TextResponse(500, std::string(base::Message(id.status())));
    co_await Reply(responder, std::move(answer));
    co_return;
  }
  std::vector<std::string> command = SplitAtSpaces(request.QueryValue("cmd").value_or(""));
  const std::chrono::seconds no_limit(0);
  auto done = co_await runtime_.ExecSync(*id, std::move(command), no_limit);
  if (!done.ok()) {
    answer = TextResponse(500, std::string(base::Message(done.status())));
  } else if (done->exit_code() != 0) {
    answer = TextResponse(500, StrCat("command terminated with exit code ", done->exit_code()));
  } else {
    answer = TextResponse(200, StrCat(done->stdout(), done->stderr()));
    answer.content_type = "application/json";  // whatever it is, as upstream says it
  }
  co_await Reply(responder, std::move(answer));
}

Task<void> StreamingEndpoints::Exec(const HttpRequest& request, Responder& responder) {
  return Converse(request, responder, &StreamingEndpoints::ExecUrl);
}

Task<void> StreamingEndpoints::Attach(const HttpRequest& request, Responder& responder) {
  return Converse(request, responder, &StreamingEndpoints::AttachUrl);
}

Task<void> StreamingEndpoints::Converse(const HttpRequest& request, Responder& responder,
                                        UrlMaker make_url) {
  absl::StatusOr<StreamOptions> options = ParseStreamOptions(request.query);
  HttpResponse refused;
  if (!options.ok()) {
    refused = TextResponse(400, std::string(base::Message(options.status())));
    co_await Reply(responder, std::move(refused));
    co_return;
  }
  std::optional<k8s::v1::Pod> pod = co_await FindPod(request, responder);
  if (!pod) co_return;
  absl::StatusOr<std::string> id = co_await FindContainer(request, *pod);
  absl::StatusOr<std::string> url = id;
  if (id.ok()) url = co_await (this->*make_url)(request, *pod, *id, &*options);
  if (url.ok()) {
    co_await Command(*url, *options, request, responder);
    co_return;
  }
  refused = RuntimeError(url.status());
  co_await Reply(responder, std::move(refused));
}

Task<absl::StatusOr<std::string>> StreamingEndpoints::ExecUrl(const HttpRequest& request,
                                                              const k8s::v1::Pod&, std::string id,
                                                              StreamOptions* options) {
  if (id.empty()) co_return NoContainer(request);
  cri::rt::ExecRequest exec;
  exec.set_container_id(id);
  for (std::string& word : Values(request.query, "command")) exec.add_cmd(std::move(word));
  SetStreams(*options, &exec);
  auto answer = co_await runtime_.Exec(std::move(exec));
  if (!answer.ok()) co_return answer.status();
  co_return answer->url();
}

Task<absl::StatusOr<std::string>> StreamingEndpoints::AttachUrl(const HttpRequest& request,
                                                                const k8s::v1::Pod& pod,
                                                                std::string id,
                                                                StreamOptions* options) {
  const std::string& container = request.params.at("container");
  if (id.empty())
    co_return absl::InternalError(StrCat("container ", container, " not found in pod ",
                                         pod.metadata().name(), "_", pod.metadata().namespace_()));
  // Whether there is a terminal was settled when the container started.
  options->tty = WantsTerminal(pod.spec(), container);
  if (options->tty) options->stderr_on = false;
  cri::rt::AttachRequest attach;
  attach.set_container_id(id);
  SetStreams(*options, &attach);
  auto answer = co_await runtime_.Attach(std::move(attach));
  if (!answer.ok()) co_return answer.status();
  co_return answer->url();
}

Task<void> StreamingEndpoints::Command(std::string url, StreamOptions options,
                                       const HttpRequest& request, Responder& responder) {
  if (!AsksForV5(request)) return ProxyUpgrade(loop_, std::move(url), request, responder);
  return TranslateStreams(loop_, std::move(url), PlanRemoteCommand(options), request, responder);
}

Task<void> StreamingEndpoints::Forward(std::string url, int32_t port, const HttpRequest& request,
                                       Responder& responder) {
  if (AsksForTunnel(request)) return TunnelSpdy(loop_, std::move(url), request, responder);
  if (local_ && AsksForLocalForward(request))
    return TranslateStreams(loop_, std::move(url), PlanForward(port), request, responder);
  return ProxyUpgrade(loop_, std::move(url), request, responder);
}

Task<void> StreamingEndpoints::PortForward(const HttpRequest& request, Responder& responder) {
  absl::StatusOr<std::vector<int32_t>> ports = std::vector<int32_t>();
  if (!AsksForTunnel(request)) ports = ParseForwardPorts(request);
  HttpResponse refused;
  if (!ports.ok()) {
    refused = TextResponse(400, std::string(base::Message(ports.status())));
    co_await Reply(responder, std::move(refused));
    co_return;
  }
  std::optional<k8s::v1::Pod> pod = co_await FindPod(request, responder);
  if (!pod) co_return;
  auto uid = request.params.find("uid");
  if (uid != request.params.end() && uid->second != pod->metadata().uid()) {
    refused = TextResponse(404, "pod not found");
    co_await Reply(responder, std::move(refused));
    co_return;
  }
  cri::rt::PodSandboxFilter filter;
  filter.mutable_state()->set_state(cri::rt::SANDBOX_READY);
  (*filter.mutable_label_selector())[kPodUidLabel] = pod->metadata().uid();
  auto sandboxes = co_await runtime_.ListPodSandbox(std::move(filter));
  absl::Status problem = sandboxes.status();
  if (sandboxes.ok() && sandboxes->items().empty())
    problem = absl::InternalError(StrCat("pod not found (\"", pod->metadata().name(), "_",
                                         pod->metadata().namespace_(), "\")"));
  if (problem.ok()) {
    cri::rt::PortForwardRequest forward;
    forward.set_pod_sandbox_id(sandboxes->items(0).id());
    for (int32_t port : *ports) forward.add_port(port);
    auto url = co_await runtime_.PortForward(std::move(forward));
    if (url.ok()) {
      co_await Forward(url->url(), ports->empty() ? 0 : (*ports)[0], request, responder);
      co_return;
    }
    problem = url.status();
  }
  refused = RuntimeError(problem);
  co_await Reply(responder, std::move(refused));
}

}  // namespace keelson::kubelet
