// SPDX-License-Identifier: Apache-2.0
// Both ends of an upgrade: what a client asks for, and the call to the runtime's streaming server.
// Loop only.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/loop.h"
#include "kubelet/server/http_message.h"
#include "kubelet/server/stream.h"

namespace keelson::kubelet {

using HeaderList = std::vector<std::pair<std::string, std::string>>;

bool AsksForUpgrade(const HttpRequest& request);
bool IsWebSocket(const HttpRequest& request);
// Of Sec-WebSocket-Protocol, in the client's order.
std::vector<std::string> WebSocketProtocols(const HttpRequest& request);

// `http://127.0.0.1:1234/exec/token` in parts. InvalidArgument: not like this, with an address
// literal or localhost.
struct StreamUrl {
  std::string host;
  uint16_t port = 80;
  std::string target;  // path and query
};
absl::StatusOr<StreamUrl> ParseStreamUrl(const std::string& url);

// What the runtime answered: 101, or a refusal from 400 on.
struct UpgradeAnswer {
  std::unique_ptr<ByteStream> stream;
  int status = 0;
  std::string head;   // status line and headers with the empty line
  std::string ahead;  // what came behind them

  // Value of a header (`name` in lower case); empty when absent.
  std::string Header(std::string_view name) const;
};
// Sends `method` and these headers to `url`. Unavailable: nobody listens there, or it went away;
// Internal: an answer that makes no sense.
base::Task<absl::StatusOr<UpgradeAnswer>> CallForUpgrade(base::Loop& loop, std::string url,
                                                         std::string method, HeaderList headers);

// Headers of a call that asks for SPDY with these protocols.
HeaderList SpdyCall(std::vector<std::string> protocols);

// Switches the connection to WebSocket, with the subprotocol unless it is empty; null after having
// refused, or when the client has gone.
base::Task<ByteStream*> AcceptWebSocket(const HttpRequest& request, Responder& responder,
                                        std::string subprotocol);
// Answers with an error instead.
base::Task<void> RefuseUpgrade(Responder& responder, int status, std::string words);

// One end for several tasks that write: each piece stays whole. Unavailable: the stream's, or an
// earlier piece was cut short because its task was cancelled; nothing can follow it.
class SharedWriter {
 public:
  explicit SharedWriter(ByteStream& stream) : stream_(stream) {}
  base::Task<absl::Status> Write(std::string data);

 private:
  ByteStream& stream_;
  bool busy_ = false;
  bool cut_ = false;
  base::Wakeup free_;
};

// Runs both until `ended` is set, whose value is returned, then cancels them. A client that hangs
// up while nobody reads from it sets `ended` to false. When cancelled itself, too, both have ended
// before this returns.
base::Task<bool> RunBothUntil(base::Loop& loop, ByteStream& client, base::Task<void> one,
                              base::Task<void> other, base::OneShot<bool> ended);

// Ends our side and reads on for a moment: closing with bytes unread would make the kernel reset
// the connection, and the client lose what it has not read yet.
base::Task<void> FinishGently(base::Loop& loop, ByteStream& stream);

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

}  // namespace keelson::kubelet
