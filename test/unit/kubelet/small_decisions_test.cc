// SPDX-License-Identifier: Apache-2.0
// Back-off, admission and the runtime's answers as plain data.
#include <gtest/gtest.h>

#include "base/files.h"
#include "kubelet/admission.h"
#include "kubelet/backoff.h"
#include "kubelet/resources.h"
#include "kubelet/runtime_view.h"
#include "test/unit/kubelet/scene.h"

namespace keelson::kubelet {
namespace {

using std::chrono::seconds;

// A container that ends at once each time it is started, from a quiet start.
TEST(Backoff, DelaysDoubleUpToTheMaximum) {
  BackoffTable table(seconds(10), seconds(300), seconds(600));
  base::MonoTime now(std::chrono::hours(1));
  std::vector<int64_t> waits;
  for (int i = 0; i < 9; ++i) {
    base::Nanos left = table.Remaining("c", now, now);
    waits.push_back(std::chrono::duration_cast<seconds>(left).count());
    now += left;
    table.Next("c", now - left, now);
  }
  EXPECT_EQ(waits, (std::vector<int64_t>{0, 10, 20, 40, 80, 160, 300, 300, 300}));
}

TEST(Backoff, CountsFromTheEndOfTheContainer) {
  BackoffTable table(seconds(10), seconds(300));
  base::MonoTime end(std::chrono::hours(1));
  table.Next("c", end, end);
  EXPECT_EQ(table.Remaining("c", end, end + seconds(4)), seconds(6));
  EXPECT_EQ(table.Remaining("c", end, end + seconds(40)), seconds(0));
  EXPECT_EQ(table.Delay("c"), seconds(10));
  EXPECT_EQ(table.Remaining("other", end, end), seconds(0));
}

TEST(Backoff, ALongRunBeginsAnewWhateverTheMaximumIs) {
  BackoffTable table(seconds(10), seconds(30), seconds(600));
  base::MonoTime now(std::chrono::hours(1));
  for (int i = 0; i < 5; ++i) table.Next("c", now, now);
  EXPECT_EQ(table.Delay("c"), seconds(30));
  EXPECT_EQ(table.Remaining("c", now + seconds(599), now + seconds(599)), seconds(30))
      << "600 s, not twice the maximum";
  EXPECT_EQ(table.Remaining("c", now + seconds(601), now + seconds(601)), seconds(0));
  table.Next("c", now + seconds(601), now + seconds(601));
  EXPECT_EQ(table.Delay("c"), seconds(10));
}

TEST(Backoff, ResetAndPruneForget) {
  BackoffTable table(seconds(10), seconds(300));
  base::MonoTime now(std::chrono::hours(1));
  table.Next("a", now, now);
  table.Next("b", now, now);
  table.Reset("a");
  EXPECT_EQ(table.Delay("a"), seconds(0));
  table.Prune(now + seconds(600));
  EXPECT_EQ(table.size(), 1u);
  table.Prune(now + seconds(601));
  EXPECT_EQ(table.size(), 0u);
}

struct AdmissionRow {
  const char* what;
  const char* pod;
  std::vector<const char*> others;
  const char* expected;  // REASON: MESSAGE, or nothing
};

TEST(Admission, FirstReasonDecides) {
  constexpr char kHalf[] = "{containers: [{name: c, resources: {requests: {cpu: 500m}}}]}";
  constexpr char kOne[] = "{containers: [{name: c, resources: {requests: {cpu: 1, memory: 1Gi}}}]}";
  constexpr char kPort[] = "{containers: [{name: c, ports: [{containerPort: 1, hostPort: 80}]}]}";
  constexpr char kPortAt[] =
      "{containers: [{name: c, ports: [{containerPort: 1, hostPort: 80, hostIP: 192.0.2.1}]}]}";
  constexpr char kPortElsewhere[] =
      "{containers: [{name: c, ports: [{containerPort: 1, hostPort: 80, hostIP: 192.0.2.2}]}]}";
  constexpr char kUdp[] =
      "{containers: [{name: c, ports: [{containerPort: 1, hostPort: 80, protocol: UDP}]}]}";
  constexpr char kInitPort[] =
      "{initContainers: [{name: i, ports: [{containerPort: 1, hostPort: 80}]}],"
      " containers: [{name: c}]}";
  constexpr char kSidecarPort[] =
      "{initContainers: [{name: i, restartPolicy: Always, ports: [{containerPort: 1,"
      " hostPort: 80}]}], containers: [{name: c}]}";
  constexpr char kClash[] =
      "NodePorts: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod "
      "ports";
  const AdmissionRow rows[] = {
      {"fits", kOne, {kHalf}, ""},
      {"fits exactly", kOne, {kOne}, ""},
      {"no cpu", kOne, {kOne, kHalf},
       "OutOfcpu: Node didn't have enough resource: cpu, requested: 1000, used: 1500, capacity: 2000"},
      {"no memory", "{containers: [{name: c, resources: {requests: {memory: 3Gi}}}]}", {kOne},
       "OutOfmemory: Node didn't have enough resource: memory, requested: 3221225472, used: "
       "1073741824, capacity: 3221225472"},
      {"wants nothing, even when the node is full", "{containers: [{name: c}]}", {kOne, kOne}, ""},
      {"too many", "{containers: [{name: c}]}", {kHalf, kHalf, kHalf},
       "OutOfpods: Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3"},
      {"too many comes before no cpu", kOne, {kHalf, kHalf, kOne},
       "OutOfpods: Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3"},
      {"same port", kPort, {kPort}, kClash},
      {"all addresses against one", kPortAt, {kPort}, kClash},
      {"one address against all", kPort, {kPortAt}, kClash},
      {"two addresses", kPortAt, {kPortElsewhere}, ""},
      {"two protocols", kPort, {kUdp}, ""},
      {"a sidecar's port", kPort, {kSidecarPort}, kClash},
      {"an init container's port", kPort, {kInitPort}, ""},
  };
  Admission admission({2000, int64_t{3} << 30, 3});
  for (const AdmissionRow& row : rows) {
    v1::Pod pod = PodOf(row.pod);
    std::vector<v1::Pod> others;
    for (const char* other : row.others) others.push_back(PodOf(other));
    std::vector<const v1::Pod*> pointers;
    for (const v1::Pod& other : others) pointers.push_back(&other);
    auto rejection = admission.Decide(pod, pointers);
    EXPECT_EQ(rejection ? base::StrCat(rejection->reason, ": ", rejection->message) : "",
              row.expected)
        << row.what;
  }
}

TEST(Admission, PodsOfAnotherSystemAreRefusedBeforeAllElse) {
  Admission full({0, 0, 0});
  v1::Pod pod = PodOf("{os: {name: windows}, containers: [{name: c}]}");
  EXPECT_EQ(full.Decide(pod, {})->reason, "PodOSNotSupported");
  EXPECT_EQ(full.Decide(pod, {})->message,
            "Failed to admit pod as the OS field doesn't match node OS");
  pod.mutable_spec()->mutable_os()->set_name("linux");
  EXPECT_EQ(full.Decide(pod, {})->reason, "OutOfpods");
  (*pod.mutable_metadata()->mutable_labels())["kubernetes.io/os"] = "linux";
  EXPECT_EQ(full.Decide(pod, {})->reason, "OutOfpods");
  (*pod.mutable_metadata()->mutable_labels())["kubernetes.io/os"] = "windows";
  EXPECT_EQ(full.Decide(pod, {})->reason, "PodOSSelectorNodeLabelDoesNotMatch");
  EXPECT_EQ(full.Decide(pod, {})->message,
            "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label");
}

TEST(NodeCapacity, ComesFromProc) {
  auto capacity = ReadNodeCapacity();
  ASSERT_TRUE(capacity.ok()) << capacity.status();
  EXPECT_GT(capacity->milli_cpu, 0);
  EXPECT_GT(capacity->memory_bytes, 1 << 20);
  EXPECT_GT(capacity->pids, 0);
  EXPECT_FALSE(ReadNodeCapacity("/nowhere").ok());
}

TEST(NodeCapacity, AppArmorIsThereWhenItsModuleSaysSo) {
  const std::string sys = ::testing::TempDir() + "/apparmor";
  const std::string dir = sys + "/module/apparmor/parameters";
  EXPECT_FALSE(HasAppArmor(sys));
  ASSERT_TRUE(base::MakeDirs(dir, 0755).ok());
  ASSERT_TRUE(base::WriteFileAtomic(dir + "/enabled", "Y\n", 0644, false).ok());
  EXPECT_TRUE(HasAppArmor(sys));
  ASSERT_TRUE(base::WriteFileAtomic(dir + "/enabled", "N\n", 0644, false).ok());
  EXPECT_FALSE(HasAppArmor(sys));
  ASSERT_TRUE(base::RemoveTree(sys).ok());
}

TEST(RuntimeView, NewestComesFirst) {
  ObservedPod pod;
  auto sandbox = [&](const char* id, uint32_t attempt, int64_t created) {
    ObservedSandbox s;
    s.id = id;
    s.attempt = attempt;
    s.created_at = created;
    pod.sandboxes.push_back(s);
  };
  auto container = [&](const char* id, uint32_t count, int64_t created) {
    ObservedContainer c;
    c.id = id;
    c.name = "c";
    c.restart_count = count;
    c.created_at = created;
    pod.containers.push_back(c);
  };
  sandbox("old", 0, 9);
  sandbox("new", 2, 1);
  sandbox("mid", 2, 0);
  container("first", 0, 5);
  container("same-time", 1, 5);
  container("last", 2, 7);
  SortNewestFirst(pod);
  EXPECT_EQ(pod.sandbox()->id, "new");
  EXPECT_EQ(pod.sandboxes[2].id, "old");
  EXPECT_EQ(pod.Newest("c")->id, "last");
  EXPECT_EQ(pod.containers[1].id, "same-time");
  EXPECT_EQ(pod.Newest("d"), nullptr);
}

TEST(RuntimeView, AnnotationsOfStrangersAreNotTrusted) {
  runtime::v1::ContainerStatus status;
  status.set_state(runtime::v1::CONTAINER_RUNNING);
  (*status.mutable_annotations())["io.kubernetes.container.restartCount"] = "-3";
  EXPECT_EQ(FromCri(status, "s").restart_count, 0u);
  (*status.mutable_annotations())["io.kubernetes.container.restartCount"] = "4294967295";
  EXPECT_EQ(FromCri(status, "s").restart_count, 4294967295u);
  (*status.mutable_annotations())["io.kubernetes.container.restartCount"] = "many";
  EXPECT_EQ(FromCri(status, "s").restart_count, 0u);
}

}  // namespace
}  // namespace keelson::kubelet
