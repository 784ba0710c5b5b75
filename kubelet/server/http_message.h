// SPDX-License-Identifier: Apache-2.0
// Requests and answers as handlers see them; no HTTP library in sight.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/task.h"

namespace keelson::kubelet {

class ByteStream;
struct PeerCertificates;

// Decoded query parameters in order of appearance.
using Query = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;
  std::string path;                           // decoded, without the query
  std::map<std::string, std::string> params;  // of the route's pattern: {name}
  Query query;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
  std::string target;                             // as it came: path and query, encoded
  std::shared_ptr<const PeerCertificates> peer;   // null: no client certificate
  std::string peer_address;                       // of the connection; empty on a unix socket

  // First value of a query parameter or header (`name` in lower case); nullopt when absent.
  std::optional<std::string> QueryValue(std::string_view name) const;
  std::optional<std::string> Header(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers{};
};

// How a handler answers: once with Send, or with Start and any number of Writes. A handler that
// returns without either is answered for with 500. Unavailable: the client is gone.
class Responder {
 public:
  virtual ~Responder() = default;
  virtual base::Task<absl::Status> Send(HttpResponse response) = 0;
  // Begins a body of unknown length; `head.body` is not used.
  virtual base::Task<absl::Status> Start(HttpResponse head) = 0;
  // Returns when the kernel has taken all of it, so that a slow client slows the handler.
  virtual base::Task<absl::Status> Write(std::string data) = 0;
  // Ends HTTP on this connection: what follows is between the handler and the client, byte for byte.
  // Also reads what came behind the request. Valid until the handler returns, which closes it. Null
  // where connections cannot be taken over. REQUIRES: nothing was answered.
  virtual base::Task<ByteStream*> TakeOver() { co_return nullptr; }
};

// Both arguments live until the handler has returned. Cancelled when the client goes away.
using HttpHandler = std::function<base::Task<void>(const HttpRequest&, Responder&)>;

// Looks at a request before its handler does. False: it has answered itself. Runs also for paths
// that nobody serves.
using HttpFilter = std::function<base::Task<bool>(const HttpRequest&, Responder&)>;

// Hears of requests that passed or failed. Loop only.
class HttpObserver {
 public:
  virtual ~HttpObserver() = default;
  virtual void RequestBegan(const HttpRequest& request) = 0;
  virtual void RequestEnded(const HttpRequest& request, base::Nanos took) = 0;
};

// Splits and decodes the target of a request line. InvalidArgument: not an absolute path, or a bad
// percent sign.
absl::Status ParseTarget(std::string_view target, HttpRequest* request);

// Percent-decoding; with `plus_is_space` as in form data. nullopt when malformed.
std::optional<std::string> PercentDecode(std::string_view text, bool plus_is_space);

// `/pods/{ns}/{name}` against a path: the values of the names, or nullopt. A name takes one segment
// that is not empty; a last name `{rest*}` takes all that is left, which may be nothing.
std::optional<std::map<std::string, std::string>> MatchPattern(std::string_view pattern,
                                                               std::string_view path);

}  // namespace keelson::kubelet
