// SPDX-License-Identifier: Apache-2.0
#include "kubelet/client/http_api_server.h"

#include <google/protobuf/message.h>

#include "base/errno_status.h"
#include "base/log.h"
#include "base/strings.h"
#include "kubelet/client/rate_limit.h"
#include "kubelet/client/transport.h"
#include "kubelet/client/watch_frames.h"
#include "kubelet/client/wire.h"

namespace keelson::kubelet::client {
namespace {

using base::StrCat;
using base::Task;

// Of one request on connections that break under it; curl itself retries what was surely not sent.
constexpr int kBrokenRetries = 2;
// A longer Retry-After is the caller's to wait for: it may have something better to do.
constexpr base::Nanos kLongestWait = std::chrono::minutes(1);
// After the moment a server should have ended a watch.
constexpr base::Nanos kWatchGrace = std::chrono::seconds(30);

// What changes something is not repeated blindly: the second of two may fail by what the first did,
// and only the caller can tell.
bool Idempotent(const ApiRequest& request) {
  return request.verb == Verb::kGet || request.verb == Verb::kList;
}

// What has been tried for one call.
struct Attempts {
  int refused = 0;       // 429 and 5xx with Retry-After
  int broken = 0;        // connections
  bool renewed = false;  // credentials, after a 401
};

class HttpWatch : public WatchStream {
 public:
  HttpWatch(std::shared_ptr<CurlTransport> transport, std::unique_ptr<Exchange> exchange,
            const Resource& resource, std::string what, size_t max_event)
      : transport_(std::move(transport)),
        exchange_(std::move(exchange)),
        resource_(resource),
        what_(std::move(what)),
        encoding_(EncodingOf(exchange_->content_type)),
        frames_(encoding_, max_event) {}

  Task<absl::StatusOr<std::optional<WatchEvent>>> Next() override {
    for (;;) {
      frames_.Add(exchange_->body);
      exchange_->body.clear();
      auto frame = frames_.Next();
      if (!frame.ok()) co_return base::Annotate(frame.status(), what_);
      if (*frame) {
        auto event = DecodeWatchEvent(encoding_, **frame, resource_, what_);
        CO_RETURN_IF_ERROR(event.status());
        co_return std::optional<WatchEvent>(*std::move(event));
      }
      if (exchange_->done) break;
      co_await exchange_->changed.Wait();
    }
    CO_RETURN_IF_ERROR(exchange_->Failure(what_));
    if (frames_.size() > 0) {
      co_return absl::UnavailableError(StrCat(what_, ": ended in the middle of an event"));
    }
    co_return std::optional<WatchEvent>();
  }

 private:
  const std::shared_ptr<CurlTransport> transport_;  // outlives the exchange
  const std::unique_ptr<Exchange> exchange_;
  const Resource& resource_;
  const std::string what_;
  const Encoding encoding_;
  FrameReader frames_;
};

class HttpApiServer : public ApiServer {
 public:
  HttpApiServer(base::Loop& loop, std::shared_ptr<CurlTransport> transport, ClientOptions options)
      : loop_(loop),
        transport_(std::move(transport)),
        options_(options),
        bucket_(options.qps, options.burst) {}

  Task<absl::Status> Do(ApiRequest request, Message* answer) override;
  Task<absl::StatusOr<std::unique_ptr<WatchStream>>> Watch(const Resource& resource, std::string ns,
                                                           WatchOptions options) override;
  Task<absl::StatusOr<std::string>> GetRaw(std::string path) override;

 private:
  using ExchangePtr = std::unique_ptr<Exchange>;

  Task<void> TakeTurn();
  // Sends `call` until it is answered with success: the exchange, whole or with its head when it
  // streams. `repeatable`: a broken connection is no reason to stop.
  Task<absl::StatusOr<ExchangePtr>> Send(HttpCall call, std::string what, bool repeatable);
  // Sends once and waits; `*who` becomes those it was sent as.
  Task<absl::StatusOr<ExchangePtr>> SendOnce(HttpCall call, std::string what,
                                             std::shared_ptr<const Credentials>* who);
  // Whether to try again after `failure`, and when; nullopt: no.
  std::optional<base::Nanos> TryAgain(const absl::Status& failure, const Exchange* exchange,
                                      const Credentials& who, bool repeatable, Attempts* attempts);
  HttpCall CallFor(const ApiRequest& request) const;

  base::Loop& loop_;
  const std::shared_ptr<CurlTransport> transport_;
  const ClientOptions options_;
  TokenBucket bucket_;
};

Task<void> HttpApiServer::TakeTurn() {
  const base::Nanos wait = bucket_.Reserve(loop_.clock().Monotonic());
  if (wait.count() == 0) co_return;
  if (wait > std::chrono::seconds(1)) {
    KLOG_V(2, "Waiting for our own rate limit", {"wait", base::GoDuration(wait)});
  }
  struct Place {  // given back when the wait is cancelled
    ~Place() {
      if (bucket != nullptr) bucket->Return();
    }
    TokenBucket* bucket;
  };
  Place place{&bucket_};
  co_await base::Sleep(loop_.clock(), wait);
  place.bucket = nullptr;
}

Task<absl::StatusOr<HttpApiServer::ExchangePtr>> HttpApiServer::SendOnce(
    HttpCall call, std::string what, std::shared_ptr<const Credentials>* who) {
  auto credentials = co_await transport_->credentials().Get();
  if (!credentials.ok()) co_return base::Annotate(credentials.status(), what);
  *who = *credentials;
  co_await TakeTurn();
  const bool streaming = call.streaming;
  const std::string method = call.method;
  const base::MonoTime sent = loop_.clock().Monotonic();
  const base::MonoTime head_due = sent + options_.timeout;
  auto exchange = transport_->Start(std::move(call), **credentials);
  CO_RETURN_IF_ERROR(exchange.status());
  Exchange& running = **exchange;
  while (!running.done && !(streaming && running.head_done && running.status < 300)) {
    if (!streaming || running.head_done) {
      co_await running.changed.Wait();
      continue;
    }
    const bool woken = co_await running.changed.WaitUntil(loop_.clock(), head_due);
    if (!woken && !running.head_done && !running.done) {
      transport_->engine().GiveUpSilent(running.started());
      transport_->Answered(method, 0, loop_.clock().Monotonic() - sent);
      co_return absl::DeadlineExceededError(
          StrCat(what, ": no answer after ", base::GoDuration(options_.timeout)));
    }
  }
  if (running.done && running.result == CURLE_OPERATION_TIMEDOUT) {
    transport_->engine().GiveUpSilent(running.started());
  }
  transport_->Answered(method, running.head_done ? static_cast<int>(running.status) : 0,
                       loop_.clock().Monotonic() - sent);
  co_return std::move(exchange);
}

Task<absl::StatusOr<HttpApiServer::ExchangePtr>> HttpApiServer::Send(HttpCall call,
                                                                     std::string what,
                                                                     bool repeatable) {
  Attempts attempts;
  for (;;) {
    std::shared_ptr<const Credentials> who;
    auto sent = co_await SendOnce(call, what, &who);
    CO_RETURN_IF_ERROR(sent.status());
    Exchange& exchange = **sent;
    absl::Status failure = exchange.done ? exchange.Failure(what) : absl::OkStatus();
    if (failure.ok() && exchange.status >= 300) {
      failure = ToStatus(
          DecodeError(exchange.status, exchange.content_type, exchange.body, exchange.retry_after),
          what);
    }
    if (failure.ok()) co_return std::move(sent);
    const auto wait = TryAgain(failure, &exchange, *who, repeatable, &attempts);
    if (!wait) co_return failure;
    KLOG_V(2, "API request is repeated", {"in", base::GoDuration(*wait)}, {"err", failure});
    sent->reset();  // before we wait
    if (wait->count() > 0) co_await base::Sleep(loop_.clock(), *wait);
  }
}

std::optional<base::Nanos> HttpApiServer::TryAgain(const absl::Status& failure,
                                                   const Exchange* exchange, const Credentials& who,
                                                   bool repeatable, Attempts* attempts) {
  const auto error = ApiErrorOf(failure);
  if (!error) {
    const bool again = repeatable && exchange->Broken() && attempts->broken++ < kBrokenRetries;
    return again ? std::optional(base::Nanos(0)) : std::nullopt;
  }
  if (error->code == 401) {
    const bool again = !attempts->renewed && transport_->credentials().Refused(who);
    attempts->renewed = true;
    return again ? std::optional(base::Nanos(0)) : std::nullopt;
  }
  // Priority and fairness turns requests away before anything is done, and says when to come back.
  const bool later = (error->code == 429 || error->code >= 500) && !exchange->retry_after.empty();
  if (!later || error->retry_after > kLongestWait) return std::nullopt;
  return attempts->refused++ < options_.max_retries ? std::optional(error->retry_after)
                                                    : std::nullopt;
}

HttpCall HttpApiServer::CallFor(const ApiRequest& request) const {
  HttpCall call;
  call.method = HttpMethod(request.verb);
  call.path = UrlOf(request);
  call.accept = AcceptHeader(options_.protobuf);
  call.compressed = request.verb == Verb::kList;
  call.timeout = options_.timeout;
  call.max_body = options_.max_answer;
  return call;
}

Task<absl::Status> HttpApiServer::Do(ApiRequest request, Message* answer) {
  const std::string what = request.Describe();
  HttpCall call = CallFor(request);
  bool protobuf = options_.protobuf;
  for (;;) {
    auto body = EncodeBody(request, protobuf);
    if (!body.ok()) co_return base::Annotate(body.status(), what);
    call.content_type = body->content_type;
    call.body = std::move(body->bytes);
    auto sent = co_await Send(call, what, Idempotent(request));
    const auto error = ApiErrorOf(sent.status());
    if (error && error->code == 415 && protobuf && request.verb != Verb::kPatch) {
      protobuf = false;  // extended resources and aggregated servers may know JSON only
      continue;
    }
    CO_RETURN_IF_ERROR(sent.status());
    if (answer == nullptr) co_return absl::OkStatus();
    const Exchange& exchange = **sent;
    co_return base::Annotate(DecodeAnswer(exchange.content_type, exchange.body, answer), what);
  }
}

Task<absl::StatusOr<std::unique_ptr<WatchStream>>> HttpApiServer::Watch(const Resource& resource,
                                                                        std::string ns,
                                                                        WatchOptions options) {
  std::string what = StrCat("WATCH ", resource.Path(ns, ""));
  if (!options.field_selector.empty()) base::StrAppend(&what, " (", options.field_selector, ")");
  HttpCall call;
  call.method = "GET";
  call.path = WatchUrl(resource, ns, options);
  call.accept = AcceptHeader(options_.protobuf);
  call.streaming = true;
  if (options.timeout.count() > 0) call.timeout = options.timeout + kWatchGrace;
  call.max_body = 4 * options_.max_event;
  auto sent = co_await Send(std::move(call), what, /*repeatable=*/true);
  CO_RETURN_IF_ERROR(sent.status());
  co_return std::make_unique<HttpWatch>(transport_, *std::move(sent), resource, what,
                                        options_.max_event);
}

Task<absl::StatusOr<std::string>> HttpApiServer::GetRaw(std::string path) {
  HttpCall call;
  call.method = "GET";
  call.path = path;
  call.accept = "*/*";
  call.timeout = options_.timeout;
  const std::string what = "GET " + path;
  auto sent = co_await Send(std::move(call), what, /*repeatable=*/true);
  CO_RETURN_IF_ERROR(sent.status());
  co_return std::move((*sent)->body);
}

}  // namespace

std::unique_ptr<ApiServer> NewHttpApiServer(base::Loop& loop, std::shared_ptr<Transport> transport,
                                            ClientOptions options) {
  // Transport::Create is the only maker of transports.
  return std::make_unique<HttpApiServer>(
      loop, std::static_pointer_cast<CurlTransport>(std::move(transport)), options);
}

}  // namespace keelson::kubelet::client
