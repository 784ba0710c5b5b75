// SPDX-License-Identifier: Apache-2.0
// HTTP GET on the loop: libcurl's multi interface, whose sockets and timers wait in one epoll
// descriptor. Loop only; no thread of ours waits. TLS is verified with the system's CAs, or with
// those that SSL_CERT_FILE and SSL_CERT_DIR name, as Go programs do.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/loop.h"
#include "base/task.h"

namespace keelson::kubelet::sources {

struct HttpRequest {
  std::string url;  // http or https
  std::vector<std::pair<std::string, std::string>> headers;
  base::Nanos timeout = std::chrono::seconds(10);  // for everything, from name lookup to last byte
  size_t max_bytes = 10u << 20;
};

struct HttpResponse {
  long status = 0;
  std::string body;
  std::string etag, last_modified;  // empty when not sent
};

class HttpClient {
 public:
  static absl::StatusOr<std::unique_ptr<HttpClient>> Create(base::Loop& loop);
  ~HttpClient();

  // Follows up to ten redirects. Any status is a response. DeadlineExceeded: too slow;
  // ResourceExhausted: body too long; Unavailable: no connection, TLS refused and the like.
  // REQUIRES: one call at a time. Connections are kept for the next call.
  base::Task<absl::StatusOr<HttpResponse>> Get(HttpRequest request);

 private:
  struct Engine;
  explicit HttpClient(std::unique_ptr<Engine> engine);
  std::unique_ptr<Engine> engine_;
};

}  // namespace keelson::kubelet::sources
