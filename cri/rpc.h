// SPDX-License-Identifier: Apache-2.0
// gRPC calls as coroutines: the only file pair that knows gRPC.
//
// Loop only; completions are posted onto the loop by the poller's thread. A call whose awaiting
// task is cancelled is cancelled at the server too, and stays in InFlightCalls() until gRPC has let
// go of it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "base/task.h"
#include "base/time.h"

namespace google::protobuf {
class MessageLite;
}

namespace keelson::base {
class Loop;
}

namespace keelson::cri {

using google::protobuf::MessageLite;

// A call that has not ended, for nodectl and metrics.
struct InFlight {
  std::string method;  // "RunPodSandbox"
  std::string object;  // "pod default/web", "container 0123456789abc", or empty
  base::MonoTime started;
};

// Hears of calls that ended: the method, how, and after what time.
using CallObserver = std::function<void(const char* method, const absl::Status& status,
                                        base::Nanos took)>;

struct CallOptions {
  const char* service = nullptr;     // "runtime.v1.RuntimeService"; a literal
  const char* method = nullptr;      // "StopContainer"; a literal
  std::string object;                // of the error text and of InFlight
  base::Nanos timeout{};             // zero: none
  bool wait_for_connection = false;  // wait for a server that is not there, instead of Unavailable
  const CallObserver* observer = nullptr;  // of unary calls; outlives the call
};

// A path or unix:// URL as gRPC's target; InvalidArgument for anything but a unix socket.
absl::StatusOr<std::string> GrpcTarget(const std::string& endpoint);

// The thread that waits for gRPC's completions and posts them onto loops. It sleeps until there is
// one; gRPC 1.51's callback interface would poll each second and be deaf for 100 ms after every
// time.
class RpcPoller {
 public:
  RpcPoller();
  RpcPoller(const RpcPoller&) = delete;
  RpcPoller& operator=(const RpcPoller&) = delete;
  // REQUIRES: all channels on it are gone.
  ~RpcPoller();

 private:
  friend class RpcChannel;
  struct State;
  std::unique_ptr<State> state_;
};

// One connection to one socket, made when first needed and again after each loss: at once, then
// after 100 ms doubling to 3 s. The destructor REQUIRES that no task awaits a call; it cancels what
// is in flight and waits (for milliseconds) until gRPC has let go.
class RpcChannel {
 public:
  static absl::StatusOr<std::unique_ptr<RpcChannel>> Make(base::Loop& loop,
                                                          std::shared_ptr<RpcPoller> poller,
                                                          const std::string& endpoint);
  // Over a connected stream socket, which becomes gRPC's. There is no second connection: once this
  // one is lost, calls fail.
  static std::unique_ptr<RpcChannel> FromSocket(base::Loop& loop, std::shared_ptr<RpcPoller> poller,
                                                base::UniqueFd socket, const std::string& authority,
                                                const std::string& user_agent);
  RpcChannel(const RpcChannel&) = delete;
  RpcChannel& operator=(const RpcChannel&) = delete;
  ~RpcChannel();

  // Sends `request` and fills `response`; both stay alive until gRPC is done, cancelled or not.
  // Errors: see cri/error.h.
  base::Task<absl::Status> Unary(CallOptions options, std::shared_ptr<const MessageLite> request,
                                 std::shared_ptr<MessageLite> response);

  // One request, many messages: `on_message` runs for each, after which `message` is used for the
  // next one. `on_open` runs once, when the server has answered `fence` (any call without side
  // effect) sent after the stream's request: servers send no headers before the first message, and
  // this is the earliest proof that they have seen the request. Returns the end of the stream.
  struct Stream {
    CallOptions options;
    std::shared_ptr<const MessageLite> request;
    std::shared_ptr<MessageLite> message;
    CallOptions fence;
    std::shared_ptr<const MessageLite> fence_request;
    std::shared_ptr<MessageLite> fence_response;
    std::function<void()> on_open;
    std::function<void(const MessageLite&)> on_message;
  };
  base::Task<absl::Status> ReadStream(Stream stream);

  // Oldest first.
  std::vector<InFlight> InFlightCalls() const;

 private:
  friend class RpcPoller;
  struct Core;
  class Reader;
  RpcChannel(std::shared_ptr<RpcPoller> poller, std::shared_ptr<Core> core)
      : poller_(std::move(poller)), core_(std::move(core)) {}
  const std::shared_ptr<RpcPoller> poller_;
  const std::shared_ptr<Core> core_;
};

}  // namespace keelson::cri
