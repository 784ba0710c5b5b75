// SPDX-License-Identifier: Apache-2.0
#include "kubelet/plan.h"

#include <gtest/gtest.h>

#include "test/unit/kubelet/scene.h"

namespace keelson::kubelet {
namespace {

using std::chrono::seconds;

std::string CauseWord(KillCause cause) {
  switch (cause) {
    case KillCause::kSpecChanged: return "changed";
    case KillCause::kLiveness: return "liveness";
    case KillCause::kStartup: return "startup";
    case KillCause::kUnknownState: return "unknown";
    case KillCause::kRestartAll: return "all";
  }
  return "";
}

// A plan in words, in its own order: stop, sandbox/ATTEMPT, kill:NAME/CAUSE[/once], start:NAME#COUNT or
// start:NAME@ID, wait:NAME, rm:ID.
std::string Words(const Scene& scene) {
  PodPlan plan = scene.Plan();
  std::vector<std::string> words;
  if (plan.stop_pod) words.push_back("stop");
  if (plan.create_sandbox) words.push_back(base::StrCat("sandbox/", plan.sandbox_attempt));
  for (const auto& k : plan.kill)
    words.push_back(base::StrCat("kill:", k.name, "/", CauseWord(k.cause),
                                 k.start_again ? "" : "/once"));
  for (const auto& s : plan.start) {
    const std::string name = ContainerOf(scene.pod, s.kind, s.index).name();
    words.push_back(s.created_id.empty() ? base::StrCat("start:", name, "#", s.restart_count)
                                         : base::StrCat("start:", name, "@", s.created_id));
  }
  for (const auto& [name, waiting] : plan.waiting) words.push_back("wait:" + name);
  for (const auto& id : plan.remove_containers) words.push_back("rm:" + id);
  for (const auto& id : plan.remove_sandboxes) words.push_back("rm:" + id);
  std::string text;
  for (const auto& w : words) base::StrAppend(&text, text.empty() ? "" : " ", w);
  return text;
}

struct Row {
  const char* what;
  const char* spec;
  const char* seen;
  const char* expected;
};

void Check(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    Scene scene(row.spec, row.seen);
    EXPECT_EQ(Words(scene), row.expected) << row.what << ": " << row.spec << " | " << row.seen;
  }
}

constexpr char kAlways[] = "{restartPolicy: Always, containers: [{name: c}]}";
constexpr char kOnFailure[] = "{restartPolicy: OnFailure, containers: [{name: c}]}";
constexpr char kNever[] = "{restartPolicy: Never, containers: [{name: c}]}";
constexpr char kTwoNever[] = "{restartPolicy: Never, containers: [{name: c}, {name: d}]}";
constexpr char kInit[] =
    "{restartPolicy: Always, initContainers: [{name: i}, {name: j}], containers: [{name: c}]}";
constexpr char kInitNever[] =
    "{restartPolicy: Never, initContainers: [{name: i}, {name: j}], containers: [{name: c}]}";
// A sidecar, an init container behind it, and a regular container.
constexpr char kSidecar[] =
    "{restartPolicy: Always, initContainers: [{name: s, restartPolicy: Always}, {name: j}],"
    " containers: [{name: c}]}";
constexpr char kLastSidecar[] =
    "{restartPolicy: Never, initContainers: [{name: s, restartPolicy: Always}],"
    " containers: [{name: c}]}";
constexpr char kProbed[] =
    "{restartPolicy: Always, containers: [{name: c, livenessProbe: {tcpSocket: {port: 1}},"
    " startupProbe: {tcpSocket: {port: 1}}}]}";
constexpr char kProbedNever[] =
    "{restartPolicy: Never, containers: [{name: c, livenessProbe: {tcpSocket: {port: 1}},"
    " startupProbe: {tcpSocket: {port: 1}}}]}";
constexpr char kProbedSidecar[] =
    "{restartPolicy: Always, initContainers: [{name: s, restartPolicy: Always,"
    " livenessProbe: {tcpSocket: {port: 1}}, startupProbe: {tcpSocket: {port: 1}}}, {name: j}],"
    " containers: [{name: c}]}";

TEST(Plan, SandboxComesFirst) {
  Check({
      {"nothing there", kAlways, "", "sandbox/0"},
      {"ready", kAlways, "sandbox", "start:c#0"},
      {"not ready: next attempt", kAlways, "sandbox@3!", "sandbox/4"},
      {"two are ready", kAlways, "sandbox@1 sandbox@0", "sandbox/2"},
      {"without an address", kAlways, "sandbox-", "sandbox/1"},
      {"host network needs none", "{hostNetwork: true, containers: [{name: c}]}", "sandbox*",
       "start:c#0"},
      {"network mode differs", "{hostNetwork: true, containers: [{name: c}]}", "sandbox",
       "sandbox/1"},
      {"network mode differs the other way", kAlways, "sandbox*", "sandbox/1"},
      {"an older one without containers goes", kAlways, "sandbox@1 sandbox@0! c=running",
       "rm:sandbox1"},
  });
}

TEST(Plan, SandboxIsNotMadeAgainForAPodThatIsDone) {
  Check({
      {"Never, a container existed", kNever, "sandbox! c=exited/0", "stop"},
      {"Never, one still runs in the dead sandbox", kTwoNever, "sandbox! c=exited/1 d=running",
       "stop"},
      {"Never, none ever existed", kNever, "sandbox!", "sandbox/1"},
      {"OnFailure, all succeeded", kOnFailure, "sandbox! c=exited/0", "stop"},
      {"OnFailure, one failed", kOnFailure, "sandbox! c=exited/1", "sandbox/1"},
      {"Always", kAlways, "sandbox! c=exited/0", "sandbox/1"},
      {"the container's own policy",
       "{restartPolicy: Always, containers: [{name: c, restartPolicy: OnFailure}]}",
       "sandbox! c=exited/0", "stop"},
      {"OnFailure, before the regular containers",
       "{restartPolicy: OnFailure, initContainers: [{name: i}], containers: [{name: c}]}",
       "sandbox! i=exited/0", "sandbox/1"},
  });
}

TEST(Plan, RegularContainers) {
  Check({
      {"missing", kNever, "sandbox", "start:c#0"},
      {"created is started, not made again", kNever, "sandbox c=created", "start:c@c0"},
      {"created from another spec is made again", kAlways, "sandbox c~=created", "start:c#1"},
      {"running is kept", kAlways, "sandbox c=running", ""},
      {"unknown is killed whatever the policy", kNever, "sandbox c=unknown", "kill:c/unknown"},
      {"and started after that", kNever, "sandbox c=exited/137 again:c", "start:c#1"},
      {"exited, Always", kAlways, "sandbox c=exited/0", "start:c#1"},
      {"exited 0, OnFailure", kOnFailure, "sandbox c=exited/0", "stop"},
      {"exited 1, OnFailure", kOnFailure, "sandbox c=exited/1", "start:c#1"},
      {"exited, Never", kNever, "sandbox c=exited/1", "stop"},
      {"another one is kept", kTwoNever, "sandbox c=exited/1 d=running", ""},
      {"none kept, none to start", kTwoNever, "sandbox c=exited/1 d=exited/0", "stop"},
      {"spec changed", kNever, "sandbox c~=running", "kill:c/changed"},
      {"spec changed, exited meanwhile", kNever, "sandbox c~=exited/0", "start:c#1"},
      {"what is being worked on is left alone", kAlways, "sandbox c=exited/1 busy:c", ""},
  });
}

TEST(Plan, ProbesThatFail) {
  Check({
      {"liveness", kProbed, "sandbox c=running started:c live:c", "kill:c/liveness"},
      {"startup", kProbed, "sandbox c=running startup:c", "kill:c/startup"},
      {"liveness, Never: not started again", kProbedNever, "sandbox c=running live:c",
       "kill:c/liveness/once"},
      {"startup, Never", kProbedNever, "sandbox c=running startup:c", "kill:c/startup/once"},
      {"then it is over", kProbedNever, "sandbox c=exited/137", "stop"},
      {"a result without a probe means nothing", kAlways, "sandbox c=running live:c", ""},
      {"restarted although it exits 0 when told to stop", kOnFailure, "sandbox c=exited/0 again:c",
       "start:c#1"},
  });
  Scene scene(kProbed, "sandbox c=running live:c");
  EXPECT_EQ(scene.Plan().kill[0].message, "Container c failed liveness probe, will be restarted");
  Scene never(kProbedNever, "sandbox c=running live:c");
  EXPECT_EQ(never.Plan().kill[0].message, "Container c failed liveness probe");
  Scene changed(kNever, "sandbox c~=running");
  EXPECT_EQ(changed.Plan().kill[0].message, "Container c definition changed, will be restarted");
}

TEST(Plan, EphemeralContainersStartOnceAndCountForNothing) {
  constexpr char kDebugged[] =
      "{restartPolicy: Always, containers: [{name: c}], ephemeralContainers: [{name: d}]}";
  constexpr char kDebuggedInit[] =
      "{restartPolicy: Always, initContainers: [{name: i}], containers: [{name: c}],"
      " ephemeralContainers: [{name: d}]}";
  constexpr char kDebuggedNever[] =
      "{restartPolicy: Never, containers: [{name: c}], ephemeralContainers: [{name: d}]}";
  Check({
      {"not before the sandbox", kDebugged, "", "sandbox/0"},
      {"ahead of the others", kDebugged, "sandbox", "start:d#0 start:c#0"},
      {"while the others run", kDebugged, "sandbox c=running", "start:d#0"},
      {"while init containers run", kDebuggedInit, "sandbox i=running", "start:d#0"},
      {"created in an earlier life of the agent", kDebugged, "sandbox d=created c=running",
       "start:d@d0"},
      {"runs", kDebugged, "sandbox d=running c=running", ""},
      {"not again", kDebugged, "sandbox d=exited/1 c=running", ""},
      {"keeps no pod alive", kDebuggedNever, "sandbox d=running c=exited/0", "stop"},
      {"not started for a pod that ends", kDebuggedNever, "sandbox c=exited/0", "stop"},
      {"being worked on", kDebugged, "sandbox c=running busy:d", ""},
  });
}

TEST(Plan, InitContainersRunOneAfterTheOther) {
  Check({
      {"first", kInit, "sandbox", "start:i#0"},
      {"running", kInit, "sandbox i=running", ""},
      {"done: the next", kInit, "sandbox i=exited/0", "start:j#0"},
      {"all done", kInit, "sandbox j=exited/0 i=exited/0", "start:c#0"},
      {"the last tells, the first has been removed", kInit, "sandbox j=exited/0", "start:c#0"},
      {"failed", kInit, "sandbox i=exited/1", "start:i#1"},
      {"failed, Never", kInitNever, "sandbox i=exited/1", "stop"},
      {"out of memory with code 0 is a failure", kInit, "sandbox i=exited/0/OOMKilled",
       "start:i#1"},
      {"out of memory, Never", kInitNever, "sandbox i=exited/0/OOMKilled", "stop"},
      {"unknown", kInit, "sandbox i=unknown", "kill:i/unknown"},
      {"unknown, then 0: not taken for done", kInit, "sandbox i=exited/0 again:i", "start:i#1"},
      {"unknown, Never", kInitNever, "sandbox i=unknown", "stop"},
      {"created", kInit, "sandbox i=created", "start:i@i0"},
      {"pod was initialized", kInit, "sandbox c=running", ""},
      {"initialized, init failed long ago", kInit, "sandbox c=running j=exited/1 i=exited/0", ""},
      {"a regular one that exited does not count", kInit, "sandbox c=exited/0", "start:i#0"},
      {"a sandbox with init containers", kInit, "", "sandbox/0"},
  });
}

// What a kill says to the user: the words of the Killing event.
TEST(Plan, KillsSayWhy) {
  struct Case {
    const char* spec;
    const char* seen;
    const char* message;
  };
  const Case cases[] = {
      {kAlways, "sandbox c=unknown",
       "Container is in \"unknown\" state, try killing it before restart"},
      {kInit, "sandbox i=unknown",
       "Init container is in \"unknown\" state, try killing it before restart"},
      {kLastSidecar, "sandbox c=running s=unknown",
       "Init container is in \"unknown\" state, try killing it before restart"},
      {kProbed, "sandbox c=running startup:c",
       "Container c failed startup probe, will be restarted"},
      {kProbedNever, "sandbox c=running startup:c", "Container c failed startup probe"},
      {kLastSidecar, "sandbox c=running s~=running", "Init container s definition changed"},
      {kProbedSidecar, "sandbox s=running startup:s", "Init container s failed startup probe"},
      {kProbedSidecar, "sandbox s=running started:s live:s",
       "Init container s failed liveness probe"},
  };
  for (const Case& c : cases) {
    const PodPlan plan = Scene(c.spec, c.seen).Plan();
    ASSERT_EQ(plan.kill.size(), 1u) << c.seen;
    EXPECT_EQ(plan.kill[0].message, c.message);
  }
}

// A policy of the container's own stands before the pod's, for ends and for failed probes alike.
TEST(Plan, ContainersHavePoliciesOfTheirOwn) {
  constexpr char kOwnAlways[] =
      "{restartPolicy: Never, containers: [{name: c, restartPolicy: Always}, {name: d}]}";
  constexpr char kOwnNever[] =
      "{restartPolicy: Always, containers: [{name: c, restartPolicy: Never,"
      " livenessProbe: {tcpSocket: {port: 1}}}, {name: d}]}";
  constexpr char kOwnOnFailure[] =
      "{restartPolicy: Always, containers: [{name: c, restartPolicy: OnFailure}]}";
  constexpr char kInitOwn[] =
      "{restartPolicy: Always, initContainers: [{name: i, restartPolicy: Never}],"
      " containers: [{name: c}]}";
  constexpr char kInitRule[] =
      "{restartPolicy: Never, initContainers: [{name: i, restartPolicy: Never, restartPolicyRules:"
      " [{action: Restart, exitCodes: {operator: In, values: [42]}}]}], containers: [{name: c}]}";
  Check({
      {"Always in a pod of Never", kOwnAlways, "sandbox c=exited/0 d=exited/0", "start:c#1"},
      {"Never in a pod of Always", kOwnNever, "sandbox c=exited/1 d=running", ""},
      {"a failed probe does not start it again", kOwnNever, "sandbox c=running live:c d=running",
       "kill:c/liveness/once"},
      {"OnFailure ended well", kOwnOnFailure, "sandbox c=exited/0", "stop"},
      {"OnFailure ended badly", kOwnOnFailure, "sandbox c=exited/2", "start:c#1"},
      {"no sandbox for it once it ended well", kOwnOnFailure, "sandbox! c=exited/0", "stop"},
      {"an init container of Never fails the pod", kInitOwn, "sandbox i=exited/1", "stop"},
      {"and unknown as well", kInitOwn, "sandbox i=unknown", "stop"},
      {"a rule runs an init container again", kInitRule, "sandbox i=exited/42", "start:i#1"},
      {"another code does not", kInitRule, "sandbox i=exited/41", "stop"},
  });
}

TEST(Plan, Sidecars) {
  Check({
      {"started, no probe: the next", kSidecar, "sandbox s=running", "start:j#0"},
      {"startup unknown: nobody goes on", kProbedSidecar, "sandbox s=running", ""},
      {"startup done", kProbedSidecar, "sandbox s=running started:s", "start:j#0"},
      {"startup failed", kProbedSidecar, "sandbox s=running startup:s", "kill:s/startup"},
      {"liveness does not hold back the next", kProbedSidecar,
       "sandbox s=running started:s live:s", "kill:s/liveness start:j#0"},
      {"dies while a later init container runs", kSidecar, "sandbox j=running s=exited/1",
       "start:s#1"},
      {"is gone while a later init container runs", kSidecar, "sandbox j=running", "start:s#0"},
      {"dies when all is initialized", kSidecar, "sandbox c=running j=exited/0 s=exited/0",
       "start:s#1"},
      {"is gone when all is initialized", kSidecar, "sandbox c=running", "start:s#0"},
      {"the regular init container is not", kSidecar, "sandbox c=running s=running", ""},
      {"exits 0 under Never", kLastSidecar, "sandbox c=running s=exited/0", "start:s#1"},
      {"unknown", kLastSidecar, "sandbox c=running s=unknown", "kill:s/unknown"},
      {"spec changed", kLastSidecar, "sandbox c=running s~=running", "kill:s/changed"},
      {"the last one starts the regular containers", kLastSidecar, "sandbox s=running",
       "start:c#0"},
      {"does not keep a pod alive", kLastSidecar, "sandbox c=exited/0 s=running", "stop"},
      {"in the order of the spec",
       "{initContainers: [{name: s, restartPolicy: Always}, {name: t, restartPolicy: Always}],"
       " containers: [{name: c}]}",
       "sandbox c=running s=exited/1 t=exited/1", "start:s#1 start:t#1"},
  });
}

TEST(Plan, SidecarsAreLeftAloneOnceTheLastRegularContainerEndsForGood) {
  constexpr char kBoth[] =
      "{restartPolicy: Never, initContainers: [{name: s, restartPolicy: Always,"
      " livenessProbe: {tcpSocket: {port: 1}}}],"
      " containers: [{name: c, livenessProbe: {tcpSocket: {port: 1}}}]}";
  Check({
      {"both fail", kBoth, "sandbox c=running s=running live:c live:s", "kill:c/liveness/once"},
      {"while it is being ended", kBoth, "sandbox c=running s=running live:c live:s busy:c", ""},
      {"nor started again", kBoth, "sandbox c=running s=exited/1 live:c busy:c", ""},
      {"beside one that runs on", kBoth, "sandbox c=running s=running live:s", "kill:s/liveness"},
  });
}

TEST(Plan, ContainersOfADeletedPodAreNotStarted) {
  Scene scene(kAlways, "sandbox c=exited/1");
  scene.pod.mutable_metadata()->mutable_deletiontimestamp()->set_seconds(1);
  EXPECT_EQ(Words(scene), "");
}

TEST(Plan, DeadInstancesGoButForTheNewest) {
  Check({
      {"running, two dead", kAlways, "sandbox c=running c=exited/1 c=exited/1", "rm:c2"},
      {"dead, one before", kNever, "sandbox c=exited/1 c=exited/1", "stop rm:c1"},
      {"dead init containers", kInit, "sandbox c=running i=exited/0 i=exited/1 i=exited/1",
       "rm:i1 rm:i2"},
      {"never run and overtaken", kAlways, "sandbox c=running c=created", "rm:c1"},
      {"not while it is worked on", kAlways, "sandbox c=running c=exited/1 c=exited/1 busy:c", ""},
  });
}

TEST(Plan, RestartWaitsForItsBackOff) {
  Scene scene(kAlways, "sandbox c=exited/1");
  scene.ended["c0"] = scene.now - seconds(4);
  EXPECT_EQ(Words(scene), "start:c#1") << "the first restart is immediate";
  scene.backoff.Next(RestartBackoffKey(scene.pod, scene.pod.spec().containers(0)),
                     scene.now - seconds(20), scene.now - seconds(20));
  EXPECT_EQ(Words(scene), "wait:c");
  PodPlan plan = scene.Plan();
  EXPECT_EQ(plan.waiting["c"].reason, "CrashLoopBackOff");
  EXPECT_EQ(plan.waiting["c"].message,
            "back-off 10s restarting failed container=c pod=web_default(u1)");
  EXPECT_EQ(plan.look_again, scene.now + seconds(6));
  scene.now += seconds(6);
  EXPECT_EQ(Words(scene), "start:c#1");
}

TEST(Plan, AnotherImageOrOtherResourcesStartTheBackOffAnew) {
  v1::Pod pod = PodOf("{containers: [{name: c, image: a}]}");
  v1::Pod image = PodOf("{containers: [{name: c, image: b}]}");
  v1::Pod resources =
      PodOf("{containers: [{name: c, image: a, resources: {limits: {cpu: 1}}}]}");
  const std::string key = RestartBackoffKey(pod, pod.spec().containers(0));
  EXPECT_NE(key, RestartBackoffKey(image, image.spec().containers(0)));
  EXPECT_NE(key, RestartBackoffKey(resources, resources.spec().containers(0)));
  EXPECT_EQ(key, RestartBackoffKey(pod, pod.spec().containers(0)));
}

TEST(Plan, RestartRulesAndPolicies) {
  constexpr char kRule[] = "restartPolicyRules: [{action: Restart, exitCodes: {operator: ";
  struct Case {
    std::string container;
    std::string pod_policy;
    int code;
    RestartDecision expected;
  };
  const Case cases[] = {
      {"", "Always", 0, RestartDecision::kYes},
      {"", "OnFailure", 0, RestartDecision::kNo},
      {"", "OnFailure", 3, RestartDecision::kYes},
      {"", "Never", 3, RestartDecision::kNo},
      {", restartPolicy: Always", "Never", 0, RestartDecision::kYes},
      {", restartPolicy: Never", "Always", 3, RestartDecision::kNo},
      {base::StrCat(", restartPolicy: Never, ", kRule, "In, values: [42]}}]"), "Always", 42,
       RestartDecision::kYes},
      {base::StrCat(", restartPolicy: Never, ", kRule, "In, values: [42]}}]"), "Always", 41,
       RestartDecision::kNo},
      {base::StrCat(", restartPolicy: Never, ", kRule, "NotIn, values: [42]}}]"), "Always", 41,
       RestartDecision::kYes},
      {base::StrCat(", restartPolicy: Never, ", kRule, "NotIn, values: [42]}}]"), "Always", 42,
       RestartDecision::kNo},
      {", restartPolicy: Never, restartPolicyRules: [{action: RestartAllContainers, exitCodes: "
       "{operator: In, values: [7]}}]",
       "Never", 7, RestartDecision::kRestartAllContainers},
  };
  for (const Case& c : cases) {
    v1::Pod pod = PodOf("{restartPolicy: " + c.pod_policy + ", containers: [{name: c" +
                        c.container + "}]}");
    EXPECT_EQ(DecideRestart(pod, pod.spec().containers(0), c.code), c.expected)
        << c.container << " " << c.pod_policy << " " << c.code;
  }
}

TEST(Plan, TheFirstRuleThatMatchesDecides) {
  v1::Pod pod = PodOf(
      "{restartPolicy: Always, containers: [{name: c, restartPolicy: Never, restartPolicyRules: ["
      "{action: Restart, exitCodes: {operator: In, values: [1, 2]}},"
      " {action: RestartAllContainers, exitCodes: {operator: NotIn, values: [0, 3]}}]}]}");
  const std::pair<int, RestartDecision> rows[] = {
      {0, RestartDecision::kNo},
      {1, RestartDecision::kYes},
      {2, RestartDecision::kYes},
      {3, RestartDecision::kNo},
      {4, RestartDecision::kRestartAllContainers},
  };
  for (const auto& [code, expected] : rows)
    EXPECT_EQ(DecideRestart(pod, pod.spec().containers(0), code), expected) << code;
}

TEST(Plan, AnInitContainerMayAskForTheRestartOfAll) {
  constexpr char kSpec[] =
      "{restartPolicy: Never, initContainers: [{name: i, restartPolicy: Never, restartPolicyRules:"
      " [{action: RestartAllContainers, exitCodes: {operator: In, values: [7]}}]}],"
      " containers: [{name: c}]}";
  Check({
      {"alone", kSpec, "sandbox i=exited/7", "rm:i0"},
      {"and begins again", kSpec, "sandbox", "start:i#0"},
      {"an older end is history", kSpec, "sandbox i=running i=exited/7", ""},
      {"unknown ones are killed first", kSpec, "sandbox c=unknown i=exited/7", "kill:c/all/once"},
  });
}

TEST(Plan, RestartOfAllContainersRemovesTheOneThatAskedLast) {
  constexpr char kSpec[] =
      "{restartPolicy: Never, initContainers: [{name: i}], containers: [{name: c,"
      " restartPolicy: Never, restartPolicyRules: [{action: RestartAllContainers,"
      " exitCodes: {operator: In, values: [7]}}]}, {name: d}]}";
  Check({
      {"kill what runs, remove what does not", kSpec, "sandbox c=exited/7 d=running i=exited/0",
       "kill:d/all/once rm:i0"},
      {"while it is being killed", kSpec, "sandbox c=exited/7 d=running i=exited/0 busy:d",
       "rm:i0"},
      {"the killed one is removed", kSpec, "sandbox c=exited/7 d=exited/137", "rm:d0"},
      {"then the one that asked", kSpec, "sandbox c=exited/7 c=exited/1", "rm:c1"},
      {"at last", kSpec, "sandbox c=exited/7", "rm:c0"},
      {"all begins again", kSpec, "sandbox", "start:i#0"},
      {"another code", kSpec, "sandbox c=exited/6 d=exited/0", "start:i#0"},
  });
  Scene scene(kSpec, "sandbox c=exited/7 d=running");
  EXPECT_TRUE(scene.Plan().restart_all);
  EXPECT_TRUE(RestartAllAsked(scene.pod, scene.view));
}

}  // namespace
}  // namespace keelson::kubelet
