// SPDX-License-Identifier: Apache-2.0
// Who may use the node's own API, as the cluster decides it: TokenReviews and SubjectAccessReviews of
// the real agent, asked by curl over TLS.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/strings.h"
#include "proto/k8s/node.pb.h"
#include "test/integration/lib/agent_fixture.h"
#include "test/integration/lib/cluster_fixture.h"
#include "test/integration/lib/free_port.h"

namespace keelson::integration {
namespace {

using base::StrCat;
using testing::AnyOf;

class ReviewsTest : public testing::Test {
 protected:
  ReviewsTest() {
    cluster_.GiveToken("t-reader", "reader");
    cluster_.GiveToken("t-monitor", "monitor");
    // One right each.
    cluster_.AllowOnly([](const auto& asked) {
      const auto& what = asked.resourceattributes();
      if (what.resource() != "nodes" || what.name() != "klnode") return false;
      if (asked.user() == "reader") return what.verb() == "get" && what.subresource() == "pods";
      if (asked.user() == "monitor") return what.subresource() == "metrics";
      return false;
    });
    agent_.Start();
    EXPECT_TRUE(Eventually([&] { return cluster_.Find<k8s::v1::Node>("", "klnode") != nullptr; }));
  }

  // The HTTP status of `path` for the bearer of `token`; without one for "".
  std::string Ask(const std::string& token, const std::string& path, const std::string& verb = "GET") {
    std::vector<std::string> words = {"curl", "-sSk", "--max-time", "60", "-o", "/dev/null", "-w",
                                      "%{http_code}", "-X", verb};
    if (!token.empty()) words.insert(words.end(), {"-H", StrCat("Authorization: Bearer ", token)});
    words.push_back(StrCat("https://127.0.0.1:", port_, path));
    return RunCommand(words).output;
  }
  long Reviews() {
    const auto requests = cluster_.TakeRequests();
    return std::count_if(requests.begin(), requests.end(), [](const std::string& request) {
      return request.find("reviews") != request.npos;
    });
  }

  const uint16_t port_ = FreePort();
  Cluster cluster_;
  Agent agent_{{.config = StrCat("enableServer: true\naddress: 127.0.0.1\nport: ", port_,
                                 "\nnodeLeaseDurationSeconds: 4\n"),
                .flags = {"--kubeconfig=" + cluster_.kubeconfig(), "--node-ip=127.0.0.1",
                          "--authentication-token-webhook=true", "--authorization-mode=Webhook"}}};
};

TEST_F(ReviewsTest, NobodyIsLetInWithoutAName) {
  for (const char* path : {"/pods", "/metrics", "/healthz", "/exec/default/web/c"}) {
    EXPECT_EQ(Ask("", path), "401") << path;
    EXPECT_EQ(Ask("made-up", path), "401") << path;
  }
}

TEST_F(ReviewsTest, EachMayDoWhatTheClusterAllowsAndIsAskedForOnce) {
  EXPECT_EQ(Ask("t-reader", "/pods"), "200");
  EXPECT_EQ(Ask("t-reader", "/metrics"), "403");
  EXPECT_EQ(Ask("t-reader", "/exec/default/web/c?command=id", "POST"), "403");
  EXPECT_EQ(Ask("t-reader", "/containerLogs/default/web/c"), "403");
  EXPECT_EQ(Ask("t-monitor", "/metrics"), "200");
  EXPECT_EQ(Ask("t-monitor", "/metrics/cadvisor"), "200");
  EXPECT_EQ(Ask("t-monitor", "/pods"), "403");
  EXPECT_GT(Reviews(), 0);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(Ask("t-reader", "/pods"), "200");
    EXPECT_EQ(Ask("t-monitor", "/metrics"), "200");
    EXPECT_EQ(Ask("t-monitor", "/pods"), "403");
  }
  EXPECT_EQ(Reviews(), 0) << "the answers are remembered";
}

TEST_F(ReviewsTest, WithoutTheClusterOnlyWhatItHasAllowedIsAllowed) {
  EXPECT_EQ(Ask("t-reader", "/pods"), "200");
  cluster_.SetReachable(false);
  EXPECT_EQ(Ask("t-reader", "/pods"), "200");
  EXPECT_THAT(Ask("t-reader", "/metrics"), AnyOf("403", "500"));
  EXPECT_EQ(Ask("t-monitor", "/metrics"), "401");
}

}  // namespace
}  // namespace keelson::integration
