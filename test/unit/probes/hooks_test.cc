// SPDX-License-Identifier: Apache-2.0
#include "probes/hooks.h"

#include "test/unit/probes/fixture.h"

namespace keelson::probes {
namespace {

class HooksTest : public VirtualLoopTest {
 protected:
  ~HooksTest() override {
    tasks_.Cancel();
    while (tasks_.size() > 0) loop_.RunReady();
  }

  k8s::v1::LifecycleHandler& PreStopHandler() {
    return *pod_.mutable_spec()->mutable_containers(0)->mutable_lifecycle()->mutable_prestop();
  }
  k8s::v1::LifecycleHandler& PostStartHandler() {
    return *pod_.mutable_spec()->mutable_containers(0)->mutable_lifecycle()->mutable_poststart();
  }
  auto PreStop(base::Nanos limit) {
    return Begin(hooks_.PreStop(std::make_shared<k8s::v1::Pod>(pod_), {"app", "c1", {}}, limit));
  }
  auto PostStart() {
    return Begin(hooks_.PostStart(std::make_shared<k8s::v1::Pod>(pod_), {"app", "c1", {}}));
  }

  k8s::v1::Pod pod_ = MakePod();
  NodeHooks hooks_{loop_, runtime_, events_.Sink()};
};

TEST_F(HooksTest, AContainerWithoutHooksHasNothingToDo) {
  EXPECT_TRUE(PostStart()->value().ok());
  EXPECT_TRUE(PreStop(30s)->value().ok());
  EXPECT_TRUE(runtime_.calls.empty());
}

TEST_F(HooksTest, ACommandRunsInTheContainerWithoutATimeout) {
  PostStartHandler().mutable_exec()->add_command("warm-up");
  EXPECT_TRUE(PostStart()->value().ok());
  EXPECT_EQ(runtime_.calls[0].container_id, "c1");
  EXPECT_EQ(runtime_.calls[0].timeout, 0s);
}

TEST_F(HooksTest, AFailedCommandIsDescribed) {
  PostStartHandler().mutable_exec()->add_command("warm-up");
  PostStartHandler().mutable_exec()->add_command("-v");
  runtime_.exit_codes["warm-up"] = 3;
  EXPECT_EQ(base::Message(PostStart()->value()),
            "Exec lifecycle hook ([warm-up -v]) for Container \"app\" in Pod "
            "\"web_default(uid-1)\" failed - error: command 'warm-up -v' exited with 3: err, "
            "message: \"out err\"");
}

TEST_F(HooksTest, ARuntimeThatIsAwayFailsTheHook) {
  PreStopHandler().mutable_exec()->add_command("drain");
  runtime_.errors["drain"] = 1;
  const absl::Status status = PreStop(30s)->value();
  EXPECT_NE(base::Message(status).find("rpc error: code = Unavailable"), std::string::npos);
}

TEST_F(HooksTest, SleepTakesItsSeconds) {
  PreStopHandler().mutable_sleep()->set_seconds(5);
  auto result = PreStop(30s);
  Advance(4s);
  EXPECT_FALSE(result->has_value());
  Advance(1s);
  EXPECT_TRUE(result->value().ok());
}

TEST_F(HooksTest, APreStopHookThatHangsIsCutOffAtItsLimit) {
  PreStopHandler().mutable_exec()->add_command("hang");
  runtime_.takes = 1h;
  auto result = PreStop(30s);
  Advance(29s);
  EXPECT_FALSE(result->has_value());
  Advance(1s);
  EXPECT_TRUE(result->value().ok());
}

TEST_F(HooksTest, AHookIsCancelledWithItsTask) {
  PreStopHandler().mutable_exec()->add_command("hang");
  PostStartHandler().mutable_sleep()->set_seconds(3600);
  runtime_.takes = 1h;
  PreStop(2h);
  PostStart();
  EXPECT_EQ(tasks_.size(), 2u);
  tasks_.Cancel();
  loop_.RunReady();
  EXPECT_EQ(tasks_.size(), 0u);
}

TEST_F(HooksTest, AnHttpHookNeedsAnAddress) {
  PostStartHandler().mutable_httpget()->set_path("/up");
  PostStartHandler().mutable_httpget()->mutable_port()->set_intval(80);
  EXPECT_EQ(base::Message(PostStart()->value()),
            "HTTP lifecycle hook (/up) for Container \"app\" in Pod \"web_default(uid-1)\" failed - "
            "error: the pod has no address yet");
}

}  // namespace
}  // namespace keelson::probes
