// SPDX-License-Identifier: Apache-2.0
// Static pods from a web server (--manifest-url): a Pod or a PodList, asked for every `period`.
//
// Loop only. Only status 200 brings pods; 304 and identical bytes change nothing. While the server
// is down, slow or answers nonsense, the pods of its last good answer stay.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/loop.h"
#include "base/task.h"
#include "kubelet/pod.h"
#include "kubelet/sources/http_client.h"
#include "kubelet/sources/manifest.h"

namespace keelson::kubelet::sources {

class UrlSource {
 public:
  struct Options {
    std::string url{};
    std::vector<std::pair<std::string, std::string>> headers{};  // --manifest-url-header
    std::string node_name{};
    base::Nanos period = std::chrono::seconds(20);   // httpCheckFrequency
    base::Nanos timeout = std::chrono::seconds(10);  // upstream's client timeout
    size_t inline_bytes = 64 << 10;                  // longer answers are parsed on the pool
  };
  // The first update comes with the first good (or empty) answer.
  using OnUpdate = absl::AnyInvocable<void(SourceUpdate)>;
  // Each problem when it begins, not at every attempt.
  using OnProblem = absl::AnyInvocable<void(SourceProblem)>;

  UrlSource(base::Loop& loop, Options options, OnUpdate on_update, OnProblem on_problem);

  void Start();
  // Returns when nothing runs any more. REQUIRES: awaited before destruction, if Start was called.
  base::Task<void> Stop();

 private:
  base::Task<void> Run();
  // One attempt. The error is the server's; what is wrong with its content is reported on the way.
  base::Task<absl::Status> Fetch();
  HttpRequest Request() const;
  void Accept(Manifest manifest);
  void Publish(std::vector<PodPtr> pods);
  // Tells of a problem that differs from the `current` one; an empty message ends it.
  void Report(std::string* current, std::string message);

  base::Loop& loop_;
  const Options options_;
  OnUpdate on_update_;
  OnProblem on_problem_;

  std::unique_ptr<HttpClient> client_;
  std::string etag_, last_modified_;  // of the bytes in `body_hash_`
  std::string body_hash_;             // of the last body that came with 200
  std::string server_problem_;        // of the last attempt; empty when it answered
  std::string content_problem_;       // of the last body; empty when it was good
  std::vector<PodPtr> last_;
  bool published_ = false;

  base::TaskGroup tasks_;  // last, so that no task outlives what it uses
};

}  // namespace keelson::kubelet::sources
