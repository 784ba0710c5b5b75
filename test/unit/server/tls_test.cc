// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/tls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <signal.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/openssl.h"
#include "base/strings.h"
#include "base/thread.h"
#include "kubelet/server/http_server.h"
#include "kubelet/server/serving_certificate.h"
#include "test/unit/server/raw_client.h"
#include "test/unit/server/tls_client.h"

namespace keelson::kubelet {
namespace {

using base::Task;
using std::string_literals::operator""s;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Task<void> Answer(HttpResponse response, Responder& responder) {
  static_cast<void>(co_await responder.Send(std::move(response)));
}

class TlsTest : public ::testing::Test {
 protected:
  TlsTest() { ::signal(SIGPIPE, SIG_IGN); }
  ~TlsTest() override {
    if (server_) thread_.Stop([this] { return Close(); });
  }
  Task<void> Close() {
    co_await server_->Close();
    co_await certificate_->Close();
  }
  // Serves with options_; fails the test when that does not work.
  void Start() {
    certificate_ = std::make_unique<ServingCertificate>(thread_.loop(), options_);
    HttpRoutes routes;
    routes.Add("GET", "/hello", [](const HttpRequest& request, Responder& responder) {
      HttpResponse hello;
      hello.body = request.peer ? "hello, you with the certificate" : "hello";
      return Answer(std::move(hello), responder);
    });
    routes.Add("GET", "/large", [](const HttpRequest&, Responder& responder) {
      HttpResponse large;
      large.body = std::string(20 << 20, 'x');
      return Answer(std::move(large), responder);
    });
    routes.Add("GET", "/upgrade", [](const HttpRequest&, Responder& responder) {
      return Echo(responder);
    });
    server_ = std::make_unique<HttpServer>(thread_.loop(), std::move(routes), limits_);
    auto listener = ListenTcp(thread_.loop(), "127.0.0.1", 0,
                              TlsStreams(thread_.loop(), [this] { return certificate_->context(); }));
    ASSERT_TRUE(listener.ok()) << listener.status();
    const std::string name = (*listener)->Name();
    port_ = static_cast<uint16_t>(std::stoi(name.substr(name.rfind(':') + 1)));
    server_->Serve(std::move(*listener));
    thread_.Start();
    started_ = thread_.Await([this] { return certificate_->Start(); });
  }
  // Reads bytes until the client ends, and says them again.
  static Task<void> Echo(Responder& responder) {
    ByteStream* stream = co_await responder.TakeOver();
    char block[4096];
    for (;;) {
      absl::StatusOr<size_t> got = co_await stream->ReadSome(block, sizeof(block));
      if (!got.ok() || *got == 0) co_return;
      absl::Status put = co_await stream->WriteAll({block, *got});
      if (!put.ok()) co_return;
    }
  }
  std::string Get(const std::string& path, TlsClientOptions options = {}) {
    return TlsClient(port_, options).Get(path);
  }

  SocketDir dir_;
  HttpLimits limits_;
  ServingCertificateOptions options_{"", "", dir_.At("pki"), "node1", {}};
  LoopThread thread_;
  std::unique_ptr<ServingCertificate> certificate_;
  std::unique_ptr<HttpServer> server_;
  absl::Status started_;
  uint16_t port_ = 0;
};

TEST_F(TlsTest, SelfSignedPairIsMadeWhereUpstreamHasIt) {
  Start();
  ASSERT_TRUE(started_.ok()) << started_;
  EXPECT_THAT(Get("/hello"), EndsWith("\r\n\r\nhello"));
  struct stat info;
  ASSERT_EQ(::stat(dir_.At("pki/kubelet.crt").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0644u);
  ASSERT_EQ(::stat(dir_.At("pki/kubelet.key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_THAT(TlsClient(port_, {}).Subject(), StartsWith("node1@"));
}

TEST_F(TlsTest, HalfAPairIsRefused) {
  std::filesystem::create_directories(dir_.At("pki"));
  std::ofstream(dir_.At("pki/kubelet.crt")) << "x";
  Start();
  EXPECT_TRUE(absl::IsFailedPrecondition(started_)) << started_;
}

TEST_F(TlsTest, VersionsBelowTheMinimumAreRefused) {
  Start();
  EXPECT_TRUE(TlsClient(port_, {.max_version = TLS1_2_VERSION}).connected());
  EXPECT_TRUE(TlsClient(port_, {.max_version = TLS1_3_VERSION}).connected());
  EXPECT_FALSE(TlsClient(port_, {.max_version = TLS1_1_VERSION}).connected());
}

TEST_F(TlsTest, OnlyTheConfiguredSuitesAreSpoken) {
  options_.tls.cipher_suites = {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"};
  Start();
  TlsClientOptions client{.max_version = TLS1_2_VERSION, .ciphers = "ECDHE-RSA-AES256-GCM-SHA384"};
  EXPECT_TRUE(TlsClient(port_, client).connected());
  client.ciphers = "ECDHE-RSA-AES128-GCM-SHA256";
  EXPECT_FALSE(TlsClient(port_, client).connected());
}

// serverTLSBootstrap: the pair is one file, behind a link that appears when somebody has signed it.
TEST_F(TlsTest, HandshakesFailUntilTheAwaitedPairComes) {
  options_.cert_file = options_.key_file = dir_.At("pki/kubelet-server-current.pem");
  options_.may_come_later = true;
  Start();
  ASSERT_TRUE(started_.ok()) << started_;
  EXPECT_FALSE(TlsClient(port_, {}).connected());
  auto pair = MakeSelfSigned("node2", std::chrono::system_clock::now());
  ASSERT_TRUE(pair.ok()) << pair.status();
  std::ofstream(dir_.At("pki/1.pem")) << pair->certificate_pem << pair->key_pem;
  std::filesystem::create_symlink(dir_.At("pki/1.pem"), dir_.At("pki/updated"));
  std::filesystem::rename(dir_.At("pki/updated"), options_.cert_file);
  while (!TlsClient(port_, {}).connected()) std::this_thread::yield();
  EXPECT_THAT(TlsClient(port_, {}).Subject(), StartsWith("node2@"));
}

TEST_F(TlsTest, NewFilesAreShownToNewConnections) {
  Start();
  const std::string before = TlsClient(port_, {}).Subject();
  auto pair = MakeSelfSigned("node2", base::FromUnixNanos(1'800'000'000'000'000'000));
  ASSERT_TRUE(pair.ok()) << pair.status();
  std::ofstream(dir_.At("pki/broken")) << "a change that is none";
  EXPECT_EQ(TlsClient(port_, {}).Subject(), before);
  // Between the two files the pair does not fit: the old one goes on.
  std::ofstream(dir_.At("pki/kubelet.key")) << pair->key_pem;
  std::ofstream(dir_.At("pki/kubelet.crt")) << pair->certificate_pem;
  std::string after;
  for (int i = 0; i < 1000 && !after.starts_with("node2@"); ++i)
    after = TlsClient(port_, {}).Subject();
  EXPECT_THAT(after, StartsWith("node2@"));
}

TEST_F(TlsTest, FilesChangeUnderTrafficAndNobodyNotices) {
  Start();
  TlsClient old(port_, {});
  std::atomic<bool> stop{false};
  std::atomic<int> good{0}, bad{0};
  std::vector<std::unique_ptr<base::Thread>> clients;
  for (int i = 0; i < 4; ++i)
    clients.push_back(std::make_unique<base::Thread>("kl client", [&] {
      while (!stop) ++(Get("/hello").ends_with("\r\n\r\nhello") ? good : bad);
    }));
  for (int i = 0; i < 5; ++i) {
    const std::string host = base::StrCat("reload", i);
    auto pair = MakeSelfSigned(host, base::FromUnixNanos(1'800'000'000'000'000'000));
    ASSERT_TRUE(pair.ok()) << pair.status();
    std::ofstream(dir_.At("pki/kubelet.key")) << pair->key_pem;
    std::ofstream(dir_.At("pki/kubelet.crt")) << pair->certificate_pem;
    while (!TlsClient(port_, {}).Subject().starts_with(host)) std::this_thread::yield();
  }
  stop = true;
  clients.clear();
  EXPECT_EQ(bad, 0);
  EXPECT_GT(good, 5);
  EXPECT_THAT(old.Get("/hello"), EndsWith("\r\n\r\nhello"));
}

TEST_F(TlsTest, LargeAnswersArriveWhole) {
  Start();
  EXPECT_EQ(Body(Get("/large")).size(), 20u << 20);
}

TEST_F(TlsTest, SeveralRequestsOnOneConnection) {
  Start();
  TlsClient client(port_, {});
  for (int i = 0; i < 50; ++i) {
    client.Send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_THAT(client.ReadUntil("hello"), StartsWith("HTTP/1.1 200 OK"));
  }
}

TEST_F(TlsTest, ATakenConnectionCarriesBytesBothWays) {
  Start();
  TlsClient client(port_, {});
  client.Send("GET /upgrade HTTP/1.1\r\nHost: x\r\n\r\nahead\n");
  EXPECT_EQ(client.ReadUntil("\n"), "ahead\n");
  const std::string bytes = "\0\xff\r\n\r\nGET / HTTP/1.1\r\n\r\n<end>"s;
  client.Send(bytes);
  EXPECT_EQ(client.ReadUntil("<end>"), bytes);
}

TEST_F(TlsTest, PlainHttpIsToldOff) {
  Start();
  TcpClient client(port_);
  client.Send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(client.ReadAll(), HasSubstr("Client sent an HTTP request to an HTTPS server."));
}

TEST_F(TlsTest, WhoDoesNotShakeHandsIsDropped) {
  limits_.handshake = std::chrono::milliseconds(50);
  Start();
  TcpClient client(port_);
  client.Send("\x16\x03\x01");
  EXPECT_EQ(client.ReadAll(), "");  // ends, where a live connection would wait
}

TEST_F(TlsTest, GarbageDoesNoHarm) {
  Start();
  unsigned seed = 1;
  for (int i = 0; i < 200; ++i) {
    std::string bytes("\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03", 11);
    for (int j = 0; j < 300; ++j) bytes += static_cast<char>(::rand_r(&seed));
    if (i % 2) bytes.erase(0, 5);
    TcpClient client(port_);
    client.Send(bytes);
    client.FinishSending();
    client.ReadAll();
  }
  EXPECT_THAT(Get("/hello"), EndsWith("hello"));
}

TEST(TlsOptions, UnknownNamesAreNamed) {
  auto pair = MakeSelfSigned("n", base::FromUnixNanos(1'800'000'000'000'000'000));
  ASSERT_TRUE(pair.ok());
  TlsOptions options;
  options.cipher_suites = {"TLS_NO_SUCH"};
  EXPECT_THAT(std::string(MakeTlsContext(options, *pair).status().message()),
              HasSubstr("TLS_NO_SUCH"));
  EXPECT_TRUE(absl::IsInvalidArgument(MakeTlsContext({.min_version = "9"}, *pair).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(MakeTlsContext({.curves = {7}}, *pair).status()));
  EXPECT_TRUE(MakeTlsContext({.curves = {29, 23}}, *pair).ok());
  pair->key_pem = "no key";
  EXPECT_TRUE(absl::IsInvalidArgument(MakeTlsContext({}, *pair).status()));
}

// Nobody is there to be asked for a passphrase.
TEST(TlsOptions, AnEncryptedKeyIsNoKey) {
  auto pair = MakeSelfSigned("n", base::FromUnixNanos(1'800'000'000'000'000'000));
  ASSERT_TRUE(pair.ok());
  const auto key = base::ReadPrivateKey(pair->key_pem);
  const base::OpensslPtr<BIO> out(BIO_new(BIO_s_mem()));
  ASSERT_EQ(PEM_write_bio_PKCS8PrivateKey(out.get(), key.get(), EVP_aes_256_cbc(), "word", 4,
                                          nullptr, nullptr),
            1);
  pair->key_pem = base::TextOf(out.get());
  EXPECT_THAT(std::string(MakeTlsContext({}, *pair).status().message()),
              HasSubstr("no unencrypted PEM private key"));
}

}  // namespace
}  // namespace keelson::kubelet
