// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/spdy_tunnel.h"

#include <algorithm>

#include "base/errno_status.h"
#include "base/strings.h"
#include "base/websocket.h"
#include "kubelet/server/upgrade.h"

namespace keelson::kubelet {
namespace {

using base::Task;
using base::WsEvent;
using base::WsOpcode;
using base::WsRole;

constexpr std::string_view kTunnelPrefix = "SPDY/3.1+";
constexpr size_t kBlock = 16 << 10;

bool IsTunnel(std::string_view protocol) {
  return protocol.starts_with(kTunnelPrefix) && protocol.ends_with(".k8s.io");
}

Task<void> TunnelOut(ByteStream& runtime, SharedWriter& client, base::OneShot<bool> ended) {
  char block[kBlock];
  for (;;) {
    absl::StatusOr<size_t> got = co_await runtime.ReadSome(block, sizeof(block));
    if (!got.ok() || *got == 0) break;
    std::string frame = base::WsFrame(WsRole::kServer, WsOpcode::kBinary, {block, *got});
    absl::Status put = co_await client.Write(std::move(frame));
    if (!put.ok()) break;
  }
  std::string close = base::WsCloseFrame(WsRole::kServer, 1000, "");
  static_cast<void>(co_await client.Write(std::move(close)));  // who left needs no goodbye
  ended.Set(true);
}

Task<void> TunnelIn(ByteStream& client, SharedWriter& answers, ByteStream& runtime,
                    base::OneShot<bool> ended) {
  base::WsDecoder in(WsRole::kServer);
  char block[kBlock];
  for (;;) {
    absl::StatusOr<std::optional<WsEvent>> event = in.Next();
    if (!event.ok()) break;
    if (!*event) {
      absl::StatusOr<size_t> got = co_await client.ReadSome(block, sizeof(block));
      if (!got.ok() || *got == 0) break;
      in.Feed({block, *got});
      continue;
    }
    const WsEvent one = std::move(**event);
    if (one.kind == WsEvent::Kind::kClose) break;
    absl::Status put;
    if (one.kind == WsEvent::Kind::kPing) {
      std::string pong = base::WsFrame(WsRole::kServer, WsOpcode::kPong, one.payload);
      put = co_await answers.Write(std::move(pong));
    } else if (one.kind == WsEvent::Kind::kData) {
      put = co_await runtime.WriteAll(one.payload);
    }
    if (!put.ok()) break;
  }
  ended.Set(true);
}

}  // namespace

bool AsksForTunnel(const HttpRequest& request) {
  return IsWebSocket(request) && std::ranges::any_of(WebSocketProtocols(request), IsTunnel);
}

Task<void> TunnelSpdy(base::Loop& loop, std::string url, const HttpRequest& request,
                      Responder& responder) {
  std::vector<std::string> protocols;
  for (const std::string& offered : WebSocketProtocols(request))
    if (IsTunnel(offered)) protocols.push_back(offered.substr(kTunnelPrefix.size()));
  std::string method = "POST";
  HeaderList headers = SpdyCall(std::move(protocols));
  absl::StatusOr<UpgradeAnswer> answer =
      co_await CallForUpgrade(loop, std::move(url), std::move(method), std::move(headers));
  if (!answer.ok() || answer->status != 101) {
    std::string words(answer.ok() ? answer->ahead : std::string(base::Message(answer.status())));
    co_await RefuseUpgrade(responder, answer.ok() ? answer->status : 500, std::move(words));
    co_return;
  }
  const std::string chosen = answer->Header("x-stream-protocol-version");
  std::string subprotocol = chosen.empty() ? std::string() : base::StrCat(kTunnelPrefix, chosen);
  ByteStream* client = co_await AcceptWebSocket(request, responder, std::move(subprotocol));
  if (client == nullptr) co_return;
  SharedWriter to_client(*client);
  base::OneShot<bool> ended;
  if (!answer->ahead.empty()) {
    std::string frame = base::WsFrame(WsRole::kServer, WsOpcode::kBinary, answer->ahead);
    static_cast<void>(co_await to_client.Write(std::move(frame)));  // a loss shows in the next one
  }
  Task<void> in = TunnelIn(*client, to_client, *answer->stream, ended);
  Task<void> out = TunnelOut(*answer->stream, to_client, ended);
  static_cast<void>(co_await RunBothUntil(loop, *client, std::move(in), std::move(out), ended));
  co_await FinishGently(loop, *client);
}

}  // namespace keelson::kubelet
