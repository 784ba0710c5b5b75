// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/upgrade.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <charconv>

#include "base/errno_status.h"
#include "base/strings.h"
#include "base/websocket.h"

namespace keelson::kubelet {
namespace {

using base::Task;

constexpr size_t kMaxHead = 64 << 10;  // of the far side's answer
constexpr base::Nanos kDialTimeout = std::chrono::seconds(30);
constexpr base::Nanos kLastReads = std::chrono::seconds(2);

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

std::string_view Trimmed(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t') || text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

Task<absl::Status> ReadHead(UpgradeAnswer* answer) {
  std::string in;
  char block[4096];
  size_t end;
  while ((end = in.find("\r\n\r\n")) == in.npos) {
    if (in.size() > kMaxHead)
      co_return absl::ResourceExhaustedError("the streaming server's answer has no end of headers");
    absl::StatusOr<size_t> got = co_await answer->stream->ReadSome(block, sizeof(block));
    if (!got.ok()) co_return got.status();
    if (*got == 0)
      co_return absl::UnavailableError("the streaming server closed before it answered");
    in.append(block, *got);
  }
  answer->head = in.substr(0, end + 4);
  answer->ahead = in.substr(end + 4);
  if (in.starts_with("HTTP/1.") && in.size() > 12)
    std::from_chars(in.data() + 9, in.data() + 12, answer->status);
  if (answer->status < 100)
    co_return absl::InternalError("the streaming server's answer is not HTTP");
  if (answer->status != 101 && answer->status < 400)
    co_return absl::InternalError(
        base::StrCat("invalid upgrade response: status code ", answer->status));
  co_return absl::OkStatus();
}

}  // namespace

bool AsksForUpgrade(const HttpRequest& request) {
  return std::ranges::any_of(request.headers, [](const auto& header) {
    return header.first == "connection" &&
           Lower(header.second).find("upgrade") != std::string::npos;
  });
}

bool IsWebSocket(const HttpRequest& request) {
  return AsksForUpgrade(request) && Lower(request.Header("upgrade").value_or("")) == "websocket";
}

std::vector<std::string> WebSocketProtocols(const HttpRequest& request) {
  std::vector<std::string> protocols;
  for (const auto& [name, value] : request.headers) {
    if (name != "sec-websocket-protocol") continue;
    std::string_view rest = value;
    while (!rest.empty()) {
      const size_t comma = rest.find(',');
      protocols.emplace_back(Trimmed(rest.substr(0, comma)));
      rest = comma == rest.npos ? std::string_view() : rest.substr(comma + 1);
    }
  }
  return protocols;
}

absl::StatusOr<StreamUrl> ParseStreamUrl(const std::string& url) {
  const absl::Status bad = absl::InvalidArgumentError(
      base::StrCat("the runtime's streaming URL ", url, " is not http://ADDRESS:PORT/..."));
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
    const std::string_view digits = authority.substr(colon + 1);
    int port = 0;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc() || end != digits.data() + digits.size() || port < 1 || port > 65535)
      return bad;
    out.port = static_cast<uint16_t>(port);
    authority = authority.substr(0, colon);
  }
  if (authority.starts_with('[') && authority.ends_with(']'))
    authority = authority.substr(1, authority.size() - 2);
  out.host = authority == "localhost" ? "127.0.0.1" : std::string(authority);
  if (out.host.empty()) return bad;
  return out;
}

std::string UpgradeAnswer::Header(std::string_view name) const {
  std::string_view rest = head;
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    const size_t colon = line.find(':');
    if (colon != line.npos && Lower(line.substr(0, colon)) == name)
      return std::string(Trimmed(line.substr(colon + 1)));
    rest = end == rest.npos ? std::string_view() : rest.substr(end + 1);
  }
  return {};
}

Task<absl::StatusOr<UpgradeAnswer>> CallForUpgrade(base::Loop& loop, std::string url,
                                                   std::string method, HeaderList headers) {
  absl::StatusOr<StreamUrl> where = ParseStreamUrl(url);
  if (!where.ok()) co_return where.status();
  std::string request = base::StrCat(method, " ", where->target, " HTTP/1.1\r\n");
  for (const auto& [name, value] : headers) base::StrAppend(&request, name, ": ", value, "\r\n");
  request += "\r\n";
  absl::StatusOr<std::unique_ptr<ByteStream>> far =
      co_await ConnectTcp(loop, where->host, where->port);
  if (!far.ok()) co_return far.status();
  UpgradeAnswer answer;
  answer.stream = std::move(*far);
  CloseAfter deadline(loop.clock(), *answer.stream, kDialTimeout);
  absl::Status done = co_await answer.stream->WriteAll(request);
  if (done.ok()) done = co_await ReadHead(&answer);
  if (!done.ok()) co_return done;
  co_return std::move(answer);
}

HeaderList SpdyCall(std::vector<std::string> protocols) {
  HeaderList headers = {{"Host", "localhost"}, {"Connection", "Upgrade"}, {"Upgrade", "SPDY/3.1"}};
  for (std::string& protocol : protocols)
    headers.emplace_back("X-Stream-Protocol-Version", std::move(protocol));
  return headers;
}

Task<void> RefuseUpgrade(Responder& responder, int status, std::string words) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(words);
  if (status == 400) response.headers.emplace_back("Sec-WebSocket-Version", "13");
  static_cast<void>(co_await responder.Send(std::move(response)));  // who left needs no answer
}

Task<ByteStream*> AcceptWebSocket(const HttpRequest& request, Responder& responder,
                                  std::string subprotocol) {
  const std::string key = request.Header("sec-websocket-key").value_or("");
  if (request.method != "GET" || key.empty() ||
      request.Header("sec-websocket-version").value_or("") != "13") {
    std::string words = "not a WebSocket request of version 13\n";
    co_await RefuseUpgrade(responder, 400, std::move(words));
    co_return nullptr;
  }
  ByteStream* client = co_await responder.TakeOver();
  if (client == nullptr) {
    std::string words = "request connection cannot be hijacked\n";
    co_await RefuseUpgrade(responder, 500, std::move(words));
    co_return nullptr;
  }
  const std::string head = base::StrCat(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: ",
      base::WsAccept(key), subprotocol.empty() ? "" : "\r\nSec-WebSocket-Protocol: ", subprotocol,
      "\r\n\r\n");
  absl::Status told = co_await client->WriteAll(head);
  co_return told.ok() ? client : nullptr;
}

Task<absl::Status> SharedWriter::Write(std::string data) {
  while (busy_) co_await free_.Wait();
  if (cut_) co_return absl::UnavailableError("write: an earlier piece was cut short");
  struct Busy {
    SharedWriter& writer;
    ~Busy() {
      writer.busy_ = false;
      writer.free_.Set();
    }
  } busy{*this};
  busy_ = cut_ = true;
  absl::Status put = co_await stream_.WriteAll(data);
  cut_ = !put.ok();
  co_return put;
}

namespace {

Task<void> WatchFor(ByteStream& client, base::OneShot<bool> ended) {
  co_await client.HungUp();
  ended.Set(false);
}

}  // namespace

Task<bool> RunBothUntil(base::Loop& loop, ByteStream& client, Task<void> one, Task<void> other,
                        base::OneShot<bool> ended) {
  // The group is filled in here: between that and the try nothing can throw a cancellation.
  base::TaskGroup both(loop);
  both.Spawn("client watch", WatchFor(client, ended));
  both.Spawn("stream in", std::move(one));
  both.Spawn("stream out", std::move(other));
  std::exception_ptr cancelled;
  bool value = false;
  try {
    value = co_await ended.Wait();
    co_await both.CancelAndJoin();
  } catch (const boost::system::system_error&) {
    cancelled = std::current_exception();
  }
  if (!cancelled) co_return value;
  co_await boost::asio::this_coro::reset_cancellation_state(boost::asio::disable_cancellation());
  co_await both.CancelAndJoin();
  std::rethrow_exception(cancelled);
}

Task<void> FinishGently(base::Loop& loop, ByteStream& stream) {
  stream.FinishWriting();
  CloseAfter limit(loop.clock(), stream, kLastReads);
  char block[4096];
  for (;;) {
    absl::StatusOr<size_t> got = co_await stream.ReadSome(block, sizeof(block));
    if (!got.ok() || *got == 0) co_return;
  }
}

}  // namespace keelson::kubelet
