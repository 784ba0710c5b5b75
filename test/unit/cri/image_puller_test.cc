// SPDX-License-Identifier: Apache-2.0
#include "cri/image_puller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/strings.h"
#include "cri/error.h"
#include "test/unit/cri/stub_runtime.h"

namespace keelson::cri {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using namespace std::chrono_literals;

// Images that are there, and pulls that take a second each.
class FakeImages : public StubRuntime {
 public:
  explicit FakeImages(base::Clock& clock) : clock_(clock) {}

  Reply<rt::ImageStatusResponse> ImageStatus(rt::ImageSpec image) override {
    asked.push_back(image.image());
    co_await base::Sleep(clock_, 10ms);
    if (!status_error.ok()) co_return status_error;
    rt::ImageStatusResponse answer;
    if (present.contains(image.image())) {
      answer.mutable_image()->set_id("id-" + image.image());
      answer.mutable_image()->set_size(1234);
      answer.mutable_image()->mutable_uid()->set_value(7);
    }
    co_return answer;
  }
  Reply<std::string> PullImage(rt::ImageSpec image, rt::AuthConfig auth,
                               rt::PodSandboxConfig) override {
    pulled.push_back(auth.username().empty() ? image.image()
                                             : image.image() + " as " + auth.username());
    most = std::max(most, ++running);
    struct Leave {
      int* running;
      ~Leave() { --*running; }
    } leave{&running};
    co_await base::Sleep(clock_, 1s);
    if (!auth.username().empty() && auth.username() != "good")
      co_return CallError(absl::StatusCode::kUnknown, "PullImage", "denied " + auth.username());
    if (!pull_error.ok()) co_return pull_error;
    present.insert(image.image());
    co_return "ref-" + image.image();
  }

  std::set<std::string> present;
  std::vector<std::string> asked, pulled;
  absl::Status status_error, pull_error;
  int running = 0, most = 0;

 private:
  base::Clock& clock_;
};

class ImagePullerTest : public testing::Test {
 protected:
  ~ImagePullerTest() override {
    tasks_.Cancel();
    Run(1min);
  }
  void Options(ImagePullOptions options) { puller_.emplace(loop_, runtime_, options); }
  ImagePuller& Puller() {
    if (!puller_) Options({});
    return *puller_;
  }
  // Asks in a task of its own; the result is at the returned index when it has come.
  size_t Ask(std::string image, std::string policy = "IfNotPresent",
             base::TaskGroup* group = nullptr) {
    ImagePuller::Request request;
    request.image = std::move(image);
    request.policy = std::move(policy);
    request.on_pulling = [this] { ++pulling_; };
    if (!users_.empty())
      request.credentials =
          [this, users = users_](
              std::string repository) {
        repository_ = repository;
        std::vector<rt::AuthConfig> auths;
        for (const std::string& user : users) auths.emplace_back().set_username(user);
        return Given(std::move(auths));
      };
    results_.emplace_back();
    (group ? *group : tasks_).Spawn("ask", Wait(results_.size() - 1, std::move(request)));
    return results_.size() - 1;
  }
  static base::Task<absl::StatusOr<std::vector<rt::AuthConfig>>> Given(
      std::vector<rt::AuthConfig> auths) {
    co_return auths;
  }
  base::Task<void> Wait(size_t index, ImagePuller::Request request) {
    ImageResult result = co_await Puller().Ensure(std::move(request));
    results_[index] = std::move(result);
  }
  void Run(base::Nanos time) { base::RunFor(loop_, clock_, time); }
  const PulledImage& Image(size_t i) {
    EXPECT_TRUE(results_[i] && results_[i]->image);
    static const PulledImage kNone;
    return results_[i] && results_[i]->image ? *results_[i]->image : kNone;
  }
  std::string Failure(size_t i) {
    return results_[i] ? results_[i]->failure.reason + ": " + results_[i]->failure.message
                       : "pending";
  }

  base::VirtualClock clock_;
  base::Loop loop_{clock_};
  FakeImages runtime_{clock_};
  std::optional<ImagePuller> puller_;
  std::vector<std::optional<ImageResult>> results_;
  std::vector<std::string> users_;
  std::string repository_;
  int pulling_ = 0;
  base::TaskGroup tasks_{loop_};
};

TEST_F(ImagePullerTest, PresentImageIsUsed) {
  runtime_.present = {"busybox:latest"};
  const size_t i = Ask("busybox");
  Run(1min);
  EXPECT_EQ(Image(i).ref, "id-busybox:latest");
  EXPECT_EQ(Image(i).user.uid, 7);
  EXPECT_FALSE(Image(i).pulled);
  EXPECT_EQ(
      PulledMessage("busybox", Image(i)),
      "Container image \"busybox\" already present on machine and can be accessed by the pod");
  EXPECT_EQ(pulling_, 0);
}

TEST_F(ImagePullerTest, AbsentImageIsPulled) {
  const size_t i = Ask("busybox:1");
  Run(1min);
  EXPECT_EQ(Image(i).ref, "ref-busybox:1");
  EXPECT_EQ(Image(i).size, 1234u);
  EXPECT_EQ(pulling_, 1);
  EXPECT_EQ(PulledMessage("busybox:1", Image(i)),
            "Successfully pulled image \"busybox:1\" in 1s (1s including waiting). Image size: "
            "1234 bytes.");
}

TEST_F(ImagePullerTest, AlwaysPullsEachTime) {
  runtime_.present = {"a:v"};
  Ask("a:v", "Always");
  Run(1min);
  Ask("a:v", "Always");
  Run(1min);
  EXPECT_THAT(runtime_.pulled, SizeIs(2));
}

TEST_F(ImagePullerTest, BurstOfOneImageAsksOnce) {
  runtime_.present = {"a:v"};
  for (int i = 0; i < 60; ++i) Ask("a:v");
  Run(1s);
  EXPECT_THAT(runtime_.asked, SizeIs(1));
  Ask("a:v");
  Run(1s);
  EXPECT_THAT(runtime_.asked, SizeIs(1));  // still believed
  Run(10s);
  Ask("a:v");
  Run(1s);
  EXPECT_THAT(runtime_.asked, SizeIs(2));
  Puller().Forget("a:v");
  Ask("a:v");
  Run(1s);
  EXPECT_THAT(runtime_.asked, SizeIs(3));
  for (size_t i = 0; i < results_.size(); ++i) EXPECT_EQ(Image(i).ref, "id-a:v");
}

TEST_F(ImagePullerTest, AbsenceIsNotRemembered) {
  Ask("a:v", "Never");
  Run(1s);
  runtime_.present = {"a:v"};
  const size_t i = Ask("a:v", "Never");
  Run(1s);
  EXPECT_EQ(Failure(0),
            "ErrImageNeverPull: Container image \"a:v\" is not present with pull "
            "policy of Never");
  EXPECT_EQ(results_[0]->failure.event_reason, "ErrImageNeverPull");
  EXPECT_FALSE(results_[0]->failure.pull_failed);
  EXPECT_EQ(Image(i).ref, "id-a:v");
}

TEST_F(ImagePullerTest, EqualPullsShareOne) {
  for (int i = 0; i < 10; ++i) Ask("a:v");
  Run(1min);
  EXPECT_THAT(runtime_.pulled, ElementsAre("a:v"));
  EXPECT_EQ(pulling_, 10);
  for (size_t i = 0; i < 10; ++i) EXPECT_TRUE(Image(i).pulled);
}

TEST_F(ImagePullerTest, OtherCredentialsAreAnotherPull) {
  users_ = {"good"};
  Ask("r.io/a:v", "Always");
  users_ = {"bad"};
  const size_t i = Ask("r.io/a:v", "Always");
  Run(1min);
  EXPECT_THAT(runtime_.pulled, ElementsAre("r.io/a:v as good", "r.io/a:v as bad"));
  EXPECT_EQ(Failure(i), "ErrImagePull: denied bad");
}

TEST_F(ImagePullerTest, CancelledPullIsTakenOverByWhoWaits) {
  base::TaskGroup first(loop_);
  Ask("a:v", "Always", &first);
  const size_t second = Ask("a:v", "Always");
  Run(500ms);
  EXPECT_THAT(runtime_.pulled, SizeIs(1));
  first.Cancel();
  Run(1min);
  EXPECT_THAT(runtime_.pulled, SizeIs(2));
  EXPECT_EQ(Image(second).ref, "ref-a:v");
  EXPECT_EQ(Failure(0), "pending");
}

TEST_F(ImagePullerTest, CancelledPullWithNobodyElseEnds) {
  base::TaskGroup first(loop_);
  Ask("a:v", "Always", &first);
  Run(500ms);
  EXPECT_EQ(runtime_.running, 1);
  first.Cancel();
  Run(0s);
  EXPECT_EQ(runtime_.running, 0);
  const size_t again = Ask("b:v", "Always");  // its turn was given back
  Run(1min);
  EXPECT_EQ(Image(again).ref, "ref-b:v");
}

TEST_F(ImagePullerTest, PullsAreSerialOrLimited) {
  for (const char* image : {"a:v", "b:v", "c:v", "d:v"}) Ask(image);
  Run(1min);
  EXPECT_EQ(runtime_.most, 1);
  EXPECT_THAT(runtime_.pulled, ElementsAre("a:v", "b:v", "c:v", "d:v"));
  EXPECT_EQ(Image(3).pull_time, 1s);
  EXPECT_EQ(Image(3).total_time, 4s);
  Options({.serialize = false, .max_parallel = 2});
  for (const char* image : {"e:v", "f:v", "g:v"}) Ask(image);
  Run(1min);
  EXPECT_EQ(runtime_.most, 2);
  Options({.serialize = false});
  for (const char* image : {"h:v", "i:v", "j:v"}) Ask(image);
  Run(1min);
  EXPECT_EQ(runtime_.most, 3);
}

TEST_F(ImagePullerTest, CancelledWaiterLeavesTheQueue) {
  base::TaskGroup second(loop_);
  Ask("a:v", "Always");
  Ask("b:v", "Always", &second);
  const size_t third = Ask("c:v", "Always");
  Run(500ms);
  second.Cancel();
  Run(1min);
  EXPECT_THAT(runtime_.pulled, ElementsAre("a:v", "c:v"));
  EXPECT_EQ(Image(third).ref, "ref-c:v");
}

TEST_F(ImagePullerTest, RateIsLimited) {
  Options({.serialize = false, .qps = 1, .burst = 2});
  for (const char* image : {"a:v", "b:v", "c:v"}) Ask(image);
  Run(100ms);
  EXPECT_EQ(Failure(2), "ErrImagePull: pull QPS exceeded");
  EXPECT_EQ(results_[2]->failure.event_message, "Failed to pull image \"c:v\": pull QPS exceeded");
  Run(1s);
  const size_t later = Ask("d:v");
  Run(1min);
  EXPECT_EQ(Image(later).ref, "ref-d:v");
}

TEST_F(ImagePullerTest, CredentialsAreTriedInOrder) {
  users_ = {"bad", "good", "unused"};
  const size_t i = Ask("busybox");
  Run(1min);
  EXPECT_EQ(repository_, "docker.io/library/busybox");
  EXPECT_THAT(runtime_.pulled, ElementsAre("busybox:latest as bad", "busybox:latest as good"));
  EXPECT_EQ(Image(i).ref, "ref-busybox:latest");
}

TEST_F(ImagePullerTest, AllErrorsAreTold) {
  users_ = {"a", "b", "a"};
  const size_t i = Ask("r.io/x:v");
  Run(1min);
  EXPECT_EQ(Failure(i), "ErrImagePull: [denied a, denied b]");
  EXPECT_EQ(results_[i]->failure.event_message,
            "Failed to pull image \"r.io/x:v\": [denied a, denied b]");
  EXPECT_TRUE(results_[i]->failure.pull_failed);
}

TEST_F(ImagePullerTest, FailuresHaveUpstreamsReasons) {
  const struct {
    absl::StatusCode code;
    const char* text;
    const char* want;
  } cases[] = {
      {absl::StatusCode::kNotFound, "no such image",
       "ErrImagePull: rpc error: code = NotFound desc = no such image"},
      {absl::StatusCode::kUnknown, "boom", "ErrImagePull: boom"},
      {absl::StatusCode::kUnknown, "RegistryUnavailable: down",
       "RegistryUnavailable: image pull failed for a:v because the registry is unavailable: down"},
      {absl::StatusCode::kUnknown, "SignatureValidationFailed: who",
       "SignatureValidationFailed: image pull failed for a:v because the signature validation "
       "failed: who"},
  };
  for (const auto& c : cases) {
    runtime_.pull_error = CallError(c.code, "PullImage image a:v", c.text);
    const size_t i = Ask("a:v");
    Run(1min);
    EXPECT_EQ(Failure(i), c.want);
    EXPECT_EQ(results_[i]->failure.event_reason, "Failed");
  }
  runtime_.status_error = CallError(absl::StatusCode::kInternal, "ImageStatus image a:v", "bad db");
  size_t i = Ask("a:v");
  Run(1min);
  EXPECT_EQ(Failure(i),
            "ImageInspectError: Failed to inspect image \"a:v\": rpc error: code = "
            "Internal desc = bad db");
  EXPECT_EQ(results_[i]->failure.event_reason, "InspectFailed");
  i = Ask("A b");
  Run(1min);
  EXPECT_EQ(Failure(i),
            "InvalidImageName: Failed to apply default image tag \"A b\": couldn't "
            "parse image name \"A b\": invalid reference format: repository name "
            "(library/A b) must be lowercase");
}

TEST_F(ImagePullerTest, RemovalDuringACheckIsNotMissed) {
  runtime_.present = {"a:v"};
  Ask("a:v");
  Run(5ms);  // the check is under way
  Puller().Forget("a:v");
  Ask("a:v");
  Run(1s);
  EXPECT_THAT(runtime_.asked, SizeIs(2));
}

}  // namespace
}  // namespace keelson::cri
