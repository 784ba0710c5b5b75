// SPDX-License-Identifier: Apache-2.0
#include "probes/checks.h"

#include "base/loop.h"
#include "base/strings.h"
#include "cri/error.h"
#include "cri/expand.h"
#include "cri/rpc.h"
#include "probes/connect.h"
#include "probes/exec_words.h"
#include "probes/live_time.h"
#include "proto/health/health.pb.h"

namespace keelson::probes {

using base::StrCat;
using base::Task;

namespace health = grpc::health::v1;

namespace {

constexpr int kTries = 3;

std::vector<std::string> Command(const Question& q) {
  // Literal values only: what comes from elsewhere is known to the container alone.
  std::vector<cri::EnvVar> env;
  for (const auto& variable : q.container->env()) env.push_back({variable.name(), variable.value()});
  std::vector<std::string> command;
  for (const auto& word : q.probe->handler().exec().command())
    command.push_back(cri::Expand(word, env));
  return command;
}

std::string PodName(const k8s::v1::Pod& pod) {
  const auto& meta = pod.metadata();
  return StrCat(meta.name(), "_", meta.namespace_(), "(", meta.uid(), ")");
}

Answer JudgeHttp(const HttpExchange& x, bool in_time) {
  if (!in_time && x.head_read)
    return Answer::Error(
        Verdict::kFailure,
        "context deadline exceeded (Client.Timeout or context cancellation while reading body)");
  if (!in_time)
    return Answer::Failure(
        StrCat("Get ", Quoted(x.url),
               ": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"));
  if (!x.error.empty() && x.head_read) return Answer::Error(Verdict::kFailure, x.error);
  if (!x.error.empty()) return Answer::Failure(StrCat("Get ", Quoted(x.url), ": ", x.error));
  if (x.code < 200 || x.code >= 400)
    return Answer::Failure(StrCat("HTTP probe failed with statuscode: ", x.code));
  if (x.code >= 300)
    return Answer::Warning(StrCat("Probe terminated redirects, Response body: ", x.body));
  return Answer::Success(x.body);
}

Answer JudgeHealth(const absl::Status& status, const health::HealthCheckResponse& response) {
  if (absl::IsUnimplemented(status))
    return Answer::Failure(
        StrCat("error: this server does not implement the grpc health protocol "
               "(grpc.health.v1.Health): ",
               cri::RuntimeMessage(status)));
  if (!status.ok())
    return Answer::Failure(StrCat("error: health rpc probe failed: ", cri::GrpcErrorText(status)));
  if (response.status() == health::HealthCheckResponse::SERVING)
    return Answer::Success("service healthy");
  const auto* value = health::HealthCheckResponse::ServingStatus_descriptor()->FindValueByNumber(
      response.status());
  const std::string name = value ? value->name() : StrCat(static_cast<int>(response.status()));
  return Answer::Failure(StrCat("service unhealthy (responded with ", Quoted(name), ")"));
}

// A probe's result and how far it came, shared with the task that may be cut off.
struct Dialed {
  absl::StatusOr<base::UniqueFd> socket = absl::UnknownError("not dialed");
};
Task<void> DialInto(base::Loop& loop, std::string host, int port, std::shared_ptr<Dialed> out) {
  out->socket = co_await Connect(loop, std::move(host), port);
}

struct HealthCheck {
  bool connected = false;
  absl::Status status;
  std::shared_ptr<health::HealthCheckResponse> response =
      std::make_shared<health::HealthCheckResponse>();
};
Task<void> CheckInto(base::Loop& loop, std::shared_ptr<cri::RpcPoller> poller, std::string host,
                     int port, std::string service, std::shared_ptr<HealthCheck> out) {
  auto socket = co_await Connect(loop, host, port);
  if (!socket.ok()) {
    out->status = socket.status();
    co_return;
  }
  out->connected = true;
  auto channel = cri::RpcChannel::FromSocket(loop, std::move(poller), *std::move(socket),
                                             HostPort(host, port), std::string(kProbeAgent));
  auto request = std::make_shared<health::HealthCheckRequest>();
  request->set_service(std::move(service));
  cri::CallOptions options;
  options.service = "grpc.health.v1.Health";
  options.method = "Check";
  out->status = co_await channel->Unary(std::move(options), std::move(request), out->response);
}

}  // namespace

Task<Answer> Checks::Ask(Question question) {
  Answer answer;
  for (int i = 0; i < kTries; ++i) {
    answer = co_await AskOnce(question);
    if (!answer.error) break;
  }
  co_return answer;
}

Task<Answer> Checks::AskOnce(const Question& q) {
  const auto& handler = q.probe->handler();
  if (handler.has_exec()) co_return co_await Exec(q);
  if (handler.has_httpget()) co_return co_await HttpGet(q);
  if (handler.has_tcpsocket()) co_return co_await TcpSocket(q);
  if (handler.has_grpc()) co_return co_await Grpc(q);
  co_return Answer::Error(Verdict::kUnknown, StrCat("missing probe handler for ", PodName(*q.pod),
                                                    ":", q.container->name()));
}

Task<Answer> Checks::Exec(const Question& q) {
  const std::vector<std::string> command = Command(q);
  const auto timeout = std::chrono::duration_cast<std::chrono::seconds>(TimeoutOf(*q.probe));
  auto response = co_await runtime_.ExecSync(q.container_id, command, timeout);
  if (absl::IsDeadlineExceeded(response.status()))
    co_return Answer::Failure(StrCat("command timed out: ", Quoted(Join(command, " ")),
                                     " timed out after ", base::GoDuration(timeout)));
  if (!response.ok())
    co_return Answer::Error(Verdict::kUnknown, cri::GrpcErrorText(response.status()));
  std::string output = ExecOutput(*response).substr(0, kMaxBodyBytes);
  if (response->exit_code() == 0) co_return Answer::Success(std::move(output));
  co_return Answer::Failure(std::move(output));
}

Task<Answer> Checks::HttpGet(const Question& q) {
  auto call = MakeHttpCall(q.probe->handler().httpget(), *q.container, q.pod_ip, kProbeAgent);
  if (!call.ok())
    co_return Answer::Error(Verdict::kUnknown, std::string(base::Message(call.status())));
  auto exchange = std::make_shared<HttpExchange>();
  const bool in_time = co_await RunWithin(loop_, TimeoutOf(*q.probe),
                                          probes::HttpGet(loop_, *std::move(call), exchange));
  co_return JudgeHttp(*exchange, in_time);
}

Task<Answer> Checks::TcpSocket(const Question& q) {
  const auto& action = q.probe->handler().tcpsocket();
  auto port = ResolvePort(action.port(), *q.container);
  if (!port.ok())
    co_return Answer::Error(Verdict::kUnknown, std::string(base::Message(port.status())));
  const std::string host = action.host().empty() ? q.pod_ip : action.host();
  auto dialed = std::make_shared<Dialed>();
  const bool in_time =
      co_await RunWithin(loop_, TimeoutOf(*q.probe), DialInto(loop_, host, *port, dialed));
  if (!in_time)
    co_return Answer::Failure(StrCat("dial tcp ", HostPort(host, *port), ": i/o timeout"));
  if (!dialed->socket.ok())
    co_return Answer::Failure(std::string(base::Message(dialed->socket.status())));
  co_return Answer::Success("");
}

Task<Answer> Checks::Grpc(const Question& q) {
  const auto& action = q.probe->handler().grpc();
  const base::Nanos timeout = TimeoutOf(*q.probe);
  const std::string address = HostPort(q.pod_ip, action.port());
  if (!poller_) poller_ = std::make_shared<cri::RpcPoller>();
  auto check = std::make_shared<HealthCheck>();
  const bool in_time = co_await RunWithin(
      loop_, timeout,
      CheckInto(loop_, poller_, q.pod_ip, action.port(), action.service(), check));
  if (!in_time && !check->connected)
    co_return Answer::Failure(StrCat("timeout: failed to connect service ", Quoted(address),
                                     " within ", base::GoDuration(timeout),
                                     ": context deadline exceeded"));
  if (!in_time)
    co_return Answer::Failure(
        StrCat("timeout: health rpc did not complete within ", base::GoDuration(timeout)));
  if (!check->connected)
    co_return Answer::Failure(StrCat("error: failed to connect service at ", Quoted(address), ": ",
                                     base::Message(check->status)));
  co_return JudgeHealth(check->status, *check->response);
}

}  // namespace keelson::probes
