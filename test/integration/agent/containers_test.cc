// SPDX-License-Identifier: Apache-2.0
// Containers of a pod: order, restarts, and what the manifest says about each.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>

#include "test/integration/agent/pod_test.h"

namespace keelson::integration {
namespace {

namespace rt = runtime::v1;
using namespace std::chrono_literals;
using testing::HasSubstr;

using ContainersTest = PodTest;

TEST_F(ContainersTest, InitContainersRunOneAfterAnotherBeforeTheRest) {
  Put("ordered",
      "  volumes: [{name: v, emptyDir: {}}]\n"
      "  initContainers:\n"
      "  - {name: one, image: docker.io/library/busybox:1.36, command: [/bin/sh, -c, 'echo one >> /v/f'],\n"
      "     volumeMounts: [{name: v, mountPath: /v}]}\n"
      "  - {name: two, image: docker.io/library/busybox:1.36, command: [/bin/sh, -c, 'echo two >> /v/f'],\n"
      "     volumeMounts: [{name: v, mountPath: /v}]}\n"
      "  containers:\n"
      "  - {name: c, image: docker.io/library/busybox:1.36, command: [/bin/sh, -c, 'cat /v/f; sleep 1000'],\n"
      "     volumeMounts: [{name: v, mountPath: /v}]}\n");
  ASSERT_TRUE(Runs("ordered"));
  EXPECT_EQ(Said("ordered"), "one\ntwo\n");
}

TEST_F(ContainersTest, SidecarStartsFirstAndEndsLast) {
  Put("sided",
      "  volumes: [{name: v, hostPath: {path: " + agent_.dir() + "}}]\n"
      "  initContainers:\n"
      "  - {name: side, image: docker.io/library/busybox:1.36, restartPolicy: Always,\n"
      "     command: [/bin/sh, -c, 'echo side up >> /v/order; trap \"echo side down >> /v/order; exit\" TERM;"
      " while true; do sleep 0.1; done'], volumeMounts: [{name: v, mountPath: /v}]}\n"
      "  containers:\n"
      "  - {name: c, image: docker.io/library/busybox:1.36,\n"
      "     command: [/bin/sh, -c, 'echo main up >> /v/order; trap \"echo main down >> /v/order; exit\" TERM;"
      " while true; do sleep 0.1; done'], volumeMounts: [{name: v, mountPath: /v}]}\n");
  ASSERT_TRUE(Runs("sided"));
  EXPECT_TRUE(Shows("2/2"));
  ASSERT_TRUE(Eventually([&] { return RunCommand({"cat", agent_.dir() + "/order"}).output.find("main up") != std::string::npos; }));
  agent_.Remove("sided.yaml");
  EXPECT_TRUE(Eventually([&] { return SandboxCount("sided") == 0; }));
  EXPECT_EQ(RunCommand({"cat", agent_.dir() + "/order"}).output,
            "side up\nmain up\nmain down\nside down\n");
}

TEST_F(ContainersTest, KilledContainerIsReplacedInTheSameSandbox) {
  PutShell("killed", "true");
  ASSERT_TRUE(Runs("killed"));
  const Found first = FindContainer("killed", "c");
  ASSERT_EQ(::kill(TheContainerd().Pid(first.id), SIGKILL), 0);
  EXPECT_TRUE(Eventually([&] {
    const Found now = FindContainer("killed", "c");
    return now.running && now.id != first.id;
  }));
  const Found second = FindContainer("killed", "c");
  EXPECT_EQ(second.attempt, 1u);
  EXPECT_EQ(second.sandbox_id, first.sandbox_id);
}

TEST_F(ContainersTest, CrashingContainerWaitsLongerEachTime) {
  Put("crashing", "  containers: [{name: c, image: docker.io/keelson/testserver:1, args: [exit, \"5\"]}]\n");
  EXPECT_TRUE(Shows("CrashLoopBackOff"));
  EXPECT_THAT(agent_.Nodectl({"describe", "pod", "crashing-klnode"}), HasSubstr("5"));
}

TEST_F(ContainersTest, RestartPolicyNeverEndsInSucceededOrFailed) {
  Put("good", "  restartPolicy: Never\n"
              "  containers: [{name: c, image: docker.io/keelson/testserver:1, args: [exit, \"0\"]}]\n");
  Put("bad", "  restartPolicy: Never\n"
             "  containers: [{name: c, image: docker.io/keelson/testserver:1, args: [exit, \"5\"]}]\n");
  EXPECT_TRUE(Shows("Completed"));
  EXPECT_TRUE(Shows("Error"));
  EXPECT_EQ(FindContainer("good", "c").attempt, 0u);
  EXPECT_EQ(FindContainer("bad", "c").attempt, 0u);
}

TEST_F(ContainersTest, OnFailureRestartsOnlyFailures) {
  Put("trying",
      "  restartPolicy: OnFailure\n  volumes: [{name: v, emptyDir: {}}]\n"
      "  containers: [{name: c, image: docker.io/library/busybox:1.36,\n"
      "    command: [/bin/sh, -c, 'if [ -e /v/f ]; then exit 0; fi; touch /v/f; exit 1'],\n"
      "    volumeMounts: [{name: v, mountPath: /v}]}]\n");
  EXPECT_TRUE(Shows("Completed"));
  EXPECT_EQ(FindContainer("trying", "c").attempt, 1u);
}

TEST_F(ContainersTest, ImageThatMayNotBePulledIsSaidSo) {
  Put("absent", "  containers: [{name: c, image: 'docker.io/keelson/absent:1', imagePullPolicy: Never}]\n");
  EXPECT_TRUE(Shows("ErrImageNeverPull"));
}

TEST_F(ContainersTest, MissingEntrypointIsAnErrorOfTheStart) {
  Put("nofile", "  containers: [{name: c, image: 'docker.io/keelson/no-such-entrypoint:1'}]\n");
  EXPECT_TRUE(Shows("RunContainerError") || Shows("CrashLoopBackOff"));
  EXPECT_THAT(agent_.Nodectl({"describe", "pod", "nofile-klnode"}), HasSubstr("/no/such/program"));
}

TEST_F(ContainersTest, ImageSaysWhatTheManifestDoesNot) {
  Put("image", "  restartPolicy: Never\n  containers: [{name: c, image: 'docker.io/keelson/full:1'}]\n");
  Put("both", "  restartPolicy: Never\n"
              "  containers: [{name: c, image: 'docker.io/keelson/full:1', args: [from, manifest]}]\n");
  EXPECT_EQ(Said("image"), "entrypoint command\n");
  EXPECT_EQ(Said("both"), "entrypoint from manifest\n");
}

TEST_F(ContainersTest, EnvironmentArgumentsAndWorkingDirectory) {
  Put("env",
      "  containers:\n  - name: c\n    image: docker.io/keelson/full:1\n    workingDir: /tmp\n"
      "    command: [/bin/sh, -c, 'echo $0 $FROM_IMAGE $BOTH $COMBINED; pwd; sleep 1000', '$(A)-$$(A)-$(NONE)']\n"
      "    env: [{name: A, value: a}, {name: BOTH, value: manifest}, {name: COMBINED, value: 'x$(A)'},\n"
      "          {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]\n");
  ASSERT_TRUE(Runs("env"));
  EXPECT_EQ(Said("env"), "a-$(A)-$(NONE) yes manifest xa\n/tmp\n");
  EXPECT_EQ(Exec("env", "echo $NODE"), "klnode\n");
}

TEST_F(ContainersTest, UserOfImageAndOfManifest) {
  Put("number", "  containers: [{name: c, image: 'docker.io/keelson/user-number:1', command: [sleep, '1000']}]\n");
  Put("name", "  containers: [{name: c, image: 'docker.io/keelson/user-name:1', command: [sleep, '1000']}]\n");
  Put("mine", "  securityContext: {runAsUser: 7, runAsGroup: 8, supplementalGroups: [9], fsGroup: 10}\n"
              "  containers: [{name: c, image: 'docker.io/library/busybox:1.36', command: [sleep, '1000']}]\n");
  ASSERT_TRUE(Runs("number") && Runs("name") && Runs("mine"));
  EXPECT_EQ(Exec("number", "id -u"), "1000\n");
  EXPECT_EQ(Exec("name", "id -u"), "1234\n");
  EXPECT_THAT(Exec("mine", "id -u; id -g; id -G"), testing::StartsWith("7\n8\n"));
  EXPECT_THAT(Exec("mine", "id -G"), HasSubstr("9 10"));
}

TEST_F(ContainersTest, NonRootIsRefusedToRootImages) {
  Put("refused", "  securityContext: {runAsNonRoot: true}\n"
                 "  containers: [{name: c, image: 'docker.io/library/busybox:1.36', command: [sleep, '1000']}]\n");
  EXPECT_TRUE(Shows("CreateContainerConfigError"));
}

TEST_F(ContainersTest, NamespacesAreSharedAsAsked) {
  PutShell("host", "true", "  hostNetwork: true\n  hostPID: true\n  hostIPC: true\n");
  PutShell("own", "true");
  ASSERT_TRUE(Runs("host") && Runs("own"));
  for (const char* ns : {"net", "pid", "ipc"}) {
    const std::string link = std::string("/proc/self/ns/") + ns;
    const std::string ours = RunCommand({"readlink", link}).output;
    EXPECT_EQ(Exec("host", "readlink " + link), ours) << ns;
    EXPECT_NE(Exec("own", "readlink " + link), ours) << ns;
  }
}

TEST_F(ContainersTest, SharedProcessNamespaceShowsTheNeighbour) {
  Put("sharing",
      "  shareProcessNamespace: true\n  containers:\n"
      "  - {name: c, image: 'docker.io/library/busybox:1.36', command: [sleep, '1000']}\n"
      "  - {name: d, image: 'docker.io/library/busybox:1.36', command: [sleep, '2000']}\n");
  ASSERT_TRUE(Runs("sharing", "c") && Runs("sharing", "d"));
  EXPECT_THAT(Exec("sharing", "ps"), HasSubstr("sleep 2000"));
}

TEST_F(ContainersTest, ReadOnlyMountsAreSoAllTheWayDownWhereTheRuntimeCan) {
  Put("deep",
      "  volumes: [{name: v, hostPath: {path: /dev}}]\n"
      "  containers:\n"
      "  - {name: c, image: docker.io/library/busybox:1.36,\n"
      "     command: [/bin/sh, -c, 'touch /v/shm/kl-deep 2>/dev/null && echo written || echo refused;\n"
      "      sleep 1000'],\n"
      "     volumeMounts: [{name: v, mountPath: /v, readOnly: true, recursiveReadOnly: Enabled}]}\n");
  if (TheContainerd().is_2x()) {
    ASSERT_TRUE(Runs("deep"));
    EXPECT_TRUE(Eventually([&] { return Said("deep").ends_with("refused\n"); })) << Said("deep");
  } else {
    EXPECT_TRUE(Shows("CreateContainerConfigError"));
  }
}

TEST_F(ContainersTest, HostPathAndReadOnlyMountsHold) {
  std::ofstream(agent_.dir() + "/given") << "from the host\n";
  Put("mounts",
      "  volumes: [{name: h, hostPath: {path: " + agent_.dir() + "}}, {name: e, emptyDir: {medium: Memory}}]\n"
      "  containers: [{name: c, image: 'docker.io/library/busybox:1.36', command: [sleep, '1000'],\n"
      "    volumeMounts: [{name: h, mountPath: /h, readOnly: true}, {name: e, mountPath: /e}]}]\n");
  ASSERT_TRUE(Runs("mounts"));
  EXPECT_EQ(Exec("mounts", "cat /h/given"), "from the host\n");
  EXPECT_THAT(Exec("mounts", "touch /h/x"), HasSubstr("Read-only"));
  EXPECT_THAT(Exec("mounts", "grep \" /e \" /proc/mounts"), HasSubstr("tmpfs"));
}

}  // namespace
}  // namespace keelson::integration
