// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/streaming.h"

#include <algorithm>
#include <charconv>

#include "base/errno_status.h"
#include "base/log.h"
#include "base/strings.h"
#include "kubelet/server/upgrade.h"

namespace keelson::kubelet {
namespace {

using base::Task;

// As much as one TLS record holds, twice for each session.
constexpr size_t kBlock = 16 << 10;
constexpr base::Nanos kRefusalTimeout = std::chrono::seconds(10);  // as upstream, for its body

absl::StatusOr<int> ToPort(std::string_view text) {
  int port = -1;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port < 0 || port > 65535)
    return absl::InvalidArgumentError(base::StrCat("unable to parse \"", text, "\" as a port"));
  return port;
}

HeaderList RepeatedHeaders(const HttpRequest& request) {
  HeaderList headers;
  std::string forwarded;
  for (const auto& [name, value] : request.headers) {
    if (name == "x-forwarded-for") base::StrAppend(&forwarded, value, ", ");
    // Who the caller is, is nobody's business behind us.
    else if (name != "authorization") headers.emplace_back(name, value);
  }
  if (!request.peer_address.empty())
    headers.emplace_back("X-Forwarded-For", forwarded + request.peer_address);
  return headers;
}

// Sets `ended` to `value` when one of the two has ended.
Task<void> Copy(ByteStream& from, ByteStream& to, base::OneShot<bool> ended, bool value) {
  char block[kBlock];
  for (;;) {
    absl::StatusOr<size_t> got = co_await from.ReadSome(block, sizeof(block));
    if (!got.ok() || *got == 0) break;
    const std::string_view piece(block, *got);
    absl::Status put = co_await to.WriteAll(piece);
    if (!put.ok()) break;
  }
  ended.Set(value);
}

// Until either side ends: then nobody is left to talk to, and the client still gets all that came.
Task<void> Join(base::Loop& loop, ByteStream& client, ByteStream& backend) {
  base::OneShot<bool> ended;
  Task<void> in = Copy(client, backend, ended, false);
  Task<void> out = Copy(backend, client, ended, true);
  const bool by_runtime = co_await RunBothUntil(loop, client, std::move(in), std::move(out), ended);
  if (by_runtime) co_await FinishGently(loop, client);
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

Task<void> ProxyUpgrade(base::Loop& loop, std::string url, const HttpRequest& request,
                        Responder& responder) {
  if (!AsksForUpgrade(request)) {
    std::string words = "Upgrade request required";
    co_await Fail(responder, std::move(words));
    co_return;
  }
  std::string method = request.method;
  HeaderList headers = RepeatedHeaders(request);
  absl::StatusOr<UpgradeAnswer> answer =
      co_await CallForUpgrade(loop, std::move(url), std::move(method), std::move(headers));
  if (!answer.ok()) {
    std::string words(base::Message(answer.status()));
    co_await Fail(responder, std::move(words));
    co_return;
  }
  ByteStream* client = co_await responder.TakeOver();
  if (client == nullptr) {
    std::string words = "request connection cannot be hijacked";
    co_await Fail(responder, std::move(words));
    co_return;
  }
  const std::string first = answer->head + answer->ahead;
  absl::Status told = co_await client->WriteAll(first);
  if (!told.ok()) co_return;  // the client has gone
  ByteStream& far = *answer->stream;
  std::unique_ptr<CloseAfter> limit;
  if (answer->status != 101)
    limit = std::make_unique<CloseAfter>(loop.clock(), far, kRefusalTimeout);
  co_await Join(loop, *client, far);
}

}  // namespace keelson::kubelet
