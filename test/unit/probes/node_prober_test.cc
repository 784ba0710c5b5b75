// SPDX-License-Identifier: Apache-2.0
#include "probes/node_prober.h"

#include "test/unit/probes/fixture.h"

namespace keelson::probes {
namespace {

class NodeProberTest : public VirtualLoopTest {
 protected:
  NodeProberTest() {
    prober_.emplace(loop_, runtime_, events_.Sink(), [this](const std::string&) { ++changes_; });
    Advance(1h);  // no longer just started
  }
  ~NodeProberTest() override { Finish(prober_->Close()); }

  k8s::v1::Container& App() { return *pod_.mutable_spec()->mutable_containers(0); }
  // The container runs as `id` since now.
  void Runs(std::string id) {
    targets_ = {{"app", id, clock_.Now()}};
    Sync();
  }
  void Exits() {
    targets_.clear();
    Sync();
  }
  void Sync() {
    prober_->Update(std::make_shared<k8s::v1::Pod>(pod_), targets_, {"192.0.2.1"});
    Advance(0s);  // the first probe is due at once
  }
  static Result In(const std::map<std::string, Result>& results, const std::string& id) {
    auto it = results.find(id);
    return it == results.end() ? Result::kUnknown : it->second;
  }
  Result Live(std::string id) { return In(prober_->ResultsOf("uid-1").liveness, id); }
  Result Ready(std::string id) { return In(prober_->ResultsOf("uid-1").readiness, id); }
  Result Started(std::string id) { return In(prober_->ResultsOf("uid-1").startup, id); }

  k8s::v1::Pod pod_ = MakePod();
  std::vector<Target> targets_;
  std::optional<NodeProber> prober_;
  int changes_ = 0;
};

TEST_F(NodeProberTest, AProbeRunsOncePerPeriodAfterItsInitialDelay) {
  *App().mutable_readinessprobe() = ExecProbe("ready", 10);
  App().mutable_readinessprobe()->set_initialdelayseconds(4);
  Runs("c1");
  EXPECT_EQ(Ready("c1"), Result::kFailure);
  Advance(3s);
  EXPECT_EQ(runtime_.CallsOf("ready"), 0);
  Advance(1s);
  EXPECT_EQ(runtime_.CallsOf("ready"), 1);
  EXPECT_EQ(Ready("c1"), Result::kSuccess);
  EXPECT_EQ(changes_, 1);
  Advance(30s);
  EXPECT_EQ(runtime_.CallsOf("ready"), 4);
  EXPECT_EQ(changes_, 1);
  EXPECT_TRUE(events_.seen.empty());
}

TEST_F(NodeProberTest, RepeatedUpdatesChangeNothing) {
  *App().mutable_readinessprobe() = ExecProbe("ready", 10);
  Runs("c1");
  for (int i = 0; i < 5; ++i) Sync();
  EXPECT_EQ(prober_->workers(), 1u);
  Advance(10s);
  EXPECT_EQ(runtime_.CallsOf("ready"), 2);
}

TEST_F(NodeProberTest, FailuresBelowTheThresholdKeepAContainerReady) {
  *App().mutable_readinessprobe() = ExecProbe("ready", 10, 3);
  Runs("c1");
  runtime_.exit_codes["ready"] = 1;
  Advance(20s);
  EXPECT_EQ(Ready("c1"), Result::kSuccess);
  Advance(10s);
  EXPECT_EQ(Ready("c1"), Result::kFailure);
  EXPECT_EQ(events_.seen, std::vector<std::string>(
                              3, "Unhealthy: Readiness probe failed: out err"));
}

TEST_F(NodeProberTest, AContainerThatFailedItsLivenessProbeIsNotAskedAgain) {
  *App().mutable_livenessprobe() = ExecProbe("live", 10, 2);
  runtime_.exit_codes["live"] = 1;
  Runs("c1");
  EXPECT_EQ(Live("c1"), Result::kSuccess);
  Advance(10s);
  EXPECT_EQ(Live("c1"), Result::kFailure);
  Advance(1min);
  EXPECT_EQ(runtime_.CallsOf("live"), 2);
  Exits();
  EXPECT_TRUE(prober_->ResultsOf("uid-1").liveness.empty());
  Runs("c2");
  EXPECT_EQ(Live("c2"), Result::kSuccess);
  EXPECT_EQ(runtime_.CallsOf("live"), 3);
}

TEST_F(NodeProberTest, StartupHoldsTheOthersBackAndThenLetsThemGoAtOnce) {
  *App().mutable_startupprobe() = ExecProbe("start", 10, 30);
  *App().mutable_livenessprobe() = ExecProbe("live", 10);
  *App().mutable_readinessprobe() = ExecProbe("ready", 10);
  runtime_.exit_codes["start"] = 1;
  Runs("c1");
  Advance(25s);
  EXPECT_EQ(Started("c1"), Result::kUnknown);
  EXPECT_EQ(runtime_.CallsOf("live") + runtime_.CallsOf("ready"), 0);
  runtime_.exit_codes["start"] = 0;
  Advance(5s);
  EXPECT_EQ(Started("c1"), Result::kSuccess);
  EXPECT_EQ(runtime_.CallsOf("live"), 1);
  EXPECT_EQ(Ready("c1"), Result::kSuccess);
  Advance(1min);
  EXPECT_EQ(runtime_.CallsOf("start"), 4);
}

TEST_F(NodeProberTest, AStartupProbeThatFailsTooOftenSaysSo) {
  *App().mutable_startupprobe() = ExecProbe("start", 10, 2);
  *App().mutable_livenessprobe() = ExecProbe("live", 10);
  runtime_.exit_codes["start"] = 1;
  Runs("c1");
  Advance(1min);
  EXPECT_EQ(Started("c1"), Result::kFailure);
  EXPECT_EQ(runtime_.CallsOf("start"), 2);
  EXPECT_EQ(runtime_.CallsOf("live"), 0);
}

TEST_F(NodeProberTest, AProbeThatCannotBeCarriedOutIsTriedThreeTimesAndDoesNotCount) {
  *App().mutable_livenessprobe() = ExecProbe("live", 10, 1);
  runtime_.errors["live"] = 5;
  Runs("c1");
  EXPECT_EQ(runtime_.CallsOf("live"), 3);
  EXPECT_EQ(Live("c1"), Result::kSuccess);
  EXPECT_EQ(events_.seen,
            std::vector<std::string>{"Unhealthy: Liveness probe errored and resulted in unknown "
                                     "state: rpc error: code = Unavailable desc = runtime is away"});
  Advance(10s);  // two more errors, then an answer
  EXPECT_EQ(runtime_.CallsOf("live"), 6);
  EXPECT_EQ(events_.seen.size(), 1u);
}

TEST_F(NodeProberTest, ACommandThatTakesTooLongIsAFailure) {
  *App().mutable_livenessprobe() = ExecProbe("live", 10, 1);
  runtime_.hangs["live"] = true;
  Runs("c1");
  EXPECT_EQ(Live("c1"), Result::kFailure);
  EXPECT_EQ(events_.seen, std::vector<std::string>{
                              "Unhealthy: Liveness probe failed: command timed out: \"live\" timed "
                              "out after 1s"});
  EXPECT_EQ(runtime_.calls[0].timeout, 1s);
}

TEST_F(NodeProberTest, CommandsMayNameLiteralEnvironmentVariables) {
  auto probe = ExecProbe("live");
  probe.mutable_handler()->mutable_exec()->add_command("$(PORT)/$(SECRET)/$(NONE)");
  *App().mutable_livenessprobe() = probe;
  auto* port = App().add_env();
  port->set_name("PORT");
  port->set_value("80");
  App().add_env()->set_name("SECRET");  // its value comes from elsewhere
  Runs("c1");
  EXPECT_EQ(runtime_.calls[0].command[1], "80//$(NONE)");
  EXPECT_EQ(runtime_.calls[0].container_id, "c1");
}

TEST_F(NodeProberTest, ASlowProbeNeverOverlapsItself) {
  *App().mutable_livenessprobe() = ExecProbe("live", 10);
  runtime_.takes = 25s;
  Runs("c1");
  Advance(24s);
  EXPECT_EQ(runtime_.CallsOf("live"), 1);
  Advance(1s);
  EXPECT_EQ(runtime_.CallsOf("live"), 2);
}

TEST_F(NodeProberTest, TerminationEndsLivenessButNotReadiness) {
  *App().mutable_livenessprobe() = ExecProbe("live", 10, 1);
  *App().mutable_readinessprobe() = ExecProbe("ready", 10, 1);
  Runs("c1");
  prober_->BeginTermination("uid-1");
  runtime_.exit_codes["live"] = runtime_.exit_codes["ready"] = 1;
  Advance(20s);
  EXPECT_EQ(runtime_.CallsOf("live"), 1);
  EXPECT_EQ(Live("c1"), Result::kSuccess);
  EXPECT_EQ(Ready("c1"), Result::kFailure);
  EXPECT_EQ(prober_->workers(), 1u);
}

TEST_F(NodeProberTest, RemovingAPodEndsAProbeThatIsUnderWay) {
  *App().mutable_livenessprobe() = ExecProbe("live", 10, 1);
  runtime_.takes = 1h;
  Runs("c1");
  prober_->Remove("uid-1");
  loop_.RunReady();
  EXPECT_EQ(prober_->workers(), 0u);
  EXPECT_TRUE(prober_->ResultsOf("uid-1").liveness.empty());
  Advance(2h);
  EXPECT_EQ(changes_, 0);
}

TEST_F(NodeProberTest, OfInitContainersOnlySidecarsAreProbed) {
  for (const char* name : {"init", "sidecar"}) {
    auto* c = pod_.mutable_spec()->add_initcontainers();
    c->set_name(name);
    *c->mutable_readinessprobe() = ExecProbe(name);
    if (std::string(name) == "sidecar") c->set_restartpolicy("Always");
  }
  targets_ = {{"init", "i1", clock_.Now()}, {"sidecar", "s1", clock_.Now()}};
  Sync();
  EXPECT_EQ(runtime_.CallsOf("init"), 0);
  EXPECT_EQ(runtime_.CallsOf("sidecar"), 1);
}

TEST_F(NodeProberTest, AnInstanceOlderThanTheAgentIsNotUnreadyBeforeItWasAsked) {
  *App().mutable_readinessprobe() = ExecProbe("ready", 10);
  App().mutable_readinessprobe()->set_initialdelayseconds(4000);
  targets_ = {{"app", "old", clock_.Now() - 1h - 11s}, {"app", "new", clock_.Now() - 1h - 9s}};
  Sync();
  EXPECT_FALSE(prober_->ResultsOf("uid-1").readiness.contains("old"));
  EXPECT_EQ(Ready("new"), Result::kFailure);
}

TEST_F(NodeProberTest, AFreshAgentSpreadsItsFirstProbesOverAPeriod) {
  prober_.reset();
  prober_.emplace(loop_, runtime_, events_.Sink(), [](const std::string&) {});
  *App().mutable_livenessprobe() = ExecProbe("live", 100);
  for (int i = 0; i < 64; ++i) targets_.push_back({"app", base::StrCat("c", i), clock_.Now()});
  Sync();
  Advance(50s);
  const int half = runtime_.CallsOf("live");  // 2^-64 that all fall on one side
  EXPECT_GT(half, 0);
  EXPECT_LT(half, 64);
  Advance(50s);
  EXPECT_GE(runtime_.CallsOf("live"), 64);
}

}  // namespace
}  // namespace keelson::probes
