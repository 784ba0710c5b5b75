// SPDX-License-Identifier: Apache-2.0
// exec, attach and port-forward at the HTTPS server: what reaches the runtime's streaming server, and what
// comes back.
#include <fcntl.h>

#include "base/thread.h"
#include "base/websocket.h"
#include "kubelet/server/spdy.h"
#include "kubelet/server/streaming.h"
#include "kubelet/server/upgrade.h"
#include "test/unit/server/kubelet_server_fixture.h"

namespace keelson::kubelet {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class StreamingTest : public KubeletServerTest {};

constexpr char kUpgrade[] = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nAuthorization: Bearer x\r\n";

TEST_F(StreamingTest, ExecIsProxiedByteForByte) {
  Start();
  TlsClient client(port_, Alice());
  client.Send("POST /exec/default/web/c?command=sh&command=-c&input=1&output=1&tty=1&error=1 "
              "HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 10.1.2.3\r\n" + std::string(kUpgrade) + "\r\nearly");
  backend_.Accept();
  const std::string request = backend_.ReadUntil("\r\n\r\n");
  EXPECT_THAT(request, StartsWith("POST /exec/token?x=1 HTTP/1.1\r\n"));
  EXPECT_THAT(request, AllOf(HasSubstr("upgrade: SPDY/3.1\r\n"), Not(HasSubstr("Bearer"))));
  EXPECT_THAT(request, HasSubstr("X-Forwarded-For: 10.1.2.3, 127.0.0.1\r\n"));
  EXPECT_THAT(runtime_.exec.cmd(), ElementsAre("sh", "-c"));
  EXPECT_TRUE(runtime_.exec.stdin() && runtime_.exec.stdout() && runtime_.exec.tty());
  EXPECT_FALSE(runtime_.exec.stderr());
  backend_.Send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("\r\n\r\n"), StartsWith("HTTP/1.1 101 Switching Protocols\r\n"));
  std::string all;
  for (int i = 0; i < 1000; ++i) all += static_cast<char>(i);
  client.Send(all + "<to>");
  // What came behind the request has waited for the switch.
  EXPECT_EQ(backend_.ReadUntil("<to>"), "early" + all + "<to>");
  base::Thread sender("kl sender", [&] {
    for (int i = 0; i < 100; ++i) backend_.Send(std::string(1 << 20, static_cast<char>(i)));
    backend_.Close();
  });
  const std::string much = client.ReadAll();  // and the end arrives
  ASSERT_EQ(much.size(), 100u << 20);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(much[i << 20], static_cast<char>(i));
}

constexpr char kWebSocket[] =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: ";

std::string FromClient(const std::string& message) {
  return base::WsFrame(base::WsRole::kClient, base::WsOpcode::kBinary, message);
}
std::string ToClient(const std::string& message) {
  return base::WsFrame(base::WsRole::kServer, base::WsOpcode::kBinary, message);
}
std::string Reply(char id) { return std::string("\x80\x03\0\x02\0\0\0\x04\0\0\0", 11) + id; }

TEST_F(StreamingTest, RemoteCommandsOfVersion5AreTranslatedToSpdy) {
  Start();
  TlsClient client(port_, Alice());
  client.Send("GET /exec/default/web/c?command=cat&input=1&output=1 HTTP/1.1\r\nHost: x\r\n" +
              std::string(kWebSocket) + "v5.channel.k8s.io\r\n\r\n" + FromClient(std::string("\0hi", 3)));
  backend_.Accept();
  EXPECT_THAT(backend_.ReadUntil("\r\n\r\n"),
              AllOf(StartsWith("POST /exec/token?x=1 HTTP/1.1\r\n"), HasSubstr("Upgrade: SPDY/3.1\r\n"),
                    HasSubstr("X-Stream-Protocol-Version: v4.channel.k8s.io\r\n")));
  backend_.Send("HTTP/1.1 101 Switching Protocols\r\n\r\n");
  const std::string head = client.ReadUntil("\r\n\r\n");
  EXPECT_THAT(head, AllOf(HasSubstr("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
                          HasSubstr("Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n")));
  // Streams 1, 3 and 5: error, stdin, stdout. What comes before they are answered for has to wait.
  backend_.Send(Reply(1) + Reply(3) + Reply(5));
  EXPECT_THAT(backend_.ReadUntil(SpdyEncoder::Data(3, "hi", false)), Not(EndsWith("<closed>")));
  client.Send(FromClient("\xff" + std::string(1, '\0')));
  EXPECT_THAT(backend_.ReadUntil(SpdyEncoder::Data(3, "", true)), Not(EndsWith("<closed>")));
  backend_.Send(SpdyEncoder::Data(5, "out", true) + SpdyEncoder::Data(1, "status", true));
  const std::string close = base::WsCloseFrame(base::WsRole::kServer, 1000, "");
  EXPECT_THAT(client.ReadAll(), EndsWith(ToClient("\1out") + ToClient("\3status") + close));
}

TEST_F(StreamingTest, ARuntimeThatBreaksOffIsAFailureOfTheCommand) {
  Start();
  TlsClient client(port_, Alice());
  client.Send("GET /exec/default/web/c?command=cat&output=1 HTTP/1.1\r\nHost: x\r\n" +
              std::string(kWebSocket) + "v5.channel.k8s.io\r\n\r\n");
  backend_.Accept();
  backend_.ReadUntil("\r\n\r\n");
  backend_.Send("HTTP/1.1 101 Switching Protocols\r\n\r\n" + Reply(1) + Reply(3) +
                SpdyEncoder::Data(3, "half", false));
  backend_.Close();
  EXPECT_THAT(client.ReadAll(), AllOf(HasSubstr("\1half"), HasSubstr(R"("status":"Failure")"),
                                      HasSubstr(R"("reason":"InternalError")")));
}

TEST_F(StreamingTest, SpdyTunnelledThroughWebSocketsIsUnwrapped) {
  Start();
  TlsClient client(port_, Alice());
  client.Send("GET /portForward/default/web HTTP/1.1\r\nHost: x\r\n" + std::string(kWebSocket) +
              "SPDY/3.1+portforward.k8s.io\r\n\r\n");
  backend_.Accept();
  EXPECT_THAT(backend_.ReadUntil("\r\n\r\n"),
              HasSubstr("X-Stream-Protocol-Version: portforward.k8s.io\r\n"));
  backend_.Send("HTTP/1.1 101 Switching Protocols\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n\r\nahead");
  std::string came = client.ReadUntil("ahead");
  EXPECT_THAT(came, AllOf(HasSubstr("Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n"),
                          EndsWith(ToClient("ahead"))));
  client.Send(FromClient("spdy bytes"));
  EXPECT_EQ(backend_.ReadUntil("bytes"), "spdy bytes");
  backend_.Send("answer");
  EXPECT_EQ(client.ReadUntil("answer"), ToClient("answer"));
}

TEST_F(StreamingTest, BrokenWebSocketRequestsAreRefused) {
  Start();
  EXPECT_THAT(Ask("GET", "/exec/default/web/c?output=1",
                  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n"
                  "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n"),
              AllOf(StartsWith("HTTP/1.1 400 "), HasSubstr("Sec-WebSocket-Version: 13\r\n")));
}

TEST_F(StreamingTest, TheClientsEndReachesTheRuntime) {
  Start();
  {
    TlsClient client(port_, Alice());
    client.Send("GET /exec/default/web/c?output=1 HTTP/1.1\r\nHost: x\r\n" + std::string(kUpgrade) +
                "\r\n");
    backend_.Accept();
    backend_.ReadUntil("\r\n\r\n");
    backend_.Send("HTTP/1.1 101 Switching Protocols\r\n\r\n");
    EXPECT_THAT(client.ReadUntil("\r\n\r\n"), StartsWith("HTTP/1.1 101 "));
  }
  EXPECT_EQ(backend_.ReadUntil("never"), "<closed>");
}

TEST_F(StreamingTest, AClientOfVersion5ThatLeavesEndsItsInput) {
  Start();
  {
    TlsClient client(port_, Alice());
    client.Send("GET /exec/default/web/c?command=cat&input=1&output=1 HTTP/1.1\r\nHost: x\r\n" +
                std::string(kWebSocket) + "v5.channel.k8s.io\r\n\r\n");
    backend_.Accept();
    backend_.ReadUntil("\r\n\r\n");
    backend_.Send("HTTP/1.1 101 Switching Protocols\r\n\r\n" + Reply(1) + Reply(3) + Reply(5));
    client.Send(FromClient(std::string("\0hi", 3)));
    backend_.ReadUntil("hi");
  }
  EXPECT_EQ(backend_.ReadUntil("never"), SpdyEncoder::Data(3, "", true) + "<closed>");
}

TEST_F(StreamingTest, AWordOfFarewellIsAnswered) {
  Start();
  TlsClient client(port_, Alice());
  client.Send("GET /exec/default/web/c?command=cat&output=1 HTTP/1.1\r\nHost: x\r\n" +
              std::string(kWebSocket) + "v5.channel.k8s.io\r\n\r\n" +
              base::WsCloseFrame(base::WsRole::kClient, 1000, ""));
  backend_.Accept();
  backend_.ReadUntil("\r\n\r\n");
  backend_.Send("HTTP/1.1 101 Switching Protocols\r\n\r\n" + Reply(1) + Reply(3));
  EXPECT_THAT(client.ReadAll(), EndsWith(base::WsCloseFrame(base::WsRole::kServer, 1000, "")));
}

// A command that takes no input holds nobody: neither over SPDY nor over a WebSocket.
TEST_F(StreamingTest, AClientThatLeavesWhileItsInputIsStuckIsSeenToLeave) {
  Start();
  for (const bool websocket : {true, false}) {
    {
      TlsClient client(port_, Alice());
      client.Send("GET /exec/default/web/c?command=sleep&input=1&output=1 HTTP/1.1\r\nHost: x\r\n" +
                  (websocket ? std::string(kWebSocket) + "v5.channel.k8s.io\r\n" : std::string(kUpgrade)) +
                  "\r\n");
      backend_.Accept();
      backend_.ReadUntil("\r\n\r\n");
      backend_.Send("HTTP/1.1 101 Switching Protocols\r\n\r\n" + Reply(1) + Reply(3) + Reply(5));
      EXPECT_THAT(client.ReadUntil("\r\n\r\n"), StartsWith("HTTP/1.1 101 "));
      ASSERT_EQ(::fcntl(client.fd(), F_SETFL, O_NONBLOCK), 0);
      const std::string much = FromClient(std::string(32 << 10, '\0'));
      // Until all buffers on the way have been full for a while.
      pollfd room{client.fd(), POLLOUT, 0};
      while (client.Send(much) || ::poll(&room, 1, 300) == 1) {
      }
      const linger reset{1, 0};
      ::setsockopt(client.fd(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    }
    EXPECT_TRUE(backend_.ReadToEnd()) << "over " << (websocket ? "a WebSocket" : "SPDY");
  }
}

TEST_F(StreamingTest, RefusalsOfStreamsHaveUpstreamsWords) {
  Start();
  EXPECT_THAT(Ask("POST", "/exec/default/web/c?command=a", kUpgrade),
              AllOf(StartsWith("HTTP/1.1 400 "),
                    EndsWith("you must specify at least 1 of stdin, stdout, stderr")));
  EXPECT_THAT(Ask("POST", "/exec/default/nope/c?output=1", kUpgrade),
              AllOf(StartsWith("HTTP/1.1 404 "), EndsWith("pod does not exist")));
  EXPECT_THAT(Ask("POST", "/exec/default/web/nope?output=1", kUpgrade),
              AllOf(StartsWith("HTTP/1.1 500 "), EndsWith("container not found (\"nope\")")));
  EXPECT_THAT(Ask("POST", "/exec/default/web/other-uid/c?output=1", kUpgrade),
              StartsWith("HTTP/1.1 500 "));
  EXPECT_THAT(Ask("POST", "/exec/default/web/c?output=1"),
              AllOf(StartsWith("HTTP/1.1 500 "), EndsWith("Upgrade request required\n")));
  EXPECT_THAT(Ask("POST", "/portForward/default/web/other-uid", kUpgrade),
              AllOf(StartsWith("HTTP/1.1 404 "), EndsWith("pod not found")));
  runtime_.exec_status = absl::NotFoundError("no such container");
  EXPECT_THAT(Ask("POST", "/exec/default/web/c?output=1", kUpgrade), StartsWith("HTTP/1.1 404 "));
  runtime_.exec_status = absl::ResourceExhaustedError("too many");
  EXPECT_THAT(Ask("POST", "/exec/default/web/c?output=1", kUpgrade),
              AllOf(StartsWith("HTTP/1.1 429 "), HasSubstr("Retry-After: ")));
}

TEST_F(StreamingTest, ARuntimeThatIsAwayIsAnError) {
  runtime_.url = "http://127.0.0.1:1/x";
  Start();
  EXPECT_THAT(Ask("POST", "/exec/default/web/c?output=1", kUpgrade), StartsWith("HTTP/1.1 500 "));
}

TEST(StreamUrl, OnlyPlainAddresses) {
  auto url = ParseStreamUrl("http://[::1]:10010/attach/x?y=z");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->host, "::1");
  EXPECT_EQ(url->port, 10010);
  EXPECT_EQ(url->target, "/attach/x?y=z");
  EXPECT_EQ(ParseStreamUrl("http://localhost:1/")->host, "127.0.0.1");
  for (const char* bad : {"https://127.0.0.1:1/", "ftp://x", "http://:1/", "http://127.0.0.1:0/",
                          "http://127.0.0.1:99999/", "http://127.0.0.1:1/a b",
                          "http://127.0.0.1:1/a\r\nX: y", ""})
    EXPECT_FALSE(ParseStreamUrl(bad).ok()) << bad;
}

TEST(ForwardPorts, AreNamedByWebSockets) {
  auto ports = [](Query query, bool websocket) {
    HttpRequest request;
    request.query = std::move(query);
    if (websocket)
      request.headers = {{"connection", "keep-alive, Upgrade"}, {"upgrade", "WebSocket"}};
    return ParseForwardPorts(request);
  };
  EXPECT_THAT(*ports({}, false), ElementsAre());
  EXPECT_THAT(*ports({{"port", "80,443"}, {"port", "8080"}}, true), ElementsAre(80, 443, 8080));
  for (const char* bad : {"", "0", "x", "65536", "80,", "-1"})
    EXPECT_FALSE(ports({{"port", bad}}, true).ok()) << bad;
  EXPECT_FALSE(ports({}, true).ok());
}

}  // namespace
}  // namespace keelson::kubelet
