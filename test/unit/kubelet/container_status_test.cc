// SPDX-License-Identifier: Apache-2.0
// What a pod's status says of each container.
#include "kubelet/container_status.h"

#include <gtest/gtest.h>

#include "test/unit/kubelet/shown.h"

namespace keelson::kubelet {
namespace {

TEST(ContainerStatus, StatesOfTheNewestInstances) {
  struct Row {
    const char* what;
    const char* spec;
    const char* seen;
    const char* expected;
  };
  const Row rows[] = {
      {"none", kAlways, "", "waiting/ContainerCreating"},
      {"none, init containers ahead", kInit, "", "waiting/PodInitializing"},
      {"created", kAlways, "sandbox c=created", "waiting/ContainerCreating"},
      {"created, init containers ahead", kInit, "sandbox c=created", "waiting/PodInitializing"},
      {"killed to be started again", kOnFailure, "sandbox c=exited/0 again:c",
       "waiting/ContainerCreating <terminated/Completed/0"},
      {"made again", kOnFailure, "sandbox c=created c=exited/0",
       "waiting/ContainerCreating <terminated/Completed/0"},
      {"running", kAlways, "sandbox c=running", "running"},
      {"exited", kAlways, "sandbox c=exited/3/OOMKilled", "terminated/OOMKilled/3"},
      {"running after an end", kAlways, "sandbox c=running c=exited/1",
       "running <terminated/Error/1"},
      {"unknown, never seen running", kAlways, "sandbox c=unknown", "waiting/"},
  };
  for (const Row& row : rows)
    EXPECT_EQ(Word(Shown(row.spec, row.seen).Now().containerstatuses(0)), row.expected) << row.what;
}

TEST(ContainerStatus, EphemeralContainersHaveStatusesThatCountForNothing) {
  constexpr char kDebugged[] =
      "{restartPolicy: Always, containers: [{name: c}],"
      " ephemeralContainers: [{name: e, image: mine}, {name: d}]}";
  Shown shown(kDebugged, "sandbox d=running c=running");
  v1::PodStatus status = shown.Now();
  ASSERT_EQ(status.ephemeralcontainerstatuses_size(), 2);
  EXPECT_EQ(status.ephemeralcontainerstatuses(0).name(), "d");
  EXPECT_EQ(Word(status.ephemeralcontainerstatuses(0)), "running");
  EXPECT_FALSE(status.ephemeralcontainerstatuses(0).ready());
  EXPECT_FALSE(status.ephemeralcontainerstatuses(0).has_started());
  EXPECT_EQ(Word(status.ephemeralcontainerstatuses(1)), "waiting/ContainerCreating");
  EXPECT_EQ(status.ephemeralcontainerstatuses(1).image(), "mine");
  EXPECT_EQ(status.phase(), "Running");
  EXPECT_EQ(FindCondition(status, "Ready")->status(), "True");
  status = shown.Then(kDebugged, "sandbox d=exited/3 c=running").Now();
  EXPECT_EQ(Word(status.ephemeralcontainerstatuses(0)), "terminated/Error/3") << "not again";
  EXPECT_EQ(status.phase(), "Running");
}

TEST(ContainerStatus, UnknownAfterRunningIsShownAsLost) {
  Shown shown(kAlways, "sandbox c=running");
  v1::PodStatus status = shown.Then(kAlways, "sandbox c=unknown").Now();
  EXPECT_EQ(Word(status.containerstatuses(0)), "terminated/ContainerStatusUnknown/137");
  EXPECT_EQ(status.containerstatuses(0).state().terminated().message(),
            "The container could not be located when the pod was terminated");
  status = shown.Then(kAlways, "sandbox c=unknown").Now();
  EXPECT_EQ(Word(status.containerstatuses(0)), "terminated/ContainerStatusUnknown/137")
      << "also at the second look";
}

TEST(ContainerStatus, NamesImageAndIdsComeFromTheRuntime) {
  Shown shown("{containers: [{name: c, image: mine}]}", "sandbox c=running");
  shown.scene.view.containers[0].restart_count = 4;
  v1::ContainerStatus s = shown.Now().containerstatuses(0);
  EXPECT_EQ(s.image(), "registry.example/c");
  EXPECT_EQ(s.imageid(), "sha256:c");
  EXPECT_EQ(s.containerid(), "containerd://c0");
  EXPECT_EQ(s.restartcount(), 4);
  EXPECT_EQ(s.state().running().startedat().seconds(), 1);
  Shown none("{containers: [{name: c, image: mine}]}", "");
  EXPECT_EQ(none.Now().containerstatuses(0).image(), "mine");
}

TEST(ContainerStatus, AnEndTellsTimesCodeAndBothMessages) {
  Shown shown(kNever, "sandbox c=exited/3");
  shown.scene.view.containers[0].message = "from the runtime";
  shown.messages["c0"] = "from the file";
  const auto ended = shown.Now().containerstatuses(0).state().terminated();
  EXPECT_EQ(ended.message(), "from the runtime: from the file");
  EXPECT_EQ(ended.startedat().seconds(), 1);
  EXPECT_EQ(ended.finishedat().seconds(), 2);
  EXPECT_EQ(ended.containerid(), "containerd://c0");
  shown.scene.view.containers[0].message = "";
  EXPECT_EQ(shown.Now().containerstatuses(0).state().terminated().message(), "from the file");
}

TEST(ContainerStatus, WaitingReasonReplacesAnEndOnlyIfTheContainerRunsAgain) {
  struct Row {
    const char* what;
    const char* spec;
    const char* seen;
    const char* expected;
  };
  const Row rows[] = {
      {"never made", kAlways, "sandbox", "waiting/Why"},
      {"created", kAlways, "sandbox c=created", "waiting/Why"},
      {"runs", kAlways, "sandbox c=running", "running"},
      {"ended, runs again", kAlways, "sandbox c=exited/1", "waiting/Why <terminated/Error/1"},
      {"ended for good", kOnFailure, "sandbox c=exited/0", "terminated/Completed/0"},
      {"killed to be started again", kOnFailure, "sandbox c=exited/0 again:c",
       "waiting/Why <terminated/Completed/0"},
  };
  for (const Row& row : rows) {
    Shown shown(row.spec, row.seen);
    shown.waiting["c"] = {"Why", "because"};
    EXPECT_EQ(Word(shown.Now().containerstatuses(0)), row.expected) << row.what;
    shown.waiting.clear();
  }
  Shown init(kInit, "sandbox i=exited/0");
  init.waiting["i"] = {"Why", "because"};
  EXPECT_EQ(Word(init.Now().initcontainerstatuses(0)), "terminated/Completed/0");
  Shown ending(kAlways, "sandbox c=exited/1");
  ending.waiting["c"] = {"Why", "because"};
  ending.terminating = true;
  EXPECT_EQ(Word(ending.Now().containerstatuses(0)), "terminated/Error/1");
}

TEST(ContainerStatus, LostWhileRunningIsShownAsEnded) {
  Shown shown(kAlways, "sandbox c=running");
  shown.scene.view.containers[0].restart_count = 2;
  v1::ContainerStatus s = shown.Then(kAlways, "sandbox").Now().containerstatuses(0);
  EXPECT_EQ(Word(s), "waiting/ContainerCreating <terminated/ContainerStatusUnknown/137");
  EXPECT_EQ(s.laststate().terminated().message(),
            "The container could not be located when the pod was deleted.  The container used to be "
            "Running");
  EXPECT_EQ(s.restartcount(), 3);
  s = shown.Then(kAlways, "sandbox").Now().containerstatuses(0);
  EXPECT_EQ(Word(s), "waiting/ContainerCreating <terminated/ContainerStatusUnknown/137");
  EXPECT_EQ(s.restartcount(), 3) << "counted once";

  Shown ending(kAlways, "sandbox c=running");
  ending.Then(kAlways, "").terminating = true;
  s = ending.Now().containerstatuses(0);
  EXPECT_EQ(Word(s), "terminated/ContainerStatusUnknown/137");
  EXPECT_EQ(s.state().terminated().message(),
            "The container could not be located when the pod was terminated");
  EXPECT_EQ(s.restartcount(), 0);
}

TEST(ContainerStatus, AnEndOutlivesItsInstance) {
  Shown shown(kNever, "sandbox c=exited/3");
  EXPECT_EQ(Word(shown.Then(kNever, "sandbox").Now().containerstatuses(0)), "terminated/Error/3");
}

TEST(ContainerStatus, TheLastStateOutlivesTheInstanceBefore) {
  Shown shown(kAlways, "sandbox c=running c=exited/9");
  shown.Then(kAlways, "sandbox c=running");
  EXPECT_EQ(Word(shown.Now().containerstatuses(0)), "running <terminated/Error/9");
}

TEST(ContainerStatus, InitContainersThatWereCollectedAreDone) {
  v1::PodStatus status = Shown(kInit, "sandbox c=running").Now();
  const v1::ContainerStatus& init = status.initcontainerstatuses(0);
  EXPECT_EQ(Word(init), "terminated/Completed/0");
  EXPECT_EQ(init.state().terminated().message(),
            "Unable to get init container status from container runtime and pod has been initialized, "
            "treat it as exited normally");
  EXPECT_TRUE(init.ready());
  EXPECT_EQ(Word(Shown(kSidecar, "sandbox c=running").Now().initcontainerstatuses(0)),
            "waiting/PodInitializing");
}

TEST(ContainerStatus, RestartCountsOfLogFilesHoldWhenNoInstanceIsLeft) {
  Shown shown(kAlways, "sandbox");
  shown.restart_counts["c"] = 5;
  EXPECT_EQ(shown.Now().containerstatuses(0).restartcount(), 5);
}

TEST(ContainerStatus, AtTheEndWhatNeverRanCannotBeLocated) {
  Shown shown(kAlways, "sandbox!");
  shown.terminal = shown.terminating = true;
  EXPECT_EQ(Word(shown.Now().containerstatuses(0)), "terminated/ContainerStatusUnknown/137");
  Shown before(kInit, "sandbox! i=exited/1");
  before.terminal = before.terminating = true;
  EXPECT_EQ(Word(before.Now().initcontainerstatuses(0)), "terminated/Error/1");
  EXPECT_EQ(Word(before.Now().containerstatuses(0)), "waiting/PodInitializing")
      << "the pod was not initialized";
}

TEST(ContainerStatus, StartedAndReadyFollowTheProbes) {
  constexpr char kProbed[] =
      "{containers: [{name: c, startupProbe: {tcpSocket: {port: 1}},"
      " readinessProbe: {tcpSocket: {port: 1}}}]}";
  struct Row {
    const char* spec;
    const char* seen;
    ProbeResult readiness;
    bool started, ready;
  };
  const Row rows[] = {
      {kAlways, "sandbox c=created", ProbeResult::kUnknown, false, false},
      {kAlways, "sandbox c=running", ProbeResult::kUnknown, true, true},
      {kAlways, "sandbox c=exited/0", ProbeResult::kSuccess, false, false},
      {kProbed, "sandbox c=running", ProbeResult::kSuccess, false, false},
      {kProbed, "sandbox c=running startup:c", ProbeResult::kSuccess, false, false},
      {kProbed, "sandbox c=running started:c", ProbeResult::kUnknown, true, false},
      {kProbed, "sandbox c=running started:c", ProbeResult::kFailure, true, false},
      {kProbed, "sandbox c=running started:c", ProbeResult::kSuccess, true, true},
  };
  for (const Row& row : rows) {
    Shown shown(row.spec, row.seen);
    if (row.readiness != ProbeResult::kUnknown) shown.scene.probes.readiness["c0"] = row.readiness;
    EXPECT_EQ(shown.Now().containerstatuses(0).started(), row.started) << row.seen;
    EXPECT_EQ(shown.Now().containerstatuses(0).ready(), row.ready) << row.seen;
  }
  EXPECT_TRUE(Shown(kInit, "sandbox i=exited/0").Now().initcontainerstatuses(0).ready());
  EXPECT_FALSE(Shown(kInit, "sandbox i=exited/1").Now().initcontainerstatuses(0).ready());
  EXPECT_FALSE(Shown(kInit, "sandbox i=running").Now().initcontainerstatuses(0).ready());
}

TEST(ContainerStatus, ResourcesAndUserAreWhatTheRuntimeApplied) {
  Shown shown("{containers: [{name: c, resources: {requests: {cpu: 100m, memory: 10Mi},"
              " limits: {cpu: 200m, memory: 20Mi}}}]}",
              "sandbox c=running");
  auto& seen = shown.scene.view.containers[0];
  seen.resources.emplace();
  auto* linux = seen.resources->mutable_linux();
  linux->set_cpu_shares(52);  // ceil(52 * 1000 / 1024) = 51
  linux->set_cpu_quota(30'000);
  linux->set_cpu_period(100'000);
  linux->set_memory_limit_in_bytes(32 << 20);
  seen.user.emplace();
  seen.user->mutable_linux()->set_uid(7);
  seen.user->mutable_linux()->add_supplemental_groups(8);
  v1::ContainerStatus s = shown.Now().containerstatuses(0);
  EXPECT_EQ(s.resources().requests().at("cpu").string(), "51m");
  EXPECT_EQ(s.resources().requests().at("memory").string(), "10Mi");
  EXPECT_EQ(s.resources().limits().at("cpu").string(), "300m");
  EXPECT_EQ(s.resources().limits().at("memory").string(), "32Mi");
  EXPECT_EQ(s.allocatedresources().at("cpu").string(), "100m");
  EXPECT_EQ(s.user().linux().uid(), 7);
  EXPECT_EQ(s.user().linux().supplementalgroups(0), 8);
}

TEST(ContainerStatus, MountsSayHowReadOnlyTheyAre) {
  Shown shown("{containers: [{name: c, volumeMounts: [{name: a, mountPath: /a},"
              " {name: b, mountPath: /b, readOnly: true},"
              " {name: d, mountPath: /d, readOnly: true, recursiveReadOnly: Enabled},"
              " {name: e, mountPath: /e, readOnly: true, recursiveReadOnly: IfPossible}]}]}",
              "");
  for (const bool can : {false, true}) {
    shown.recursive_read_only = can;
    const v1::ContainerStatus s = shown.Now().containerstatuses(0);
    ASSERT_EQ(s.volumemounts_size(), 4);
    EXPECT_FALSE(s.volumemounts(0).has_recursivereadonly());
    EXPECT_EQ(s.volumemounts(1).recursivereadonly(), "Disabled");
    EXPECT_EQ(s.volumemounts(2).recursivereadonly(), can ? "Enabled" : "Disabled");
    EXPECT_EQ(s.volumemounts(3).recursivereadonly(), can ? "Enabled" : "Disabled");
  }
}

// An agent that starts again has asked no probe yet: what was said of the same instance holds.
TEST(ContainerStatus, ReadyAndStartedOutliveARestartOfTheAgent) {
  constexpr char kProbed[] =
      "{containers: [{name: c, readinessProbe: {tcpSocket: {port: 1}},"
      " startupProbe: {tcpSocket: {port: 1}}}]}";
  Shown shown(kProbed, "sandbox c=running started:c");
  shown.scene.probes.readiness["c0"] = ProbeResult::kSuccess;
  EXPECT_TRUE(shown.Now().containerstatuses(0).ready());
  shown.Then(kProbed, "sandbox c=running");
  EXPECT_TRUE(shown.Now().containerstatuses(0).started());
  EXPECT_TRUE(shown.Now().containerstatuses(0).ready());
  shown.scene.probes.readiness["c0"] = ProbeResult::kFailure;
  EXPECT_FALSE(shown.Now().containerstatuses(0).ready());
  shown.scene.probes.readiness.clear();
  shown.scene.view.containers[0].id = "another";
  EXPECT_FALSE(shown.Now().containerstatuses(0).started());
}

}  // namespace
}  // namespace keelson::kubelet
