// SPDX-License-Identifier: Apache-2.0
// An HTTP server on the loop of a test: answers what it was told, by path, in plain text or TLS.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/loop.h"

namespace keelson::probes {

namespace asio = boost::asio;

// A certificate nobody vouches for.
inline asio::ssl::context SelfSigned() {
  asio::ssl::context context(asio::ssl::context::tls_server);
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  X509_gmtime_adj(X509_getm_notBefore(certificate), -7200);
  X509_gmtime_adj(X509_getm_notAfter(certificate), -3600);  // expired, too
  X509_set_pubkey(certificate, key);
  X509_sign(certificate, key, EVP_sha256());
  SSL_CTX_use_certificate(context.native_handle(), certificate);
  SSL_CTX_use_PrivateKey(context.native_handle(), key);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return context;
}

class TestServer {
 public:
  using tcp = asio::ip::tcp;

  TestServer(base::Loop& loop, bool tls)
      : acceptor_(loop.io(), tcp::endpoint(asio::ip::address_v4::loopback(), 0)), tasks_(loop) {
    if (tls) tls_ = SelfSigned();
    tasks_.Spawn("accept", Accept());
  }

  int port() const { return acceptor_.local_endpoint().port(); }
  // A path without an answer is accepted and left waiting.
  std::map<std::string, std::string> answers;
  std::vector<std::string> requests;
  std::string hello;  // what a TLS client's first bytes were answered with, when not empty
  base::TaskGroup& tasks() { return tasks_; }

 private:
  base::Task<void> Accept() {
    while (true) {
      tcp::socket peer(acceptor_.get_executor());
      boost::system::error_code ec;
      co_await acceptor_.async_accept(peer, asio::redirect_error(asio::use_awaitable, ec));
      if (!ec) tasks_.Spawn("serve", Serve(std::move(peer)));
    }
  }
  base::Task<void> Serve(tcp::socket peer) {
    if (!tls_) {
      co_await Talk(peer);
      co_return;
    }
    asio::ssl::stream<tcp::socket&> stream(peer, *tls_);
    boost::system::error_code ec;
    co_await stream.async_handshake(asio::ssl::stream_base::server,
                                    asio::redirect_error(asio::use_awaitable, ec));
    if (!ec) co_await Talk(stream);
  }
  template <typename Stream>
  base::Task<void> Talk(Stream& stream) {
    std::array<char, 4096> chunk;
    std::string request;
    boost::system::error_code ec;
    while (request.find("\r\n\r\n") == request.npos && !ec) {
      const size_t bytes = co_await stream.async_read_some(
          asio::buffer(chunk), asio::redirect_error(asio::use_awaitable, ec));
      request.append(chunk.data(), bytes);
      if (!hello.empty() && request.starts_with('\x16')) {
        co_await asio::async_write(stream, asio::buffer(hello),
                                   asio::redirect_error(asio::use_awaitable, ec));
        co_return;
      }
    }
    if (ec) co_return;
    requests.push_back(request);
    const std::string path = request.substr(4, request.find(' ', 4) - 4);
    const std::string answer = answers[path];
    if (!answer.empty()) {
      co_await asio::async_write(stream, asio::buffer(answer),
                                 asio::redirect_error(asio::use_awaitable, ec));
      if (!answer.ends_with("...")) co_return;
    }
    // Nothing more, until the client has enough of it.
    co_await stream.async_read_some(asio::buffer(chunk),
                                    asio::redirect_error(asio::use_awaitable, ec));
  }

  tcp::acceptor acceptor_;
  std::optional<asio::ssl::context> tls_;
  base::TaskGroup tasks_;
};

}  // namespace keelson::probes
