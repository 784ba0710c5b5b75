// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>

#include <atomic>
#include <fstream>

#include "base/strings.h"
#include "test/unit/server/raw_client.h"

namespace keelson::kubelet {
namespace {

using base::Task;
using std::chrono::milliseconds;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class HttpServerTest : public ::testing::Test {
 protected:
  void Start() {
    HttpRoutes routes;
    routes.Add("GET", "/hello/{name}",
               [this](const HttpRequest& q, Responder& r) { return Hello(q, r); });
    routes.Add("POST", "/echo", [this](const HttpRequest& q, Responder& r) { return Echo(q, r); });
    routes.Add("GET", "/stream", [this](const HttpRequest&, Responder& r) { return Stream(r); });
    routes.Add("GET", "/wait", [this](const HttpRequest&, Responder&) { return WaitForever(); });
    routes.Add("GET", "/silent", [this](const HttpRequest&, Responder&) { return Nothing(); });
    server_ = std::make_unique<HttpServer>(thread_.loop(), std::move(routes), limits_);
    auto listener = ListenUnix(thread_.loop(), {socket_, ::geteuid()});
    ASSERT_TRUE(listener.ok()) << listener.status();
    server_->Serve(std::move(*listener));
    thread_.Start();
    started_ = true;
  }
  ~HttpServerTest() override {
    if (started_) thread_.Stop([this] { return server_->Close(); });
  }
  std::string Ask(std::string_view text) {
    RawClient client(socket_);
    client.Send(text);
    return client.ReadAll();
  }

  SocketDir dir_;
  const std::string socket_ = dir_.At("s");
  HttpLimits limits_;
  LoopThread thread_;
  std::unique_ptr<HttpServer> server_;
  bool started_ = false;
  std::promise<void> waiting_, cancelled_;
  std::atomic<size_t> pieces_{0};

 private:
  Task<void> Hello(const HttpRequest& request, Responder& responder) {
    HttpResponse response;
    response.body = "hello " + request.params.at("name");
    static_cast<void>(co_await responder.Send(std::move(response)));
  }
  Task<void> Echo(const HttpRequest& request, Responder& responder) {
    HttpResponse response;
    response.body = request.body;
    static_cast<void>(co_await responder.Send(std::move(response)));
  }
  // 1000 pieces of 100 kB, or as many as the client takes.
  Task<void> Stream(Responder& responder) {
    HttpResponse head;
    absl::Status status = co_await responder.Start(std::move(head));
    for (int i = 0; i < 1000 && status.ok(); ++i) {
      std::string piece(100'000, static_cast<char>('a' + i % 26));
      status = co_await responder.Write(std::move(piece));
      if (status.ok()) ++pieces_;
    }
  }
  Task<void> WaitForever() {
    struct OnEnd {
      std::promise<void>& ended;
      ~OnEnd() { ended.set_value(); }
    } on_end{cancelled_};
    waiting_.set_value();
    base::OneShot<bool> never;
    co_await never.Wait();
  }
  Task<void> Nothing() { co_return; }
};

bool Happens(std::promise<void>& what) {
  return what.get_future().wait_for(std::chrono::seconds(20)) == std::future_status::ready;
}

TEST_F(HttpServerTest, RoutesAnswer) {
  Start();
  const std::string answer = RawClient(socket_).Get("/hello/w%20orld");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Length: 12\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\nhello w orld"));
}

TEST_F(HttpServerTest, UnknownPathAndWrongMethod) {
  Start();
  EXPECT_THAT(RawClient(socket_).Get("/nowhere"), StartsWith("HTTP/1.1 404 "));
  const std::string answer = Ask("PUT /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(answer, HasSubstr("Allow: POST\r\n"));
}

TEST_F(HttpServerTest, ManyRequestsOnOneConnection) {
  Start();
  RawClient client(socket_);
  for (int i = 0; i < 3; ++i) {
    client.Send("GET /hello/a HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_THAT(client.ReadUntil("hello a"), HasSubstr("Connection: keep-alive"));
  }
}

TEST_F(HttpServerTest, RequestsSentAheadAreAnsweredInOrder) {
  Start();
  const std::string answer =
      Ask("GET /hello/one HTTP/1.1\r\nHost: x\r\n\r\nGET /hello/two HTTP/1.1\r\nHost: x\r\n\r\n"
          "GET /hello/three HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const size_t one = answer.find("hello one"), two = answer.find("hello two");
  EXPECT_LT(one, two);
  EXPECT_LT(two, answer.find("hello three"));
  EXPECT_THAT(answer, HasSubstr("hello three"));
}

TEST_F(HttpServerTest, BodyArrivesInPiecesAndByInvitation) {
  Start();
  RawClient client(socket_);
  client.Send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 6\r\n\r\n");
  EXPECT_EQ(client.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("abc");
  client.Send("def");
  EXPECT_THAT(client.ReadUntil("abcdef"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(HttpServerTest, HandlerWithoutAnswerIsAnError) {
  Start();
  EXPECT_THAT(RawClient(socket_).Get("/silent"), StartsWith("HTTP/1.1 500 "));
}

TEST_F(HttpServerTest, HugeHeaderIsRefused) {
  limits_.header_bytes = 8 << 10;
  Start();
  EXPECT_THAT(Ask("GET / HTTP/1.1\r\nX: " + std::string(9 << 10, 'x') + "\r\n"),
              StartsWith("HTTP/1.1 431 "));
}

TEST_F(HttpServerTest, HugeBodyIsRefused) {
  limits_.body_bytes = 10;
  Start();
  EXPECT_THAT(Ask("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n"),
              StartsWith("HTTP/1.1 413 "));
}

TEST_F(HttpServerTest, WhatIsNotHttpIsRefused) {
  Start();
  EXPECT_THAT(Ask("\x16\x03\x01 hello\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(Ask("GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
}

TEST_F(HttpServerTest, ClientThatIsSlowWithItsRequestIsDropped) {
  limits_.request = milliseconds(50);
  Start();
  RawClient client(socket_);
  client.Send("GET / HT");
  EXPECT_EQ(client.ReadAll(), "");
}

// Says `byte` again and again, each time after a moment in which the server could have closed; what
// came until it did.
std::string Drip(RawClient& client, std::string_view byte) {
  pollfd closed{client.fd(), POLLIN | POLLRDHUP, 0};
  while (::poll(&closed, 1, 5) == 0 && client.Send(byte)) {
  }
  return client.ReadAll();
}

TEST_F(HttpServerTest, DrippingKeepsNoConnection) {
  limits_.request = milliseconds(100);
  Start();
  RawClient header(socket_), body(socket_);
  header.Send("GET /hello/a HTTP/1.1\r\nX: ");
  EXPECT_EQ(Drip(header, "x"), "");
  body.Send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
  EXPECT_EQ(Drip(body, "x"), "");
}

TEST_F(HttpServerTest, SilentConnectionIsDropped) {
  limits_.idle = milliseconds(50);
  Start();
  EXPECT_EQ(RawClient(socket_).ReadAll(), "");
}

TEST_F(HttpServerTest, ClientThatTakesNothingIsDropped) {
  limits_.write = milliseconds(100);
  Start();
  RawClient client(socket_);
  client.Send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
  bool gone = false;
  while (!gone) thread_.Do([&] { gone = server_->connections() == 0 && pieces_ > 0; });
  EXPECT_LT(pieces_, 1000u);
}

TEST_F(HttpServerTest, SlowReaderSlowsTheHandlerAndGetsEverything) {
  Start();
  RawClient client(socket_);
  client.Send("GET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  std::string body = client.ReadUntil("\r\n\r\n");
  // The kernel's buffers are full long before the stream's end.
  EXPECT_LT(pieces_, 500u);
  body += client.ReadAll();
  EXPECT_EQ(Unchunk(body).size(), 100'000'000u);
}

TEST_F(HttpServerTest, OldClientGetsItsStreamWithoutChunks) {
  Start();
  const std::string answer = Ask("GET /stream HTTP/1.0\r\n\r\n");
  EXPECT_THAT(answer.substr(0, 200), ::testing::Not(HasSubstr("chunked")));
  EXPECT_EQ(answer.size() - answer.find("\r\n\r\n") - 4, 100'000'000u);
}

TEST_F(HttpServerTest, HandlerIsCancelledWhenItsClientLeaves) {
  Start();
  {
    RawClient client(socket_);
    client.Send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    ASSERT_TRUE(Happens(waiting_));
  }
  EXPECT_TRUE(Happens(cancelled_));
}

// Nobody reads what it sends beyond the limit, and still it is seen to leave.
TEST_F(HttpServerTest, HandlerIsCancelledWhenAClientLeavesThatSentTooMuchAhead) {
  Start();
  {
    RawClient client(socket_);
    client.Send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    ASSERT_TRUE(Happens(waiting_));
    ASSERT_TRUE(client.Send(std::string(66 << 10, 'x')));
  }
  EXPECT_TRUE(Happens(cancelled_));
}

TEST_F(HttpServerTest, ClosingCancelsHandlers) {
  Start();
  RawClient client(socket_);
  client.Send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(Happens(waiting_));
  thread_.Stop([this] { return server_->Close(); });
  started_ = false;
  EXPECT_TRUE(Happens(cancelled_));
}

TEST_F(HttpServerTest, AtTheLimitTheLongestIdleConnectionMakesRoom) {
  limits_.connections = 2;
  Start();
  RawClient first(socket_), second(socket_);
  for (RawClient* client : {&first, &second}) {
    client->Send("GET /hello/a HTTP/1.1\r\nHost: x\r\n\r\n");
    client->ReadUntil("hello a");
  }
  EXPECT_THAT(RawClient(socket_).Get("/hello/b"), EndsWith("hello b"));
  EXPECT_EQ(first.ReadAll(), "");
  EXPECT_THAT(second.Get("/hello/c"), EndsWith("hello c"));
}

TEST_F(HttpServerTest, AtTheLimitNewcomersWaitForBusyOnes) {
  limits_.connections = 1;
  Start();
  auto first = std::make_unique<RawClient>(socket_);
  first->Send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(Happens(waiting_));
  RawClient second(socket_);
  second.Send("GET /hello/b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  size_t open = 0;
  thread_.Do([&] { open = server_->connections(); });
  EXPECT_EQ(open, 1u);
  first.reset();
  EXPECT_THAT(second.ReadAll(), EndsWith("hello b"));
}

TEST_F(HttpServerTest, SocketIsForItsOwnerOnlyAndGoesWithTheServer) {
  Start();
  struct stat info;
  ASSERT_EQ(::stat(socket_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  thread_.Stop([this] { return server_->Close(); });
  started_ = false;
  EXPECT_NE(::stat(socket_.c_str(), &info), 0);
}

TEST_F(HttpServerTest, StaleSocketIsReplacedAndALiveOneIsNot) {
  {
    base::UniqueFd dead(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, socket_.data(), socket_.size());
    ASSERT_EQ(::bind(dead.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  Start();
  EXPECT_THAT(RawClient(socket_).Get("/hello/a"), EndsWith("hello a"));
  base::Loop other;
  EXPECT_TRUE(absl::IsAlreadyExists(ListenUnix(other, {socket_, 0}).status()));
}

TEST(TcpManners, ASilentPeerIsAskedWhetherItIsThere) {
  const base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  SetTcpManners(fd.get());
  auto value = [&](int level, int option) {
    int is = -1;
    socklen_t size = sizeof(is);
    ::getsockopt(fd.get(), level, option, &is, &size);
    return is;
  };
  EXPECT_EQ(value(SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(value(IPPROTO_TCP, TCP_KEEPIDLE), 15);
  EXPECT_EQ(value(IPPROTO_TCP, TCP_KEEPINTVL), 15);
  EXPECT_EQ(value(IPPROTO_TCP, TCP_KEEPCNT), 9);
  EXPECT_EQ(value(IPPROTO_TCP, TCP_NODELAY), 1);
}

TEST(ListenUnix, FileInTheWayIsKept) {
  SocketDir dir;
  std::ofstream(dir.At("s")) << "mine";
  base::Loop loop;
  EXPECT_TRUE(absl::IsAlreadyExists(ListenUnix(loop, {dir.At("s"), 0}).status()));
  EXPECT_TRUE(std::filesystem::exists(dir.At("s")));
}

TEST(ListenUnix, PathThatDoesNotFitSaysSo) {
  base::Loop loop;
  auto listener = ListenUnix(loop, {"/tmp/" + std::string(120, 'x'), 0});
  EXPECT_THAT(std::string(base::Message(listener.status())), HasSubstr("at most 107"));
}

TEST_F(HttpServerTest, OtherUsersAreTurnedAway) {
  HttpRoutes routes;
  server_ = std::make_unique<HttpServer>(thread_.loop(), std::move(routes), limits_);
  auto listener = ListenUnix(thread_.loop(), {socket_, ::geteuid() + 1});
  ASSERT_TRUE(listener.ok());
  server_->Serve(std::move(*listener));
  thread_.Start();
  started_ = true;
  EXPECT_EQ(RawClient(socket_).ReadAll(), "");
}

}  // namespace
}  // namespace keelson::kubelet
