// SPDX-License-Identifier: Apache-2.0
#include "test/apiserver/fake_api_server.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "base/errno_status.h"
#include "base/strings.h"
#include "proto/k8s/meta.pb.h"

namespace keelson::apiserver {

using base::StrCat;
using base::Task;
namespace client = kubelet::client;

namespace {

absl::Status Unreachable(std::string_view what) {
  return absl::UnavailableError(StrCat(what, ": connection refused"));
}

uint64_t Number(const std::string& text, uint64_t otherwise) {
  uint64_t value = otherwise;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

FakeApiServer::~FakeApiServer() { KEELSON_CHECK(watches_.empty()); }

Task<absl::Status> FakeApiServer::Suffer(std::string what, Fault* suffered) {
  requests.push_back(what);
  if (fault) *suffered = fault(what);
  if (suffered->hang) {
    base::Wakeup never;
    co_await never.Wait();
  }
  if (suffered->delay.count() > 0) co_await base::Sleep(loop_.clock(), suffered->delay);
  if (!reachable_ || suffered->refuse) co_return Unreachable(what);
  if (suffered->error == 0) co_return absl::OkStatus();
  k8s::meta::v1::Status wire;
  client::ApiError error = client::FromStatusObject(wire, suffered->error);
  error.message = "a fault of the test";
  error.retry_after = suffered->retry_after;
  co_return client::ToStatus(error, what);
}

Task<absl::Status> FakeApiServer::Do(ApiRequest request, Message* answer) {
  Fault suffered;
  const std::string what = request.Describe();
  auto status = co_await Suffer(what, &suffered);
  CO_RETURN_IF_ERROR(status);
  status = store_.Do(request, answer);
  if (suffered.lose) co_return absl::UnavailableError(StrCat(what, ": connection reset by peer"));
  if (const auto error = client::ApiErrorOf(status)) co_return client::ToStatus(*error, what);
  co_return status;
}

Task<absl::StatusOr<std::unique_ptr<client::WatchStream>>> FakeApiServer::Watch(
    const Resource& resource, std::string ns, WatchOptions options) {
  Fault suffered;
  std::string what = StrCat("WATCH ", resource.Path(ns, ""));
  if (!options.field_selector.empty()) base::StrAppend(&what, " (", options.field_selector, ")");
  auto status = co_await Suffer(what, &suffered);
  CO_RETURN_IF_ERROR(status);
  const uint64_t after = Number(options.resource_version, store_.version());
  status = store_.CheckWatch(after);
  CO_RETURN_IF_ERROR(status);
  co_return std::make_unique<FakeWatch>(*this, resource, ns, options);
}

Task<absl::StatusOr<std::string>> FakeApiServer::GetRaw(std::string path) {
  Fault suffered;
  const std::string what = "GET " + path;
  auto status = co_await Suffer(what, &suffered);
  CO_RETURN_IF_ERROR(status);
  co_return std::string("ok");
}

void FakeApiServer::SetReachable(bool reachable) {
  reachable_ = reachable;
  if (!reachable) EndWatches(/*broken=*/true);
}

void FakeApiServer::EndWatches(bool broken) {
  FailWatches(broken ? absl::UnavailableError("watch: connection reset by peer")
                     : absl::OkStatus());
}

void FakeApiServer::FailWatches(absl::Status error) {
  for (FakeWatch* watch : watches_) watch->End(error);
}

void FakeApiServer::Abandon() {
  for (FakeWatch* watch : std::exchange(watches_, {})) watch->StopListening();
}

int FakeApiServer::CountRequests(std::string_view prefix) const {
  return static_cast<int>(std::count_if(requests.begin(), requests.end(), [&](const auto& request) {
    return request.starts_with(prefix);
  }));
}

FakeWatch::FakeWatch(FakeApiServer& server, const Resource& resource, std::string ns,
                     WatchOptions options)
    : server_(server),
      resource_(resource),
      ns_(std::move(ns)),
      selector_(options.field_selector, options.label_selector),
      bookmarks_(options.bookmarks),
      position_(Number(options.resource_version, server.store_.version())) {
  const base::MonoTime now = server.loop_.clock().Monotonic();
  ends_ = options.timeout.count() > 0 ? now + options.timeout : now + std::chrono::hours(1);
  next_bookmark_ = now + server.bookmark_period;
  stop_listening_ = server.store_.OnChange([this] { changed_.Set(); });
  server_.watches_.insert(this);
}

FakeWatch::~FakeWatch() {
  stop_listening_();
  server_.watches_.erase(this);
}

void FakeWatch::StopListening() { std::exchange(stop_listening_, [] {})(); }

void FakeWatch::End(absl::Status status) {
  if (!ended_) ended_ = std::move(status);
  changed_.Set();
}

Task<absl::StatusOr<std::optional<WatchEvent>>> FakeWatch::Next() {
  base::Clock& clock = server_.loop_.clock();
  for (;;) {
    if (ended_) {
      CO_RETURN_IF_ERROR(*ended_);
      co_return std::optional<WatchEvent>();
    }
    auto behind = server_.store_.CheckWatch(position_);
    CO_RETURN_IF_ERROR(behind);
    auto event = server_.store_.NextEvent(resource_, ns_, selector_, &position_);
    if (event) {
      if (server_.watch_delay.count() > 0) co_await base::Sleep(clock, server_.watch_delay);
      co_return std::move(event);
    }
    const base::MonoTime now = clock.Monotonic();
    if (now >= ends_) co_return std::optional<WatchEvent>();
    if (bookmarks_ && now >= next_bookmark_) {
      next_bookmark_ = now + server_.bookmark_period;
      WatchEvent bookmark;
      bookmark.type = WatchEvent::Type::kBookmark;
      bookmark.object = resource_.New();
      position_ = server_.store_.version();
      client::MutableMetaOf(bookmark.object.get())->set_resourceversion(StrCat(position_));
      co_return std::optional<WatchEvent>(std::move(bookmark));
    }
    const base::MonoTime wake = bookmarks_ ? std::min(ends_, next_bookmark_) : ends_;
    co_await changed_.WaitUntil(clock, wake);
  }
}

}  // namespace keelson::apiserver
