// SPDX-License-Identifier: Apache-2.0
// Callers with tokens at the guard's door, with an API server behind it that may be down.
#include "kubelet/auth/api_reviews.h"

#include <gtest/gtest.h>

#include "kubelet/auth/guard.h"
#include "proto/k8s/authentication.pb.h"
#include "proto/k8s/authorization.pb.h"
#include "test/apiserver/fake_api_server.h"
#include "test/unit/base/fixture.h"

namespace keelson::kubelet::auth {
namespace {

using base::Task;
using k8s::authentication::v1::TokenReview;
using k8s::authorization::v1::SubjectAccessReview;
using std::chrono::milliseconds;
using std::chrono::seconds;

class Recorder : public Responder {
 public:
  Task<absl::Status> Send(HttpResponse response) override {
    text = std::to_string(response.status);
    co_return absl::OkStatus();
  }
  Task<absl::Status> Start(HttpResponse) override { co_return absl::OkStatus(); }
  Task<absl::Status> Write(std::string) override { co_return absl::OkStatus(); }
  std::string text = "let in";
};

// Says more about a token than the fake does.
class Server : public apiserver::FakeApiServer {
 public:
  using FakeApiServer::FakeApiServer;
  Task<absl::Status> Do(client::ApiRequest request, client::Message* answer) override {
    const bool token = request.resource->plural == "tokenreviews";
    absl::Status status = co_await FakeApiServer::Do(std::move(request), answer);
    if (status.ok() && token) static_cast<TokenReview*>(answer)->mutable_status()->MergeFrom(more);
    co_return status;
  }
  k8s::authentication::v1::TokenReviewStatus more;
};

class ApiReviewsTest : public base::OnVirtualClock {
 protected:
  ApiReviewsTest() {
    store_.users_by_token["good"] = "bob";
    store_.allow = [this](const client::Message& review) {
      asked_ = static_cast<const SubjectAccessReview&>(review).spec();
      return asked_.resourceattributes().subresource() == "metrics";
    };
  }
  template <typename T>
  T Finish(Task<T> task) {
    std::optional<T> result;
    base::TaskGroup group(loop);
    group.Spawn("test", base::internal::StoreResult<T>(std::move(task), &result));
    RunFor(seconds(10));
    KEELSON_CHECK(result.has_value());
    return *std::move(result);
  }
  // What a caller with this token gets for GET `path`.
  std::string Get(const std::string& path, const std::string& token) {
    HttpRequest request;
    request.method = "GET";
    request.path = path;
    request.headers.push_back({"authorization", "Bearer " + token});
    Recorder recorder;
    Finish(guard_.Admit(request, recorder));
    return recorder.text;
  }
  absl::StatusOr<TokenVerdict> Review(std::vector<std::string> audiences = {}) {
    return Finish(reviews_.Review("good", std::move(audiences)));
  }

  apiserver::ObjectStore store_{clock};
  Server api_{loop, store_};
  ApiReviews reviews_{loop, api_, 1};
  GuardOptions options_{"n1"};
  Guard guard_{loop, options_, &reviews_, &reviews_};
  k8s::authorization::v1::SubjectAccessReviewSpec asked_;
};

TEST_F(ApiReviewsTest, AKnownTokenMayDoWhatTheServerAllows) {
  api_.more.mutable_user()->set_uid("u7");
  api_.more.mutable_user()->add_groups("readers");
  (*api_.more.mutable_user()->mutable_extra())["scopes"].add_items("a");
  EXPECT_EQ(Get("/metrics", "good"), "let in");
  EXPECT_EQ(asked_.user(), "bob");
  EXPECT_EQ(asked_.uid(), "u7");
  ASSERT_EQ(asked_.groups_size(), 2);
  EXPECT_EQ(asked_.groups(0), "readers");
  EXPECT_EQ(asked_.groups(1), "system:authenticated");
  EXPECT_EQ(asked_.extra().at("scopes").items(0), "a");
  const auto& resource = asked_.resourceattributes();
  EXPECT_EQ(resource.verb() + " " + resource.version() + " " + resource.resource() + " " +
                resource.name(),
            "get v1 nodes n1");
  EXPECT_EQ(Get("/stats/summary", "good"), "403");
  EXPECT_EQ(Get("/metrics", "bad"), "401");
  EXPECT_EQ(api_.CountRequests("CREATE /apis/authentication.k8s.io") +
                api_.CountRequests("POST /apis/authentication.k8s.io"),
            2)
      << "the good token's verdict is kept";
}

TEST_F(ApiReviewsTest, AServerThatStumblesIsAskedAgain) {
  int left = 4;
  api_.fault = [&](const std::string&) {
    apiserver::Fault fault;
    fault.error = left-- > 0 ? 500 : 0;
    return fault;
  };
  EXPECT_EQ(Get("/metrics", "good"), "let in");
  left = 5;
  EXPECT_EQ(Get("/metrics/cadvisor", "good"), "let in") << "both answers were kept";
}

TEST_F(ApiReviewsTest, NobodyIsLetInByAnError) {
  api_.SetReachable(false);
  EXPECT_EQ(Get("/metrics", "good"), "401");
  EXPECT_EQ(api_.requests.size(), 5u);
  api_.SetReachable(true);
  EXPECT_EQ(Get("/metrics", "good"), "let in") << "the failure is not kept";
  api_.SetReachable(false);
  EXPECT_EQ(Get("/healthz", "good"), "500");
  api_.SetReachable(true);
  api_.requests.clear();
  api_.fault = [](const std::string&) {
    apiserver::Fault fault;
    fault.error = 403;
    return fault;
  };
  EXPECT_EQ(Get("/stats", "good"), "500");
  EXPECT_EQ(api_.requests.size(), 1u) << "we may not ask: not asked again";
}

TEST_F(ApiReviewsTest, ATokenIsGoodForItsAudiencesOnly) {
  EXPECT_TRUE(Review()->authenticated);
  EXPECT_FALSE(Review({"kubelet"})->authenticated) << "the server did not check";
  api_.more.add_audiences("api");
  EXPECT_FALSE(Review({"kubelet"})->authenticated);
  EXPECT_TRUE(Review({"kubelet", "api"})->authenticated);
  api_.more.set_authenticated(false);
  api_.more.set_error("token is garbled");
  EXPECT_TRUE(absl::IsUnauthenticated(Review().status()));
}

TEST(NextReviewTest, PausesGrowByHalfFiveTimes) {
  const absl::Status down = absl::UnavailableError("no connection");
  EXPECT_EQ(NextReview(down, 1, 0), milliseconds(500));
  EXPECT_EQ(NextReview(down, 2, 0), milliseconds(750));
  EXPECT_EQ(NextReview(down, 2, 0.5), milliseconds(825));
  EXPECT_EQ(NextReview(down, 4, 0), std::chrono::microseconds(1'687'500));
  EXPECT_FALSE(NextReview(down, 5, 0));
  client::ApiError error;
  error.code = 429;
  error.retry_after = seconds(3);
  EXPECT_EQ(NextReview(client::ToStatus(error, "x"), 1, 0), seconds(3));
  error = {};
  error.code = 401;
  EXPECT_FALSE(NextReview(client::ToStatus(error, "x"), 1, 0));
}

}  // namespace
}  // namespace keelson::kubelet::auth
