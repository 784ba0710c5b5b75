// SPDX-License-Identifier: Apache-2.0
// What a manifest says about a container reaches its process: security, resources, hooks, messages.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>

#include "test/integration/agent/pod_test.h"

namespace keelson::integration {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

class SettingsTest : public PodTest {
 protected:
  // A waiting busybox with these lines beside its command.
  void PutWith(const std::string& name, const std::string& more, const std::string& spec = "") {
    Put(name, spec + "  containers:\n  - name: c\n    image: docker.io/library/busybox:1.36\n"
                     "    command: [/bin/sleep, '1000']\n" + more);
    ASSERT_TRUE(Runs(name)) << Describe(name);
  }
  std::string Describe(const std::string& name) {
    return agent_.TryNodectl({"describe", "pod", name + "-klnode"}).output;
  }
  bool Says(const std::string& name, const std::string& text) {
    return Eventually([&] { return Describe(name).find(text) != std::string::npos; });
  }
  // "Key:\tvalue" of the first process.
  std::string Process(const std::string& pod, const std::string& key) {
    return Exec(pod, "grep ^" + key + ": /proc/1/status | cut -f2");
  }
  // A file of the container's own cgroup, read on the host.
  std::string OwnGroup(const std::string& pod, const std::string& controller, const std::string& file) {
    const std::string top = "/sys/fs/cgroup/" + controller + agent_.cgroup();
    const std::string id = FindContainer(pod, "c").id;
    for (const auto& path : PathsBelow(top))
      if (path.filename() == id) return ReadAll(path / file);
    return "no group " + id + " below " + top;
  }
};

TEST_F(SettingsTest, CapabilitiesAreDroppedAndAdded) {
  PutWith("caps", "    securityContext: {capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}\n");
  PutWith("default", "");
  EXPECT_EQ(Process("caps", "CapEff"), "0000000000000400\n");
  EXPECT_NE(Process("default", "CapEff"), "0000000000000400\n");
  EXPECT_THAT(Process("default", "CapEff"), HasSubstr("a80425fb"));
}

TEST_F(SettingsTest, EscalationSeccompAndRootFileSystem) {
  PutWith("tight", "    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true,\n"
                   "      seccompProfile: {type: RuntimeDefault}}\n");
  PutWith("loose", "");
  EXPECT_EQ(Process("tight", "NoNewPrivs"), "1\n");
  EXPECT_EQ(Process("loose", "NoNewPrivs"), "0\n");
  EXPECT_EQ(Process("tight", "Seccomp"), "2\n");
  EXPECT_EQ(Process("loose", "Seccomp"), "0\n");
  EXPECT_THAT(Exec("tight", "touch /x"), HasSubstr("Read-only file system"));
  EXPECT_EQ(Exec("loose", "touch /x"), "");
}

TEST_F(SettingsTest, AProfileOfAppArmorIsRefusedWhereThereIsNone) {
  if (fs::exists("/sys/module/apparmor/parameters/enabled")) GTEST_SKIP() << "AppArmor is here";
  Put("profiled", "  containers:\n  - name: c\n    image: docker.io/library/busybox:1.36\n"
                  "    securityContext: {appArmorProfile: {type: RuntimeDefault}}\n");
  EXPECT_TRUE(Says("profiled", "Cannot enforce AppArmor: AppArmor is not enabled on the host"))
      << Describe("profiled");
}

TEST_F(SettingsTest, ResourcesAreThoseOfTheContainersGroup) {
  PutWith("limited",
          "    resources: {requests: {cpu: 100m, memory: 16Mi}, limits: {cpu: 200m, memory: 32Mi}}\n");
  if (fs::exists("/sys/fs/cgroup/cgroup.controllers")) GTEST_SKIP() << "the numbers are v1's";
  EXPECT_EQ(OwnGroup("limited", "memory", "memory.limit_in_bytes"), std::to_string(32 << 20) + "\n");
  EXPECT_EQ(OwnGroup("limited", "cpu", "cpu.shares"), "102\n");
  EXPECT_EQ(OwnGroup("limited", "cpu", "cpu.cfs_quota_us"), "20000\n");
  EXPECT_EQ(OwnGroup("limited", "cpu", "cpu.cfs_period_us"), "100000\n");
  const int pid = TheContainerd().Pid(FindContainer("limited", "c").id);
  EXPECT_GT(std::stoi(ReadAll("/proc/" + std::to_string(pid) + "/oom_score_adj")), 2);
}

TEST_F(SettingsTest, NamesAndNameServersOfThePod) {
  PutWith("named", "", "  hostAliases: [{ip: 10.1.2.3, hostnames: [alias.test]}]\n  dnsPolicy: None\n"
                       "  dnsConfig: {nameservers: [192.0.2.53], searches: [one.test],\n"
                       "    options: [{name: ndots, value: '3'}]}\n");
  EXPECT_EQ(Exec("named", "hostname"), "named-klnode\n");
  const std::string hosts = Exec("named", "cat /etc/hosts");
  EXPECT_THAT(hosts, ContainsRegex("10.1.2.3[ \t]+alias.test"));
  EXPECT_THAT(hosts, HasSubstr(TheContainerd().SandboxIp(FindContainer("named", "c").sandbox_id)));
  EXPECT_THAT(Exec("named", "cat /etc/resolv.conf"),
              AllOf(HasSubstr("nameserver 192.0.2.53\n"), HasSubstr("search one.test\n"),
                    HasSubstr("options ndots:3\n")));
}

TEST_F(SettingsTest, HooksRunAfterTheStartAndBeforeTheEnd) {
  Put("hooked",
      "  volumes: [{name: v, hostPath: {path: " + agent_.dir() + "}}]\n"
      "  containers:\n  - name: c\n    image: docker.io/library/busybox:1.36\n"
      "    command: [/bin/sh, -c, 'trap \"echo term >> /v/hooks; exit\" TERM; while true; do sleep 0.05; done']\n"
      "    volumeMounts: [{name: v, mountPath: /v}]\n"
      "    lifecycle:\n"
      "      postStart: {exec: {command: [/bin/sh, -c, 'echo start >> /v/hooks']}}\n"
      "      preStop: {exec: {command: [/bin/sh, -c, 'echo stop >> /v/hooks']}}\n");
  ASSERT_TRUE(Eventually([&] { return ReadAll(agent_.dir() + "/hooks") == "start\n"; }));
  agent_.Remove("hooked.yaml");
  EXPECT_TRUE(Eventually([&] { return SandboxCount("hooked") == 0; }));
  EXPECT_EQ(ReadAll(agent_.dir() + "/hooks"), "start\nstop\nterm\n");
}

TEST_F(SettingsTest, LastWordsOfAContainerAreInItsStatus) {
  Put("last", "  restartPolicy: Never\n  containers:\n  - name: c\n    image: docker.io/library/busybox:1.36\n"
              "    command: [/bin/sh, -c, 'echo -n why it ended > /dev/termination-log; exit 9']\n");
  EXPECT_TRUE(Shows("Error"));
  EXPECT_THAT(Describe("last"), AllOf(ContainsRegex("Exit Code: +9"), HasSubstr("why it ended")));
}

TEST_F(SettingsTest, CrashingContainerWaitsTenSecondsThenTwenty) {
  Put("crashing", "  containers: [{name: c, image: docker.io/keelson/testserver:1, args: [exit, \"5\"]}]\n");
  EXPECT_TRUE(Says("crashing", "back-off 10s restarting failed container"));
  const unsigned before = FindContainer("crashing", "c").attempt;
  EXPECT_TRUE(Says("crashing", "back-off 20s restarting failed container"));
  EXPECT_EQ(FindContainer("crashing", "c").attempt, before + 1);
}

TEST_F(SettingsTest, FailedInitContainerHoldsBackTheRest) {
  Put("held",
      "  restartPolicy: Never\n"
      "  initContainers: [{name: i, image: docker.io/keelson/testserver:1, args: [exit, \"6\"]}]\n"
      "  containers: [{name: c, image: docker.io/keelson/testserver:1, args: [wait]}]\n");
  EXPECT_TRUE(Shows("Init:Error"));
  EXPECT_EQ(FindContainer("held", "c").id, "");
}

TEST_F(SettingsTest, SidecarIsRestartedAndEndsWhenThePodIsDone) {
  Put("sided",
      "  restartPolicy: Never\n  initContainers:\n"
      "  - {name: side, image: docker.io/keelson/testserver:1, args: [wait], restartPolicy: Always}\n"
      "  containers:\n  - {name: c, image: docker.io/library/busybox:1.36,\n"
      "     command: [/bin/sh, -c, 'while [ ! -e /end ]; do sleep 0.05; done']}\n");
  ASSERT_TRUE(Runs("sided"));
  const Found first = FindContainer("sided", "side");
  ASSERT_TRUE(first.running);
  const std::string main_id = FindContainer("sided", "c").id;
  ASSERT_EQ(::kill(TheContainerd().Pid(first.id), SIGKILL), 0);
  EXPECT_TRUE(Eventually([&] {
    const Found now = FindContainer("sided", "side");
    return now.running && now.id != first.id;
  }));
  EXPECT_EQ(FindContainer("sided", "c").id, main_id);
  Exec("sided", "touch /end");
  EXPECT_TRUE(Shows("Completed"));
  EXPECT_TRUE(Eventually([&] { return !IsRunning("sided", "side"); }));
}

TEST_F(SettingsTest, LogIsAlsoFoundByTheNameOfTheContainer) {
  PutShell("linked", "echo found me");
  ASSERT_TRUE(Runs("linked"));
  const std::string link = agent_.log_links() + "/linked-klnode_default_c-" + FindContainer("linked", "c").id + ".log";
  EXPECT_TRUE(Eventually([&] { return ReadAll(link).find("stdout F found me") != std::string::npos; }));
  agent_.Remove("linked.yaml");
  EXPECT_TRUE(Eventually([&] { return !fs::exists(fs::symlink_status(link)); }));
}

TEST(PidsTest, PodsHaveTheirLimitOfProcesses) {
  Agent agent({.config = "podPidsLimit: 77\n"});
  agent.Start();
  agent.Put("few.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: few}\nspec:\n  terminationGracePeriodSeconds: 0\n"
                        "  containers: [{name: c, image: docker.io/keelson/testserver:1, args: [wait]}]\n");
  ASSERT_TRUE(Eventually([] { return IsRunning("few", "c"); }));
  if (fs::exists("/sys/fs/cgroup/cgroup.controllers")) GTEST_SKIP() << "the paths are v1's";
  const std::string besteffort = "/sys/fs/cgroup/pids" + agent.cgroup() + "/kubepods/besteffort";
  std::string limit;
  for (const auto& entry : fs::directory_iterator(besteffort))
    if (entry.path().filename().string().starts_with("pod")) limit = ReadAll(entry.path() / "pids.max");
  EXPECT_EQ(limit, "77\n");
}

}  // namespace
}  // namespace keelson::integration
