// SPDX-License-Identifier: Apache-2.0
// A web server of a few lines, on a thread and a loopback port of its own, plain or with TLS. It
// answers whatever the test says and remembers what it was asked.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/strings.h"

namespace keelson::kubelet::sources {

// A self-signed certificate for 127.0.0.1.
class TestCertificate {
 public:
  TestCertificate() {
    key_ = EVP_EC_gen("P-256");
    cert_ = X509_new();
    X509_set_version(cert_, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert_), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert_), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert_), 3600);
    X509_set_pubkey(cert_, key_);
    X509_NAME* name = X509_get_subject_name(cert_);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("keelson test"), -1, -1, 0);
    X509_set_issuer_name(cert_, name);
    X509_EXTENSION* names =
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1");
    X509_add_ext(cert_, names, -1);
    X509_EXTENSION_free(names);
    X509_sign(cert_, key_, EVP_sha256());
  }
  ~TestCertificate() {
    X509_free(cert_);
    EVP_PKEY_free(key_);
  }
  void Save(const std::string& path) const {
    FILE* file = ::fopen(path.c_str(), "w");
    PEM_write_X509(file, cert_);
    ::fclose(file);
  }
  void Use(SSL_CTX* context) const {
    SSL_CTX_use_certificate(context, cert_);
    SSL_CTX_use_PrivateKey(context, key_);
  }

 private:
  EVP_PKEY* key_;
  X509* cert_;
};

class TestServer {
 public:
  // From a request's text to the answer's; empty: never answer.
  using Handler = std::function<std::string(const std::string&)>;

  explicit TestServer(Handler handler, const TestCertificate* certificate = nullptr, int port = 0)
      : handler_(std::move(handler)), stop_(::eventfd(0, EFD_CLOEXEC)) {
    if (certificate != nullptr) {
      tls_ = SSL_CTX_new(TLS_server_method());
      certificate->Use(tls_);
    }
    listen_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(listen_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* raw = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listen_.get(), raw, length), 0);
    ::getsockname(listen_.get(), raw, &length);
    ::listen(listen_.get(), 16);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~TestServer() {
    const uint64_t one = 1;
    EXPECT_EQ(::write(stop_.get(), &one, sizeof one), ssize_t(sizeof one));
    thread_.join();
    SSL_CTX_free(tls_);
  }

  int port() const { return port_; }
  std::string Url(std::string_view path = "/pod") const {
    return base::StrCat(tls_ ? "https" : "http", "://127.0.0.1:", port_, path);
  }
  std::vector<std::string> Requests() const {
    std::lock_guard lock(mutex_);
    return requests_;
  }

  static std::string Answer(std::string_view body, std::string_view headers = "",
                            std::string_view status = "200 OK") {
    return base::StrCat("HTTP/1.1 ", status, "\r\nContent-Length: ", body.size(),
                        "\r\nConnection: close\r\n", headers, "\r\n", body);
  }

 private:
  void Serve() {
    for (;;) {
      pollfd fds[2] = {{listen_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
      ::poll(fds, 2, -1);
      if (fds[1].revents) return;
      base::UniqueFd peer(::accept4(listen_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (peer.ok()) Talk(std::move(peer));
    }
  }
  void Talk(base::UniqueFd peer) {
    SSL* ssl = nullptr;
    if (tls_ != nullptr) {
      ssl = SSL_new(tls_);
      SSL_set_fd(ssl, peer.get());
      if (SSL_accept(ssl) != 1) {
        SSL_free(ssl);
        return;
      }
    }
    std::string request;
    char buffer[4096];
    while (request.find("\r\n\r\n") == std::string::npos) {
      const ssize_t n = ssl ? SSL_read(ssl, buffer, sizeof buffer)
                            : ::read(peer.get(), buffer, sizeof buffer);
      if (n <= 0) break;
      request.append(buffer, static_cast<size_t>(n));
    }
    const std::string answer = handler_(request);
    {
      std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    for (size_t at = 0; at < answer.size();) {
      const ssize_t n = ssl ? SSL_write(ssl, answer.data() + at, int(answer.size() - at))
                            : ::send(peer.get(), answer.data() + at, answer.size() - at,
                                     MSG_NOSIGNAL);
      if (n <= 0) break;
      at += static_cast<size_t>(n);
    }
    if (ssl != nullptr) SSL_shutdown(ssl);
    SSL_free(ssl);
    if (answer.empty()) held_.push_back(std::move(peer));
  }

  const Handler handler_;  // called on the server's thread
  base::UniqueFd stop_, listen_;
  SSL_CTX* tls_ = nullptr;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;   // guarded by mutex_
  std::vector<base::UniqueFd> held_;    // of the server's thread
  std::thread thread_;
};

}  // namespace keelson::kubelet::sources
