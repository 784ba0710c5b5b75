// SPDX-License-Identifier: Apache-2.0
#include "kubelet/sources/url_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <filesystem>
#include <functional>

#include "test/integration/sources/test_server.h"

namespace keelson::kubelet::sources {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using std::chrono::milliseconds;

class UrlSourceTest : public ::testing::Test {
 protected:
  ~UrlSourceTest() override {
    if (source_ == nullptr) return;
    base::TaskGroup group(loop_);
    group.Spawn("stop", source_->Stop());
    loop_.io().restart();
    while (group.size() > 0 && loop_.io().run_one() > 0) continue;
  }

  static std::string Pod(std::string_view name, std::string_view image = "i:1") {
    return base::StrCat("apiVersion: v1\nkind: Pod\nmetadata: {name: ", name,
                        "}\nspec: {containers: [{name: c, image: '", image, "'}]}\n");
  }
  static std::string Ok(std::string_view body, std::string_view headers = "") {
    return TestServer::Answer(body, headers);
  }

  void Start(UrlSource::Options options) {
    options.node_name = "n1";
    if (options.period == base::Nanos(std::chrono::seconds(20))) options.period = milliseconds(5);
    source_ = std::make_unique<UrlSource>(
        loop_, std::move(options),
        [this](SourceUpdate update) {
          ++updates_;
          pods_ = std::move(update.pods);
        },
        [this](SourceProblem problem) { problems_.push_back(std::move(problem.message)); });
    source_->Start();
  }
  void Start(const TestServer& server) { Start({.url = server.Url()}); }

  void Await(const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!done()) {
      loop_.io().restart();
      if (std::chrono::steady_clock::now() > end) FAIL() << "waited in vain";
      loop_.io().run_one_until(std::chrono::steady_clock::now() + milliseconds(5));
    }
  }
  // Lets the source ask `count` times more.
  void AwaitRequests(const TestServer& server, size_t count) {
    const size_t before = server.Requests().size();
    Await([&] { return server.Requests().size() >= before + count + 1; });
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& pod : pods_) names.push_back(pod->metadata().name());
    return names;
  }

  base::Loop loop_;
  std::unique_ptr<UrlSource> source_;
  size_t updates_ = 0;
  std::vector<PodPtr> pods_;
  std::vector<std::string> problems_;
};

TEST_F(UrlSourceTest, BringsAPodAndIgnoresTheSameBytes) {
  TestServer server([](const std::string&) { return Ok(Pod("a")); });
  Start(server);
  Await([&] { return updates_ == 1; });
  EXPECT_THAT(Names(), ElementsAre("a-n1"));
  EXPECT_EQ(Annotation(*pods_[0], kConfigSource), "http");
  AwaitRequests(server, 5);
  EXPECT_EQ(updates_, 1u);
  EXPECT_THAT(problems_, IsEmpty());
}

TEST_F(UrlSourceTest, BringsAListAndKeepsThePodsThatDidNotChange) {
  std::atomic<int> version = 1;
  TestServer server([&](const std::string&) {
    return Ok(base::StrCat(
        "apiVersion: v1\nkind: PodList\nitems:\n",
        "- {metadata: {name: a}, spec: {containers: [{name: c, image: i}]}}\n",
        "- {metadata: {name: b}, spec: {containers: [{name: c, image: 'i:", version.load(),
        "'}]}}\n"));
  });
  Start(server);
  Await([&] { return updates_ == 1; });
  const PodPtr a = pods_.at(0), b = pods_.at(1);
  version = 2;
  Await([&] { return updates_ == 2; });
  EXPECT_EQ(pods_.at(0), a);
  EXPECT_NE(pods_.at(1)->metadata().uid(), b->metadata().uid());
}

TEST_F(UrlSourceTest, SendsHeadersAndTheTagOfWhatItHas) {
  TestServer server([](const std::string& request) {
    if (request.find("If-None-Match: \"v1\"") != std::string::npos) {
      return TestServer::Answer("", "", "304 Not Modified");
    }
    return Ok(Pod("a"), "ETag: \"v1\"\r\nLast-Modified: Mon, 01 Jan 2026 00:00:00 GMT\r\n");
  });
  Start({.url = server.Url(), .headers = {{"X-Token", "secret"}, {"Accept", "text/yaml"}}});
  Await([&] { return updates_ == 1; });
  AwaitRequests(server, 3);
  const auto requests = server.Requests();
  EXPECT_THAT(requests[0], HasSubstr("X-Token: secret\r\n"));
  EXPECT_THAT(requests[0], HasSubstr("Accept: text/yaml\r\n"));
  EXPECT_THAT(requests[0], Not(HasSubstr("If-None-Match")));
  EXPECT_THAT(requests[1], HasSubstr("If-None-Match: \"v1\"\r\n"));
  EXPECT_THAT(requests[1], HasSubstr("If-Modified-Since: Mon, 01 Jan 2026 00:00:00 GMT\r\n"));
  EXPECT_EQ(updates_, 1u);
  EXPECT_THAT(problems_, IsEmpty());
}

TEST_F(UrlSourceTest, WhileTheServerIsDownItsPodsStay) {
  auto server = std::make_unique<TestServer>([](const std::string&) { return Ok(Pod("a")); });
  const int port = server->port();
  Start(*server);
  Await([&] { return updates_ == 1; });
  server.reset();
  Await([&] { return problems_.size() == 1; });
  EXPECT_THAT(problems_[0], HasSubstr("GET http://127.0.0.1:"));
  EXPECT_EQ(updates_, 1u);
  TestServer again([](const std::string&) { return Ok(Pod("b")); }, nullptr, port);
  Await([&] { return updates_ == 2; });
  EXPECT_THAT(Names(), ElementsAre("b-n1"));
}

TEST_F(UrlSourceTest, OnlyStatus200Counts) {
  std::atomic<bool> broken = false;
  TestServer server([&](const std::string&) {
    return broken ? TestServer::Answer(Pod("evil"), "", "503 Service Unavailable") : Ok(Pod("a"));
  });
  Start(server);
  Await([&] { return updates_ == 1; });
  broken = true;
  Await([&] { return problems_.size() == 1; });
  AwaitRequests(server, 3);
  EXPECT_THAT(problems_, ElementsAre(base::StrCat("GET ", server.Url(), ": status 503")));
  EXPECT_THAT(Names(), ElementsAre("a-n1"));
}

TEST_F(UrlSourceTest, BadContentIsToldOnceAndTheLastGoodStays) {
  std::atomic<int> phase = 0;
  TestServer server([&](const std::string&) {
    return Ok(phase == 1 ? "apiVersion: v1\nkind: Pod\nmetadata: {name: A}\n" : Pod("a"));
  });
  Start(server);
  Await([&] { return updates_ == 1; });
  phase = 1;
  Await([&] { return problems_.size() == 1; });
  EXPECT_THAT(problems_[0], HasSubstr("/pod:3: metadata.name: Invalid value: \"A-n1\""));
  AwaitRequests(server, 3);
  EXPECT_THAT(problems_, SizeIs(1));
  EXPECT_THAT(Names(), ElementsAre("a-n1"));
}

TEST_F(UrlSourceTest, AnEmptyAnswerMeansNoPodsAndIsTold) {
  TestServer server([](const std::string&) { return Ok(""); });
  Start(server);
  Await([&] { return updates_ == 1; });
  EXPECT_THAT(pods_, IsEmpty());
  ASSERT_THAT(problems_, SizeIs(1));
  EXPECT_THAT(problems_[0], HasSubstr("the answer is empty"));
}

TEST_F(UrlSourceTest, ASlowServerIsGivenUpAndTheLoopGoesOn) {
  TestServer server([](const std::string&) { return std::string(); });
  int turns = 0;
  base::TaskGroup group(loop_);
  auto tick = [](base::Loop& loop, int* count) -> base::Task<void> {
    for (int i = 0; i < 20; ++i) {
      co_await base::Sleep(loop.clock(), milliseconds(5));
      ++*count;
    }
  };
  group.Spawn("tick", tick(loop_, &turns));
  Start({.url = server.Url(), .timeout = milliseconds(150)});
  Await([&] { return problems_.size() == 1; });
  EXPECT_THAT(problems_[0], HasSubstr("timed out"));
  EXPECT_GE(turns, 5);
  EXPECT_EQ(updates_, 0u);
  Await([&] { return group.size() == 0; });
}

TEST_F(UrlSourceTest, AnEndlessAnswerIsCut) {
  TestServer server([](const std::string&) { return Ok(std::string((10 << 20) + 1, '#')); });
  Start(server);
  Await([&] { return problems_.size() == 1; });
  EXPECT_THAT(problems_[0], HasSubstr("longer than 10485760 bytes"));
}

TEST_F(UrlSourceTest, RedirectsAreFollowed) {
  TestServer target([](const std::string&) { return Ok(Pod("a")); });
  TestServer server([&](const std::string&) {
    return TestServer::Answer("", base::StrCat("Location: ", target.Url(), "\r\n"), "302 Found");
  });
  Start(server);
  Await([&] { return updates_ == 1; });
  EXPECT_THAT(Names(), ElementsAre("a-n1"));
}

TEST_F(UrlSourceTest, TlsNeedsACertificateThatTheSystemTrusts) {
  const TestCertificate certificate;
  TestServer server([](const std::string&) { return Ok(Pod("a")); }, &certificate);
  Start(server);
  Await([&] { return problems_.size() == 1; });
  EXPECT_THAT(problems_[0], HasSubstr("certificate"));
  EXPECT_EQ(updates_, 0u);
  const std::string path = ::testing::TempDir() + base::StrCat("/kl-ca-", ::getpid(), ".pem");
  certificate.Save(path);
  ::setenv("SSL_CERT_FILE", path.c_str(), 1);
  Await([&] { return updates_ == 1; });
  ::unsetenv("SSL_CERT_FILE");
  EXPECT_THAT(Names(), ElementsAre("a-n1"));
  std::filesystem::remove(path);
}

TEST_F(UrlSourceTest, StoppingInTheMiddleOfARequestLeavesNothing) {
  TestServer server([](const std::string&) { return std::string(); });
  Start({.url = server.Url(), .timeout = std::chrono::seconds(60)});
  Await([&] { return !server.Requests().empty(); });
}

}  // namespace
}  // namespace keelson::kubelet::sources
