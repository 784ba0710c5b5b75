// SPDX-License-Identifier: Apache-2.0
#include "probes/probe_state.h"

#include <gtest/gtest.h>

namespace keelson::probes {
namespace {

using namespace std::chrono_literals;

ProbeState State(ProbeKind kind, int successes, int failures) {
  k8s::v1::Probe probe;
  probe.set_successthreshold(successes);
  probe.set_failurethreshold(failures);
  return ProbeState(kind, probe);
}

// '+' a success, '-' a failure, 'w' a warning, 'e' an error; the results: '+', '-' or '.' for none.
std::string Results(ProbeState state, std::string_view answers) {
  std::string results;
  for (char c : answers) {
    const Answer answer = c == '+'   ? Answer::Success("")
                          : c == 'w' ? Answer::Warning("")
                          : c == '-' ? Answer::Failure("")
                                     : Answer::Error(Verdict::kUnknown, "cannot");
    auto result = state.Observe(answer);
    results += !result ? '.' : *result == Result::kSuccess ? '+' : '-';
  }
  return results;
}

TEST(ProbeStateTest, ResultsWaitForAsManyAnswersInARowAsTheThresholdAsks) {
  struct Case {
    int successes, failures;
    const char *answers, *results;
  } cases[] = {
      {1, 1, "+-+-", "+-+-"},  {1, 3, "--+---", "..+..-"}, {2, 1, "+++-++", ".++-.+"},
      {1, 3, "+--+--", "+..+.."}, {1, 3, "-----", "..---"},   {3, 3, "++-++-", "......"},
      {0, 0, "+---", "+..-"},  // what a field left out means
      {1, 1, "w", "+"},
  };
  for (const Case& c : cases)
    EXPECT_EQ(Results(State(ProbeKind::kReadiness, c.successes, c.failures), c.answers), c.results)
        << c.answers;
}

TEST(ProbeStateTest, ErrorsNeitherCountNorInterruptARow) {
  EXPECT_EQ(Results(State(ProbeKind::kReadiness, 1, 3), "-e-e-"), "....-");
}

TEST(ProbeStateTest, AFailedLivenessProbeLeavesTheContainerAlone) {
  EXPECT_EQ(Results(State(ProbeKind::kLiveness, 1, 2), "+--++"), "+.-..");
}

TEST(ProbeStateTest, AStartupProbeEndsWithItsFirstResult) {
  EXPECT_EQ(Results(State(ProbeKind::kStartup, 1, 3), "--+---"), "..+...");
  EXPECT_EQ(Results(State(ProbeKind::kStartup, 1, 3), "---+"), "..-.");
  ProbeState state = State(ProbeKind::kStartup, 1, 3);
  EXPECT_FALSE(state.finished());
  state.Observe(Answer::Success(""));
  EXPECT_TRUE(state.finished());
}

TEST(ProbeStateTest, BeforeAnyAnswerAContainerIsAliveButNotReady) {
  EXPECT_EQ(State(ProbeKind::kLiveness, 1, 1).initial(), Result::kSuccess);
  EXPECT_EQ(State(ProbeKind::kReadiness, 1, 1).initial(), Result::kFailure);
  EXPECT_EQ(State(ProbeKind::kStartup, 1, 1).initial(), Result::kUnknown);
}

TEST(ProbeStateTest, EventsSayWhatUsersOfKubernetesKnow) {
  using K = ProbeKind;
  EXPECT_EQ(EventOf(K::kLiveness, Answer::Failure("HTTP probe failed with statuscode: 500")),
            (ProbeEvent{"Unhealthy",
                        "Liveness probe failed: HTTP probe failed with statuscode: 500"}));
  EXPECT_EQ(EventOf(K::kReadiness, Answer::Error(Verdict::kUnknown, "rpc error")),
            (ProbeEvent{"Unhealthy",
                        "Readiness probe errored and resulted in unknown state: rpc error"}));
  EXPECT_EQ(EventOf(K::kStartup, Answer::Error(Verdict::kFailure, "unexpected EOF"))->message,
            "Startup probe errored and resulted in failure state: unexpected EOF");
  EXPECT_EQ(EventOf(K::kStartup, Answer::Warning("Probe terminated redirects")),
            (ProbeEvent{"ProbeWarning", "Startup probe warning: Probe terminated redirects"}));
  EXPECT_EQ(EventOf(K::kStartup, Answer::Success("fine")), std::nullopt);
}

TEST(ProbeScheduleTest, TheInitialDelayCountsFromTheContainersStart) {
  const base::WallTime wall{1000s};
  const base::MonoTime now{50s};
  EXPECT_EQ(FirstRun(wall, wall, now, 0s), now);
  EXPECT_EQ(FirstRun(wall - 3s, wall, now, 10s), now + 7s);
  EXPECT_EQ(FirstRun(wall - 30s, wall, now, 10s), now);
  EXPECT_EQ(FirstRun(wall + 1h, wall, now, 10s), now + 10s);
}

TEST(ProbeScheduleTest, OnlyAnAgentYoungerThanAPeriodSpreadsFirstRuns) {
  EXPECT_EQ(Spread(0s, 10s, 0.5), 5s);
  EXPECT_EQ(Spread(9s, 10s, 0.25), 2500ms);
  EXPECT_EQ(Spread(10s, 10s, 0.5), 0s);
}

TEST(ProbeScheduleTest, TurnsMissedByASlowProbeCountAsOne) {
  const base::MonoTime turn{100s};
  EXPECT_EQ(NextTurn(turn, 10s, turn + 1s), turn + 10s);
  EXPECT_EQ(NextTurn(turn, 10s, turn + 10s), turn + 10s);
  EXPECT_EQ(NextTurn(turn, 10s, turn + 35s), turn + 30s);
}

}  // namespace
}  // namespace keelson::probes
