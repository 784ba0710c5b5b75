// SPDX-License-Identifier: Apache-2.0
#include "kubelet/node/node_object.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace keelson::kubelet {
namespace {

namespace fs = std::filesystem;
using k8s::v1::Node;
using k8s::v1::NodeStatus;
using testing::ElementsAre;
using testing::Pair;
using testing::UnorderedElementsAre;

constexpr int64_t kGi = 1 << 30;

base::WallTime At(int64_t seconds) { return base::FromUnixNanos(seconds * 1'000'000'000); }

NodeSettings Settings() {
  NodeSettings s;
  s.name = "worker-1";
  s.hostname = "Worker-1.example";
  s.node_ips = {"192.0.2.7"};
  s.capacity.base = {4000, 8 * kGi, 32768};
  s.capacity.ephemeral_storage = 100 * kGi;
  s.info.set_architecture("amd64");
  s.info.set_bootid("boot-1");
  return s;
}

NodeStatus Status(const NodeSettings& s, const NodeState& state, int64_t now = 100,
                  const NodeStatus& previous = {}) {
  auto status = MakeNodeStatus(s, state, At(now), previous);
  EXPECT_TRUE(status.ok()) << status.status();
  return *status;
}

std::string Condition(const NodeStatus& status, const std::string& type) {
  for (const auto& c : status.conditions())
    if (c.type() == type) return c.status() + "/" + c.reason() + "/" + c.message();
  return "none";
}

TEST(AllocatableTest, IsCapacityWithoutWhatIsReserved) {
  NodeSettings s = Settings();
  s.kube_reserved = {{"cpu", "100m"}, {"memory", "1Gi"}, {"ephemeral-storage", "1Gi"}};
  s.system_reserved = {{"memory", "512Mi"}, {"pid", "1000"}};
  s.eviction_hard = {{"memory.available", "100Mi"}, {"nodefs.available", "10%"},
                     {"imagefs.available", "15%"}};
  EXPECT_THAT(*Allocatable(s),
              UnorderedElementsAre(Pair("cpu", "3900m"), Pair("memory", "6556Mi"),
                                   Pair("pods", "110"), Pair("ephemeral-storage", "89Gi")));
}

TEST(AllocatableTest, HugePagesAreNoMemoryAndNothingIsNegative) {
  NodeSettings s = Settings();
  s.capacity.huge_pages = {{"hugepages-2Mi", kGi}, {"hugepages-1Gi", 0}};
  s.kube_reserved = {{"cpu", "5"}};
  const auto allocatable = *Allocatable(s);
  EXPECT_EQ(allocatable.at("memory"), "7Gi");
  EXPECT_EQ(allocatable.at("hugepages-2Mi"), "1Gi");
  EXPECT_EQ(allocatable.at("hugepages-1Gi"), "0");
  EXPECT_EQ(allocatable.at("cpu"), "0");
}

TEST(AllocatableTest, NamesWhatIsNoQuantity) {
  NodeSettings s = Settings();
  s.eviction_hard = {{"memory.available", "ten%"}};
  EXPECT_THAT(Allocatable(s).status().message(), testing::HasSubstr("ten%"));
}

TEST(NewNodeTest, CarriesLabelsTaintsAndTheAnnotation) {
  NodeSettings s = Settings();
  s.labels = {{"zone", "a"}};
  s.taints.emplace_back().set_key("dedicated");
  s.provider_id = "cloud://7";
  const Node node = *NewNode(s, {}, At(1));
  EXPECT_EQ(node.metadata().name(), "worker-1");
  const auto& labels = node.metadata().labels();
  EXPECT_EQ(labels.at("kubernetes.io/hostname"), "Worker-1.example");
  EXPECT_EQ(labels.at("kubernetes.io/arch"), "amd64");
  EXPECT_EQ(labels.at("beta.kubernetes.io/os"), "linux");
  EXPECT_EQ(labels.at("zone"), "a");
  EXPECT_EQ(node.metadata().annotations().at(
                "volumes.kubernetes.io/controller-managed-attach-detach"),
            "true");
  EXPECT_EQ(node.spec().taints(0).key(), "dedicated");
  EXPECT_EQ(node.spec().providerid(), "cloud://7");
  EXPECT_EQ(node.status().addresses_size(), 2);
}

TEST(NewNodeTest, AnExternalCloudInitializesTheNode) {
  NodeSettings s = Settings();
  s.external_cloud = s.node_ip_given = true;
  const Node node = *NewNode(s, {}, At(1));
  EXPECT_EQ(node.spec().taints(0).key(), "node.cloudprovider.kubernetes.io/uninitialized");
  EXPECT_EQ(node.spec().taints(0).effect(), "NoSchedule");
  EXPECT_EQ(node.metadata().annotations().at("alpha.kubernetes.io/provided-node-ip"), "192.0.2.7");
  EXPECT_EQ(node.status().addresses(0).address(), "192.0.2.7");
  NodeStatus of_cloud;
  of_cloud.add_addresses()->set_address("198.51.100.1");
  EXPECT_EQ(Status(s, {}, 100, of_cloud).addresses(0).address(), "198.51.100.1");
  NodeState moved;
  moved.node_ips = {"192.0.2.99"};
  EXPECT_EQ(Status(s, moved, 100, of_cloud).addresses(0).address(), "198.51.100.1");
  s.external_cloud = false;
  EXPECT_EQ(Status(s, moved, 100, of_cloud).addresses(0).address(), "192.0.2.99");
}

TEST(ReconciledTest, AddsWhatIsMissingAndKeepsWhatOthersWrote) {
  Node existing;
  (*existing.mutable_metadata()->mutable_labels())["kubernetes.io/os"] = "plan9";
  (*existing.mutable_metadata()->mutable_labels())["theirs"] = "x";
  existing.mutable_spec()->set_unschedulable(true);
  const Node node = Reconciled(Settings(), existing);
  EXPECT_EQ(node.metadata().labels().at("kubernetes.io/os"), "linux");
  EXPECT_EQ(node.metadata().labels().at("theirs"), "x");
  EXPECT_TRUE(node.spec().unschedulable());
}

TEST(NodeStatusTest, ConditionsHaveUpstreamsWords) {
  const NodeStatus fine = Status(Settings(), {});
  EXPECT_EQ(Condition(fine, "Ready"), "True/KubeletReady/kubelet is posting ready status");
  EXPECT_EQ(Condition(fine, "MemoryPressure"),
            "False/KubeletHasSufficientMemory/kubelet has sufficient memory available");
  NodeState bad;
  bad.disk_pressure = bad.pid_pressure = true;
  bad.problems = {"container runtime is down"};
  const NodeStatus one = Status(Settings(), bad);
  EXPECT_EQ(Condition(one, "Ready"), "False/KubeletNotReady/container runtime is down");
  EXPECT_EQ(Condition(one, "DiskPressure"),
            "True/KubeletHasDiskPressure/kubelet has disk pressure");
  EXPECT_EQ(Condition(one, "PIDPressure"),
            "True/KubeletHasInsufficientPID/kubelet has insufficient PID available");
  bad.problems.push_back("node is shutting down");
  EXPECT_EQ(Condition(Status(Settings(), bad), "Ready"),
            "False/KubeletNotReady/[container runtime is down, node is shutting down]");
}

TEST(NodeStatusTest, TransitionTimesHoldWhileNothingChanges) {
  const NodeStatus first = Status(Settings(), {}, 100);
  const NodeStatus again = Status(Settings(), {}, 200, first);
  EXPECT_EQ(again.conditions(3).lasttransitiontime().seconds(), 100);
  EXPECT_EQ(again.conditions(3).lastheartbeattime().seconds(), 200);
  EXPECT_FALSE(NodeStatusDiffers(first, again));
  NodeStatus served = first;
  served.mutable_nodeinfo()->set_kubeproxyversion("");
  EXPECT_FALSE(NodeStatusDiffers(served, again)) << "an API server writes out what is empty";
  NodeState bad;
  bad.problems = {"x"};
  const NodeStatus worse = Status(Settings(), bad, 300, again);
  EXPECT_EQ(worse.conditions(3).lasttransitiontime().seconds(), 300);
  EXPECT_TRUE(NodeStatusDiffers(again, worse));
}

TEST(NodeStatusTest, ConditionsAndVolumesOfOthersStay) {
  NodeStatus previous;
  previous.add_conditions()->set_type("NetworkUnavailable");
  previous.add_volumesattached()->set_name("theirs");
  const NodeStatus status = Status(Settings(), {}, 100, previous);
  EXPECT_EQ(status.conditions(0).type(), "NetworkUnavailable");
  EXPECT_EQ(status.conditions_size(), 5);
  EXPECT_EQ(status.volumesattached_size(), 1);
}

TEST(ImagesToReportTest, LargestFirstWithFiveNamesEach) {
  std::vector<k8s::v1::ContainerImage> images(3);
  for (int i = 0; i < 3; ++i) images[i].set_sizebytes(i);
  for (int i = 0; i < 9; ++i) images[2].add_names("n");
  const auto report = ImagesToReport(images, 2);
  ASSERT_EQ(report.size(), 2u);
  EXPECT_EQ(report[0].sizebytes(), 2);
  EXPECT_EQ(report[0].names_size(), 5);
  EXPECT_EQ(ImagesToReport(images, -1).size(), 3u);
}

TEST(SystemInfoTest, ReadsTheFilesOfTheMachine) {
  std::string dir = fs::temp_directory_path() / "klnode.XXXXXX";
  ASSERT_NE(::mkdtemp(dir.data()), nullptr);
  auto put = [&](const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(dir + path).parent_path());
    std::ofstream(dir + path) << text;
  };
  put("/etc/machine-id", "0123\n");
  put("/proc/sys/kernel/random/boot_id", "b-1\n");
  put("/etc/os-release", "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n");
  put("/proc/meminfo", "MemTotal: 1 kB\nSwapTotal:       2048 kB\n");
  put("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "3\n");
  put("/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "0\n");
  const auto info = ReadSystemInfo(dir);
  EXPECT_EQ(info.machineid(), "0123");
  EXPECT_EQ(info.systemuuid(), "0123");
  EXPECT_EQ(info.bootid(), "b-1");
  EXPECT_EQ(info.osimage(), "Debian GNU/Linux 12");
  EXPECT_EQ(info.swap().capacity(), 2048 * 1024);
  EXPECT_FALSE(info.kernelversion().empty());
  EXPECT_THAT(ReadHugePages(dir),
              UnorderedElementsAre(Pair("hugepages-2Mi", 6 << 20), Pair("hugepages-1Gi", 0)));
  fs::remove_all(dir);
}

}  // namespace
}  // namespace keelson::kubelet
