// SPDX-License-Identifier: Apache-2.0
// What an httpGet handler asks for, as bytes of HTTP/1.1, and what came back. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/k8s/pod.pb.h"

namespace keelson::probes {

// The minor version whose kubelet we stand in for: of user agents.
inline constexpr std::string_view kProbeAgent = "kube-probe/1.36";
inline constexpr std::string_view kLifecycleAgent = "kube-lifecycle/1.36";

// Of a body that is kept for messages, in bytes; what follows is not read.
inline constexpr size_t kMaxBodyBytes = 10 << 10;

struct HttpUrl {
  bool tls = false;
  std::string host;  // an address without brackets, or a name
  int port = 0;
  std::string target;  // path and query, begins with a slash

  std::string Authority() const;  // "[::1]:80"
  std::string Text() const;       // "http://[::1]:80/path"
  bool operator==(const HttpUrl&) const = default;
};

struct HttpCall {
  HttpUrl url;
  std::string host_header;  // empty: the authority
  std::vector<std::pair<std::string, std::string>> headers;  // all others, ready to send
};

// "host:port", with brackets around an IPv6 address.
std::string HostPort(std::string_view host, int port);

// A port by number, by its name in `container`, or a number written as text.
absl::StatusOr<int> ResolvePort(const k8s::intstr::IntOrString& port,
                                const k8s::v1::Container& container);

// The request of `action`. `pod_ip` is used where it names no host; `agent` is the User-Agent unless
// the headers have one. InvalidArgument: it has no usable port or host.
absl::StatusOr<HttpCall> MakeHttpCall(const k8s::v1::HTTPGetAction& action,
                                      const k8s::v1::Container& container,
                                      const std::string& pod_ip, std::string_view agent);

// The request's bytes. InvalidArgument: a header would break out of its line.
absl::StatusOr<std::string> RequestBytes(const HttpCall& call);

// Where `location`, found in an answer from `from`, leads (RFC 3986, 5.2). InvalidArgument when it is
// no http or https URL.
absl::StatusOr<HttpUrl> ResolveLocation(const HttpUrl& from, std::string_view location);

// An answer as it arrives. Takes what servers really send: bare line feeds, no reason phrase.
class HttpReply {
 public:
  // The next bytes. InvalidArgument: this is not HTTP.
  absl::Status Feed(std::string_view bytes);
  // The connection was closed. DataLoss when the answer was not complete.
  absl::Status End();

  bool head_done() const { return part_ > Part::kHead; }
  // Complete, or as much of the body as is kept has been read.
  bool done() const { return part_ == Part::kDone; }
  int code() const { return code_; }
  const std::string& body() const { return body_; }
  const std::optional<std::string>& location() const { return location_; }

 private:
  enum class Part { kHead, kLength, kChunkSize, kChunk, kChunkEnd, kTrailer, kToEnd, kDone };
  absl::Status TakeHead();
  absl::Status TakeHeader(std::string_view line);
  absl::Status TakeBody();
  bool TakeLine(std::string* line);
  bool TakeBytes();
  void Keep(size_t bytes);

  Part part_ = Part::kHead;
  std::string in_;  // not yet taken
  int code_ = 0;
  bool chunked_ = false;
  std::optional<uint64_t> length_;
  uint64_t left_ = 0;  // of the body, or of the chunk
  size_t lines_ = 0;   // chunk size and trailer lines
  std::string body_;
  std::optional<std::string> location_;
};

}  // namespace keelson::probes
