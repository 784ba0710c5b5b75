// SPDX-License-Identifier: Apache-2.0
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/errno_status.h"
#include "base/strings.h"
#include "kubelet/server/hung_up.h"
#include "kubelet/server/tls.h"

namespace keelson::kubelet {
namespace {

namespace asio = boost::asio;
using base::Task;
using boost::system::error_code;
using Socket = asio::generic::stream_protocol::socket;

struct SslFree {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};

// OpenSSL reads and writes the socket itself and we wait for it: an idle connection holds no buffer.
class TlsStream : public ByteStream {
 public:
  TlsStream(base::Loop& loop, int family, base::UniqueFd fd, TlsContextPtr context)
      : socket_(loop.io(), asio::generic::stream_protocol(family, 0), fd.release()),
        context_(std::move(context)) {}
  ~TlsStream() override { TlsStream::Close(); }

  Task<absl::Status> Handshake() override {
    if (!context_)
      co_return absl::UnavailableError("TLS handshake: no serving certificate available yet");
    ssl_.reset(SSL_new(context_.get()));
    if (!ssl_ || SSL_set_fd(ssl_.get(), socket_.native_handle()) != 1)
      co_return absl::ResourceExhaustedError("TLS handshake: no memory for a connection");
    auto accept = [this] { return SSL_accept(ssl_.get()); };
    absl::StatusOr<size_t> done = co_await Perform(accept, "TLS handshake");
    if (!done.ok()) co_return done.status();
    if (*done == 0) co_return absl::UnavailableError("TLS handshake: the client went away");
    co_return absl::OkStatus();
  }

  std::shared_ptr<const PeerCertificates> Peer() const override {
    if (peer_ || !ssl_) return peer_;
    // On the server's side the chain begins with the leaf only in SSL_get0_peer_certificate.
    X509* leaf = SSL_get0_peer_certificate(ssl_.get());
    if (leaf == nullptr) return nullptr;
    auto peer = std::make_shared<PeerCertificates>();
    AddDer(leaf, peer.get());
    STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl_.get());
    for (int i = 0; i < sk_X509_num(chain); ++i) AddDer(sk_X509_value(chain, i), peer.get());
    peer_ = std::move(peer);
    return peer_;
  }

  Task<absl::StatusOr<size_t>> ReadSome(char* data, size_t size) override {
    const int most = static_cast<int>(std::min<size_t>(size, 1 << 20));
    auto read = [this, data, most] { return SSL_read(ssl_.get(), data, most); };
    return Perform(read, "read");
  }

  Task<absl::Status> WriteAll(std::string_view data) override {
    while (!data.empty()) {
      const int most = static_cast<int>(std::min<size_t>(data.size(), 1 << 20));
      auto write = [this, data, most] { return SSL_write(ssl_.get(), data.data(), most); };
      absl::StatusOr<size_t> put = co_await Perform(write, "write");
      if (!put.ok()) co_return put.status();
      if (*put == 0) co_return absl::UnavailableError("write: connection closed");
      data.remove_prefix(*put);
    }
    co_return absl::OkStatus();
  }

  void FinishWriting() override {
    if (!socket_.is_open()) return;
    SayGoodbye();
    error_code ignored;  // a peer that has gone needs no telling
    socket_.shutdown(Socket::shutdown_send, ignored);
  }

  Task<void> HungUp() override { return SocketHungUp(socket_); }

  std::string PeerAddress() const override {
    return PeerAddressOf(const_cast<Socket&>(socket_).native_handle());
  }

  void Close() override {
    if (!socket_.is_open()) return;
    SayGoodbye();
    error_code ignored;  // nobody uses the connection any more
    socket_.close(ignored);
  }

 private:
  // Says that nothing was cut off; whether it arrives is the peer's affair.
  void SayGoodbye() {
    if (ssl_ && !broken_ && SSL_is_init_finished(ssl_.get()) &&
        (SSL_get_shutdown(ssl_.get()) & SSL_SENT_SHUTDOWN) == 0)
      SSL_shutdown(ssl_.get());
    ERR_clear_error();
  }

  static void AddDer(X509* certificate, PeerCertificates* out) {
    unsigned char* bytes = nullptr;
    const int size = i2d_X509(certificate, &bytes);
    if (size <= 0) return;
    out->der.emplace_back(reinterpret_cast<char*>(bytes), static_cast<size_t>(size));
    OPENSSL_free(bytes);
  }

  // Repeats `call` until it has done something, waiting for the socket in between. 0: the peer has
  // ended.
  template <typename Call>
  Task<absl::StatusOr<size_t>> Perform(Call call, const char* what) {
    for (;;) {
      if (!socket_.is_open() || broken_)
        co_return absl::UnavailableError(base::StrCat(what, ": connection closed"));
      ERR_clear_error();
      const int got = call();
      if (got > 0) co_return static_cast<size_t>(got);
      const int error = SSL_get_error(ssl_.get(), got);
      if (error == SSL_ERROR_ZERO_RETURN) co_return 0;
      if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) co_return Broken(what);
      const auto kind = error == SSL_ERROR_WANT_READ ? Socket::wait_read : Socket::wait_write;
      error_code ec;
      co_await socket_.async_wait(kind, asio::redirect_error(asio::use_awaitable, ec));
      if (ec) co_return absl::UnavailableError(base::StrCat(what, ": ", ec.message()));
    }
  }

  absl::Status Broken(const char* what) {
    broken_ = true;
    const unsigned long code = ERR_peek_error();
    if (ERR_GET_REASON(code) == SSL_R_HTTP_REQUEST) SayThisIsTls();
    char text[256] = "the connection broke";
    if (code != 0) ERR_error_string_n(code, text, sizeof(text));
    ERR_clear_error();
    return absl::UnavailableError(base::StrCat(what, ": ", text));
  }

  // Go's words for the same mistake.
  void SayThisIsTls() {
    constexpr std::string_view kWords =
        "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    // When it does not fit now, the client is not reading.
    static_cast<void>(::send(socket_.native_handle(), kWords.data(), kWords.size(),
                             MSG_NOSIGNAL | MSG_DONTWAIT));
  }

  Socket socket_;
  const TlsContextPtr context_;  // the one of the moment the connection came
  std::unique_ptr<SSL, SslFree> ssl_;
  bool broken_ = false;  // nothing may be sent any more, not even a goodbye
  mutable std::shared_ptr<const PeerCertificates> peer_;
};

}  // namespace

StreamFactory TlsStreams(base::Loop& loop, TlsContextSource source) {
  return [&loop, source = std::move(source)](int family, base::UniqueFd fd) {
    return std::make_unique<TlsStream>(loop, family, std::move(fd), source());
  };
}

}  // namespace keelson::kubelet
