// SPDX-License-Identifier: Apache-2.0
#include "kubelet/status.h"

#include <gtest/gtest.h>

#include "kubelet/conditions.h"
#include "test/unit/kubelet/scene.h"

namespace keelson::kubelet {
namespace {

// One status from a scene; the fields are what a test may set before it asks.
struct Shown {
  Shown(const std::string& spec, std::string_view seen) : scene(spec, seen) {}

  v1::PodStatus Now() const {
    StatusInput in{scene.pod,    scene.view, previous,     now,
                   start,        waiting,    scene.probes, messages,
                   "containerd", "Burstable", node_ips,    last_pod_ips};
    in.sandbox_ready = !NeedSandbox(scene.pod, scene.view).create;
    in.terminating = terminating;
    in.terminal = terminal;
    in.verdict = verdict;
    in.restart_counts = restart_counts;
    in.start_again = scene.again;
    return MakePodStatus(in);
  }
  // As Now, remembered as what was said last; then the runtime shows `seen`.
  Shown& Then(const std::string& spec, std::string_view seen) {
    previous = Now();
    scene = Scene(spec, seen);
    return *this;
  }

  Scene scene;
  v1::PodStatus previous;
  base::WallTime now = base::FromUnixNanos(1'000'000'000'000);
  base::WallTime start = base::FromUnixNanos(900'000'000'000);
  std::map<std::string, Waiting> waiting;
  std::map<std::string, std::string> messages;
  std::vector<std::string> node_ips;
  std::vector<std::string> last_pod_ips;
  std::map<std::string, uint32_t> restart_counts;
  std::optional<PodVerdict> verdict;
  bool terminating = false, terminal = false;
};

std::string StateWord(const v1::ContainerState& state) {
  if (state.has_running()) return "running";
  if (state.has_waiting()) return "waiting/" + state.waiting().reason();
  if (state.has_terminated())
    return base::StrCat("terminated/", state.terminated().reason(), "/",
                        state.terminated().exitcode());
  return "none";
}
// STATE, and <LAST STATE when there is one.
std::string Word(const v1::ContainerStatus& s) {
  std::string word = StateWord(s.state());
  if (s.has_laststate() && s.laststate().has_terminated())
    word += " <" + StateWord(s.laststate());
  return word;
}

constexpr char kAlways[] = "{restartPolicy: Always, containers: [{name: c}]}";
constexpr char kOnFailure[] = "{restartPolicy: OnFailure, containers: [{name: c}]}";
constexpr char kNever[] = "{restartPolicy: Never, containers: [{name: c}]}";
constexpr char kTwoNever[] = "{restartPolicy: Never, containers: [{name: c}, {name: d}]}";
constexpr char kInit[] =
    "{restartPolicy: Always, initContainers: [{name: i}], containers: [{name: c}]}";
constexpr char kInitNever[] =
    "{restartPolicy: Never, initContainers: [{name: i}], containers: [{name: c}]}";
constexpr char kSidecar[] =
    "{restartPolicy: Never, initContainers: [{name: s, restartPolicy: Always}],"
    " containers: [{name: c}]}";
constexpr char kProbedSidecar[] =
    "{restartPolicy: Never, initContainers: [{name: s, restartPolicy: Always,"
    " startupProbe: {tcpSocket: {port: 1}}}], containers: [{name: c}]}";

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
      {"created", kAlways, "sandbox c=created", "waiting/"},
      {"running", kAlways, "sandbox c=running", "running"},
      {"exited", kAlways, "sandbox c=exited/3/OOMKilled", "terminated/OOMKilled/3"},
      {"running after an end", kAlways, "sandbox c=running c=exited/1",
       "running <terminated/Error/1"},
      {"unknown, never seen running", kAlways, "sandbox c=unknown", "waiting/"},
  };
  for (const Row& row : rows)
    EXPECT_EQ(Word(Shown(row.spec, row.seen).Now().containerstatuses(0)), row.expected) << row.what;
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
              " {name: d, mountPath: /d, readOnly: true, recursiveReadOnly: Enabled}]}]}",
              "");
  v1::ContainerStatus s = shown.Now().containerstatuses(0);
  ASSERT_EQ(s.volumemounts_size(), 3);
  EXPECT_FALSE(s.volumemounts(0).has_recursivereadonly());
  EXPECT_EQ(s.volumemounts(1).recursivereadonly(), "Disabled");
  EXPECT_EQ(s.volumemounts(2).recursivereadonly(), "Enabled");
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

// TYPE=STATUS/REASON/MESSAGE
std::string ConditionWord(const v1::PodStatus& status, const std::string& type) {
  const v1::PodCondition* c = FindCondition(status, type);
  if (!c) return "missing";
  return base::StrCat(c->status(), "/", c->reason(), "/", c->message());
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
