// SPDX-License-Identifier: Apache-2.0
#include "cri/rpc.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/client_callback.h>
#include <sys/un.h>

#include <atomic>
#include <map>
#include <optional>

#include "base/loop.h"
#include "base/strings.h"
#include "cri/error.h"

namespace keelson::cri {
namespace {

// One instantiation for all messages: gRPC needs no more than the base class.
using Stub = grpc::TemplatedGenericStub<MessageLite, MessageLite>;

constexpr int kMaxMessageBytes = 16 << 20;

grpc::ChannelArguments ChannelArgs() {
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(kMaxMessageBytes);
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 3000);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);  // the limit of one attempt to connect
  // What a call over a local socket never needs: retries and service configuration, bandwidth probes,
  // channel statistics. Each costs memory or wake-ups.
  args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  args.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  args.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  args.SetInt(GRPC_ARG_ENABLE_CHANNELZ, 0);
  args.SetInt(GRPC_ARG_MAX_CHANNEL_TRACE_EVENT_MEMORY_PER_NODE, 0);
  // A list of 500 pods is about 1 MiB: one window, no round trips for more.
  args.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 1 << 20);
  return args;
}

std::string CallName(const CallOptions& options) {
  if (options.object.empty()) return options.method;
  return base::StrCat(options.method, " ", options.object);
}

absl::Status FromGrpc(const grpc::Status& status, const CallOptions& options) {
  if (status.ok()) return absl::OkStatus();
  const auto code = static_cast<absl::StatusCode>(status.error_code());  // same numbers
  if (code == absl::StatusCode::kDeadlineExceeded && options.timeout > base::Nanos(0))
    return CallError(code, CallName(options),
                     base::StrCat("no answer within ", base::GoDuration(options.timeout), ": ",
                                  status.error_message()));
  return CallError(code, CallName(options), status.error_message());
}

void Prepare(grpc::ClientContext& context, const CallOptions& options) {
  context.set_wait_for_ready(options.wait_for_connection);
  if (options.timeout == base::Nanos(0)) return;
  context.set_deadline(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                    gpr_time_from_nanos(options.timeout.count(), GPR_TIMESPAN)));
}

std::string Path(const CallOptions& options) {
  return base::StrCat("/", options.service, "/", options.method);
}

struct Call {
  CallOptions options;
  base::MonoTime started;
  grpc::ClientContext context;
  std::shared_ptr<const MessageLite> request;
  std::shared_ptr<MessageLite> response;
  std::function<void(absl::Status)> on_done;  // on the loop
  bool abandoned = false;  // loop: nobody waits any more; call nothing of the caller's
};

// Asks the server to stop when the awaiting coroutine is unwound before the call has ended.
class CancelOnUnwind {
 public:
  explicit CancelOnUnwind(std::shared_ptr<Call> call) : call_(std::move(call)) {}
  CancelOnUnwind(const CancelOnUnwind&) = delete;
  CancelOnUnwind& operator=(const CancelOnUnwind&) = delete;
  ~CancelOnUnwind() {
    if (!call_) return;
    call_->abandoned = true;
    call_->context.TryCancel();
  }
  void Ended() { call_.reset(); }

 private:
  std::shared_ptr<Call> call_;
};

}  // namespace

absl::StatusOr<std::string> GrpcTarget(const std::string& endpoint) {
  std::string_view path = endpoint;
  if (path.starts_with("unix://")) path.remove_prefix(7);
  else if (path.starts_with("unix:")) path.remove_prefix(5);
  if (!path.starts_with('/'))
    return absl::InvalidArgumentError(base::StrCat(
        "runtime endpoint \"", endpoint, "\": give a unix socket, such as unix:///run/x.sock"));
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    return absl::InvalidArgumentError(base::StrCat("runtime endpoint \"", endpoint,
                                                   "\": a socket path has at most ",
                                                   sizeof(sockaddr_un::sun_path) - 1, " bytes"));
  return base::StrCat("unix:", path);
}

// Outlives the RpcChannel for as long as posted completions refer to it. It must not be what keeps the
// grpc::Channel alive then: the last owner of a channel waits for gRPC's threads, and may be none.
struct RpcChannel::Core {
  Core(base::Loop& l, std::shared_ptr<grpc::Channel> channel) : loop(l), stub(std::move(channel)) {}

  base::Loop& loop;
  std::optional<Stub> stub;  // until the RpcChannel goes
  // Loop state. A call is here from its start until gRPC's completion has reached the loop.
  std::map<uint64_t, std::shared_ptr<Call>> calls;
  uint64_t next_id = 0;
  // Completions gRPC still owes us; the one thing its threads write.
  std::atomic<uint32_t> owed = 0;

  // gRPC thread, the last act of a call.
  void Paid() {
    if (owed.fetch_sub(1) == 1) owed.notify_all();
  }

  uint64_t Register(std::shared_ptr<Call> call) {
    call->started = loop.clock().Monotonic();
    Prepare(call->context, call->options);
    owed.fetch_add(1);
    calls.emplace(++next_id, std::move(call));
    return next_id;
  }

  // Loop.
  void Finish(uint64_t id, const grpc::Status& status) {
    auto node = calls.extract(id);
    if (node.empty()) return;  // the RpcChannel is gone
    Call& call = *node.mapped();
    if (!call.abandoned) call.on_done(FromGrpc(status, call.options));
  }

  static void Start(std::shared_ptr<Core> core, std::shared_ptr<Call> call) {
    const uint64_t id = core->Register(call);
    core->stub->UnaryCall(&call->context, Path(call->options), {}, call->request.get(),
                          call->response.get(), [core, id](grpc::Status status) {
                            core->loop.Post([core, id, status] { core->Finish(id, status); });
                            core->Paid();
                          });
  }
};

// The gRPC side of a stream. The next message is read once the loop has dealt with the last one, so a
// flood waits in the socket and not in memory.
class RpcChannel::Reader final : public grpc::ClientBidiReactor<MessageLite, MessageLite>,
                                 public std::enable_shared_from_this<Reader> {
 public:
  Reader(std::shared_ptr<Core> core, Stream stream)
      : core_(std::move(core)), stream_(std::move(stream)), call_(std::make_shared<Call>()) {
    call_->options = stream_.options;
  }

  const std::shared_ptr<Call>& call() const { return call_; }

  // Loop. `on_done` gets the end of the stream, on the loop.
  void Start(std::function<void(absl::Status)> on_done) {
    call_->on_done = std::move(on_done);
    id_ = core_->Register(call_);
    keep_ = shared_from_this();
    core_->stub->PrepareBidiStreamingCall(&call_->context, Path(stream_.options), {}, this);
    AddHold();  // for the reads started on the loop
    StartWriteLast(stream_.request.get(), grpc::WriteOptions());
    StartRead(stream_.message.get());
    StartCall();
  }

 private:
  void OnWriteDone(bool ok) override {
    if (ok) core_->loop.Post([self = shared_from_this()] { self->SendFence(); });
  }
  void OnReadDone(bool ok) override {
    if (!ok) return RemoveHold();
    core_->loop.Post([self = shared_from_this()] { self->Deliver(); });
  }
  void OnDone(const grpc::Status& status) override {
    auto core = core_;
    core->loop.Post([self = shared_from_this(), status] { self->Finish(status); });
    auto last = std::move(keep_);
    last.reset();  // before Paid(): until then the RpcChannel keeps the grpc::Channel
    core->Paid();
  }

  // Loop.
  bool Ended() const { return ended_ || call_->abandoned; }
  void SendFence() {
    if (Ended()) return;
    auto fence = std::make_shared<Call>();
    fence->options = stream_.fence;
    fence->request = stream_.fence_request;
    fence->response = stream_.fence_response;
    fence->on_done = [self = shared_from_this()](absl::Status status) {
      if (status.ok() && !self->Ended()) self->stream_.on_open();
    };
    Core::Start(core_, std::move(fence));
  }
  void Deliver() {
    if (!call_->abandoned) stream_.on_message(*stream_.message);
    stream_.message->Clear();
    StartRead(stream_.message.get());
  }
  void Finish(const grpc::Status& status) {
    ended_ = true;
    core_->Finish(id_, status);
  }

  const std::shared_ptr<Core> core_;
  Stream stream_;
  const std::shared_ptr<Call> call_;
  uint64_t id_ = 0;
  std::shared_ptr<Reader> keep_;  // until OnDone: gRPC knows us by a plain pointer
  bool ended_ = false;            // loop
};

absl::StatusOr<std::unique_ptr<RpcChannel>> RpcChannel::Make(base::Loop& loop,
                                                             const std::string& endpoint) {
  auto target = GrpcTarget(endpoint);
  if (!target.ok()) return target.status();
  auto channel =
      grpc::CreateCustomChannel(*target, grpc::InsecureChannelCredentials(), ChannelArgs());
  return std::unique_ptr<RpcChannel>(
      new RpcChannel(std::make_shared<Core>(loop, std::move(channel))));
}

RpcChannel::~RpcChannel() {
  for (auto& [id, call] : core_->calls) {
    call->abandoned = true;
    call->context.TryCancel();
  }
  while (const uint32_t owed = core_->owed.load()) core_->owed.wait(owed);
  core_->calls.clear();
  core_->stub.reset();
}

base::Task<absl::Status> RpcChannel::Unary(CallOptions options,
                                           std::shared_ptr<const MessageLite> request,
                                           std::shared_ptr<MessageLite> response) {
  auto call = std::make_shared<Call>();
  call->options = std::move(options);
  call->request = std::move(request);
  call->response = std::move(response);
  base::OneShot<absl::Status> done;
  call->on_done = [done](absl::Status status) mutable { done.Set(std::move(status)); };
  CancelOnUnwind cancel(call);
  Core::Start(core_, call);
  absl::Status status = co_await done.Wait();
  cancel.Ended();
  co_return status;
}

base::Task<absl::Status> RpcChannel::ReadStream(Stream stream) {
  auto reader = std::make_shared<Reader>(core_, std::move(stream));
  base::OneShot<absl::Status> done;
  CancelOnUnwind cancel(reader->call());
  reader->Start([done](absl::Status status) mutable { done.Set(std::move(status)); });
  absl::Status status = co_await done.Wait();
  cancel.Ended();
  co_return status;
}

std::vector<InFlight> RpcChannel::InFlightCalls() const {
  std::vector<InFlight> result;
  for (const auto& [id, call] : core_->calls)
    result.push_back({call->options.method, call->options.object, call->started});
  return result;
}

}  // namespace keelson::cri
