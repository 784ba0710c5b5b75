// SPDX-License-Identifier: Apache-2.0
// The one file that knows Beast: its parser reads requests; what we write is simple enough by
// itself.
#include <boost/asio/buffer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/system/system_error.hpp>

#include <cstring>
#include <functional>

#include "base/log.h"
#include "kubelet/server/http_server.h"

namespace keelson::kubelet {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using base::Task;
using boost::system::error_code;
using Parser = http::request_parser<http::string_body>;

constexpr size_t kReadBlock = 16 << 10;
// While nothing is expected soon: what a waiting connection costs.
constexpr size_t kWaitBlock = 1 << 10;
// What a client may send ahead while we answer its last request.
constexpr size_t kMaxAhead = 64 << 10;

std::string_view View(boost::core::string_view text) { return {text.data(), text.size()}; }

// Closes the stream when time is up: whoever waits on it gets an error.
class Deadline {
 public:
  Deadline(base::Clock& clock, ByteStream& stream, base::Nanos after)
      : clock_(clock), id_(clock.Schedule(clock.Monotonic() + after, [this, &stream] {
          passed_ = true;
          stream.Close();
        })) {}
  Deadline(const Deadline&) = delete;
  ~Deadline() { clock_.Cancel(id_); }
  bool passed() const { return passed_; }

 private:
  base::Clock& clock_;
  bool passed_ = false;
  base::Clock::TimerId id_;
};

class HttpResponder : public Responder {
 public:
  using TakeOverHook = std::function<Task<ByteStream*>()>;

  HttpResponder(base::Loop& loop, ByteStream& stream, const HttpLimits& limits, unsigned version,
                bool keep_alive, bool head_only = false)
      : loop_(loop),
        stream_(stream),
        limits_(limits),
        keep_alive_(keep_alive),
        head_only_(head_only),
        chunked_(version >= 11) {}

  void set_take_over(TakeOverHook hook) { take_over_ = std::move(hook); }

  Task<absl::Status> Send(HttpResponse response) override {
    started_ = finished_ = true;
    status_ = response.status;
    std::string text = Head(response, base::StrCat("Content-Length: ", response.body.size()));
    if (!head_only_) text += response.body;
    co_return co_await Put(std::move(text));
  }

  Task<absl::Status> Start(HttpResponse head) override {
    started_ = true;
    status_ = head.status;
    // HTTP/1.0 has no chunks: the end of the connection is the end of the body.
    if (!chunked_) keep_alive_ = false;
    co_return co_await Put(Head(head, chunked_ ? "Transfer-Encoding: chunked" : ""));
  }

  Task<absl::Status> Write(std::string data) override {
    if (data.empty() || head_only_) co_return absl::OkStatus();
    if (!chunked_) co_return co_await Put(std::move(data));
    std::string chunk = base::StrCat(absl::Hex(data.size()), "\r\n", data, "\r\n");
    co_return co_await Put(std::move(chunk));
  }

  Task<ByteStream*> TakeOver() override {
    if (!take_over_ || started_) co_return nullptr;
    started_ = finished_ = true;
    status_ = 101;
    keep_alive_ = false;
    co_return co_await take_over_();
  }

  // After the handler: whatever is missing of a whole answer.
  Task<absl::Status> Finish() {
    if (!started_) {
      HttpResponse none;
      none.status = 500;
      none.body = "no answer\n";
      co_return co_await Send(std::move(none));
    }
    if (finished_ || !chunked_ || head_only_) co_return absl::OkStatus();
    finished_ = true;
    co_return co_await Put("0\r\n\r\n");
  }

  bool keep_alive() const { return keep_alive_; }
  int status() const { return status_; }  // 0: nothing was answered

 private:
  std::string Head(const HttpResponse& response, std::string_view length) const {
    const auto reason = View(http::obsolete_reason(static_cast<http::status>(response.status)));
    std::string text = base::StrCat("HTTP/1.1 ", response.status, " ", reason, "\r\n");
    base::StrAppend(&text, "Content-Type: ", response.content_type, "\r\n");
    for (const auto& [name, value] : response.headers)
      base::StrAppend(&text, name, ": ", value, "\r\n");
    if (!length.empty()) base::StrAppend(&text, length, "\r\n");
    base::StrAppend(&text, "Connection: ", keep_alive_ ? "keep-alive" : "close", "\r\n\r\n");
    return text;
  }

  Task<absl::Status> Put(std::string text) {
    Deadline deadline(loop_.clock(), stream_, limits_.write);
    co_return co_await stream_.WriteAll(text);
  }

  base::Loop& loop_;
  ByteStream& stream_;
  const HttpLimits& limits_;
  bool keep_alive_;
  const bool head_only_;
  const bool chunked_;
  bool started_ = false;
  bool finished_ = false;
  int status_ = 0;
  TakeOverHook take_over_;
};

// A connection after HTTP: what was read ahead comes first.
class TakenStream : public ByteStream {
 public:
  TakenStream(ByteStream& stream, std::string& ahead) : stream_(stream), ahead_(ahead) {}

  Task<absl::StatusOr<size_t>> ReadSome(char* data, size_t size) override {
    if (ahead_.empty()) co_return co_await stream_.ReadSome(data, size);
    const size_t got = std::min(size, ahead_.size());
    std::memcpy(data, ahead_.data(), got);
    ahead_.erase(0, got);
    co_return got;
  }
  Task<absl::Status> WriteAll(std::string_view data) override { return stream_.WriteAll(data); }
  void FinishWriting() override { stream_.FinishWriting(); }
  Task<void> HungUp() override { return stream_.HungUp(); }
  std::string PeerAddress() const override { return stream_.PeerAddress(); }
  void Close() override { stream_.Close(); }

 private:
  ByteStream& stream_;
  std::string& ahead_;
};

int StatusOf(const error_code& ec) {
  if (ec == http::error::header_limit) return 431;
  if (ec == http::error::body_limit) return 413;
  if (ec == http::error::bad_version) return 505;
  return 400;
}

class Connection {
 public:
  Connection(base::Loop& loop, const HttpRoutes& routes, const HttpLimits& limits,
             ConnectionState& state)
      : loop_(loop), routes_(routes), limits_(limits), state_(state), stream_(*state.stream) {}

  Task<void> Serve() {
    const bool ready = co_await Handshake();
    if (!ready) co_return;
    while (co_await WaitForRequest()) {
      Parser parser;
      parser.header_limit(limits_.header_bytes);
      parser.body_limit(limits_.body_bytes);
      parser.eager(true);
      const int refused = co_await ReadRequest(parser);
      if (refused < 0) co_return;
      if (refused > 0) {
        co_await Refuse(refused);
        co_return;
      }
      if (!co_await Answer(parser.release())) co_return;
    }
  }

 private:
  Task<bool> Handshake() {
    Deadline deadline(loop_.clock(), stream_, limits_.handshake);
    absl::Status done = co_await stream_.Handshake();
    if (!done.ok()) KLOG_V(2, "TLS handshake failed", {"err", done});
    co_return done.ok();
  }

  // False when the client has gone or has been silent for too long.
  Task<bool> WaitForRequest() {
    if (!in_.empty()) co_return true;
    Deadline idle(loop_.clock(), stream_, limits_.idle);
    state_.idle = true;
    state_.idle_since = loop_.clock().Monotonic();
    state_.became_idle->Set();
    const bool more = co_await ReadMore<kWaitBlock>();
    state_.idle = false;
    co_return more;
  }

  // 0: the parser has a request; a status to refuse it with; -1: the client is gone.
  Task<int> ReadRequest(Parser& parser) {
    Deadline deadline(loop_.clock(), stream_, limits_.request);
    bool told_to_continue = false;
    for (;;) {
      if (!in_.empty()) {
        error_code ec;
        const size_t used = parser.put(asio::buffer(in_.data(), in_.size()), ec);
        in_.erase(0, used);
        if (ec && ec != http::error::need_more) co_return StatusOf(ec);
        if (parser.is_done()) co_return 0;
        if (!ec && used > 0 && !in_.empty()) continue;
      }
      if (parser.is_header_done() && !told_to_continue && ExpectsContinue(parser)) {
        told_to_continue = true;
        absl::Status sent = co_await stream_.WriteAll("HTTP/1.1 100 Continue\r\n\r\n");
        if (!sent.ok()) co_return -1;
      }
      const bool more = co_await ReadMore<kReadBlock>();
      if (!more) co_return -1;
    }
  }

  static bool ExpectsContinue(Parser& parser) {
    return boost::beast::iequals(parser.get()[http::field::expect], "100-continue");
  }

  template <size_t kSize>
  Task<bool> ReadMore() {
    char block[kSize];
    absl::StatusOr<size_t> got = co_await stream_.ReadSome(block, sizeof(block));
    if (!got.ok() || *got == 0) co_return false;
    in_.append(block, *got);
    co_return true;
  }

  Task<void> Refuse(int status) {
    HttpResponder responder(loop_, stream_, limits_, 11, false);
    HttpResponse response;
    response.status = status;
    response.body =
        base::StrCat(View(http::obsolete_reason(static_cast<http::status>(status))), "\n");
    // The client may be gone, which is what we are about to make of it anyway.
    static_cast<void>(co_await responder.Send(std::move(response)));
  }

  // True when another request may follow.
  Task<bool> Answer(http::request<http::string_body> message) {
    HttpRequest request;
    request.method = std::string(View(message.method_string()));
    if (!ParseTarget(View(message.target()), &request).ok()) {
      co_await Refuse(400);
      co_return false;
    }
    for (const auto& field : message) {
      std::string name(View(field.name_string()));
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      request.headers.emplace_back(std::move(name), std::string(View(field.value())));
    }
    request.body = std::move(message.body());
    request.target = std::string(View(message.target()));
    request.peer = stream_.Peer();
    request.peer_address = stream_.PeerAddress();
    HttpResponder responder(loop_, stream_, limits_, message.version(), message.keep_alive(),
                            request.method == "HEAD");
    HttpRoutes::Found found = routes_.Find(request);
    const base::MonoTime began = loop_.clock().Monotonic();
    if (routes_.observer != nullptr) routes_.observer->RequestBegan(request);
    Observed observed{*this, request, responder, began};
    const bool alive = co_await RunHandler(found, request, responder);
    co_return alive&& responder.keep_alive();
  }

  // Says that the request ended, also when it was cut short.
  struct Observed {
    Connection& self;
    const HttpRequest& request;
    const HttpResponder& responder;
    base::MonoTime began;
    ~Observed() {
      const base::Nanos took = self.loop_.clock().Monotonic() - began;
      // Whom a proxy speaks for is only told: what anybody may claim decides nothing.
      KLOG_V(3, "HTTP", {"verb", request.method}, {"URI", request.target},
             {"latency", base::GoDuration(took)},
             {"userAgent", request.Header("user-agent").value_or("")},
             {"srcIP", request.peer_address},
             {"forwardedFor", request.Header("x-forwarded-for").value_or("")},
             {"resp", responder.status()});
      if (self.routes_.observer != nullptr) self.routes_.observer->RequestEnded(request, took);
    }
  };

  static Task<void> NotFound(const HttpRoutes::Found& found, HttpResponder& responder) {
    HttpResponse response;
    response.status = found.allow.empty() ? 404 : 405;
    response.body = found.allow.empty() ? "404 page not found\n" : "Method Not Allowed\n";
    if (!found.allow.empty()) response.headers.emplace_back("Allow", found.allow);
    // Finish tells whether the client is still there.
    static_cast<void>(co_await responder.Send(std::move(response)));
  }

  // Runs the handler beside a watch for the client's end; whichever comes first ends the other.
  Task<bool> RunHandler(const HttpRoutes::Found& found, const HttpRequest& request,
                        HttpResponder& responder) {
    base::TaskGroup handling(loop_), watching(loop_);
    base::OneShot<bool> answered;
    TakenStream taken(stream_, in_);
    watch_over_ = false;
    responder.set_take_over([&]() -> Task<ByteStream*> {
      watch_over_ = true;
      co_await watching.CancelAndJoin();  // from now on the handler reads
      co_return &taken;
    });
    handling.Spawn("http handler", Handle(found, request, responder, answered));
    // A handler that never waited has run up to here, and may have taken the connection already: a
    // watch that began now would read what is the handler's.
    if (!watch_over_) watching.Spawn("http client watch", WatchClient(answered));
    std::exception_ptr cancelled;
    bool whole = false;
    try {
      whole = co_await answered.Wait();
      co_await handling.CancelAndJoin();
      co_await watching.CancelAndJoin();
    } catch (const boost::system::system_error&) {
      cancelled = std::current_exception();
    }
    if (!cancelled) co_return whole;
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await handling.CancelAndJoin();
    co_await watching.CancelAndJoin();
    std::rethrow_exception(cancelled);
  }

  Task<void> Handle(const HttpRoutes::Found& found, const HttpRequest& request,
                    HttpResponder& responder, base::OneShot<bool> answered) {
    bool pass = true;
    if (routes_.filter) pass = co_await routes_.filter(request, responder);
    if (pass && found.handler != nullptr) co_await (*found.handler)(request, responder);
    if (pass && found.handler == nullptr) co_await NotFound(found, responder);
    absl::Status finished = co_await responder.Finish();
    answered.Set(finished.ok());
  }

  Task<void> WatchClient(base::OneShot<bool> answered) {
    bool alive = true;
    while (alive && in_.size() < kMaxAhead) alive = co_await ReadMore<kWaitBlock>();
    // Past the limit nobody reads any more.
    if (alive) co_await stream_.HungUp();
    // A wait that was called off says nothing about the client.
    if (!watch_over_) answered.Set(false);
  }

  base::Loop& loop_;
  const HttpRoutes& routes_;
  const HttpLimits& limits_;
  ConnectionState& state_;
  ByteStream& stream_;
  std::string in_;           // read and not yet parsed
  bool watch_over_ = false;  // of the present request: set when its handler takes the connection
};

}  // namespace

Task<void> ServeHttpConnection(base::Loop& loop, const HttpRoutes& routes, const HttpLimits& limits,
                               ConnectionState& state) {
  Connection connection(loop, routes, limits, state);
  co_await connection.Serve();
}

}  // namespace keelson::kubelet
