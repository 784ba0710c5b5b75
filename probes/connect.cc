// SPDX-License-Identifier: Apache-2.0
#include "probes/connect.h"

#include <netdb.h>
#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <array>
#include <vector>

#include "absl/strings/ascii.h"
#include "base/errno_status.h"
#include "base/loop.h"
#include "base/strings.h"

namespace keelson::probes {
namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;
using base::StrCat;
using base::Task;
using boost::system::error_code;

constexpr int kMaxRedirects = 10;

std::string Words(const error_code& ec) { return absl::AsciiStrToLower(ec.message()); }

absl::Status DialError(const std::string& address, std::string_view reason) {
  return absl::UnavailableError(StrCat("dial tcp ", address, ": ", reason));
}

absl::StatusOr<std::vector<tcp::endpoint>> LookUp(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (error != 0)
    return absl::NotFoundError(
        StrCat("lookup ", host, ": ", error == EAI_NONAME ? "no such host" : ::gai_strerror(error)));
  std::vector<tcp::endpoint> endpoints;
  for (const addrinfo* it = found; it; it = it->ai_next) {
    tcp::endpoint endpoint;
    if (it->ai_addrlen > endpoint.capacity()) continue;
    endpoint.resize(it->ai_addrlen);
    std::copy_n(reinterpret_cast<const char*>(it->ai_addr), it->ai_addrlen,
                reinterpret_cast<char*>(endpoint.data()));
    endpoint.port(static_cast<uint16_t>(port));
    endpoints.push_back(endpoint);
  }
  ::freeaddrinfo(found);
  return endpoints;
}

Task<absl::StatusOr<std::vector<tcp::endpoint>>> Resolve(base::Loop& loop, std::string host,
                                                         int port) {
  error_code ec;
  const auto address = asio::ip::make_address(host, ec);
  if (!ec) co_return std::vector<tcp::endpoint>{tcp::endpoint(address, static_cast<uint16_t>(port))};
  auto look_up = [host, port] { return LookUp(host, port); };
  co_return co_await base::RunBlocking(loop, std::move(look_up));
}

// Opens `socket` and connects it; the first address that answers counts.
Task<absl::Status> Dial(base::Loop& loop, tcp::socket& socket, std::string host, int port) {
  const std::string address = HostPort(host, port);
  auto endpoints = co_await Resolve(loop, host, port);
  if (!endpoints.ok())
    co_return absl::UnavailableError(StrCat("dial tcp: ", base::Message(endpoints.status())));
  error_code ec = asio::error::host_not_found;
  for (const tcp::endpoint& endpoint : *endpoints) {
    socket.close(ec);
    socket.open(endpoint.protocol(), ec);
    if (ec) co_return DialError(address, StrCat("socket: ", Words(ec)));
    socket.set_option(asio::socket_base::linger(true, 0), ec);
    co_await socket.async_connect(endpoint, asio::redirect_error(asio::use_awaitable, ec));
    if (!ec) co_return absl::OkStatus();
  }
  co_return DialError(address, StrCat("connect: ", Words(ec)));
}

// TLS as probes want it: whoever answers is fine, certificates are not looked at.
ssl::context MakeTlsContext() {
  ssl::context context(ssl::context::tls_client);
  context.set_verify_mode(ssl::verify_none);
  SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_2_VERSION);
  // Old servers know no secure renegotiation, and many close without saying goodbye.
  SSL_CTX_set_options(context.native_handle(),
                      SSL_OP_LEGACY_SERVER_CONNECT | SSL_OP_IGNORE_UNEXPECTED_EOF);
  return context;
}

std::string IoError(const tcp::socket& socket, const char* verb, const error_code& ec) {
  error_code ignored;  // a socket without peer has no name to print
  const auto local = socket.local_endpoint(ignored);
  const auto remote = socket.remote_endpoint(ignored);
  return StrCat(verb, " tcp ", HostPort(local.address().to_string(), local.port()), "->",
                HostPort(remote.address().to_string(), remote.port()), ": ", verb, ": ", Words(ec));
}

// One request and its answer over a stream that is connected. Sets error, code and body.
template <typename Stream>
Task<void> Talk(Stream& stream, tcp::socket& socket, std::string request, HttpReply& reply,
                HttpExchange& exchange) {
  error_code ec;
  co_await asio::async_write(stream, asio::buffer(request),
                             asio::redirect_error(asio::use_awaitable, ec));
  // A server may answer and close before it has read all: what it says counts more.
  const error_code write_error = ec;
  std::array<char, 4096> chunk;
  while (!reply.done()) {
    const size_t bytes = co_await stream.async_read_some(
        asio::buffer(chunk), asio::redirect_error(asio::use_awaitable, ec));
    absl::Status status = reply.Feed(std::string_view(chunk.data(), bytes));
    if (status.ok() && ec == asio::error::eof) status = reply.End();
    else if (status.ok() && ec && !reply.done())
      status = absl::UnavailableError(write_error ? IoError(socket, "write", write_error)
                                                  : IoError(socket, "read", ec));
    exchange.head_read = reply.head_done();
    if (!status.ok()) {
      exchange.error = std::string(base::Message(status));
      co_return;
    }
  }
  exchange.head_read = true;
}

// The part of the exchange with one server.
Task<void> Ask(base::Loop& loop, const HttpCall& call, HttpReply& reply, HttpExchange& exchange) {
  auto request = RequestBytes(call);
  if (!request.ok()) {
    exchange.error = std::string(base::Message(request.status()));
    co_return;
  }
  tcp::socket socket(loop.io());
  absl::Status dialed = co_await Dial(loop, socket, call.url.host, call.url.port);
  if (!dialed.ok()) {
    exchange.error = std::string(base::Message(dialed));
    co_return;
  }
  if (!call.url.tls) {
    co_await Talk(socket, socket, *std::move(request), reply, exchange);
    co_return;
  }
  static ssl::context context = MakeTlsContext();  // costs a millisecond; no state of ours
  ssl::stream<tcp::socket&> tls(socket, context);
  error_code ec;
  asio::ip::make_address(call.url.host, ec);
  if (ec) SSL_set_tlsext_host_name(tls.native_handle(), call.url.host.c_str());
  co_await tls.async_handshake(ssl::stream_base::client,
                               asio::redirect_error(asio::use_awaitable, ec));
  if (ec) {
    // A record whose version is the text of a status line.
    exchange.plain_answer = ec.category() == asio::error::get_ssl_category() &&
                            ERR_GET_REASON(ec.value()) == SSL_R_WRONG_VERSION_NUMBER;
    exchange.error = exchange.plain_answer ? "http: server gave HTTP response to HTTPS client"
                     : ec == asio::error::eof ? "EOF"
                                              : StrCat("tls: ", Words(ec));
    co_return;
  }
  co_await Talk(tls, socket, *std::move(request), reply, exchange);
}

bool IsRedirect(int code) {
  return code == 301 || code == 302 || code == 303 || code == 307 || code == 308;
}

}  // namespace

Task<absl::StatusOr<base::UniqueFd>> Connect(base::Loop& loop, std::string host, int port) {
  tcp::socket socket(loop.io());
  absl::Status dialed = co_await Dial(loop, socket, host, port);
  if (!dialed.ok()) co_return dialed;
  error_code ec;
  const int fd = socket.release(ec);
  if (ec) co_return DialError(HostPort(host, port), Words(ec));
  co_return base::UniqueFd(fd);
}

Task<void> HttpGet(base::Loop& loop, HttpCall call, std::shared_ptr<HttpExchange> exchange) {
  const std::string first_host = call.url.host;
  for (int redirects = 0;; ++redirects) {
    HttpReply reply;
    exchange->head_read = false;
    exchange->url = call.url.Text();
    co_await Ask(loop, call, reply, *exchange);
    exchange->code = reply.code();
    exchange->body = reply.body();
    if (!exchange->error.empty() || !IsRedirect(reply.code()) || !reply.location()) co_return;
    auto next = ResolveLocation(call.url, *reply.location());
    if (!next.ok()) {
      exchange->head_read = false;
      exchange->error = std::string(base::Message(next.status()));
      co_return;
    }
    if (next->host != first_host) co_return;
    if (redirects + 1 == kMaxRedirects) {
      exchange->head_read = false;
      exchange->error = StrCat("stopped after ", kMaxRedirects, " redirects");
      co_return;
    }
    // A name for the server that is not its address stays with it, unless the server itself names one.
    const std::string& to = *reply.location();
    if (to.find(':') < to.find_first_of("/?#")) call.host_header.clear();
    call.url = *std::move(next);
  }
}

}  // namespace keelson::probes
