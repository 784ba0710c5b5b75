// SPDX-License-Identifier: Apache-2.0
// What a pod's status says of the whole pod: phase, conditions, addresses.
#include "kubelet/status.h"

#include <gtest/gtest.h>

#include "test/unit/kubelet/shown.h"

namespace keelson::kubelet {
namespace {

TEST(Phase, FollowsFromTheContainers) {
  struct Row {
    const char* what;
    const char* spec;
    const char* seen;
    const char* expected;
  };
  const Row rows[] = {
      {"nothing yet", kAlways, "", "Pending"},
      {"created", kAlways, "sandbox c=created", "Pending"},
      {"running", kAlways, "sandbox c=running", "Running"},
      {"one waits for its first start", kTwoNever, "sandbox c=running", "Pending"},
      {"one runs, one ended", kTwoNever, "sandbox c=running d=exited/1", "Running"},
      {"all succeeded, Never", kTwoNever, "sandbox c=exited/0 d=exited/0", "Succeeded"},
      {"one failed, Never", kTwoNever, "sandbox c=exited/0 d=exited/1", "Failed"},
      {"succeeded, Always", kAlways, "sandbox c=exited/0", "Running"},
      {"succeeded, OnFailure", kOnFailure, "sandbox c=exited/0", "Succeeded"},
      {"failed, OnFailure", kOnFailure, "sandbox c=exited/1", "Running"},
      {"killed to be started again", kOnFailure, "sandbox c=exited/0 again:c", "Running"},
      {"about to start again", kOnFailure, "sandbox c=created c=exited/0", "Running"},
      {"about to start again, Never", kNever, "sandbox c=created c=exited/0", "Running"},
      {"container policy", "{restartPolicy: Always, containers: [{name: c, restartPolicy: Never}]}",
       "sandbox c=exited/3", "Failed"},
      {"init runs", kInit, "sandbox i=running", "Pending"},
      {"init failed, restartable", kInit, "sandbox i=exited/1", "Pending"},
      {"init failed, Never", kInitNever, "sandbox i=exited/1", "Failed"},
      {"init done, regular to come", kInit, "sandbox i=exited/0", "Pending"},
      {"init gone, regular runs", kInit, "sandbox c=running", "Running"},
      {"sidecar runs, regular to come", kSidecar, "sandbox s=running", "Pending"},
      {"sidecar has not started", kProbedSidecar, "sandbox s=running", "Pending"},
      {"sidecar starts again beside regular ones", kProbedSidecar, "sandbox s=running c=running",
       "Running"},
      {"sidecar never made beside regular ones", kSidecar, "sandbox c=running", "Pending"},
      {"sidecar outlives the regular ones", kSidecar, "sandbox s=running c=exited/0", "Running"},
      {"sidecar failed, regular succeeded", kSidecar, "sandbox s=exited/1 c=exited/0",
       "Succeeded"},
  };
  for (const Row& row : rows)
    EXPECT_EQ(Shown(row.spec, row.seen).Now().phase(), row.expected) << row.what;
}

TEST(Phase, AtTheEndAPodOfTheApiIsSucceededOrFailed) {
  struct Row {
    const char* spec;
    const char* seen;
    const char* api;
    const char* of_a_file;
  };
  const Row rows[] = {
      {kAlways, "sandbox! c=exited/0", "Succeeded", "Running"},
      {kAlways, "sandbox! c=exited/137", "Failed", "Running"},
      {kNever, "sandbox! c=exited/0", "Succeeded", "Succeeded"},
      {kInit, "sandbox! i=running", "Failed", "Pending"},
      {kAlways, "sandbox! c=running", "Failed", "Running"},
  };
  for (const Row& row : rows) {
    Shown shown(row.spec, row.seen);
    shown.terminal = true;
    EXPECT_EQ(shown.Now().phase(), row.api) << row.spec << " " << row.seen;
    (*shown.scene.pod.mutable_metadata()->mutable_annotations())[std::string(kConfigSource)] = "file";
    EXPECT_EQ(shown.Now().phase(), row.of_a_file) << row.spec << " " << row.seen;
  }
}

TEST(Phase, IsKeptOnceItIsTerminal) {
  Shown shown(kNever, "sandbox c=exited/0");
  EXPECT_EQ(shown.Then(kNever, "sandbox c=running").Now().phase(), "Succeeded");
}

TEST(Phase, AVerdictFailsThePodWithItsReason) {
  Shown shown(kAlways, "sandbox c=running");
  shown.verdict = PodVerdict{"DeadlineExceeded", "too long"};
  EXPECT_EQ(shown.Now().phase(), "Failed");
  EXPECT_EQ(shown.Now().reason(), "DeadlineExceeded");
  EXPECT_EQ(shown.Now().message(), "too long");
}

// A pod that must run at most once is not run again because the runtime forgot its container.
TEST(Phase, ALostContainerOfARunOncePodHasFailed) {
  Shown shown(kNever, "sandbox c=running");
  v1::PodStatus status = shown.Then(kNever, "sandbox").Now();
  EXPECT_EQ(Word(status.containerstatuses(0)),
            "waiting/ContainerCreating <terminated/ContainerStatusUnknown/137");
  EXPECT_EQ(status.phase(), "Failed");
  Shown always(kAlways, "sandbox c=running");
  EXPECT_EQ(always.Then(kAlways, "sandbox").Now().phase(), "Running");
}

TEST(PodStatus, ContainersAreSortedByNameAndInitContainersAsInTheSpec) {
  v1::PodStatus status =
      Shown("{initContainers: [{name: z}, {name: a}], containers: [{name: w}, {name: b}]}", "").Now();
  EXPECT_EQ(status.initcontainerstatuses(0).name(), "z");
  EXPECT_EQ(status.containerstatuses(0).name(), "b");
}

TEST(PodStatus, AddressesOutliveTheSandbox) {
  Shown shown(kAlways, "sandbox");
  shown.scene.view.sandboxes[0].ips = {"10.0.0.9", "fd00::9"};
  EXPECT_EQ(shown.Now().podip(), "10.0.0.9");
  EXPECT_EQ(shown.Now().podips_size(), 2);
  shown.scene.view.sandboxes[0].ready = false;
  shown.last_pod_ips = {"10.0.0.8"};
  EXPECT_EQ(shown.Now().podip(), "10.0.0.8");
  Shown host("{hostNetwork: true, containers: [{name: c}]}", "sandbox*");
  host.node_ips = {"192.0.2.1"};
  EXPECT_EQ(host.Now().podip(), "192.0.2.1");
  EXPECT_EQ(host.Now().hostip(), "192.0.2.1");
}

TEST(PodStatus, QosStartTimeAndGenerationAreShown) {
  Shown shown(kAlways, "");
  shown.scene.pod.mutable_metadata()->set_generation(3);
  EXPECT_EQ(shown.Now().qosclass(), "Burstable");
  EXPECT_EQ(shown.Now().starttime().seconds(), 900);
  EXPECT_EQ(shown.Now().observedgeneration(), 3);
}

TEST(Conditions, FollowFromTheStatuses) {
  struct Row {
    const char* spec;
    const char* seen;
    const char* type;
    const char* expected;
  };
  const Row rows[] = {
      {kAlways, "", "PodReadyToStartContainers", "False//"},
      {kAlways, "sandbox", "PodReadyToStartContainers", "True//"},
      {kAlways, "sandbox!", "PodReadyToStartContainers", "False//"},
      {kAlways, "", "PodScheduled", "True//"},
      {kAlways, "", "Initialized", "True//"},
      {kInit, "sandbox i=running", "Initialized",
       "False/ContainersNotInitialized/containers with incomplete status: [i]"},
      {kInit, "sandbox i=exited/0", "Initialized", "True//"},
      {kInit, "sandbox c=exited/1", "Initialized", "True//"},
      {kSidecar, "sandbox", "Initialized",
       "False/ContainersNotInitialized/containers with incomplete status: [s]"},
      {kSidecar, "sandbox s=running", "Initialized", "True//"},
      {kProbedSidecar, "sandbox s=running", "Initialized",
       "False/ContainersNotInitialized/containers with incomplete status: [s]"},
      {kInitNever, "sandbox c=exited/0", "Initialized", "True/PodCompleted/"},
      {kAlways, "sandbox c=running", "ContainersReady", "True//"},
      {kTwoNever, "sandbox c=created", "ContainersReady",
       "False/ContainersNotReady/containers with unready status: [c d]"},
      {kTwoNever, "sandbox c=created", "Ready",
       "False/ContainersNotReady/containers with unready status: [c d]"},
      {kSidecar, "sandbox c=running", "ContainersReady",
       "False/ContainersNotReady/containers with unready status: [s]"},
      {kNever, "sandbox c=exited/0", "ContainersReady", "False/PodCompleted/"},
      {kNever, "sandbox c=exited/0", "Ready", "False/PodCompleted/"},
      {kNever, "sandbox c=exited/1", "Ready", "False/PodFailed/"},
      {kAlways, "sandbox c=running", "AllContainersRestarting", "missing"},
  };
  for (const Row& row : rows)
    EXPECT_EQ(ConditionWord(Shown(row.spec, row.seen).Now(), row.type), row.expected)
        << row.type << " of " << row.spec << " " << row.seen;
}

TEST(Conditions, ReadinessGatesHoldBackReady) {
  constexpr char kGated[] =
      "{readinessGates: [{conditionType: x}, {conditionType: w}], containers: [{name: c}]}";
  Shown shown(kGated, "sandbox c=running");
  auto* y = shown.scene.pod.mutable_status()->add_conditions();
  y->set_type("w");
  y->set_status("False");
  EXPECT_EQ(ConditionWord(shown.Now(), "Ready"),
            "False/ReadinessGatesNotReady/corresponding condition of pod readiness gate \"x\" does not "
            "exist., the status of pod readiness gate \"w\" is not \"True\", but False");
  EXPECT_EQ(ConditionWord(shown.Now(), "ContainersReady"), "True//");
  y->set_status("True");
  auto* x = shown.scene.pod.mutable_status()->add_conditions();
  x->set_type("x");
  x->set_status("True");
  EXPECT_EQ(ConditionWord(shown.Now(), "Ready"), "True//");
  EXPECT_EQ(ConditionWord(shown.Now(), "x"), "True//") << "conditions of others are carried on";
}

TEST(Phase, ReasonAndMessageStayWithAPhaseThatIsOver) {
  Shown shown(kNever, "sandbox c=exited/0");
  shown.previous.set_phase("Failed");
  shown.previous.set_reason("Evicted");
  shown.previous.set_message("low on memory");
  EXPECT_EQ(shown.Now().phase(), "Failed");
  EXPECT_EQ(shown.Now().reason(), "Evicted");
  EXPECT_EQ(shown.Now().message(), "low on memory");
}

TEST(Conditions, TransitionTimeChangesWithTheStatusOnly) {
  Shown shown(kAlways, "sandbox c=created");
  const int64_t first = base::ToUnixNanos(shown.now) / 1'000'000'000;
  shown.Then(kAlways, "sandbox c=created").now += std::chrono::seconds(50);
  EXPECT_EQ(FindCondition(shown.Now(), "Ready")->lasttransitiontime().seconds(), first);
  shown.Then(kAlways, "sandbox c=running").now += std::chrono::seconds(50);
  EXPECT_EQ(FindCondition(shown.Now(), "Ready")->lasttransitiontime().seconds(), first + 100);
  EXPECT_EQ(FindCondition(shown.Now(), "PodScheduled")->lasttransitiontime().seconds(), first);
}

// Init containers that run once more (a new sandbox, KEP-5532) take nothing back.
TEST(Conditions, AnInitializedPodStaysInitialized) {
  Shown shown(kInit, "sandbox i=exited/0");
  EXPECT_EQ(ConditionWord(shown.Now(), "Initialized"), "True//");
  shown.Then(kInit, "sandbox@1 i=running");
  EXPECT_EQ(ConditionWord(shown.Now(), "Initialized"), "True//");
}

TEST(Conditions, OfAPodThatFailedSayPodFailed) {
  constexpr char kRule[] =
      "{restartPolicy: Never, containers: [{name: c, restartPolicy: Never, restartPolicyRules:"
      " [{action: RestartAllContainers, exitCodes: {operator: In, values: [7]}}]}]}";
  for (const char* type : {"Ready", "ContainersReady", "AllContainersRestarting"}) {
    EXPECT_EQ(ConditionWord(Shown(kRule, "sandbox c=exited/1").Now(), type), "False/PodFailed/")
        << type;
    EXPECT_EQ(ConditionWord(Shown(kRule, "sandbox c=exited/0").Now(), type), "False/PodCompleted/")
        << type;
  }
  Shown evicted(kAlways, "sandbox c=running");
  evicted.verdict = PodVerdict{"Evicted", "low on memory"};
  EXPECT_EQ(ConditionWord(evicted.Now(), "Ready"), "False/PodFailed/") << "though it still runs";
}

TEST(Conditions, CarryTheGeneration) {
  Shown shown(kAlways, "");
  shown.scene.pod.mutable_metadata()->set_generation(4);
  const v1::PodStatus status = shown.Now();
  for (const auto& c : status.conditions()) EXPECT_EQ(c.observedgeneration(), 4) << c.type();
}

// KEP-5532: from the exit that asks for it until everything has begun anew the pod keeps running.
TEST(RestartOfAll, IsShownAndNeverEndsThePod) {
  constexpr char kSpec[] =
      "{restartPolicy: Never, containers: [{name: c, restartPolicy: Never, restartPolicyRules:"
      " [{action: RestartAllContainers, exitCodes: {operator: In, values: [7]}}]}, {name: d}]}";
  Shown shown(kSpec, "sandbox c=running d=running");
  EXPECT_EQ(ConditionWord(shown.Now(), "AllContainersRestarting"), "False//");
  EXPECT_EQ(shown.Then(kSpec, "sandbox c=exited/7 d=running").Now().phase(), "Running");
  EXPECT_EQ(ConditionWord(shown.Now(), "AllContainersRestarting"),
            "True/RestartAllContainersStarted/container exited with restart policy rule");
  EXPECT_EQ(shown.Then(kSpec, "sandbox c=exited/7 d=exited/137").Now().phase(), "Running");
  v1::PodStatus status = shown.Then(kSpec, "sandbox c=exited/7").Now();
  EXPECT_EQ(status.phase(), "Running");
  EXPECT_EQ(Word(status.containerstatuses(1)),
            "waiting/RestartingAllContainers <terminated/RestartingAllContainers/137");
  status = shown.Then(kSpec, "sandbox").Now();
  EXPECT_EQ(status.phase(), "Running");
  EXPECT_EQ(ConditionWord(status, "AllContainersRestarting"), "False//");
  EXPECT_EQ(shown.Then(kSpec, "sandbox c=running d=running").Now().phase(), "Running");
}

}  // namespace
}  // namespace keelson::kubelet
