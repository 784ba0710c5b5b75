// SPDX-License-Identifier: Apache-2.0
#include "kubelet/sources/url_source.h"

#include <map>
#include <set>

#include "base/errno_status.h"
#include "base/hash.h"
#include "base/strings.h"
#include "kubelet/sources/decode.h"
#include "kubelet/sources/static_pod.h"

namespace keelson::kubelet::sources {

using base::StrCat;
using base::Task;

UrlSource::UrlSource(base::Loop& loop, Options options, OnUpdate on_update, OnProblem on_problem)
    : loop_(loop),
      options_(std::move(options)),
      on_update_(std::move(on_update)),
      on_problem_(std::move(on_problem)),
      tasks_(loop) {}

void UrlSource::Start() { tasks_.Spawn("url source", Run()); }

Task<void> UrlSource::Stop() { co_await tasks_.CancelAndJoin(); }

Task<void> UrlSource::Run() {
  for (;;) {
    const base::MonoTime next = loop_.clock().Monotonic() + options_.period;
    const absl::Status server = co_await Fetch();
    Report(&server_problem_, OneLine(base::Message(server)));
    co_await base::SleepUntil(loop_.clock(), next);
  }
}

HttpRequest UrlSource::Request() const {
  HttpRequest request{.url = options_.url,
                      .headers = options_.headers,
                      .timeout = options_.timeout,
                      .max_bytes = kMaxManifestBytes};
  if (!etag_.empty()) request.headers.emplace_back("If-None-Match", etag_);
  if (!last_modified_.empty()) request.headers.emplace_back("If-Modified-Since", last_modified_);
  return request;
}

Task<absl::Status> UrlSource::Fetch() {
  if (client_ == nullptr) {
    auto client = HttpClient::Create(loop_);
    CO_RETURN_IF_ERROR(client.status());
    client_ = std::move(*client);
  }
  HttpRequest request = Request();
  auto response = co_await client_->Get(std::move(request));
  CO_RETURN_IF_ERROR(response.status());
  if (response->status == 304 && !body_hash_.empty()) co_return absl::OkStatus();
  if (response->status != 200) {
    co_return absl::UnavailableError(StrCat("GET ", options_.url, ": status ", response->status));
  }
  if (response->body.empty()) {
    body_hash_.clear();
    etag_.clear();
    last_modified_.clear();
    Report(&content_problem_, StrCat(options_.url, ": the answer is empty, no pods run from here"));
    Publish({});
    co_return absl::OkStatus();
  }
  std::string hash = base::Fnv1a128Hex(response->body);
  etag_ = response->etag;
  last_modified_ = response->last_modified;
  if (hash == body_hash_) co_return absl::OkStatus();
  body_hash_ = std::move(hash);
  ManifestOrigin origin{PodSource::kUrl, options_.url, options_.node_name};
  absl::StatusOr<Manifest> manifest = Manifest{};
  if (response->body.size() <= options_.inline_bytes) {
    manifest = ReadManifest(response->body, origin);
  } else {
    auto parse = [body = std::move(response->body), origin] { return ReadManifest(body, origin); };
    manifest = co_await base::RunBlocking(loop_, std::move(parse));
  }
  if (manifest.ok()) {
    Accept(std::move(*manifest));
  } else {
    Report(&content_problem_, OneLine(base::Message(manifest.status())));
  }
  co_return absl::OkStatus();
}

void UrlSource::Accept(Manifest manifest) {
  std::map<std::string, PodPtr> before;
  for (const PodPtr& pod : last_) before[pod->metadata().uid()] = pod;
  std::vector<PodPtr> pods;
  std::set<std::string> names, uids;
  std::string problems;
  for (const std::string& warning : manifest.warnings) {
    base::StrAppend(&problems, problems.empty() ? "" : "; ", warning);
  }
  for (auto& pod : manifest.pods) {
    if (!names.insert(FullName(*pod)).second || !uids.insert(pod->metadata().uid()).second) {
      base::StrAppend(&problems, problems.empty() ? "" : "; ", options_.url, ": pod ",
                      ShortName(*pod), " is there twice, the first one counts");
      continue;
    }
    SetFirstSeen(pod.get(), loop_.clock().Now());
    const auto old = before.find(pod->metadata().uid());
    if (old != before.end()) {
      KeepFirstSeen(pod.get(), *old->second);
      if (Fingerprint(*pod) == Fingerprint(*old->second)) {
        pods.push_back(old->second);
        continue;
      }
    }
    pods.push_back(std::move(pod));
  }
  Report(&content_problem_, std::move(problems));
  Publish(std::move(pods));
}

void UrlSource::Publish(std::vector<PodPtr> pods) {
  if (published_ && pods == last_) return;
  published_ = true;
  last_ = pods;
  on_update_({PodSource::kUrl, std::move(pods)});
}

void UrlSource::Report(std::string* current, std::string message) {
  if (message == *current) return;
  *current = message;
  if (!message.empty()) on_problem_({options_.url, std::move(message)});
}

}  // namespace keelson::kubelet::sources
