// SPDX-License-Identifier: Apache-2.0
// Clients over TCP, plain and with OpenSSL, for tests of the HTTPS server. Blocking; any thread.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/fd.h"

namespace keelson::kubelet {

inline std::string Body(const std::string& answer) {
  const size_t at = answer.find("\r\n\r\n");
  return at == answer.npos ? std::string() : answer.substr(at + 4);
}

class TcpClient {
 public:
  explicit TcpClient(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    const timeval patience{20, 0};  // nothing waits longer in a test that passes
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  }
  virtual ~TcpClient() = default;
  int fd() const { return fd_.get(); }
  void FinishSending() { ::shutdown(fd_.get(), SHUT_WR); }
  virtual bool Send(std::string_view text) {
    return ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(text.size());
  }
  // What comes until `text` is in it or the peer closes.
  std::string ReadUntil(std::string_view text) {
    while (in_.find(text) == in_.npos && ReadSome()) {
    }
    return std::exchange(in_, {});
  }
  std::string ReadAll() {
    while (ReadSome()) {
    }
    return std::exchange(in_, {});
  }
  std::string Get(const std::string& path, const std::string& headers = {}) {
    return Ask("GET", path, headers);
  }
  std::string Ask(const std::string& method, const std::string& path,
                  const std::string& headers = {}) {
    Send(method + " " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers + "\r\n");
    return ReadAll();
  }

 protected:
  virtual ssize_t Read(char* data, size_t size) { return ::recv(fd_.get(), data, size, 0); }

 private:
  bool ReadSome() {
    char block[64 << 10];
    const ssize_t got = Read(block, sizeof(block));
    if (got > 0) in_.append(block, static_cast<size_t>(got));
    return got > 0;
  }
  base::UniqueFd fd_;
  std::string in_;
};

struct TlsClientOptions {
  int max_version = TLS1_3_VERSION;
  std::string ciphers{};          // of TLS 1.2; empty: OpenSSL's
  std::string certificate_pem{};  // leaf and chain; empty: none
  std::string key_pem{};
};

class TlsClient : public TcpClient {
 public:
  TlsClient(uint16_t port, const TlsClientOptions& options)
      : TcpClient(port), ctx_(SSL_CTX_new(TLS_client_method()), SSL_CTX_free) {
    SSL_CTX_set_security_level(ctx_.get(), 0);  // what is refused, the server refuses
    SSL_CTX_set_min_proto_version(ctx_.get(), TLS1_VERSION);
    SSL_CTX_set_max_proto_version(ctx_.get(), options.max_version);
    if (!options.ciphers.empty()) SSL_CTX_set_cipher_list(ctx_.get(), options.ciphers.c_str());
    if (!options.certificate_pem.empty()) UseCertificate(options);
    ssl_.reset(SSL_new(ctx_.get()));
    SSL_set_fd(ssl_.get(), fd());
    connected_ = SSL_connect(ssl_.get()) == 1;
  }
  bool connected() const { return connected_; }
  bool Send(std::string_view text) override {
    return connected_ && SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())) ==
                             static_cast<int>(text.size());
  }
  // Common name of the server's certificate.
  std::string Subject() const {
    X509* certificate = connected_ ? SSL_get0_peer_certificate(ssl_.get()) : nullptr;
    if (certificate == nullptr) return {};
    char name[256] = {};
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name,
                              sizeof(name));
    return name;
  }

 protected:
  ssize_t Read(char* data, size_t size) override {
    return connected_ ? SSL_read(ssl_.get(), data, static_cast<int>(size)) : 0;
  }

 private:
  void UseCertificate(const TlsClientOptions& options) {
    BIO* in = BIO_new_mem_buf(options.certificate_pem.data(), -1);
    X509* leaf = PEM_read_bio_X509(in, nullptr, nullptr, nullptr);
    SSL_CTX_use_certificate(ctx_.get(), leaf);
    X509_free(leaf);
    BIO_free(in);
    in = BIO_new_mem_buf(options.key_pem.data(), -1);
    EVP_PKEY* key = PEM_read_bio_PrivateKey(in, nullptr, nullptr, nullptr);
    SSL_CTX_use_PrivateKey(ctx_.get(), key);
    EVP_PKEY_free(key);
    BIO_free(in);
  }
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> ctx_;
  struct SslFree {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  std::unique_ptr<SSL, SslFree> ssl_;
  bool connected_ = false;
};

}  // namespace keelson::kubelet
