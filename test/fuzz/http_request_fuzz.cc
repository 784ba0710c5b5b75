// SPDX-License-Identifier: Apache-2.0
// Bytes of a client against the HTTP server, in pieces: every request is answered, and nothing else is.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/loop.h"
#include "kubelet/server/http_server.h"
#include "kubelet/server/log_query.h"

namespace {

using namespace keelson;
using namespace keelson::kubelet;

// Gives what a client sent, at most `step` bytes at once, and takes what it is told.
class Client : public ByteStream {
 public:
  Client(std::string_view in, size_t step) : in_(in), step_(step) {}
  base::Task<absl::StatusOr<size_t>> ReadSome(char* data, size_t size) override {
    const size_t got = closed ? 0 : in_.copy(data, std::min(size, step_));
    in_.remove_prefix(got);
    co_return got;
  }
  base::Task<absl::Status> WriteAll(std::string_view data) override {
    told.append(data);
    co_return closed ? absl::UnavailableError("closed") : absl::OkStatus();
  }
  void Close() override { closed = true; }
  std::string told;
  bool closed = false;

 private:
  std::string_view in_;
  const size_t step_;
};

base::Task<void> Answer(const HttpRequest& request, Responder& responder) {
  KEELSON_CHECK(request.path.find('\0') == request.path.npos);
  static_cast<void>(ParseLogQuery(request.query, {}));
  HttpResponse response;
  response.body = request.body;
  static_cast<void>(co_await responder.Send(std::move(response)));
}

base::Task<void> Stream(const HttpRequest& request, Responder& responder) {
  HttpResponse head;
  static_cast<void>(co_await responder.Start(std::move(head)));
  std::string piece = request.target;
  static_cast<void>(co_await responder.Write(std::move(piece)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const HttpRoutes* routes = [] {
    auto* all = new HttpRoutes;
    all->Add("GET", "/containerLogs/{namespace}/{pod}/{container}", Stream);
    all->Add("*", "/logs/{path*}", Answer);
    all->Add("POST", "/run/{namespace}/{pod}/{container}", Answer);
    return all;
  }();
  if (size == 0) return 0;
  const HttpLimits limits{.header_bytes = 4096, .body_bytes = 4096};
  base::VirtualClock clock;
  base::Loop loop(clock);
  Client client({reinterpret_cast<const char*>(data) + 1, size - 1}, size_t{1} + data[0]);
  base::Wakeup idle;
  ConnectionState state;
  state.stream = &client;
  state.became_idle = &idle;
  base::TaskGroup tasks(loop);
  tasks.Spawn("connection", ServeHttpConnection(loop, *routes, limits, state));
  for (int turns = 0; tasks.size() > 0 && turns < 1000; ++turns) {
    loop.RunReady();
    if (tasks.size() > 0) base::RunFor(loop, clock, std::chrono::hours(5));
  }
  KEELSON_CHECK(tasks.size() == 0);
  KEELSON_CHECK(client.told.empty() || client.told.starts_with("HTTP/1.1 "));
  return 0;
}
