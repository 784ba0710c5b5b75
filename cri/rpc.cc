// SPDX-License-Identifier: Apache-2.0
#include "cri/rpc.h"

#include <grpc/grpc.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <sys/un.h>

#include <atomic>
#include <map>
#include <optional>

#include "absl/functional/any_invocable.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/strings.h"
#include "base/thread.h"
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
  // What a call over a local socket never needs: retries and service configuration, bandwidth
  // probes, channel statistics. Each costs memory or wake-ups.
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
  std::unique_ptr<grpc::ClientAsyncResponseReader<MessageLite>> reader;
  grpc::Status status;                        // gRPC writes it before the call's completion
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
  if (path.starts_with("unix://"))
    path.remove_prefix(7);
  else if (path.starts_with("unix:"))
    path.remove_prefix(5);
  if (!path.starts_with('/'))
    return absl::InvalidArgumentError(base::StrCat(
        "runtime endpoint \"", endpoint, "\": give a unix socket, such as unix:///run/x.sock"));
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    return absl::InvalidArgumentError(base::StrCat("runtime endpoint \"", endpoint,
                                                   "\": a socket path has at most ",
                                                   sizeof(sockaddr_un::sun_path) - 1, " bytes"));
  return base::StrCat("unix:", path);
}

struct RpcPoller::State {
  grpc::CompletionQueue queue;
  std::unique_ptr<base::Thread> thread;
};

// What is left of a channel's calls: outlives the RpcChannel while posted completions refer to it.
struct RpcChannel::Core : std::enable_shared_from_this<Core> {
  Core(base::Loop& l, grpc::CompletionQueue& q, std::shared_ptr<grpc::Channel> channel)
      : loop(l), queue(q), stub(std::move(channel)) {}

  // One operation gRPC still owes us the completion of.
  struct Completion {
    std::shared_ptr<Core> core;
    absl::AnyInvocable<void(bool ok)> then;  // on the loop
  };

  base::Loop& loop;
  grpc::CompletionQueue& queue;
  std::optional<Stub> stub;  // until the RpcChannel goes
  // Loop state. A call is here from its start until its last completion has reached the loop.
  std::map<uint64_t, std::shared_ptr<Call>> calls;
  uint64_t next_id = 0;
  std::atomic<uint32_t> owed = 0;  // completions; the one thing the poller's thread writes

  // The tag of a gRPC operation.
  Completion* Then(absl::AnyInvocable<void(bool ok)> fn) {
    owed.fetch_add(1);
    return new Completion{shared_from_this(), std::move(fn)};
  }
  // Poller's thread.
  static void Complete(std::unique_ptr<Completion> done, bool ok) {
    auto core = done->core;
    core->loop.Post([done = std::move(done), ok] { done->then(ok); });
    if (core->owed.fetch_sub(1) == 1) core->owed.notify_all();
  }

  uint64_t Register(std::shared_ptr<Call> call) {
    call->started = loop.clock().Monotonic();
    Prepare(call->context, call->options);
    calls.emplace(++next_id, std::move(call));
    return next_id;
  }

  void Start(std::shared_ptr<Call> call) {
    const uint64_t id = Register(call);
    call->reader =
        stub->PrepareUnaryCall(&call->context, Path(call->options), *call->request, &queue);
    call->reader->StartCall();
    call->reader->Finish(call->response.get(), &call->status, Then([this, id](bool) { End(id); }));
  }

  void End(uint64_t id) {
    auto node = calls.extract(id);
    if (node.empty()) return;  // the RpcChannel is gone
    Call& call = *node.mapped();
    if (!call.abandoned) call.on_done(FromGrpc(call.status, call.options));
  }
};

RpcPoller::RpcPoller() : state_(std::make_unique<State>()) {
  // Keeps gRPC's globals to the end of the process: taking them down waits up to 10 s for the
  // thread that finished the last large write.
  grpc_init();
  state_->thread = std::make_unique<base::Thread>("grpc-poll", [queue = &state_->queue] {
    void* tag = nullptr;
    bool ok = false;
    while (queue->Next(&tag, &ok))
      RpcChannel::Core::Complete(std::unique_ptr<RpcChannel::Core::Completion>(
                                     static_cast<RpcChannel::Core::Completion*>(tag)),
                                 ok);
  });
}

RpcPoller::~RpcPoller() {
  state_->queue.Shutdown();
  state_->thread.reset();
}

// A stream's life, all of it on the loop. The next message is asked for once the last one was dealt
// with, so a flood waits in the socket and not in memory.
class RpcChannel::Reader : public std::enable_shared_from_this<Reader> {
 public:
  Reader(std::shared_ptr<Core> core, Stream stream)
      : core_(std::move(core)), stream_(std::move(stream)), call_(std::make_shared<Call>()) {
    call_->options = stream_.options;
  }

  const std::shared_ptr<Call>& call() const { return call_; }

  // `on_done` gets the end of the stream.
  void Start(std::function<void(absl::Status)> on_done) {
    call_->on_done = std::move(on_done);
    id_ = core_->Register(call_);
    io_ = core_->stub->PrepareCall(&call_->context, Path(stream_.options), &core_->queue);
    io_->StartCall(Then(&Reader::OnStarted));
  }

 private:
  Core::Completion* Then(void (Reader::*step)(bool)) {
    ++pending_;
    return core_->Then([self = shared_from_this(), step](bool ok) {
      --self->pending_;
      if (self->core_->stub) (self.get()->*step)(ok);
    });
  }

  void OnStarted(bool ok) {
    if (!ok) return Finish();
    io_->WriteLast(*stream_.request, grpc::WriteOptions(), Then(&Reader::OnWritten));
    io_->Read(stream_.message.get(), Then(&Reader::OnRead));
  }
  void OnWritten(bool ok) {
    if (failed_) return Finish();
    if (ok && !call_->abandoned) SendFence();
  }
  void OnRead(bool ok) {
    if (!ok) return Finish();
    if (!call_->abandoned) stream_.on_message(*stream_.message);
    stream_.message->Clear();
    io_->Read(stream_.message.get(), Then(&Reader::OnRead));
  }
  // Asks for the status once nothing else is under way.
  void Finish() {
    failed_ = true;
    if (pending_ == 0) io_->Finish(&call_->status, Then(&Reader::OnFinished));
  }
  void OnFinished(bool) { core_->End(id_); }

  void SendFence() {
    auto fence = std::make_shared<Call>();
    fence->options = stream_.fence;
    fence->request = stream_.fence_request;
    fence->response = stream_.fence_response;
    fence->on_done = [self = shared_from_this()](absl::Status status) {
      if (status.ok() && !self->failed_ && !self->call_->abandoned) self->stream_.on_open();
    };
    core_->Start(std::move(fence));
  }

  const std::shared_ptr<Core> core_;
  Stream stream_;
  const std::shared_ptr<Call> call_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<MessageLite, MessageLite>> io_;
  uint64_t id_ = 0;
  int pending_ = 0;      // operations
  bool failed_ = false;  // set by the first operation that failed: the stream has ended
};

absl::StatusOr<std::unique_ptr<RpcChannel>> RpcChannel::Make(base::Loop& loop,
                                                             std::shared_ptr<RpcPoller> poller,
                                                             const std::string& endpoint) {
  auto target = GrpcTarget(endpoint);
  if (!target.ok()) return target.status();
  auto channel =
      grpc::CreateCustomChannel(*target, grpc::InsecureChannelCredentials(), ChannelArgs());
  auto core = std::make_shared<Core>(loop, poller->state_->queue, std::move(channel));
  return std::unique_ptr<RpcChannel>(new RpcChannel(std::move(poller), std::move(core)));
}

std::unique_ptr<RpcChannel> RpcChannel::FromSocket(base::Loop& loop,
                                                   std::shared_ptr<RpcPoller> poller,
                                                   base::UniqueFd socket,
                                                   const std::string& authority,
                                                   const std::string& user_agent) {
  grpc::ChannelArguments args = ChannelArgs();
  args.SetString(GRPC_ARG_DEFAULT_AUTHORITY, authority);
  args.SetUserAgentPrefix(user_agent);
  auto channel = grpc::CreateCustomInsecureChannelFromFd(authority, socket.release(), args);
  auto core = std::make_shared<Core>(loop, poller->state_->queue, std::move(channel));
  return std::unique_ptr<RpcChannel>(new RpcChannel(std::move(poller), std::move(core)));
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
  core_->Start(call);
  absl::Status status = co_await done.Wait();
  cancel.Ended();
  const CallOptions& made = call->options;
  const base::Nanos took = core_->loop.clock().Monotonic() - call->started;
  KLOG_V(5, "CRI call", {"method", made.method}, {"object", made.object},
         {"took", base::GoDuration(took)}, {"err", status});
  if (made.observer && *made.observer) (*made.observer)(made.method, status, took);
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
