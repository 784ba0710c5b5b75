// SPDX-License-Identifier: Apache-2.0
// Columns as kubectl fills them, told from pods written as YAML.
#include "tools/nodectl/pod_row.h"

#include <gtest/gtest.h>

#include "proto/codec/codec.h"
#include "tools/nodectl/lists.h"

namespace keelson::nodectl {
namespace {

const base::WallTime kNow = *base::ParseRfc3339("2026-01-01T01:00:00Z");

k8s::v1::Pod FromYaml(const std::string& yaml) {
  k8s::v1::Pod pod;
  absl::Status status = proto::DecodeYaml(yaml, &pod, {.strict = true});
  EXPECT_TRUE(status.ok()) << status << yaml;
  return pod;
}

struct Case {
  const char* name;
  const char* spec;    // flow YAML
  const char* status;  // flow YAML
  const char* ready;
  const char* text;
  const char* restarts = "0";
  const char* meta = "name: p";
};

const Case kCases[] = {
    {"pending without statuses", "containers: [{name: a}]", "phase: Pending", "0/1", "Pending"},
    {"running", "containers: [{name: a}, {name: b}]",
     "phase: Running, containerStatuses: [{name: a, ready: true, state: {running: {}}},"
     " {name: b, ready: false, state: {running: {}}}]",
     "1/2", "Running"},
    {"creating", "containers: [{name: a}]",
     "phase: Pending, containerStatuses: [{name: a, state: {waiting: {reason: "
     "ContainerCreating}}}]",
     "0/1", "ContainerCreating"},
    {"crash loop with time of last restart", "containers: [{name: a}]",
     "phase: Running, containerStatuses: [{name: a, restartCount: 3,"
     " state: {waiting: {reason: CrashLoopBackOff}},"
     " lastState: {terminated: {exitCode: 1, finishedAt: '2026-01-01T00:59:50Z'}}}]",
     "0/1", "CrashLoopBackOff", "3 (10s ago)"},
    {"first container's reason wins", "containers: [{name: a}, {name: b}]",
     "phase: Pending, containerStatuses: [{name: a, state: {waiting: {reason: ErrImagePull}}},"
     " {name: b, state: {waiting: {reason: ContainerCreating}}}]",
     "0/2", "ErrImagePull"},
    {"completed", "containers: [{name: a}]",
     "phase: Succeeded, containerStatuses: [{name: a,"
     " state: {terminated: {exitCode: 0, reason: Completed}}}]",
     "0/1", "Completed"},
    {"error", "containers: [{name: a}]",
     "phase: Failed, containerStatuses: [{name: a,"
     " state: {terminated: {exitCode: 2, reason: Error}}}]",
     "0/1", "Error"},
    {"exit code without a reason", "containers: [{name: a}]",
     "phase: Failed, containerStatuses: [{name: a, state: {terminated: {exitCode: 7}}}]", "0/1",
     "ExitCode:7"},
    {"signal without a reason", "containers: [{name: a}]",
     "phase: Failed, containerStatuses: [{name: a, state: {terminated: {exitCode: 137, signal: "
     "9}}}]",
     "0/1", "Signal:9"},
    {"one done, one runs and the pod is ready", "containers: [{name: a}, {name: b}]",
     "phase: Running, conditions: [{type: Ready, status: 'True'}], containerStatuses: ["
     "{name: a, state: {terminated: {exitCode: 0, reason: Completed}}},"
     " {name: b, ready: true, state: {running: {}}}]",
     "1/2", "Running"},
    {"one done, one runs and the pod is not ready", "containers: [{name: a}, {name: b}]",
     "phase: Running, containerStatuses: ["
     "{name: a, state: {terminated: {exitCode: 0, reason: Completed}}},"
     " {name: b, ready: true, state: {running: {}}}]",
     "1/2", "NotReady"},
    {"one done, one failed", "containers: [{name: a}, {name: b}]",
     "phase: Failed, containerStatuses: ["
     "{name: a, state: {terminated: {exitCode: 0, reason: Completed}}},"
     " {name: b, state: {terminated: {exitCode: 1, reason: Error}}}]",
     "0/2", "Error"},
    {"first of two init containers runs",
     "initContainers: [{name: i}, {name: j}], containers: [{name: a}]",
     "phase: Pending, initContainerStatuses: [{name: i, state: {running: {}}}, {name: j}]", "0/1",
     "Init:0/2"},
    {"second of two init containers waits for the first",
     "initContainers: [{name: i}, {name: j}], containers: [{name: a}]",
     "phase: Pending, initContainerStatuses: [{name: i, state: {terminated: {exitCode: 0}}},"
     " {name: j, state: {waiting: {reason: PodInitializing}}}]",
     "0/1", "Init:1/2"},
    {"init container failed", "initContainers: [{name: i}], containers: [{name: a}]",
     "phase: Pending, initContainerStatuses: [{name: i, restartCount: 2,"
     " state: {terminated: {exitCode: 1, reason: Error}}}]",
     "0/1", "Init:Error", "2"},
    {"init container failed without a reason",
     "initContainers: [{name: i}], containers: [{name: a}]",
     "phase: Pending, initContainerStatuses: [{name: i, state: {terminated: {exitCode: 3}}}]",
     "0/1", "Init:ExitCode:3"},
    {"init container in back-off", "initContainers: [{name: i}], containers: [{name: a}]",
     "phase: Pending, initContainerStatuses: [{name: i,"
     " state: {waiting: {reason: CrashLoopBackOff}}}]",
     "0/1", "Init:CrashLoopBackOff"},
    {"sidecar counts as a container",
     "initContainers: [{name: s, restartPolicy: Always}], containers: [{name: a}]",
     "phase: Running, initContainerStatuses: [{name: s, started: true, ready: true,"
     " restartCount: 1, state: {running: {}}}],"
     " containerStatuses: [{name: a, ready: true, state: {running: {}}}]",
     "2/2", "Running", "1"},
    {"sidecar that has not started holds the pod up",
     "initContainers: [{name: s, restartPolicy: Always}], containers: [{name: a}]",
     "phase: Pending, initContainerStatuses: [{name: s, started: false, state: {running: {}}}]",
     "0/2", "Init:0/1"},
    {"restarts of init containers do not count once they are done",
     "initContainers: [{name: i}], containers: [{name: a}]",
     "phase: Running, initContainerStatuses: [{name: i, restartCount: 5,"
     " state: {terminated: {exitCode: 0}}}],"
     " containerStatuses: [{name: a, ready: true, restartCount: 1, state: {running: {}}}]",
     "1/1", "Running", "1"},
    {"being deleted", "containers: [{name: a}]",
     "phase: Running, containerStatuses: [{name: a, ready: true, state: {running: {}}}]", "1/1",
     "Terminating", "0", "name: p, deletionTimestamp: '2026-01-01T00:00:00Z'"},
    {"ended before it was deleted", "containers: [{name: a}]",
     "phase: Succeeded, containerStatuses: [{name: a,"
     " state: {terminated: {exitCode: 0, reason: Completed}}}]",
     "0/1", "Completed", "0", "name: p, deletionTimestamp: '2026-01-01T00:00:00Z'"},
    {"evicted", "containers: [{name: a}]", "phase: Failed, reason: Evicted", "0/1", "Evicted"},
};

TEST(PodRow, EveryStateHasKubectlsWords) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    const PodRow row = MakePodRow(FromYaml(std::string("metadata: {") + c.meta + "}\nspec: {" +
                                           c.spec + "}\nstatus: {" + c.status + "}\n"),
                                  kNow);
    EXPECT_EQ(std::to_string(row.ready) + "/" + std::to_string(row.total), c.ready);
    EXPECT_EQ(row.status, c.text);
    EXPECT_EQ(row.restarts, c.restarts);
  }
}

TEST(PodsTable, WideAndSorted) {
  k8s::v1::PodList list;
  *list.add_items() = FromYaml(
      "metadata: {name: z, namespace: b, creationTimestamp: '2026-01-01T00:55:00Z'}\n"
      "spec: {nodeName: n1, containers: [{name: a}], readinessGates: [{conditionType: x}]}\n"
      "status: {phase: Pending, podIPs: [{ip: 10.0.0.1}]}\n");
  *list.add_items() = FromYaml(
      "metadata: {name: x, namespace: a}\n"
      "spec: {containers: [{name: a}]}\nstatus: {phase: Pending}\n");
  ListStyle style;
  style.wide = true;
  style.now = kNow;
  EXPECT_EQ(PodsTable(list, style),
            "NAMESPACE   NAME   READY   STATUS    RESTARTS   AGE         IP         NODE     "
            "NOMINATED NODE   READINESS GATES\n"
            "a           x      0/1     Pending   0          <unknown>   <none>     <none>   "
            "<none>           <none>\n"
            "b           z      0/1     Pending   0          5m          10.0.0.1   n1       "
            "<none>           0/1\n");
}

}  // namespace
}  // namespace keelson::nodectl
