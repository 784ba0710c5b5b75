// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/streaming.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <charconv>

#include "base/errno_status.h"
#include "base/log.h"
#include "base/strings.h"
#include "kubelet/server/stream.h"

namespace keelson::kubelet {
namespace {

using base::Task;

constexpr size_t kBlock = 64 << 10;
constexpr size_t kMaxHead = 64 << 10;  // of the far side's answer
constexpr base::Nanos kDialTimeout = std::chrono::seconds(30);
constexpr base::Nanos kRefusalTimeout = std::chrono::seconds(10);  // as upstream, for its body

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

bool AsksForUpgrade(const HttpRequest& request) {
  return Lower(request.Header("connection").value_or("")).find("upgrade") != std::string::npos;
}

bool IsWebSocket(const HttpRequest& request) {
  return AsksForUpgrade(request) && Lower(request.Header("upgrade").value_or("")) == "websocket";
}

absl::StatusOr<int> ToPort(std::string_view text) {
  int port = -1;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port < 0 || port > 65535)
    return absl::InvalidArgumentError(base::StrCat("unable to parse \"", text, "\" as a port"));
  return port;
}

// Closes the stream when time is up, which ends whoever waits on it.
class CloseAfter {
 public:
  CloseAfter(base::Clock& clock, ByteStream& stream, base::Nanos after)
      : clock_(clock),
        id_(clock.Schedule(clock.Monotonic() + after, [&stream] { stream.Close(); })) {}
  CloseAfter(const CloseAfter&) = delete;
  ~CloseAfter() { clock_.Cancel(id_); }

 private:
  base::Clock& clock_;
  base::Clock::TimerId id_;
};

std::string RepeatedRequest(const HttpRequest& request, const StreamUrl& url) {
  std::string text = base::StrCat(request.method, " ", url.target, " HTTP/1.1\r\n");
  for (const auto& [name, value] : request.headers) {
    // Who the caller is, is nobody's business behind us.
    if (name == "authorization") continue;
    base::StrAppend(&text, name, ": ", value, "\r\n");
  }
  return text + "\r\n";
}

struct Head {
  std::string bytes;  // the head, and what came behind it
  int status = 0;
};

Task<absl::StatusOr<Head>> ReadHead(ByteStream& stream) {
  Head head;
  char block[4096];
  while (head.bytes.find("\r\n\r\n") == head.bytes.npos) {
    if (head.bytes.size() > kMaxHead)
      co_return absl::ResourceExhaustedError("the streaming server's answer has no end of headers");
    absl::StatusOr<size_t> got = co_await stream.ReadSome(block, sizeof(block));
    if (!got.ok()) co_return got.status();
    if (*got == 0)
      co_return absl::UnavailableError("the streaming server closed before it answered");
    head.bytes.append(block, *got);
  }
  const std::string_view line(head.bytes);
  if (line.starts_with("HTTP/1.") && line.size() > 12)
    std::from_chars(line.data() + 9, line.data() + 12, head.status);
  if (head.status < 100)
    co_return absl::InternalError("the streaming server's answer is not HTTP");
  co_return head;
}

Task<void> Copy(ByteStream& from, ByteStream& to, base::OneShot<bool> ended) {
  std::string block(kBlock, '\0');
  for (;;) {
    absl::StatusOr<size_t> got = co_await from.ReadSome(block.data(), block.size());
    if (!got.ok() || *got == 0) break;
    const std::string_view piece(block.data(), *got);
    absl::Status put = co_await to.WriteAll(piece);
    if (!put.ok()) break;
  }
  ended.Set(true);
}

// Until either side ends: then nobody is left to talk to.
Task<void> Join(base::Loop& loop, ByteStream& client, ByteStream& backend) {
  base::TaskGroup both(loop);
  base::OneShot<bool> ended;
  both.Spawn("stream to runtime", Copy(client, backend, ended));
  both.Spawn("stream from runtime", Copy(backend, client, ended));
  std::exception_ptr cancelled;
  try {
    co_await ended.Wait();
  } catch (const boost::system::system_error&) {
    cancelled = std::current_exception();
  }
  if (cancelled)
    co_await boost::asio::this_coro::reset_cancellation_state(
        boost::asio::disable_cancellation());
  co_await both.CancelAndJoin();
  if (cancelled) std::rethrow_exception(cancelled);
}

Task<void> Fail(Responder& responder, std::string words) {
  KLOG_ERROR("Error while proxying request", {"err", words});
  HttpResponse response;
  response.status = 500;
  response.body = words + "\n";
  static_cast<void>(co_await responder.Send(std::move(response)));  // who left needs no answer
}

}  // namespace

absl::StatusOr<StreamOptions> ParseStreamOptions(const Query& query) {
  StreamOptions options;
  std::vector<std::string> seen;
  for (const auto& [name, value] : query) {
    // The first of several counts.
    if (std::find(seen.begin(), seen.end(), name) != seen.end()) continue;
    seen.push_back(name);
    const bool on = value == "1";
    if (name == "input") options.stdin_on = on;
    if (name == "output") options.stdout_on = on;
    if (name == "error") options.stderr_on = on;
    if (name == "tty") options.tty = on;
  }
  if (options.tty) options.stderr_on = false;
  if (!options.stdin_on && !options.stdout_on && !options.stderr_on)
    return absl::InvalidArgumentError("you must specify at least 1 of stdin, stdout, stderr");
  return options;
}

absl::StatusOr<std::vector<int32_t>> ParseForwardPorts(const HttpRequest& request) {
  std::vector<int32_t> ports;
  if (!IsWebSocket(request)) return ports;
  bool any = false;
  for (const auto& [name, value] : request.query) {
    if (name != "port") continue;
    any = true;
    if (value.empty()) return absl::InvalidArgumentError("query parameter \"port\" cannot be empty");
    std::string_view rest = value;
    while (true) {
      const size_t comma = rest.find(',');
      auto port = ToPort(rest.substr(0, comma));
      if (!port.ok()) return port.status();
      if (*port < 1) return absl::InvalidArgumentError(base::StrCat("port \"", value, "\" must be > 0"));
      ports.push_back(*port);
      if (comma == rest.npos) break;
      rest.remove_prefix(comma + 1);
    }
  }
  if (!any) return absl::InvalidArgumentError("query parameter \"port\" is required");
  return ports;
}

absl::StatusOr<StreamUrl> ParseStreamUrl(const std::string& url) {
  const absl::Status bad =
      absl::InvalidArgumentError(base::StrCat("the runtime's streaming URL ", url,
                                              " is not http://ADDRESS:PORT/..."));
  std::string_view rest = url;
  if (!rest.starts_with("http://")) return bad;
  rest.remove_prefix(7);
  const size_t slash = std::min(rest.find_first_of("/?"), rest.size());
  std::string_view authority = rest.substr(0, slash);
  StreamUrl out;
  out.target = rest.substr(slash);
  if (!out.target.starts_with('/')) out.target.insert(0, "/");
  // A line break would begin another request.
  for (char c : out.target)
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f) return bad;
  const size_t colon = authority.rfind(':');
  const size_t bracket = authority.rfind(']');
  if (colon != authority.npos && (bracket == authority.npos || colon > bracket)) {
    auto port = ToPort(authority.substr(colon + 1));
    if (!port.ok() || *port == 0) return bad;
    out.port = static_cast<uint16_t>(*port);
    authority = authority.substr(0, colon);
  }
  if (authority.starts_with('[') && authority.ends_with(']'))
    authority = authority.substr(1, authority.size() - 2);
  out.host = authority == "localhost" ? "127.0.0.1" : std::string(authority);
  if (out.host.empty()) return bad;
  return out;
}

Task<void> ProxyUpgrade(base::Loop& loop, std::string url, const HttpRequest& request,
                        Responder& responder) {
  if (!AsksForUpgrade(request)) {
    std::string words = "Upgrade request required";
    co_await Fail(responder, std::move(words));
    co_return;
  }
  absl::StatusOr<StreamUrl> where = ParseStreamUrl(url);
  if (!where.ok()) {
    std::string words(base::Message(where.status()));
    co_await Fail(responder, std::move(words));
    co_return;
  }
  absl::StatusOr<std::unique_ptr<ByteStream>> backend = co_await ConnectTcp(loop, where->host, where->port);
  if (!backend.ok()) {
    std::string words(base::Message(backend.status()));
    co_await Fail(responder, std::move(words));
    co_return;
  }
  ByteStream& far = **backend;
  const std::string repeated = RepeatedRequest(request, *where);
  absl::StatusOr<Head> head = absl::UnknownError("");
  {
    CloseAfter deadline(loop.clock(), far, kDialTimeout);
    absl::Status asked = co_await far.WriteAll(repeated);
    if (asked.ok())
      head = co_await ReadHead(far);
    else
      head = asked;
  }
  if (head.ok() && head->status != 101 && head->status < 400)
    head = absl::InternalError(
        base::StrCat("invalid upgrade response: status code ", head->status));
  if (!head.ok()) {
    std::string words(base::Message(head.status()));
    co_await Fail(responder, std::move(words));
    co_return;
  }
  ByteStream* client = co_await responder.TakeOver();
  if (client == nullptr) {
    std::string words = "request connection cannot be hijacked";
    co_await Fail(responder, std::move(words));
    co_return;
  }
  absl::Status told = co_await client->WriteAll(head->bytes);
  if (!told.ok()) co_return;  // the client has gone
  std::unique_ptr<CloseAfter> limit;
  if (head->status != 101)
    limit = std::make_unique<CloseAfter>(loop.clock(), far, kRefusalTimeout);
  co_await Join(loop, *client, far);
}

}  // namespace keelson::kubelet
