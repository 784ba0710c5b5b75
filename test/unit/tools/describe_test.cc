// SPDX-License-Identifier: Apache-2.0
#include "tools/nodectl/describe.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <time.h>

#include "proto/codec/codec.h"

namespace keelson::nodectl {
namespace {

constexpr const char* kPod = R"(
metadata:
  name: web
  namespace: default
  labels: {app: web, tier: front}
  annotations: {kubernetes.io/config.source: file}
spec:
  nodeName: node1
  initContainers:
  - name: prepare
    image: busybox:1
    command: [sh, -c, "echo a\necho b"]
  containers:
  - name: nginx
    image: nginx:1
    ports: [{containerPort: 80, hostPort: 8080, protocol: TCP, name: http}]
    env:
    - {name: PLAIN, value: x}
    - name: NODE
      valueFrom: {fieldRef: {apiVersion: v1, fieldPath: spec.nodeName}}
    resources: {limits: {memory: 64Mi, cpu: 100m}}
    livenessProbe: {httpGet: {path: /ok, port: 80, scheme: HTTP}, periodSeconds: 10,
                    timeoutSeconds: 1, successThreshold: 1, failureThreshold: 3}
    volumeMounts: [{name: data, mountPath: /data, readOnly: true}]
  volumes:
  - {name: data, hostPath: {path: /srv/data, type: Directory}}
  - {name: tmp, emptyDir: {}}
  tolerations: [{operator: Exists, effect: NoExecute}]
status:
  phase: Running
  podIP: 10.1.0.5
  podIPs: [{ip: 10.1.0.5}]
  hostIP: 192.168.0.1
  qosClass: Burstable
  startTime: 2026-01-01T00:00:00Z
  conditions: [{type: Ready, status: "True"}]
  containerStatuses:
  - name: nginx
    ready: true
    restartCount: 1
    containerID: containerd://abc
    imageID: sha256:1
    state: {running: {startedAt: 2026-01-01T00:00:01Z}}
    lastState: {terminated: {exitCode: 137, reason: OOMKilled, message: "no\tmemory",
                startedAt: 2026-01-01T00:00:00Z, finishedAt: 2026-01-01T00:00:01Z}}
)";

constexpr const char* kHead = R"(Name:         web
Namespace:    default
Node:         node1/192.168.0.1
Start Time:   Thu, 01 Jan 2026 00:00:00 +0000
Labels:       app=web
              tier=front
Annotations:  kubernetes.io/config.source: file
Status:       Running
IP:           10.1.0.5
IPs:
  IP:  10.1.0.5
Init Containers:
  prepare:
    Image:      busybox:1
    Port:       <none>
    Host Port:  <none>
    Command:
      sh
      -c
      echo a
      echo b
    Environment:  <none>
    Mounts:       <none>
)";

k8s::v1::Event MakeEvent() {
  k8s::v1::Event event;
  event.set_type("Warning");
  event.set_reason("BackOff");
  event.set_message("Back-off \033[2J");
  event.set_count(3);
  event.mutable_source()->set_component("kubelet");
  event.mutable_firsttimestamp()->set_seconds(1767225600);
  event.mutable_lasttimestamp()->set_seconds(1767225690);
  return event;
}

class DescribeTest : public ::testing::Test {
 protected:
  DescribeTest() {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
    absl::Status status = proto::DecodeYaml(kPod, &pod_, {.strict = true});
    EXPECT_TRUE(status.ok()) << status;
  }
  std::string Text() {
    return DescribePod(pod_, events_, *base::ParseRfc3339("2026-01-01T00:01:40Z"));
  }
  void Has(const std::string& part) {
    EXPECT_NE(Text().find(part), std::string::npos) << part << "\nis not in\n" << Text();
  }
  k8s::v1::Pod pod_;
  k8s::v1::EventList events_;
};

TEST_F(DescribeTest, HeadAndContainersHaveKubectlsShape) {
  const std::string head = kHead;
  EXPECT_EQ(Text().substr(0, head.size()), head);
  Has("Containers:\n  nginx:\n    Container ID:   containerd://abc\n    Image:          nginx:1\n"
      "    Image ID:       sha256:1\n    Port:           80/TCP (http)\n"
      "    Host Port:      8080/TCP (http)\n    State:          Running\n"
      "      Started:      Thu, 01 Jan 2026 00:00:01 +0000\n");
  Has("    Last State:     Terminated\n      Reason:       OOMKilled\n"
      "      Message:      no    memory\n      Exit Code:    137\n");
  Has("    Restart Count:  1\n    Limits:\n      cpu:     100m\n      memory:  64Mi\n"
      "    Liveness:  http-get http://:80/ok delay=0s timeout=1s period=10s #success=1 #failure=3\n"
      "    Environment:\n      PLAIN:  x\n      NODE:   node1 (v1:spec.nodeName)\n"
      "    Mounts:\n      /data from data (ro)\n");
}

TEST_F(DescribeTest, VolumesTolerationsAndQos) {
  Has("Conditions:\n  Type   Status\n  Ready  True\n");
  Has("Volumes:\n  data:\n    Type:          HostPath\n    Path:          /srv/data\n"
      "    HostPathType:  Directory\n  tmp:\n    Type:        EmptyDir\n    Medium:      \n"
      "    SizeLimit:   <unset>\nQoS Class:       Burstable\nNode-Selectors:  <none>\n"
      "Tolerations:     :NoExecute op=Exists\nEvents:          <none>\n");
}

TEST_F(DescribeTest, EventsAreATableAndCannotDriveTheTerminal) {
  *events_.add_items() = MakeEvent();
  Has("Events:\n  Type     Reason   Age                 From     Message\n"
      "  ----     ------   ----                ----     -------\n"
      "  Warning  BackOff  10s (x3 over 100s)  kubelet  Back-off ^[[2J\n");
}

TEST_F(DescribeTest, PodBeingDeletedSaysSo) {
  pod_.mutable_metadata()->mutable_deletiontimestamp()->set_seconds(1767225690);
  pod_.mutable_metadata()->set_deletiongraceperiodseconds(30);
  Has("Status:                    Terminating (lasts 10s)\nTermination Grace Period:  30s\n");
}

}  // namespace
}  // namespace keelson::nodectl
