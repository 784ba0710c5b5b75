// SPDX-License-Identifier: Apache-2.0
// QoS classes, what pods ask for, and the cgroup numbers made of it.
#include "kubelet/resources.h"

#include <gtest/gtest.h>

#include "kubelet/pod_config.h"
#include "test/unit/kubelet/scene.h"

namespace keelson::kubelet {
namespace {

// A container with these requests and limits, in YAML.
std::string C(const std::string& requests, const std::string& limits) {
  return "{name: c, resources: {requests: {" + requests + "}, limits: {" + limits + "}}}";
}
std::string Containers(const std::string& list) { return "{containers: [" + list + "]}"; }

TEST(Qos, EveryContainerCountsAndOnlyCpuAndMemoryDo) {
  struct Row {
    std::string spec;
    std::string_view expected;
  };
  const std::string full = C("", "cpu: 1, memory: 1Gi");
  const Row rows[] = {
      {Containers(C("", "")), "BestEffort"},
      {Containers(C("ephemeral-storage: 1Gi", "")), "BestEffort"},
      {Containers(C("hugepages-2Mi: 2Mi", "hugepages-2Mi: 2Mi")), "BestEffort"},
      {Containers(C("cpu: 0, memory: 0", "cpu: 0")), "BestEffort"},
      {Containers(full), "Guaranteed"},
      {Containers(full + ", " + full), "Guaranteed"},
      {Containers(C("cpu: 1000m, memory: 1024Mi", "cpu: 1, memory: 1Gi")), "Guaranteed"},
      {Containers(C("cpu: 0", "cpu: 1, memory: 1Gi")), "Burstable"},
      {Containers(C("cpu: 1", "")), "Burstable"},
      {Containers(C("memory: 1", "")), "Burstable"},
      {Containers(C("", "memory: 1Gi")), "Burstable"},
      {Containers(full + ", " + C("", "")), "Burstable"},
      {"{initContainers: [" + C("memory: 1Mi", "") + "], containers: [{name: d}]}", "Burstable"},
      {"{initContainers: [" + full + "], containers: [" + full + "]}", "Guaranteed"},
      {"{resources: {limits: {cpu: 1}}, containers: [{name: d}]}", "Burstable"},
      {"{resources: {requests: {cpu: 1, memory: 1Gi}, limits: {cpu: 1, memory: 1Gi}},"
       " containers: [" + C("cpu: 500m", "") + "]}", "Guaranteed"},
  };
  for (const Row& row : rows) EXPECT_EQ(QosName(QosOf(PodOf(row.spec))), row.expected) << row.spec;
}

TEST(Requests, TheLargestMomentCounts) {
  constexpr char kTail[] = "containers: [{name: c, resources: {requests: {cpu: 400m}}}]}";
  const std::string small = "{name: i, resources: {requests: {cpu: 300m}}}";
  const std::string large = "{name: i, resources: {requests: {cpu: 500m}}}";
  const std::string sidecar =
      "{name: s, restartPolicy: Always, resources: {requests: {cpu: 200m}}}";
  auto requests = [&](const std::string& inits, const std::string& more = "") {
    return RequestsOf(PodOf("{" + more + "initContainers: [" + inits + "], " + kTail)).milli_cpu;
  };
  EXPECT_EQ(requests(""), 400);
  EXPECT_EQ(requests(small), 400) << "init containers run before";
  EXPECT_EQ(requests(large), 500);
  EXPECT_EQ(requests(sidecar), 600) << "a sidecar runs beside";
  EXPECT_EQ(requests(large + ", " + sidecar), 600) << "the sidecar comes after";
  EXPECT_EQ(requests(sidecar + ", " + large), 700) << "the sidecar runs already";
  EXPECT_EQ(requests(sidecar + ", " + sidecar), 800);
  EXPECT_EQ(requests(large, "overhead: {cpu: 50m}, "), 550);
  EXPECT_EQ(requests(large, "resources: {requests: {cpu: 2}}, overhead: {cpu: 50m}, "), 2050);
}

TEST(PodCgroup, NumbersFollowFromTheLimits) {
  const v1::Pod full = PodOf(Containers(C("", "cpu: 250m, memory: 1Mi, hugepages-2Mi: 4Mi")));
  cgroups::Limits limits = PodCgroupLimits(full, {});
  EXPECT_EQ(limits.cpu_quota_us, 25'000);
  EXPECT_EQ(limits.cpu_period_us, 100'000u);
  EXPECT_EQ(limits.memory_bytes, 1 << 20);
  EXPECT_EQ(limits.hugetlb_bytes.at("2MB"), 4 << 20);
  EXPECT_FALSE(limits.pids_max);
  CfsOptions off;
  off.enforce_quota = false;
  EXPECT_EQ(PodCgroupLimits(full, off).cpu_quota_us, -1) << "a quota set before is lifted";
  CfsOptions period;
  period.period_us = 10'000;
  EXPECT_EQ(PodCgroupLimits(full, period).cpu_quota_us, 2'500);
  EXPECT_EQ(PodCgroupLimits(full, period).cpu_period_us, 10'000u);
}

TEST(PodCgroup, BurstablePodsAreBoundedOnlyWhereEveryContainerIs) {
  const v1::Pod memory = PodOf(Containers(C("cpu: 100m", "memory: 1Mi") + ", " +
                                          C("cpu: 150m", "cpu: 1, memory: 2Mi")));
  cgroups::Limits limits = PodCgroupLimits(memory, {});
  EXPECT_EQ(limits.cpu_shares, 256u);
  EXPECT_FALSE(limits.cpu_quota_us);
  EXPECT_EQ(limits.memory_bytes, 3 << 20);
  const v1::Pod init = PodOf("{initContainers: [{name: i}], containers: [" +
                             C("cpu: 1", "cpu: 1, memory: 1Mi") + "]}");
  EXPECT_FALSE(PodCgroupLimits(init, {}).memory_bytes) << "the init container has none";
}

TEST(PodCgroup, TheBurstableLevelHasTheSharesOfItsPods) {
  const v1::Pod a = PodOf(Containers(C("cpu: 500m", "")));
  const v1::Pod b = PodOf(Containers(C("cpu: 250m", "")));
  const v1::Pod full = PodOf(Containers(C("", "cpu: 1, memory: 1Gi")));
  const v1::Pod best = PodOf("{containers: [{name: c}]}");
  EXPECT_EQ(BurstableLimits({&a, &b, &full, &best}).cpu_shares, 768u);
  EXPECT_EQ(BurstableLimits({&full, &best}).cpu_shares, 2u);
}

}  // namespace
}  // namespace keelson::kubelet
