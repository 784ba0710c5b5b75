// SPDX-License-Identifier: Apache-2.0
#include "probes/hooks.h"

#include "absl/strings/match.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/strings.h"
#include "cri/error.h"
#include "probes/connect.h"
#include "probes/exec_words.h"
#include "probes/live_time.h"

namespace keelson::probes {

using base::StrCat;
using base::Task;

namespace v1 = k8s::v1;

namespace {

const v1::Container* FindContainer(const v1::Pod& pod, const std::string& name) {
  for (const auto* list : {&pod.spec().containers(), &pod.spec().initcontainers()})
    for (const auto& container : *list)
      if (container.name() == name) return &container;
  return nullptr;
}

// "... hook (what) for Container "c" in Pod "p_ns(uid)" failed - error: why"
absl::Status HookFailed(std::string_view kind, std::string_view what, const HookTarget& target,
                        const v1::Pod& pod, std::string_view why) {
  const auto& meta = pod.metadata();
  const std::string name =
      StrCat(meta.name(), "_", meta.namespace_(), "(", meta.uid(), ")");
  return absl::UnknownError(StrCat(kind, " lifecycle hook (", what, ") for Container ",
                                   Quoted(target.container), " in Pod ", Quoted(name),
                                   " failed - error: ", why));
}

std::vector<std::string> Words(const v1::ExecAction& action) {
  return {action.command().begin(), action.command().end()};
}

}  // namespace

Task<absl::Status> NodeHooks::PostStart(PodPtr pod, HookTarget target) {
  const v1::Container* container = FindContainer(*pod, target.container);
  if (!container || !HasPostStart(*container)) co_return absl::OkStatus();
  const v1::LifecycleHandler& handler = container->lifecycle().poststart();
  co_return co_await Run(pod, std::move(target), handler);
}

Task<absl::Status> NodeHooks::PreStop(PodPtr pod, HookTarget target, base::Nanos limit) {
  const v1::Container* container = FindContainer(*pod, target.container);
  if (!container || !HasPreStop(*container)) co_return absl::OkStatus();
  auto result = std::make_shared<absl::Status>();
  const std::string name = target.container;
  const bool ended =
      co_await RunWithin(loop_, limit, RunInto(pod, std::move(target),
                                               container->lifecycle().prestop(), result));
  if (ended) co_return *result;
  KLOG_WARNING("A preStop hook did not end with its container and was cut off",
               {"pod", StrCat(pod->metadata().namespace_(), "/", pod->metadata().name())},
               {"container", name}, {"limit", base::GoDuration(limit)});
  co_return absl::OkStatus();
}

Task<void> NodeHooks::RunInto(PodPtr pod, HookTarget target, const v1::LifecycleHandler& handler,
                              std::shared_ptr<absl::Status> result) {
  *result = co_await Run(std::move(pod), std::move(target), handler);
}

Task<absl::Status> NodeHooks::Run(PodPtr pod, HookTarget target,
                                  const v1::LifecycleHandler& handler) {
  if (handler.has_exec()) co_return co_await Exec(target, *pod, handler.exec());
  if (handler.has_httpget()) co_return co_await HttpGet(target, *pod, handler.httpget());
  co_await base::Sleep(loop_.clock(), std::chrono::seconds(handler.sleep().seconds()));
  co_return absl::OkStatus();
}

Task<absl::Status> NodeHooks::Exec(const HookTarget& target, const v1::Pod& pod,
                                   const v1::ExecAction& action) {
  const std::vector<std::string> command = Words(action);
  auto response = co_await runtime_.ExecSync(target.id, command, std::chrono::seconds(0));
  if (response.ok() && response->exit_code() == 0) co_return absl::OkStatus();
  std::string error, output;
  if (response.ok()) {
    output = ExecOutput(*response).substr(0, kMaxBodyBytes);
    error = StrCat("command '", Join(command, " "), "' exited with ", response->exit_code(), ": ",
                   ExecErrors(*response).substr(0, kMaxBodyBytes));
  } else {
    error = cri::GrpcErrorText(response.status());
  }
  co_return HookFailed("Exec", StrCat("[", Join(command, " "), "]"), target, pod,
                       StrCat(error, ", message: ", Quoted(output)));
}

Task<absl::Status> NodeHooks::HttpGet(const HookTarget& target, const v1::Pod& pod,
                                      const v1::HTTPGetAction& action) {
  const v1::Container* container = FindContainer(pod, target.container);
  const std::string pod_ip = target.pod_ips.empty() ? "" : target.pod_ips.front();
  if (pod_ip.empty() && action.host().empty())
    co_return HookFailed("HTTP", action.path(), target, pod, "the pod has no address yet");
  auto call = MakeHttpCall(action, *container, pod_ip, kLifecycleAgent);
  if (!call.ok())
    co_return HookFailed("HTTP", action.path(), target, pod, base::Message(call.status()));
  auto exchange = std::make_shared<HttpExchange>();
  co_await probes::HttpGet(loop_, *call, exchange);
  // Any answer is good; a body cut short is still an answer.
  if (exchange->error.empty() || exchange->head_read) co_return absl::OkStatus();
  const std::string error = StrCat("Get ", Quoted(exchange->url), ": ", exchange->error);
  if (!exchange->plain_answer) co_return HookFailed("HTTP", action.path(), target, pod, error);

  // Hooks were once sent in plain text whatever their scheme said. Secrets stay behind.
  call->url.tls = false;
  std::erase_if(call->headers, [](const auto& header) {
    return absl::EqualsIgnoreCase(header.first, "Authorization");
  });
  auto plain = std::make_shared<HttpExchange>();
  co_await probes::HttpGet(loop_, *call, plain);
  if (!plain->error.empty() && !plain->head_read)
    co_return HookFailed("HTTP", action.path(), target, pod, error);
  on_event_(pod, target.container, true, "LifecycleHTTPFallback",
            StrCat("request to HTTPS lifecycle hook ", call->url.Authority(),
                   " got HTTP response, retry with HTTP succeeded"));
  co_return absl::OkStatus();
}

}  // namespace keelson::probes
