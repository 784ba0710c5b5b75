// SPDX-License-Identifier: Apache-2.0
#include "probes/http_call.h"

#include <gtest/gtest.h>

#include "base/strings.h"

namespace keelson::probes {
namespace {

k8s::v1::HTTPGetAction Action(std::string path, int port = 80) {
  k8s::v1::HTTPGetAction action;
  action.set_path(path);
  action.mutable_port()->set_intval(port);
  return action;
}

void AddHeader(k8s::v1::HTTPGetAction& action, std::string name, std::string value) {
  auto* header = action.add_httpheaders();
  header->set_name(name);
  header->set_value(value);
}

k8s::intstr::IntOrString Text(std::string text) {
  k8s::intstr::IntOrString port;
  port.set_type(1);
  port.set_strval(text);
  return port;
}

std::string Bytes(const k8s::v1::HTTPGetAction& action, std::string pod_ip = "192.0.2.1") {
  auto call = MakeHttpCall(action, k8s::v1::Container(), pod_ip, kProbeAgent);
  if (!call.ok()) return std::string(base::Message(call.status()));
  auto bytes = RequestBytes(*call);
  return bytes.ok() ? *bytes : std::string(base::Message(bytes.status()));
}

std::string TargetOf(std::string path) {
  return MakeHttpCall(Action(path), k8s::v1::Container(), "192.0.2.1", kProbeAgent)->url.target;
}

TEST(HttpCallTest, ARequestSaysWhoAsks) {
  EXPECT_EQ(Bytes(Action("/healthz")),
            "GET /healthz HTTP/1.1\r\nHost: 192.0.2.1:80\r\nUser-Agent: kube-probe/1.36\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n");
  EXPECT_NE(Bytes(Action("/"), "2001:db8::1").find("Host: [2001:db8::1]:80\r\n"), std::string::npos);
}

TEST(HttpCallTest, HeadersOfTheProbeComeFirstAndMaySwitchOursOff) {
  auto action = Action("/");
  AddHeader(action, "host", "shop.example");
  AddHeader(action, "X-One", "1");
  AddHeader(action, "user-agent", "me");
  AddHeader(action, "Accept", "");
  AddHeader(action, "Content-Length", "7");
  EXPECT_EQ(Bytes(action),
            "GET / HTTP/1.1\r\nHost: shop.example\r\nX-One: 1\r\nuser-agent: me\r\n"
            "Connection: close\r\n\r\n");
}

TEST(HttpCallTest, NothingBreaksOutOfItsLine) {
  auto value = Action("/");
  AddHeader(value, "X", "a\r\nEvil: 1");
  EXPECT_EQ(Bytes(value), "net/http: invalid header field value for \"X\"");
  auto name = Action("/");
  AddHeader(name, "X: y\r\nZ", "a");
  EXPECT_NE(Bytes(name).find("invalid header field name"), std::string::npos);
  auto host = Action("/");
  AddHeader(host, "Host", "a\r\nEvil: 1");
  EXPECT_NE(Bytes(host).find("invalid Host header"), std::string::npos);
  EXPECT_EQ(Bytes(Action("/\r\nEvil: 1")).find("\r\nEvil"), std::string::npos);
}

TEST(HttpCallTest, PathsBecomeTargets) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "/"},
      {"healthz", "/healthz"},
      {"/a?b=c&d=e f", "/a?b=c&d=e%20f"},
      {"/a#top", "/a"},
      {"/a b", "/a%20b"},
      {"/a%20b", "/a%20b"},
      {"/100%?x", "/100%25%3Fx"},  // no URL: a path all the same
  };
  for (const auto& [path, target] : cases) EXPECT_EQ(TargetOf(path), target) << path;
}

TEST(HttpCallTest, PortsAreNumbersOrNamesOfTheContainer) {
  k8s::v1::Container container;
  auto* port = container.add_ports();
  port->set_name("web");
  port->set_containerport(8080);
  EXPECT_EQ(*ResolvePort(Text("web"), container), 8080);
  EXPECT_EQ(*ResolvePort(Text("9090"), container), 9090);
  EXPECT_FALSE(ResolvePort(Text("admin"), container).ok());
  k8s::intstr::IntOrString number;
  EXPECT_EQ(base::Message(ResolvePort(number, container).status()), "invalid port number: 0");
  number.set_intval(65536);
  EXPECT_FALSE(ResolvePort(number, container).ok());
}

TEST(HttpCallTest, AHostOfItsOwnReplacesThePods) {
  auto action = Action("/");
  action.set_host("127.0.0.1");
  action.set_scheme("HTTPS");
  auto call = MakeHttpCall(action, k8s::v1::Container(), "192.0.2.1", kProbeAgent);
  EXPECT_EQ(call->url.Text(), "https://127.0.0.1:80/");
  EXPECT_FALSE(MakeHttpCall(Action("/"), k8s::v1::Container(), "", kProbeAgent).ok());
}

TEST(HttpCallTest, LocationsAreRelativeToWhereTheyWereFound) {
  const HttpUrl from{false, "192.0.2.1", 8080, "/a/b?q"};
  const std::pair<const char*, const char*> cases[] = {
      {"/c", "http://192.0.2.1:8080/c"},
      {"c", "http://192.0.2.1:8080/a/c"},
      {"?x", "http://192.0.2.1:8080/a/b?x"},
      {"../../c/./d/", "http://192.0.2.1:8080/c/d/"},
      {"//192.0.2.1/c", "http://192.0.2.1:80/c"},
      {"https://192.0.2.1", "https://192.0.2.1:443/"},
      {"https://user@[2001:db8::1]:7/x?y", "https://[2001:db8::1]:7/x?y"},
  };
  for (const auto& [location, url] : cases)
    EXPECT_EQ(ResolveLocation(from, location)->Text(), url) << location;
  for (const char* bad : {"ftp://x/", "https:x", "http://x:y/", "http://"})
    EXPECT_FALSE(ResolveLocation(from, bad).ok()) << bad;
}

// One byte at a time, then the end of the connection.
struct Read {
  explicit Read(std::string_view bytes, bool closed = true) {
    for (char c : bytes)
      if (status.ok() && !reply.done()) status = reply.Feed(std::string_view(&c, 1));
    if (status.ok() && closed) status = reply.End();
  }
  HttpReply reply;
  absl::Status status;
};

TEST(HttpReplyTest, BodiesEndByLengthByChunksOrByClosing) {
  for (const char* bytes : {
           "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello more",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nhe\r\n3\r\nllo\r\n0\r\nT: 1\r\n\r\n",
           "HTTP/1.0 200 OK\r\n\r\nhello",
           "HTTP/1.1 200\n\nhello",  // as shell scripts answer
           "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
       }) {
    Read read(bytes);
    EXPECT_TRUE(read.status.ok()) << bytes << read.status;
    EXPECT_EQ(read.reply.code(), 200) << bytes;
    EXPECT_EQ(read.reply.body(), "hello") << bytes;
    EXPECT_TRUE(read.reply.done()) << bytes;
  }
}

TEST(HttpReplyTest, NoMoreThanTenKibibytesOfABodyAreRead) {
  Read read("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + std::string(20000, 'x'), false);
  EXPECT_TRUE(read.reply.done());
  EXPECT_EQ(read.reply.body().size(), kMaxBodyBytes);
}

TEST(HttpReplyTest, AnAnswerCutShortIsToldFromNone) {
  EXPECT_EQ(base::Message(Read("").status), "EOF");
  EXPECT_EQ(base::Message(Read("HTTP/1.1 200 OK\r\n").status), "unexpected EOF");
  Read body("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
  EXPECT_EQ(base::Message(body.status), "unexpected EOF");
  EXPECT_TRUE(body.reply.head_done());
}

TEST(HttpReplyTest, WhatIsNotHttpIsRefused) {
  for (const char* bytes : {"SSH-2.0-OpenSSH\r\n", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"})
    EXPECT_TRUE(absl::IsInvalidArgument(Read(bytes).status)) << bytes;
  const std::string endless = "HTTP/1.1 200 OK\r\nX: " + std::string(300 << 10, 'x');
  HttpReply reply;
  EXPECT_FALSE(reply.Feed(endless).ok());
}

}  // namespace
}  // namespace keelson::probes
