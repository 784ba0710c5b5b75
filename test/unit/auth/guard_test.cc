// SPDX-License-Identifier: Apache-2.0
#include "kubelet/auth/guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/clock.h"
#include "kubelet/auth/attributes.h"
#include "kubelet/server/stream.h"
#include "test/unit/auth/certificates.h"

namespace keelson::kubelet::auth {
namespace {

using base::Task;
using std::chrono::seconds;
using ::testing::ElementsAre;

class FakeTokens : public TokenReviewer {
 public:
  Task<absl::StatusOr<TokenVerdict>> Review(std::string token,
                                            std::vector<std::string> audiences) override {
    ++asked;
    EXPECT_TRUE(audiences.empty());
    if (!reachable) co_return absl::UnavailableError("no API server");
    TokenVerdict verdict;
    verdict.authenticated = token == "good";
    verdict.user.name = "bob";
    verdict.user.groups = {"readers"};
    co_return verdict;
  }
  int asked = 0;
  bool reachable = true;
};

class FakeAccess : public AccessReviewer {
 public:
  Task<absl::StatusOr<bool>> Authorize(Attributes attributes) override {
    asked.push_back(attributes.verb + " nodes/" + attributes.subresource);
    last = attributes;
    if (!reachable) co_return absl::UnavailableError("no API server");
    co_return allowed.contains(asked.back());
  }
  std::set<std::string> allowed;
  std::vector<std::string> asked;
  Attributes last;
  bool reachable = true;
};

class Recorder : public Responder {
 public:
  Task<absl::Status> Send(HttpResponse response) override {
    text = std::to_string(response.status) + " " + response.body;
    co_return absl::OkStatus();
  }
  Task<absl::Status> Start(HttpResponse) override { co_return absl::OkStatus(); }
  Task<absl::Status> Write(std::string) override { co_return absl::OkStatus(); }
  std::string text = "let in";
};

class GuardTest : public ::testing::Test {
 protected:
  Guard& guard() {
    if (!guard_) guard_ = std::make_unique<Guard>(loop_, options_, &tokens_, &access_);
    return *guard_;
  }
  // What the caller gets: "let in", or status and body.
  std::string Ask(const std::string& method, const std::string& path,
                  const std::string& authorization = {}) {
    HttpRequest request;
    request.method = method;
    request.path = path;
    if (!authorization.empty()) request.headers.emplace_back("authorization", authorization);
    if (!certificate_.empty())
      request.peer = std::make_shared<PeerCertificates>(PeerCertificates{{certificate_}});
    Recorder recorder;
    base::TaskGroup tasks(loop_);
    tasks.Spawn("admit", Admit(request, recorder));
    loop_.RunReady();
    EXPECT_EQ(tasks.size(), 0u);
    return recorder.text;
  }
  std::string WithGoodToken(const std::string& method, const std::string& path) {
    return Ask(method, path, "Bearer good");
  }
  void Pass(base::Nanos time) { base::RunFor(loop_, clock_, time); }

  base::VirtualClock clock_;
  base::Loop loop_{clock_};
  GuardOptions options_{.node = "node1"};
  FakeTokens tokens_;
  FakeAccess access_;
  std::string certificate_;  // DER; empty: none

 private:
  Task<void> Admit(const HttpRequest& request, Recorder& recorder) {
    const bool in = co_await guard().Admit(request, recorder);
    EXPECT_EQ(in, recorder.text == "let in");
  }
  std::unique_ptr<Guard> guard_;
};

// Every endpoint with every method: the subresources that must be asked for, in order.
struct EndpointCase {
  const char* path;
  std::vector<std::string> subresources;
};
const std::vector<EndpointCase> kEndpoints = {
    {"/pods", {"pods", "proxy"}},
    {"/pods/", {"pods", "proxy"}},
    {"/runningpods/", {"pods", "proxy"}},
    {"/runningpods", {"pods", "proxy"}},
    {"/healthz", {"healthz", "proxy"}},
    {"/healthz/ping", {"healthz", "proxy"}},
    {"/healthz/syncloop", {"healthz", "proxy"}},
    {"/configz", {"configz", "proxy"}},
    {"/flagz", {"configz"}},
    {"/statusz", {"statusz"}},
    {"/stats/summary", {"stats"}},
    {"/stats", {"stats"}},
    {"/metrics", {"metrics"}},
    {"/metrics/cadvisor", {"metrics"}},
    {"/metrics/resource", {"metrics"}},
    {"/metrics/probes", {"metrics"}},
    {"/metrics/slis", {"metrics"}},
    {"/logs/", {"log"}},
    {"/logs/syslog", {"log"}},
    {"/checkpoint/ns/pod/c", {"checkpoint"}},
    {"/containerLogs/ns/pod/c", {"proxy"}},
    {"/run/ns/pod/c", {"proxy"}},
    {"/run/ns/pod/uid/c", {"proxy"}},
    {"/exec/ns/pod/c", {"proxy"}},
    {"/exec/ns/pod/uid/c", {"proxy"}},
    {"/attach/ns/pod/c", {"proxy"}},
    {"/attach/ns/pod/uid/c", {"proxy"}},
    {"/portForward/ns/pod", {"proxy"}},
    {"/portForward/ns/pod/uid", {"proxy"}},
    {"/debug/pprof/profile", {"proxy"}},
    {"/debug/flags/v", {"proxy"}},
    {"/", {"proxy"}},
    {"/unknown", {"proxy"}},
    // A name that only begins like an endpoint is not below it.
    {"/podsecrets", {"proxy"}},
    {"/metricsx", {"proxy"}},
    {"/logsomething", {"proxy"}},
    {"/statsx/summary", {"proxy"}},
};
const std::vector<std::pair<std::string, std::string>> kMethods = {
    {"GET", "get"},       {"POST", "create"}, {"PUT", "update"}, {"PATCH", "patch"},
    {"DELETE", "delete"}, {"HEAD", ""},       {"OPTIONS", ""},   {"BREW", ""}};

TEST_F(GuardTest, EveryEndpointAndMethodAsksForItsOwnRight) {
  options_.unauthorized_ttl = seconds(0);  // each is asked about
  for (const EndpointCase& endpoint : kEndpoints)
    for (const auto& [method, verb] : kMethods) {
      access_.asked.clear();
      const std::string answer = WithGoodToken(method, endpoint.path);
      std::vector<std::string> wanted;
      std::string list;
      for (const std::string& subresource : endpoint.subresources) {
        wanted.push_back(verb + " nodes/" + subresource);
        list += (list.empty() ? "" : " ") + subresource;
      }
      EXPECT_EQ(access_.asked, wanted) << method << " " << endpoint.path;
      EXPECT_EQ(answer, "403 Forbidden (user=bob, verb=" + verb +
                            ", resource=nodes, subresource(s)=[" + list + "])\n");
    }
}

TEST_F(GuardTest, OneRightOpensWhatItNamesAndNothingElse) {
  for (const char* granted : {"pods", "proxy", "healthz", "configz", "stats", "metrics", "log",
                              "checkpoint", "statusz", "spec"}) {
    access_.allowed = {std::string("get nodes/") + granted};
    GuardOptions options = options_;
    options.allowed_ttl = options.unauthorized_ttl = seconds(0);
    Guard guard(loop_, options, &tokens_, &access_);
    for (const EndpointCase& endpoint : kEndpoints)
      for (const auto& [method, verb] : kMethods) {
        std::optional<bool> in;
        base::TaskGroup tasks(loop_);
        auto admit = [](Guard& guard, std::string method, std::string path,
                        std::optional<bool>* in) -> Task<void> {
          HttpRequest request;
          request.method = std::move(method);
          request.path = std::move(path);
          request.headers.emplace_back("authorization", "Bearer good");
          Recorder recorder;
          *in = co_await guard.Admit(request, recorder);
        };
        tasks.Spawn("admit", admit(guard, method, endpoint.path, &in));
        loop_.RunReady();
        const auto& names = endpoint.subresources;
        const bool covered =
            verb == "get" && std::find(names.begin(), names.end(), granted) != names.end();
        EXPECT_EQ(in, covered) << granted << ": " << method << " " << endpoint.path;
      }
  }
}

TEST_F(GuardTest, TheReviewHasUserGroupsAndNode) {
  WithGoodToken("GET", "/stats/summary");
  EXPECT_EQ(access_.last.node, "node1");
  EXPECT_THAT(access_.last.user.groups, ElementsAre("readers", "system:authenticated"));
}

TEST_F(GuardTest, WithoutCredentialsNobodyComesIn) {
  for (const auto& [method, verb] : kMethods)
    for (const EndpointCase& endpoint : kEndpoints)
      EXPECT_EQ(Ask(method, endpoint.path), "401 Unauthorized");
  EXPECT_TRUE(access_.asked.empty());
}

TEST_F(GuardTest, AnonymousIsAUserWhoseRightsAreAsked) {
  options_.anonymous = true;
  EXPECT_EQ(Ask("GET", "/healthz"),
            "403 Forbidden (user=system:anonymous, verb=get, resource=nodes, "
            "subresource(s)=[healthz proxy])\n");
  EXPECT_THAT(access_.last.user.groups, ElementsAre("system:unauthenticated"));
}

TEST_F(GuardTest, AWrongTokenIsNotAnonymous) {
  options_.anonymous = true;
  options_.always_allow = true;
  EXPECT_EQ(Ask("GET", "/healthz", "Bearer bad"), "401 Unauthorized");
  EXPECT_EQ(Ask("GET", "/healthz", "Basic eDp5"), "let in");  // no token at all
  EXPECT_EQ(Ask("GET", "/healthz"), "let in");
}

TEST_F(GuardTest, ClientCertificatesOfOurAuthority) {
  const Issued authority = Issue({.name = "clients", .authority = true});
  options_.always_allow = true;
  guard().set_authorities(*ClientAuthorities::Parse(authority.Pem()));
  certificate_ = Issue({.name = "alice"}, &authority).Der();
  EXPECT_EQ(Ask("GET", "/pods"), "let in");
  certificate_ = Issue({.name = "alice"}).Der();
  EXPECT_EQ(Ask("GET", "/pods"), "401 Unauthorized");
  EXPECT_EQ(Ask("GET", "/pods", "Bearer good"), "let in");  // another way in
  guard().set_authorities(*ClientAuthorities::Parse(Issue({.name = "x", .authority = true}).Pem()));
  certificate_ = Issue({.name = "alice"}, &authority).Der();
  EXPECT_EQ(Ask("GET", "/pods"), "401 Unauthorized");  // the authorities were replaced
}

TEST_F(GuardTest, TokensAreRememberedGoodAndBad) {
  options_.always_allow = true;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Ask("GET", "/pods", "Bearer good"), "let in");
    EXPECT_EQ(Ask("GET", "/pods", "Bearer bad"), "401 Unauthorized");
  }
  EXPECT_EQ(tokens_.asked, 2);
  Pass(seconds(121));
  Ask("GET", "/pods", "Bearer good");
  EXPECT_EQ(tokens_.asked, 3);
}

TEST_F(GuardTest, AnUnreachableReviewerIsNotRemembered) {
  options_.always_allow = true;
  tokens_.reachable = false;
  EXPECT_EQ(Ask("GET", "/pods", "Bearer good"), "401 Unauthorized");
  tokens_.reachable = true;
  EXPECT_EQ(Ask("GET", "/pods", "Bearer good"), "let in");
}

TEST_F(GuardTest, AllowedForFiveMinutesRefusedForThirtySeconds) {
  access_.allowed = {"get nodes/stats"};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(WithGoodToken("GET", "/stats/summary"), "let in");
    EXPECT_NE(WithGoodToken("GET", "/metrics"), "let in");
  }
  EXPECT_EQ(access_.asked.size(), 2u);
  Pass(seconds(31));
  WithGoodToken("GET", "/metrics");
  WithGoodToken("GET", "/stats/summary");
  EXPECT_EQ(access_.asked.size(), 3u);
  Pass(seconds(270));
  WithGoodToken("GET", "/stats/summary");
  EXPECT_EQ(access_.asked.size(), 4u);
}

TEST_F(GuardTest, NoAnswerFromTheAuthorizerIsAnError) {
  access_.reachable = false;
  EXPECT_EQ(WithGoodToken("GET", "/metrics"),
            "500 Authorization error (user=bob, verb=get, resource=nodes, subresource=metrics)");
  access_.reachable = true;
  access_.allowed = {"get nodes/metrics"};
  EXPECT_EQ(WithGoodToken("GET", "/metrics"), "let in");
}

TEST_F(GuardTest, WithoutAnAuthorizerNothingIsAllowed) {
  Guard closed(loop_, {.node = "n", .anonymous = true}, nullptr, nullptr);
  std::optional<bool> allowed;
  auto ask = [](Guard& guard, std::optional<bool>* out) -> Task<void> {
    Attributes anything;
    absl::StatusOr<bool> answer = co_await guard.Authorize(std::move(anything));
    *out = answer.ok() && *answer;
  };
  base::TaskGroup tasks(loop_);
  tasks.Spawn("ask", ask(closed, &allowed));
  loop_.RunReady();
  EXPECT_EQ(allowed, false);
}

TEST(BearerToken, OnlyOfThatScheme) {
  auto token = [](const std::string& header) {
    HttpRequest request;
    request.headers.emplace_back("authorization", header);
    return BearerToken(request).value_or("-");
  };
  EXPECT_EQ(token("Bearer abc"), "abc");
  EXPECT_EQ(token("bearer abc"), "abc");
  EXPECT_EQ(token("Bearer"), "-");
  EXPECT_EQ(token("Bearer "), "-");
  EXPECT_EQ(token("Bearer  abc"), "-");
  EXPECT_EQ(token("Basic abc"), "-");
}

TEST(VerdictCache, IsBounded) {
  VerdictCache<int, int> cache(10);
  const base::MonoTime now;
  for (int i = 0; i < 1000; ++i) cache.Put(i, i, now, seconds(1));
  EXPECT_EQ(cache.size(), 10u);
  EXPECT_EQ(cache.Find(999, now), 999);
  EXPECT_EQ(cache.Find(1, now), std::nullopt);
}

}  // namespace
}  // namespace keelson::kubelet::auth
