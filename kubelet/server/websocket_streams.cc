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

constexpr uint8_t kEndOf = 255;  // with a channel behind it
constexpr size_t kBlock = 16 << 10;
constexpr size_t kMaxOutcome = 64 << 10;
constexpr base::Nanos kStreamsTimeout = std::chrono::seconds(30);
constexpr base::Nanos kGoodbyeTimeout = std::chrono::seconds(2);

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

class Translation {
 public:
  Translation(base::Loop& loop, TranslationPlan plan, ByteStream& client)
      : loop_(loop), plan_(std::move(plan)), client_(client), to_client_(client) {
    uint32_t id = 1;
    for (const ChannelStream& stream : plan_.streams)
      states_.push_back({&stream, std::exchange(id, id + 2)});
  }

  Task<void> Run(std::string url) {
    std::string greeting = Message(plan_.greeting, "");
    absl::Status greeted = co_await to_client_.Write(std::move(greeting));
    if (!greeted.ok()) co_return;
    failure_ = co_await Connect(std::move(url));
    bool command_ended = true;
    if (failure_.ok()) {
      deadline_ = std::make_unique<CloseAfter>(loop_.clock(), *runtime_.stream, kStreamsTimeout);
      Task<void> in = FromClient();
      Task<void> out = FromRuntime();
      command_ended = co_await RunBothUntil(loop_, client_, std::move(in), std::move(out), ended_);
    } else {
      co_await Conclude();
    }
    if (command_ended)
      co_await FinishGently(loop_, client_);
    else
      co_await EndInputs();
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
      co_return absl::InternalError(
          base::StrCat("unable to upgrade connection: the runtime answered ", answer->status));
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
        ended_.Set(false);
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
    return std::ranges::all_of(
        states_, [](const State& state) { return state.output_over || !state.stream->to_client; });
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
    if (event.kind == SpdyEvent::Kind::kReset)
      failure_ = absl::InternalError("the runtime reset a stream");
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
    // Port-forward's server waits for the end of what it never gets; that of commands does not
    // care.
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
    ended_.Set(false);
  }

  // Not every runtime takes the end of the connection for that of the command's input.
  Task<void> EndInputs() {
    // What takes no input any more, takes no end either.
    CloseAfter patience(loop_.clock(), *runtime_.stream, kGoodbyeTimeout);
    for (State& state : states_) {
      if (!state.stream->from_client || std::exchange(state.input_over, true)) continue;
      std::string fin = SpdyEncoder::Data(state.id, "", true);
      static_cast<void>(co_await to_runtime_->Write(std::move(fin)));  // who has gone needs no end
    }
  }

  // False: the client has ended, or does not keep to the protocol.
  Task<bool> OnClientEvent(WsEvent event) {
    if (event.kind == WsEvent::Kind::kPing) {
      std::string pong = base::WsFrame(WsRole::kServer, WsOpcode::kPong, event.payload);
      absl::Status put = co_await to_client_.Write(std::move(pong));
      co_return put.ok();
    }
    if (event.kind == WsEvent::Kind::kClose) {
      std::string close = base::WsCloseFrame(WsRole::kServer, 1000, "");
      static_cast<void>(co_await to_client_.Write(std::move(close)));  // it leaves in any case
      co_return false;
    }
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
    static_cast<void>(co_await to_client_.Write(std::move(last)));  // who has gone needs no words
  }

  base::Loop& loop_;
  const TranslationPlan plan_;
  ByteStream& client_;
  SharedWriter to_client_;
  std::optional<uint8_t> channel_;  // of the message that comes in
  UpgradeAnswer runtime_;
  std::unique_ptr<SharedWriter> to_runtime_;
  std::unique_ptr<CloseAfter> deadline_;  // until all streams are answered for
  SpdyEncoder encoder_;
  SpdyDecoder runtime_in_;
  std::vector<State> states_;
  std::string outcome_;
  absl::Status failure_;
  base::OneShot<bool> all_replied_;
  base::OneShot<bool> ended_;  // true: the command has, false: its client
};

}  // namespace

Task<void> TranslateStreams(base::Loop& loop, std::string url, TranslationPlan plan,
                            const HttpRequest& request, Responder& responder) {
  std::string subprotocol = plan.subprotocol;
  ByteStream* client = co_await AcceptWebSocket(request, responder, std::move(subprotocol));
  if (client == nullptr) co_return;
  Translation translation(loop, std::move(plan), *client);
  co_await translation.Run(std::move(url));
}

}  // namespace keelson::kubelet
