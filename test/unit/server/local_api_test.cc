// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/local_api.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include "kubelet/server/healthz.h"
#include "proto/codec/codec.h"
#include "test/unit/server/fake_node_view.h"
#include "test/unit/server/raw_client.h"

namespace keelson::kubelet {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string Body(const std::string& answer) {
  if (answer.find("chunked") < answer.find("\r\n\r\n")) return Unchunk(answer);
  return answer.substr(answer.find("\r\n\r\n") + 4);
}

std::string Line(const std::string& text) { return "2026-01-01T00:00:00Z stdout F " + text + "\n"; }

class LocalApiTest : public ::testing::Test {
 protected:
  LocalApiTest() {
    view_.log_root = dir_.At("pods");
    view_.pods.push_back(RunningPod("default", "web"));
    view_.pods.push_back(RunningPod("kube-system", "dns"));
    api_ = std::make_unique<LocalApi>(thread_.loop(), view_, LocalApiOptions{socket_, ::geteuid()});
    EXPECT_TRUE(api_->Start().ok());
    thread_.Start();
  }
  ~LocalApiTest() override {
    thread_.Stop([this] { return api_->Close(); });
  }
  std::string Get(const std::string& target) { return RawClient(socket_).Get(target); }
  std::string LogOfWeb() { return view_.LogPath("default", "web", "c"); }
  void WaitForWaiting(int count) {
    int waiting = -1;
    while (waiting != count) thread_.Do([&] { waiting = view_.waiting; });
  }

  SocketDir dir_;
  const std::string socket_ = dir_.At("s");
  FakeNodeView view_;
  LoopThread thread_;
  std::unique_ptr<LocalApi> api_;
};

TEST_F(LocalApiTest, PodsAreAKubernetesList) {
  const std::string answer = Get("/pods");
  EXPECT_THAT(answer, HasSubstr("Content-Type: application/json\r\n"));
  k8s::v1::PodList list;
  ASSERT_TRUE(proto::DecodeJson(Body(answer), &list, {.strict = true}).ok()) << answer;
  EXPECT_EQ(list.items_size(), 2);
  EXPECT_THAT(answer, HasSubstr(R"("kind":"PodList")"));
  EXPECT_EQ(list.items(0).status().phase(), "Running");
}

TEST_F(LocalApiTest, PodsOfOneNamespace) {
  EXPECT_THAT(Get("/pods?namespace=kube-system"), Not(HasSubstr("web")));
  EXPECT_THAT(Get("/pods?namespace=kube-system"), HasSubstr("dns"));
}

TEST_F(LocalApiTest, OnePod) {
  EXPECT_THAT(Get("/pods/default/web"), HasSubstr(R"("kind":"Pod")"));
  const std::string answer = Get("/pods/default/nope");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(answer, EndsWith("pod does not exist\n"));
}

TEST_F(LocalApiTest, EventsImagesCallsAndConfiguration) {
  view_.events.emplace_back().set_reason("Started");
  view_.images = std::vector<NodeImage>{{"sha256:1", {"busybox:1"}, {}, 42, true}};
  view_.inflight.push_back({"cri", "PullImage", "busy\"box", std::chrono::milliseconds(1500)});
  view_.config.set_maxpods(77);
  EXPECT_THAT(Get("/events"), HasSubstr(R"("reason":"Started")"));
  EXPECT_EQ(Body(Get("/images")), R"({"images":[{"id":"sha256:1","repoTags":["busybox:1"],)"
                                  R"("repoDigests":[],"sizeBytes":42,"pinned":true}]})");
  EXPECT_EQ(Body(Get("/inflight")), R"({"calls":[{"target":"cri","call":"PullImage",)"
                                    R"("object":"busy\"box","ageMilliseconds":1500}]})");
  EXPECT_THAT(Body(Get("/configz")), StartsWith(R"({"kubeletconfig":{)"));
  EXPECT_THAT(Body(Get("/configz")), HasSubstr(R"("maxPods":77)"));
}

TEST_F(LocalApiTest, HealthHasItsReason) {
  EXPECT_EQ(Body(Get("/healthz")), "ok");
  view_.health = absl::UnavailableError("PLEG is not healthy");
  EXPECT_THAT(Get("/healthz"), StartsWith("HTTP/1.1 500 "));
  EXPECT_THAT(Get("/healthz"), HasSubstr("PLEG is not healthy"));
}

TEST_F(LocalApiTest, ImagesOfARuntimeThatIsAway) {
  view_.images = absl::UnavailableError("containerd is away");
  EXPECT_THAT(Get("/images"), StartsWith("HTTP/1.1 500 "));
}

TEST_F(LocalApiTest, LogsWithParameters) {
  view_.WriteLog(LogOfWeb(), Line("one") + Line("two") + Line("three"));
  EXPECT_EQ(Body(Get("/containerLogs/default/web/c")), "one\ntwo\nthree\n");
  EXPECT_EQ(Body(Get("/containerLogs/default/web/c?tailLines=1&timestamps=true")),
            "2026-01-01T00:00:00.000000000Z three\n");
  EXPECT_EQ(Body(Get("/containerLogs/default/web/c?limitBytes=5")), "one\nt");
  EXPECT_EQ(Body(Get("/containerLogs/default/web/c?sinceTime=2026-01-01T00:00:01Z")), "");
}

TEST_F(LocalApiTest, LogErrorsHaveUpstreamsStatus) {
  EXPECT_THAT(Get("/containerLogs/default/web/c?tailLines=x"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(Get("/containerLogs/default/web/c?tailLines=-1"), StartsWith("HTTP/1.1 422 "));
  EXPECT_THAT(Get("/containerLogs/default/nope/c"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(Get("/containerLogs/default/web/nope"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(Get("/containerLogs/default/web/c?previous=true"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(Get("/containerLogs/default/web/c"), StartsWith("HTTP/1.1 404 "));  // no file
}

TEST_F(LocalApiTest, LeavingFollowerIsForgotten) {
  view_.containers_run = true;
  view_.WriteLog(LogOfWeb(), Line("one"));
  {
    RawClient client(socket_);
    client.Send("GET /containerLogs/default/web/c?follow=true HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_THAT(client.ReadUntil("one"), HasSubstr("chunked"));
    WaitForWaiting(1);
  }
  WaitForWaiting(0);
}

TEST_F(LocalApiTest, TwentyFollowersOfTenMegabytesSeeTheSame) {
  view_.containers_run = true;
  std::string wanted, file;
  while (file.size() < 10 << 20) {
    const std::string text = std::to_string(file.size()) + std::string(200, 'x');
    wanted += text + "\n";
    file += Line(text);
  }
  view_.WriteLog(LogOfWeb(), file);
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<RawClient>(socket_));
    clients.back()->Send(
        "GET /containerLogs/default/web/c?follow=true HTTP/1.1\r\nHost: x\r\n"
        "Connection: close\r\n\r\n");
  }
  WaitForWaiting(20);
  view_.WriteLog(LogOfWeb(), Line("the end"));
  thread_.Do([&] { view_.EndContainers(); });
  wanted += "the end\n";
  for (auto& client : clients) EXPECT_TRUE(Unchunk(client->ReadAll()) == wanted);
}

TEST(Healthz, AnswersOkOnItsPort) {
  LoopThread thread;
  auto probe = ListenTcp(thread.loop(), "127.0.0.1", 0);
  ASSERT_TRUE(probe.ok()) << probe.status();
  const std::string name = (*probe)->Name();
  const auto port = static_cast<uint16_t>(std::stoi(name.substr(name.rfind(':') + 1)));
  probe->reset();
  HealthzServer healthz(thread.loop(), "127.0.0.1", port);
  healthz.Start();
  thread.Start();
  thread.Do([] {});  // it listens by now
  base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  const std::string request = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  ASSERT_EQ(::send(fd.get(), request.data(), request.size(), 0), ssize_t(request.size()));
  std::string answer(4096, '\0');
  answer.resize(::recv(fd.get(), answer.data(), answer.size(), MSG_WAITALL));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\nok"));
  thread.Stop([&] { return healthz.Close(); });
}

TEST(ListenTcp, AddressMustBeOne) {
  base::Loop loop;
  EXPECT_TRUE(absl::IsInvalidArgument(ListenTcp(loop, "localhost", 0).status()));
  EXPECT_TRUE(ListenTcp(loop, "::1", 0).ok());
}

}  // namespace
}  // namespace keelson::kubelet
