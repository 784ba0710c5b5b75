// SPDX-License-Identifier: Apache-2.0
// The agent as a node of a cluster: a real kubelet process and containerd, and an API server over
// TLS that behaves as the genuine one does towards nodes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>

#include "base/strings.h"
#include "kubelet/status.h"
#include "proto/k8s/coordination.pb.h"
#include "proto/k8s/events.pb.h"
#include "proto/k8s/node.pb.h"
#include "proto/k8s/objects.pb.h"
#include "test/integration/lib/agent_fixture.h"
#include "test/integration/lib/cluster_fixture.h"

namespace keelson::integration {
namespace {

using k8s::v1::Node;
using k8s::v1::Pod;
using testing::HasSubstr;
using testing::StartsWith;

using base::StrCat;
constexpr char kShell[] =
    "  containers:\n  - name: c\n    image: docker.io/library/busybox:1.36\n"
    "    command: [/bin/sh, -c, 'echo started; sleep 1000']\n";

class ClusterTest : public testing::Test {
 protected:
  ClusterTest()
      : agent_({.config = "nodeLeaseDurationSeconds: 4\n",
                .flags = {"--kubeconfig=" + cluster_.kubeconfig(), "--node-ip=127.0.0.1"}}) {}

  std::string NodeReady() {
    auto node = cluster_.Find<Node>("", "klnode");
    if (!node) return "";
    for (const auto& c : node->status().conditions())
      if (c.type() == "Ready") return c.status();
    return "";
  }
  void JoinCluster() {
    agent_.Start();
    ASSERT_TRUE(Eventually([&] { return NodeReady() == "True"; })) << agent_.Log();
  }
  k8s::v1::PodStatus StatusOf(const std::string& pod) {
    auto found = cluster_.Find<Pod>("default", pod);
    return found ? found->status() : k8s::v1::PodStatus();
  }
  bool Reaches(const std::string& pod, const std::string& phase) {
    return Eventually([&] { return StatusOf(pod).phase() == phase; });
  }
  bool IsReady(const std::string& pod) {
    return Eventually([&] {
      const auto status = StatusOf(pod);
      const auto* ready = kubelet::FindCondition(status, "Ready");
      return ready != nullptr && ready->status() == "True";
    });
  }
  std::string Exec(const std::string& pod, const std::string& script) {
    return TheContainerd().Exec(FindContainer(pod, "c").id, {"/bin/sh", "-c", script}).output;
  }

  Cluster cluster_;
  Agent agent_;
};

TEST_F(ClusterTest, NodeRegistersBecomesReadyAndHoldsItsLease) {
  JoinCluster();
  auto node = cluster_.Find<Node>("", "klnode");
  EXPECT_EQ(node->metadata().labels().at("kubernetes.io/hostname"), "klnode");
  EXPECT_EQ(node->status().capacity().at("pods").string(), "110");
  EXPECT_THAT(node->status().nodeinfo().kubeletversion(), StartsWith("v1.36."));
  EXPECT_THAT(node->status().nodeinfo().containerruntimeversion(), StartsWith("containerd://"));
  EXPECT_EQ(node->status().addresses(0).address(), "127.0.0.1");
  EXPECT_GT(node->status().images_size(), 0);
  auto renewed = [&] {
    auto lease = cluster_.Find<k8s::coordination::v1::Lease>("kube-node-lease", "klnode");
    return lease ? lease->spec().renewtime().ShortDebugString() : "";
  };
  ASSERT_TRUE(Eventually([&] { return !renewed().empty(); }));
  const std::string first = renewed();
  EXPECT_TRUE(Eventually([&] { return renewed() != first; }));
}

TEST_F(ClusterTest, PodRunsTellsItsStatusAndGoes) {
  JoinCluster();
  cluster_.PutPod("web", kShell);
  ASSERT_TRUE(Reaches("web", "Running") && IsReady("web")) << agent_.Log();
  const auto status = StatusOf("web");
  EXPECT_EQ(status.podip(), TheContainerd().SandboxIp(FindContainer("web", "c").sandbox_id));
  EXPECT_EQ(status.hostip(), "127.0.0.1");
  EXPECT_THAT(status.containerstatuses(0).containerid(), StartsWith("containerd://"));
  cluster_.DeletePod("web");
  EXPECT_TRUE(Eventually([&] { return cluster_.Find<Pod>("default", "web") == nullptr; }))
      << agent_.Log();
  EXPECT_EQ(SandboxCount("web"), 0);
  EXPECT_TRUE(Eventually([&] { return agent_.Leftovers().empty(); }))
      << testing::PrintToString(agent_.Leftovers());
}

TEST_F(ClusterTest, EphemeralContainerJoinsARunningPodOnceAndSeesItsTarget) {
  JoinCluster();
  cluster_.PutPod("debugged", kShell);
  ASSERT_TRUE(Reaches("debugged", "Running"));
  const std::string first = FindContainer("debugged", "c").id;
  cluster_.AddEphemeralContainer(
      "debugged", "{name: look, image: 'docker.io/library/busybox:1.36', targetContainerName: c,"
                  " command: [/bin/sh, -c, 'tr \"\\0\" \" \" < /proc/1/cmdline; exit 7']}");
  auto state = [&] {
    const auto status = StatusOf("debugged");
    return status.ephemeralcontainerstatuses_size() == 1
               ? status.ephemeralcontainerstatuses(0).state()
               : k8s::v1::ContainerState();
  };
  ASSERT_TRUE(Eventually([&] { return state().has_terminated(); })) << agent_.Log();
  EXPECT_EQ(state().terminated().exitcode(), 7);
  EXPECT_THAT(agent_.Nodectl({"logs", "debugged", "-c", "look"}), HasSubstr("sleep 1000"))
      << "its first process is the target's";
  EXPECT_EQ(FindContainer("debugged", "c").id, first) << "nothing else was disturbed";
  EXPECT_TRUE(IsReady("debugged"));
  agent_.Kill();
  agent_.Start();
  cluster_.PutPod("next", kShell);
  ASSERT_TRUE(Reaches("next", "Running"));
  EXPECT_EQ(state().terminated().exitcode(), 7) << "and not run again";
  EXPECT_EQ(StatusOf("debugged").ephemeralcontainerstatuses(0).restartcount(), 0);
}

TEST_F(ClusterTest, PodsTheNodeIsNotForAreRefusedAndALabelGivenLaterCounts) {
  JoinCluster();
  const std::string picky = StrCat("  nodeSelector: {disk: fast}\n", kShell);
  auto refused = [&](const std::string& name, const std::string& spec, const char* reason) {
    cluster_.PutPod(name, spec);
    EXPECT_TRUE(Reaches(name, "Failed")) << name << agent_.Log();
    EXPECT_EQ(StatusOf(name).reason(), reason);
  };
  auto asking = [](const char* what) {
    return StrCat(kShell, "    resources: {requests: {", what, "}}\n");
  };
  refused("picky", picky, "NodeAffinity");
  refused("busy", asking("cpu: 100k"), "OutOfcpu");
  refused("wide", asking("memory: 4Ei"), "OutOfmemory");
  refused("huge", asking("ephemeral-storage: 4Ei"), "OutOfephemeral-storage");
  cluster_.LabelNode("disk", "fast");
  cluster_.TaintNode("broken", "NoExecute");
  cluster_.PutPod("pleased", StrCat("  tolerations: [{key: broken, operator: Exists}]\n", picky));
  EXPECT_TRUE(Reaches("pleased", "Running")) << agent_.Log();
  refused("delicate", kShell, "TaintToleration");
}

TEST_F(ClusterTest, PodThatVanishesFromTheServerIsEnded) {
  JoinCluster();
  cluster_.PutPod("lost", kShell);
  ASSERT_TRUE(Reaches("lost", "Running"));
  cluster_.Erase<Pod>("default", "lost");
  EXPECT_TRUE(Eventually([&] { return SandboxCount("lost") == 0; }));
}

TEST_F(ClusterTest, EndedPodStaysAndIsNotRunAgainByALaterAgent) {
  JoinCluster();
  cluster_.PutPod("once",
                  "  restartPolicy: Never\n  containers:\n  - name: c\n"
                  "    image: docker.io/keelson/testserver:1\n    args: [exit, \"0\"]\n");
  ASSERT_TRUE(Reaches("once", "Succeeded"));
  agent_.Kill();
  agent_.Start();
  cluster_.PutPod("after", kShell);
  ASSERT_TRUE(Reaches("after", "Running"));
  EXPECT_EQ(StatusOf("once").phase(), "Succeeded");
  EXPECT_FALSE(IsRunning("once", "c"));
}

TEST_F(ClusterTest, StaticPodHasAMirrorThatComesBack) {
  JoinCluster();
  agent_.Put("static.yaml", std::string("apiVersion: v1\nkind: Pod\nmetadata: {name: static}\n"
                                        "spec:\n  terminationGracePeriodSeconds: 1\n") +
                                kShell);
  ASSERT_TRUE(Reaches("static-klnode", "Running")) << agent_.Log();
  auto mirror = cluster_.Find<Pod>("default", "static-klnode");
  EXPECT_EQ(mirror->metadata().annotations().at("kubernetes.io/config.mirror"),
            mirror->metadata().annotations().at("kubernetes.io/config.hash"));
  const std::string container = FindContainer("static", "c").id;
  cluster_.Erase<Pod>("default", "static-klnode");
  ASSERT_TRUE(Reaches("static-klnode", "Running"));
  EXPECT_NE(cluster_.Find<Pod>("default", "static-klnode")->metadata().uid(),
            mirror->metadata().uid());
  EXPECT_EQ(FindContainer("static", "c").id, container);
  agent_.Remove("static.yaml");
  EXPECT_TRUE(
      Eventually([&] { return cluster_.Find<Pod>("default", "static-klnode") == nullptr; }));
}

TEST_F(ClusterTest, ObjectsFillEnvironmentAndVolumesAndFollowTheirChanges) {
  JoinCluster();
  cluster_.Put<k8s::v1::ConfigMap>(
      "metadata: {name: conf, namespace: default}\ndata: {color: green, file: one}\n");
  cluster_.Put<k8s::v1::Secret>(
      "metadata: {name: pass, namespace: default}\ndata: {word: c2VzYW1l}\n");
  cluster_.PutPod(
      "env",
      "  volumes:\n  - {name: conf, configMap: {name: conf}}\n"
      "  - {name: pass, secret: {secretName: pass, defaultMode: 0400}}\n"
      "  containers:\n  - name: c\n    image: docker.io/library/busybox:1.36\n"
      "    command: [/bin/sh, -c, 'sleep 1000']\n    envFrom: [{configMapRef: {name: conf}}]\n"
      "    env: [{name: WORD, valueFrom: {secretKeyRef: {name: pass, key: word}}}]\n"
      "    volumeMounts: [{name: conf, mountPath: /conf}, {name: pass, mountPath: /pass}]\n");
  ASSERT_TRUE(Reaches("env", "Running")) << agent_.Log();
  EXPECT_EQ(Exec("env", "echo $color $WORD; cat /conf/file /pass/word"), "green sesame\nonesesame");
  EXPECT_THAT(Exec("env", "grep ' /pass ' /proc/mounts"), HasSubstr("tmpfs"));
  cluster_.Put<k8s::v1::ConfigMap>(
      "metadata: {name: conf, namespace: default}\ndata: {color: blue, file: two}\n");
  EXPECT_TRUE(Eventually([&] { return Exec("env", "cat /conf/file") == "two"; }));
}

TEST_F(ClusterTest, PodWaitsForItsConfigMapAndStartsOnceItExists) {
  JoinCluster();
  cluster_.PutPod("waits",
                  "  volumes: [{name: v, configMap: {name: later}}]\n  containers:\n  - name: c\n"
                  "    image: docker.io/library/busybox:1.36\n    command: [sleep, '1000']\n"
                  "    volumeMounts: [{name: v, mountPath: /v}]\n");
  ASSERT_TRUE(Eventually([&] {
    return agent_.Nodectl({"events"}).find("configmap \"later\" not found") != std::string::npos;
  })) << agent_.Log();
  cluster_.Put<k8s::v1::ConfigMap>("metadata: {name: later, namespace: default}\ndata: {a: b}\n");
  EXPECT_TRUE(Reaches("waits", "Running"));
}

TEST_F(ClusterTest, PodGetsATokenOfItsServiceAccount) {
  JoinCluster();
  cluster_.Put<k8s::v1::ServiceAccount>("metadata: {name: robot, namespace: default}\n");
  cluster_.PutPod(
      "token",
      "  serviceAccountName: robot\n  volumes:\n  - name: t\n    projected:\n      sources:\n"
      "      - serviceAccountToken: {path: token, expirationSeconds: 3600}\n"
      "  containers:\n  - name: c\n    image: docker.io/library/busybox:1.36\n"
      "    command: [sleep, '1000']\n    volumeMounts: [{name: t, mountPath: /t}]\n");
  ASSERT_TRUE(Reaches("token", "Running")) << agent_.Log();
  EXPECT_NE(Exec("token", "cat /t/token"), "");
}

TEST_F(ClusterTest, EventsReachTheServer) {
  JoinCluster();
  cluster_.PutPod("web", kShell);
  ASSERT_TRUE(Reaches("web", "Running"));
  auto told = [&](const std::string& reason) {
    return [&, reason] {
      for (const auto& event : cluster_.All<k8s::events::v1::Event>())
        if (event->reason() == reason && event->regarding().name() == "web") return true;
      return false;
    };
  };
  for (const char* reason : {"Pulled", "Created", "Started"})
    EXPECT_TRUE(Eventually(told(reason))) << reason;
}

TEST_F(ClusterTest, OutageEndsNothingAndIsMadeUpForAfterwards) {
  JoinCluster();
  cluster_.PutPod("calm", kShell);
  cluster_.PutPod("killed", kShell);
  ASSERT_TRUE(IsReady("calm") && IsReady("killed"));
  const std::string calm = FindContainer("calm", "c").id;
  cluster_.SetReachable(false);
  const Found first = FindContainer("killed", "c");
  ASSERT_EQ(::kill(TheContainerd().Pid(first.id), SIGKILL), 0);
  ASSERT_TRUE(Eventually([&] {
    const Found now = FindContainer("killed", "c");
    return now.running && now.id != first.id;
  }));
  cluster_.SetReachable(true);
  EXPECT_TRUE(Eventually([&] {
    const auto status = StatusOf("killed");
    return status.containerstatuses_size() == 1 &&
           status.containerstatuses(0).restartcount() == 1 && status.containerstatuses(0).ready();
  })) << agent_.Log();
  EXPECT_EQ(FindContainer("calm", "c").id, calm);
  EXPECT_EQ(StatusOf("calm").containerstatuses(0).restartcount(), 0);
}

TEST_F(ClusterTest, AgentThatStartsAgainDisturbsNothing) {
  JoinCluster();
  cluster_.PutPod("web", kShell);
  ASSERT_TRUE(IsReady("web"));
  const std::string id = FindContainer("web", "c").id;
  const std::string before = StatusOf("web").SerializeAsString();
  agent_.Kill();
  agent_.Start();
  cluster_.PutPod("next", kShell);
  ASSERT_TRUE(IsReady("next"));
  EXPECT_EQ(FindContainer("web", "c").id, id);
  EXPECT_EQ(StatusOf("web").SerializeAsString(), before);
}

TEST_F(ClusterTest, PodDeletedWhileTheAgentIsAwayGoesWhenItReturns) {
  JoinCluster();
  cluster_.PutPod("web", kShell);
  ASSERT_TRUE(IsReady("web"));
  agent_.Kill();
  cluster_.DeletePod("web");
  agent_.Start();
  EXPECT_TRUE(Eventually([&] { return cluster_.Find<Pod>("default", "web") == nullptr; }))
      << agent_.Log();
  EXPECT_EQ(SandboxCount("web"), 0);
}

TEST_F(ClusterTest, AtRestThereAreOnlyLeaseRenewals) {
  JoinCluster();
  cluster_.PutPod("web", kShell);
  ASSERT_TRUE(IsReady("web"));
  // The last event and status are on their way; then two renewals pass.
  auto only_leases = [&] {
    cluster_.TakeRequests();
    std::vector<std::string> all;
    Eventually([&] {
      for (auto& request : cluster_.TakeRequests()) all.push_back(std::move(request));
      return all.size() >= 2;
    });
    return std::all_of(all.begin(), all.end(), [](const std::string& request) {
      return request.find("/leases/klnode") != std::string::npos;
    });
  };
  EXPECT_TRUE(Eventually(only_leases));
}

}  // namespace
}  // namespace keelson::integration
