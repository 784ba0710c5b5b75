// SPDX-License-Identifier: Apache-2.0
// exec, attach and port-forward through the real agent and a real runtime: every byte both ways, ends,
// exit codes and terminals, over SPDY and over WebSockets.
#include <gmock/gmock.h>
#include <openssl/sha.h>


#include "base/strings.h"
#include "test/integration/server/stream_clients.h"

namespace keelson::integration {
namespace {

using base::StrCat;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

constexpr char kV4[] = "v4.channel.k8s.io";
constexpr char kV5[] = "v5.channel.k8s.io";

std::string Shell(const std::string& script, const std::string& streams) {
  return ExecTarget("sh", {"/bin/sh", "-c", script}, streams);
}

// Every value a byte can have, in no order anybody would expect.
std::string Binary(size_t size) {
  std::string data(size, '\0');
  uint32_t state = 1;
  for (char& c : data) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return data;
}

std::string Sha256(const std::string& data) {
  unsigned char hash[SHA256_DIGEST_LENGTH];
  ::SHA256(reinterpret_cast<const unsigned char*>(data.data()), data.size(), hash);
  std::string hex;
  for (unsigned char c : hash) base::StrAppend(&hex, absl::Hex(c, absl::kZeroPad2));
  return hex;
}

class StreamsTest : public ServerTest {};

TEST_F(StreamsTest, WebSocketV5CarriesBinaryStdinAndItsEnd) {
  const std::string data = Binary(5 << 20);
  Channels hash(node(), Shell("sha256sum", "input=1&output=1&error=1"), kV5);
  ASSERT_TRUE(hash.open());
  for (size_t at = 0; at < data.size(); at += 300'000) hash.Send(0, data.substr(at, 300'000));
  hash.Ping();
  hash.End(0);
  auto& got = hash.ReadAll();
  EXPECT_THAT(got[1], StartsWith(Sha256(data)));
  EXPECT_THAT(got[3], HasSubstr(R"("status":"Success")"));
  EXPECT_EQ(hash.close_code(), 1000);

  const std::string small = Binary(60'000);
  Channels cat(node(), Shell("cat", "input=1&output=1"), kV5);
  cat.Send(0, small);
  cat.End(0);
  EXPECT_TRUE(cat.ReadAll()[1] == small);
}

TEST_F(StreamsTest, WebSocketV5HasStreamsApartAndTheExitCode) {
  Channels run(node(), Shell("echo out; echo err >&2; exit 7", "output=1&error=1"), kV5);
  ASSERT_TRUE(run.open());
  auto& got = run.ReadAll();
  EXPECT_EQ(got[1], "out\n");
  EXPECT_EQ(got[2], "err\n");
  EXPECT_THAT(got[3], AllOf(HasSubstr(R"("status":"Failure")"), HasSubstr("NonZeroExitCode"),
                            HasSubstr(R"("message":"7")")));
}

TEST_F(StreamsTest, WebSocketV4PassesThrough) {
  Channels run(node(), Shell("read line; echo $line; exit 5", "input=1&output=1&error=1"), kV4);
  ASSERT_TRUE(run.open());
  run.Send(0, "a line\n");
  auto& got = run.ReadAll();
  EXPECT_EQ(got[1], "a line\n");
  EXPECT_THAT(got[3], HasSubstr(R"("message":"5")"));
}

TEST_F(StreamsTest, AHundredBinaryMegabytesComeWhole) {
  Channels maker(node(), Shell("head -c 104857600 /dev/urandom > /v/big; sha256sum /v/big", "output=1"), kV5);
  const std::string hash = maker.ReadAll()[1].substr(0, 64);
  const std::string target = ExecTarget("sh", {"cat", "/v/big"}, "output=1");
  for (const char* protocol : {kV5, kV4}) {
    Channels socket(node(), target, protocol);
    EXPECT_EQ(Sha256(socket.ReadAll()[1]), hash) << protocol;
  }
  Spdy spdy(node(), target, kV4);
  const uint32_t error = spdy.Open({{"streamtype", "error"}});
  const uint32_t output = spdy.Open({{"streamtype", "stdout"}});
  EXPECT_EQ(Sha256(spdy.ReadAll(output)), hash);
  EXPECT_THAT(spdy.ReadAll(error), HasSubstr(R"("status":"Success")"));
  EXPECT_EQ(TheContainerd().Exec(FindContainer("web", "sh").id, {"rm", "/v/big"}).exit_code, 0);
}

TEST_F(StreamsTest, SpdyPassesThrough) {
  Spdy spdy(node(), Shell("cat; echo err >&2; exit 9", "input=1&output=1&error=1"), kV4);
  ASSERT_TRUE(spdy.open());
  const uint32_t error = spdy.Open({{"streamtype", "error"}});
  const uint32_t in = spdy.Open({{"streamtype", "stdin"}});
  const uint32_t out = spdy.Open({{"streamtype", "stdout"}});
  const uint32_t err = spdy.Open({{"streamtype", "stderr"}});
  const std::string data = Binary(200'000);
  spdy.Send(in, data, /*fin=*/true);
  EXPECT_TRUE(spdy.ReadAll(out) == data);
  EXPECT_EQ(spdy.ReadAll(err), "err\n");
  EXPECT_THAT(spdy.ReadAll(error), HasSubstr(R"("message":"9")"));
}

TEST_F(StreamsTest, TerminalsChangeTheirSize) {
  const std::string script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done";
  Channels run(node(), Shell(script, "input=1&output=1&tty=1"), kV5);
  ASSERT_TRUE(run.open());
  run.ReadUntil(1, "ready");
  run.Send(4, R"({"Width":111,"Height":44})");
  EXPECT_THAT(run.ReadAll()[1], AllOf(StartsWith("ready\r\n"), HasSubstr("44 111\r\n")));
}

TEST_F(StreamsTest, AttachReachesTheFirstProcess) {
  const std::string target = "/attach/shop/web-klnode/cat?input=1&output=1&error=1";
  Channels socket(node(), target, kV5);
  ASSERT_TRUE(socket.open());
  socket.Send(0, "hello\n");
  EXPECT_THAT(socket.ReadUntil(1, "got hello\n"), HasSubstr("got hello\n"));
  Spdy spdy(node(), target, kV4);
  spdy.Open({{"streamtype", "error"}});
  const uint32_t in = spdy.Open({{"streamtype", "stdin"}});
  const uint32_t out = spdy.Open({{"streamtype", "stdout"}});
  spdy.Open({{"streamtype", "stderr"}});
  spdy.Send(in, "again\n");
  EXPECT_THAT(spdy.ReadUntil(out, "got again\n"), HasSubstr("got again\n"));
}

TEST_F(StreamsTest, AttachTakesTheTerminalFromTheContainer) {
  Channels socket(node(), "/attach/shop/web-klnode/tty?input=1&output=1", kV5);
  ASSERT_TRUE(socket.open());
  socket.Send(4, R"({"Width":99,"Height":33})");
  socket.Send(0, "until [ \"$(stty size)\" = '33 99' ]; do sleep 0.05; done; echo si''zed\n");
  EXPECT_THAT(socket.ReadUntil(1, "sized"), HasSubstr("sized"));
  // The same over SPDY, where the sizes have a stream of their own.
  Spdy spdy(node(), "/attach/shop/web-klnode/tty?input=1&output=1", kV4);
  spdy.Open({{"streamtype", "error"}});
  const uint32_t in = spdy.Open({{"streamtype", "stdin"}});
  const uint32_t out = spdy.Open({{"streamtype", "stdout"}});
  const uint32_t size = spdy.Open({{"streamtype", "resize"}});
  spdy.Send(size, R"({"Width":77,"Height":22})");
  spdy.Send(in, "until [ \"$(stty size)\" = '22 77' ]; do sleep 0.05; done; echo aga''in\n");
  EXPECT_THAT(spdy.ReadUntil(out, "again"), HasSubstr("again"));
}

// Two connections over one session, and one to a port where nobody listens.
void ForwardSome(Spdy& spdy) {
  ASSERT_TRUE(spdy.open());
  auto open = [&](const char* type, const char* port, const char* request) {
    return spdy.Open({{"streamtype", type}, {"port", port}, {"requestid", request}});
  };
  for (const char* request : {"0", "1"}) {
    const uint32_t error = open("error", "8080", request);
    const uint32_t data = open("data", "8080", request);
    spdy.Send(error, "", true);
    spdy.Send(data, "GET / HTTP/1.0\r\n\r\n");
    EXPECT_THAT(spdy.ReadAll(data), AllOf(StartsWith("HTTP/1.0 200"), HasSubstr("web-klnode")));
    EXPECT_EQ(spdy.ReadAll(error), "");
    EXPECT_TRUE(spdy.ended(data) && spdy.ended(error)) << request;
  }
  const uint32_t error = open("error", "9", "2");
  const uint32_t data = open("data", "9", "2");
  EXPECT_THAT(spdy.ReadUntil(error, "refused"), HasSubstr("refused"));
  EXPECT_EQ(spdy.ReadAll(data), "");
  EXPECT_TRUE(spdy.ended(data));
  // 2.x leaves this one open, whoever asks.
  if (TheContainerd().is_2x()) return;
  spdy.ReadAll(error);
  EXPECT_TRUE(spdy.ended(error));
}

// What the tests below hold us to.
TEST_F(StreamsTest, PortForwardOfTheRuntimeItself) {
  Spdy spdy(TheContainerd().PortForwardUrl(FindContainer("web", "sh").sandbox_id), "portforward.k8s.io");
  ForwardSome(spdy);
}

TEST_F(StreamsTest, PortForwardOverSpdy) {
  Spdy spdy(node(), "/portForward/shop/web-klnode", "portforward.k8s.io");
  ForwardSome(spdy);
}

TEST_F(StreamsTest, PortForwardTunnelledThroughAWebSocket) {
  Spdy spdy(node(), "/portForward/shop/web-klnode", "portforward.k8s.io", /*tunnelled=*/true);
  ForwardSome(spdy);
}

TEST_F(StreamsTest, PortForwardOverAWebSocketV4) {
  Channels socket(node(), "/portForward/shop/web-klnode?port=8080", kV4);
  ASSERT_TRUE(socket.open());
  socket.Send(0, "GET / HTTP/1.0\r\n\r\n");
  EXPECT_THAT(socket.ReadUntil(0, "web-klnode"), HasSubstr("HTTP/1.0 200"));
}

TEST_F(StreamsTest, RefusalsReachTheClient) {
  const std::vector<std::string> upgrade = {"-X", "POST", "-H", "Connection: Upgrade", "-H",
                                            "Upgrade: SPDY/3.1"};
  EXPECT_EQ(node().StatusOf(upgrade, "/exec/shop/nope/sh?output=1&command=a"), "404");
  EXPECT_EQ(node().StatusOf(upgrade, "/exec/shop/web-klnode/sh?command=a"), "400");
  EXPECT_EQ(node().StatusOf(upgrade, "/exec/shop/web-klnode/nope?output=1&command=a"), "500");
  EXPECT_EQ(node().StatusOf({"-X", "POST"}, "/exec/shop/web-klnode/sh?output=1&command=a"), "500");
  Channels missing(node(), ExecTarget("sh", {"/no/such/program"}, "output=1"), kV5);
  EXPECT_THAT(missing.ReadAll()[3], AllOf(HasSubstr("Failure"), HasSubstr("/no/such/program")));
}

TEST_F(StreamsTest, RunAnswersWithTheOutput) {
  EXPECT_EQ(node().Curl({"-X", "POST"}, "/run/shop/web-klnode/sh?cmd=echo+a+b").output, "a b\n");
  EXPECT_EQ(node().StatusOf({"-X", "POST"}, "/run/shop/web-klnode/sh?cmd=false"), "500");
}

}  // namespace
}  // namespace keelson::integration
