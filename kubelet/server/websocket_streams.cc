// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/websocket_streams.h"

#include <algorithm>

#include "base/errno_status.h"
#include "base/log.h"
#include "base/strings.h"
#include "base/websocket.h"
#include "kubelet/server/upgrade.h"
#include "proto/codec/codec.h"
#include "proto/k8s/meta.pb.h"

namespace keelson::kubelet {
namespace {

using base::Task;
using base::WsEvent;
using base::WsOpcode;
using base::WsRole;

constexpr char kV5[] = "v5.channel.k8s.io";
constexpr char kLocalForward[] = "v1.portforward.keelson";
constexpr std::string_view kTunnelPrefix = "SPDY/3.1+";
constexpr uint8_t kEndOf = 255;  // with a channel behind it
constexpr size_t kBlock = 16 << 10;
constexpr size_t kMaxOutcome = 64 << 10;
constexpr base::Nanos kStreamsTimeout = std::chrono::seconds(30);

bool IsTunnel(std::string_view protocol) {
  return protocol.starts_with(kTunnelPrefix) && protocol.ends_with(".k8s.io");
}

bool Offers(const HttpRequest& request, std::string_view wanted) {
  const auto protocols = WebSocketProtocols(request);
  return IsWebSocket(request) && std::ranges::find(protocols, wanted) != protocols.end();
}

std::string Message(uint8_t channel, std::string_view payload) {
  std::string message(1, static_cast<char>(channel));
  message.append(payload);
  return base::WsFrame(WsRole::kServer, WsOpcode::kBinary, message);
}

std::string EncodedStatus(const absl::Status& failure) {
  k8s::meta::v1::Status status;
  status.set_status("Success");
  if (!failure.ok()) {
    status.set_status("Failure");
    status.set_message(base::StrCat("Internal error occurred: ", base::Message(failure)));
    status.set_reason("InternalError");
    status.mutable_details()->add_causes()->set_message(std::string(base::Message(failure)));
    status.set_code(500);
  }
  absl::StatusOr<std::string> json = proto::EncodeJson(status);
  return json.ok() ? *json : std::string();  // it has only text that we wrote
}

Task<void> Refuse(Responder& responder, int status, std::string words) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(words);
  if (status == 400) response.headers.emplace_back("Sec-WebSocket-Version", "13");
  static_cast<void>(co_await responder.Send(std::move(response)));  // who left needs no answer
}

// Switches the connection to WebSocket; null after having refused.
Task<ByteStream*> AcceptWebSocket(const HttpRequest& request, Responder& responder,
                                  std::string subprotocol) {
  const std::string key = request.Header("sec-websocket-key").value_or("");
  if (request.method != "GET" || key.empty() ||
      request.Header("sec-websocket-version").value_or("") != "13") {
    std::string words = "not a WebSocket request of version 13\n";
    co_await Refuse(responder, 400, std::move(words));
    co_return nullptr;
  }
  ByteStream* client = co_await responder.TakeOver();
  if (client == nullptr) {
    std::string words = "request connection cannot be hijacked\n";
    co_await Refuse(responder, 500, std::move(words));
    co_return nullptr;
  }
  const std::string head = base::StrCat(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: ", base::WsAccept(key),
      subprotocol.empty() ? "" : "\r\nSec-WebSocket-Protocol: ", subprotocol, "\r\n\r\n");
  absl::Status told = co_await client->WriteAll(head);
  co_return told.ok() ? client : nullptr;
}

HeaderList SpdyCall(std::vector<std::string> protocols) {
  HeaderList headers = {{"Host", "localhost"}, {"Connection", "Upgrade"}, {"Upgrade", "SPDY/3.1"}};
  for (std::string& protocol : protocols)
    headers.emplace_back("X-Stream-Protocol-Version", std::move(protocol));
  return headers;
}

class Translation {
 public:
  Translation(base::Loop& loop, TranslationPlan plan, ByteStream& client)
      : loop_(loop), plan_(std::move(plan)), client_(client), to_client_(client) {
    uint32_t id = 1;
    for (const ChannelStream& stream : plan_.streams) states_.push_back({&stream, std::exchange(id, id + 2)});
  }

  Task<void> Run(std::string url) {
    std::string greeting = Message(plan_.greeting, "");
    absl::Status greeted = co_await to_client_.Write(std::move(greeting));
    if (!greeted.ok()) co_return;
    failure_ = co_await Connect(std::move(url));
    if (failure_.ok()) {
      deadline_ = std::make_unique<CloseAfter>(loop_.clock(), *runtime_.stream, kStreamsTimeout);
      Task<void> in = FromClient();
      Task<void> out = FromRuntime();
      static_cast<void>(co_await RunBothUntil(loop_, std::move(in), std::move(out), ended_));
    } else {
      co_await Conclude();
    }
    if (!client_left_) co_await FinishGently(loop_, client_);
  }

 private:
  struct State {
    const ChannelStream* stream;
    uint32_t id;
    bool replied = false;
    bool input_over = false;
    bool output_over = false;
  };

  Task<absl::Status> Connect(std::string url) {
    std::string method = "POST";
    std::vector<std::string> protocols = {plan_.runtime_protocol};
    HeaderList headers = SpdyCall(std::move(protocols));
    absl::StatusOr<UpgradeAnswer> answer =
        co_await CallForUpgrade(loop_, std::move(url), std::move(method), std::move(headers));
    if (!answer.ok()) co_return answer.status();
    if (answer->status != 101)
      co_return absl::InternalError(base::StrCat(
          "unable to upgrade connection: the runtime answered ", answer->status));
    runtime_ = std::move(*answer);
    runtime_in_.Feed(runtime_.ahead);
    to_runtime_ = std::make_unique<SharedWriter>(*runtime_.stream);
    std::string opening;
    for (const State& state : states_) opening += encoder_.Open(state.id, state.stream->headers);
    co_return co_await to_runtime_->Write(std::move(opening));
  }

  Task<void> FromRuntime() {
    char block[kBlock];
    while (!OutputsOver()) {
      absl::StatusOr<std::optional<SpdyEvent>> event = runtime_in_.Next();
      if (!event.ok()) failure_ = event.status();
      if (!event.ok()) break;
      if (*event) {
        SpdyEvent one = std::move(**event);
        const bool told = co_await OnRuntimeEvent(std::move(one));
        if (told) continue;
        client_left_ = true;
        ended_.Set(true);
        co_return;
      }
      absl::StatusOr<size_t> got = co_await runtime_.stream->ReadSome(block, sizeof(block));
      if (!got.ok() || *got == 0) break;
      runtime_in_.Feed({block, *got});
    }
    co_await Conclude();
    ended_.Set(true);
  }

  bool OutputsOver() const {
    return std::ranges::all_of(states_, [](const State& state) {
      return state.output_over || !state.stream->to_client;
    });
  }

  // False: the client has gone.
  Task<bool> OnRuntimeEvent(SpdyEvent event) {
    if (event.kind == SpdyEvent::Kind::kPing) {
      // Even numbers are the far side's own.
      std::string pong = SpdyEncoder::Ping(event.id);
      if (event.id % 2 == 0) static_cast<void>(co_await to_runtime_->Write(std::move(pong)));
      co_return true;
    }
    auto state = std::ranges::find(states_, event.id, &State::id);
    if (state == states_.end() || event.kind == SpdyEvent::Kind::kOther) co_return true;
    if (event.kind == SpdyEvent::Kind::kReply) MarkReplied(*state);
    if (event.kind == SpdyEvent::Kind::kReset) failure_ = absl::InternalError("the runtime reset a stream");
    const uint8_t channel = state->stream->channel;
    const bool over = event.fin || event.kind == SpdyEvent::Kind::kReset;
    if (state->stream->to_client && !event.payload.empty()) {
      if (channel == plan_.outcome) {
        outcome_.append(event.payload, 0, kMaxOutcome - std::min(kMaxOutcome, outcome_.size()));
      } else {
        std::string message = Message(channel, event.payload);
        absl::Status put = co_await to_client_.Write(std::move(message));
        if (!put.ok()) co_return false;
      }
    }
    if (!over || state->output_over) co_return true;
    state->output_over = true;
    if (!plan_.tells_ends || !state->stream->to_client) co_return true;
    std::string end = Message(kEndOf, std::string_view(reinterpret_cast<const char*>(&channel), 1));
    absl::Status put = co_await to_client_.Write(std::move(end));
    co_return put.ok();
  }

  // Data sent before its stream was answered for would be dropped there.
  void MarkReplied(State& replied) {
    replied.replied = true;
    if (!std::ranges::all_of(states_, &State::replied)) return;
    deadline_.reset();
    all_replied_.Set(true);
  }

  Task<void> FromClient() {
    static_cast<void>(co_await all_replied_.Wait());
    // Port-forward's server waits for the end of what it never gets; that of commands does not care.
    for (const State& state : states_) {
      if (plan_.outcome || state.stream->from_client) continue;
      std::string fin = SpdyEncoder::Data(state.id, "", true);
      static_cast<void>(co_await to_runtime_->Write(std::move(fin)));  // its reader hears of a loss
    }
    base::WsDecoder in(WsRole::kServer);
    char block[kBlock];
    for (;;) {
      absl::StatusOr<std::optional<WsEvent>> event = in.Next();
      if (!event.ok()) KLOG_V(2, "Stream ended by its client's fault", {"err", event.status()});
      if (!event.ok()) break;
      if (*event) {
        WsEvent one = std::move(**event);
        const bool more = co_await OnClientEvent(std::move(one));
        if (!more) break;
        continue;
      }
      absl::StatusOr<size_t> got = co_await client_.ReadSome(block, sizeof(block));
      if (!got.ok() || *got == 0) break;
      in.Feed({block, *got});
    }
    client_left_ = true;
    // Not every runtime takes the end of the connection for that of the command's input.
    for (const State& state : states_) {
      if (!state.stream->from_client || state.input_over) continue;
      std::string fin = SpdyEncoder::Data(state.id, "", true);
      static_cast<void>(co_await to_runtime_->Write(std::move(fin)));  // who has gone needs no end
    }
    ended_.Set(true);
  }

  // False: the client has ended, or does not keep to the protocol.
  Task<bool> OnClientEvent(WsEvent event) {
    if (event.kind == WsEvent::Kind::kPing) {
      std::string pong = base::WsFrame(WsRole::kServer, WsOpcode::kPong, event.payload);
      absl::Status put = co_await to_client_.Write(std::move(pong));
      co_return put.ok();
    }
    if (event.kind == WsEvent::Kind::kClose) co_return false;
    if (event.kind == WsEvent::Kind::kPong) co_return true;
    std::string_view payload = event.payload;
    if (event.begins) channel_.reset();
    if (!channel_ && !payload.empty()) {
      channel_ = static_cast<uint8_t>(payload[0]);
      payload.remove_prefix(1);
    }
    if (!channel_) co_return true;
    if (*channel_ == kEndOf) {
      // One byte says which; anything else is no message of this protocol.
      if (payload.size() != 1 || !event.ends) co_return false;
      co_return co_await EndInput(static_cast<uint8_t>(payload[0]));
    }
    State* state = Find(*channel_);
    if (state == nullptr || state->input_over || payload.empty()) co_return true;
    std::string data = SpdyEncoder::Data(state->id, payload, false);
    static_cast<void>(co_await to_runtime_->Write(std::move(data)));  // its reader hears of a loss
    co_return true;
  }

  Task<bool> EndInput(uint8_t channel) {
    State* state = Find(channel);
    if (state == nullptr) co_return channel <= 4;  // one that was not asked for
    if (std::exchange(state->input_over, true)) co_return true;
    std::string fin = SpdyEncoder::Data(state->id, "", true);
    static_cast<void>(co_await to_runtime_->Write(std::move(fin)));  // its reader hears of a loss
    co_return true;
  }

  // The stream that takes a channel's input; null: nobody listens there.
  State* Find(uint8_t channel) {
    auto state = std::ranges::find_if(states_, [channel](const State& one) {
      return one.stream->channel == channel && one.stream->from_client;
    });
    return state == states_.end() ? nullptr : &*state;
  }

  // The last words to the client.
  Task<void> Conclude() {
    if (outcome_.empty() && failure_.ok() && !OutputsOver())
      failure_ = absl::UnavailableError("the runtime ended the connection without an outcome");
    std::string last;
    if (plan_.outcome)
      last = Message(*plan_.outcome, outcome_.empty() ? EncodedStatus(failure_) : outcome_);
    last += base::WsCloseFrame(WsRole::kServer, plan_.outcome || failure_.ok() ? 1000 : 1011,
                               plan_.outcome ? "" : base::Message(failure_));
    absl::Status put = co_await to_client_.Write(std::move(last));
    if (!put.ok()) client_left_ = true;
  }

  base::Loop& loop_;
  const TranslationPlan plan_;
  ByteStream& client_;
  SharedWriter to_client_;
  bool client_left_ = false;
  std::optional<uint8_t> channel_;  // of the message that comes in
  UpgradeAnswer runtime_;
  std::unique_ptr<SharedWriter> to_runtime_;
  std::unique_ptr<CloseAfter> deadline_;  // until all streams are answered for
  SpdyEncoder encoder_;
  SpdyDecoder runtime_in_;
  std::vector<State> states_;
  std::string outcome_;
  absl::Status failure_;
  base::OneShot<bool> all_replied_, ended_;
};

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

TranslationPlan PlanRemoteCommand(const StreamOptions& options) {
  TranslationPlan plan;
  plan.subprotocol = kV5;
  plan.runtime_protocol = "v4.channel.k8s.io";
  plan.outcome = 3;
  plan.greeting = options.stdout_on ? 1 : options.stderr_on ? 2 : 3;
  auto add = [&plan](uint8_t channel, const char* type, bool from_client) {
    plan.streams.push_back({channel, {{"streamtype", type}}, from_client, !from_client});
  };
  add(3, "error", false);
  if (options.stdin_on) add(0, "stdin", true);
  if (options.stdout_on) add(1, "stdout", false);
  if (options.stderr_on) add(2, "stderr", false);
  if (options.tty) add(4, "resize", true);
  return plan;
}

TranslationPlan PlanForward(int32_t port) {
  TranslationPlan plan;
  plan.subprotocol = kLocalForward;
  plan.runtime_protocol = "portforward.k8s.io";
  plan.tells_ends = true;
  auto headers = [port](const char* type) -> SpdyEncoder::Headers {
    return {{"streamtype", type}, {"port", base::StrCat(port)}, {"requestid", "0"}};
  };
  plan.streams.push_back({1, headers("error"), false, true});
  plan.streams.push_back({0, headers("data"), true, true});
  return plan;
}

bool AsksForV5(const HttpRequest& request) { return Offers(request, kV5); }

bool AsksForTunnel(const HttpRequest& request) {
  return IsWebSocket(request) && std::ranges::any_of(WebSocketProtocols(request), IsTunnel);
}

bool AsksForLocalForward(const HttpRequest& request) { return Offers(request, kLocalForward); }

Task<void> TranslateStreams(base::Loop& loop, std::string url, TranslationPlan plan,
                            const HttpRequest& request, Responder& responder) {
  std::string subprotocol = plan.subprotocol;
  ByteStream* client = co_await AcceptWebSocket(request, responder, std::move(subprotocol));
  if (client == nullptr) co_return;
  Translation translation(loop, std::move(plan), *client);
  co_await translation.Run(std::move(url));
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
    co_await Refuse(responder, answer.ok() ? answer->status : 500, std::move(words));
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
  static_cast<void>(co_await RunBothUntil(loop, std::move(in), std::move(out), ended));
  co_await FinishGently(loop, *client);
}

}  // namespace keelson::kubelet
