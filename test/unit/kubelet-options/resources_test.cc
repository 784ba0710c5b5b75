// SPDX-License-Identifier: Apache-2.0
#include "kubelet/resources.h"

#include <gtest/gtest.h>

#include "proto/codec/codec.h"

namespace keelson::kubelet {
namespace {

using cgroups::QosClass;

v1::Pod PodOf(const std::string& spec) {
  v1::Pod pod;
  absl::Status status = proto::DecodeYaml("spec: " + spec, &pod, {});
  EXPECT_TRUE(status.ok()) << status;
  return pod;
}
std::string Container(const std::string& requests, const std::string& limits) {
  return "{name: c, resources: {requests: {" + requests + "}, limits: {" + limits + "}}}";
}

TEST(Qos, ClassFollowsRequestsAndLimits) {
  struct Row {
    std::string spec;
    QosClass expected;
  };
  const std::string full = Container("cpu: 1, memory: 1Gi", "cpu: 1, memory: 1Gi");
  const Row rows[] = {
      {"{containers: [{name: c}]}", QosClass::kBestEffort},
      {"{containers: [" + Container("cpu: 0", "") + "]}", QosClass::kBestEffort},
      {"{containers: [" + full + "]}", QosClass::kGuaranteed},
      {"{containers: [" + Container("", "cpu: 1, memory: 1Gi") + "]}", QosClass::kGuaranteed},
      {"{containers: [" + full + ", {name: d}]}", QosClass::kBurstable},
      {"{containers: [" + Container("cpu: 500m", "cpu: 1, memory: 1Gi") + "]}", QosClass::kBurstable},
      {"{containers: [" + Container("", "cpu: 1") + "]}", QosClass::kBurstable},
      {"{initContainers: [{name: i}], containers: [" + full + "]}", QosClass::kBurstable},
      {"{resources: {limits: {cpu: 1, memory: 1Gi}}, containers: [{name: c}]}",
       QosClass::kGuaranteed},
  };
  for (const Row& row : rows) EXPECT_EQ(QosOf(PodOf(row.spec)), row.expected) << row.spec;
}

TEST(Requests, InitPeakSidecarsAndOverheadCount) {
  // init: 300m beside nothing; sidecar 200m; init 700m beside the sidecar: peak 900m; running 400m+200m.
  auto pod = PodOf(
      "{overhead: {cpu: 50m}, initContainers: [{name: a, resources: {requests: {cpu: 300m}}}, "
      "{name: s, restartPolicy: Always, resources: {requests: {cpu: 200m}}}, "
      "{name: b, resources: {requests: {cpu: 700m}}}], "
      "containers: [{name: c, resources: {requests: {cpu: 400m}}}]}");
  EXPECT_EQ(RequestsOf(pod).milli_cpu, 950);
}

TEST(Requests, PodLevelWins) {
  auto pod = PodOf("{resources: {requests: {cpu: 2}}, containers: [" + Container("cpu: 1", "") + "]}");
  EXPECT_EQ(RequestsOf(pod).milli_cpu, 2000);
}

TEST(PodCgroup, LimitsFollowTheClass) {
  CfsOptions options;
  options.pod_pids = 100;
  auto best = PodCgroupLimits(PodOf("{containers: [{name: c}]}"), options);
  EXPECT_EQ(best.cpu_shares, 2u);
  EXPECT_FALSE(best.cpu_quota_us || best.memory_bytes);
  EXPECT_EQ(best.pids_max, 100);
  auto full = PodCgroupLimits(
      PodOf("{containers: [" + Container("", "cpu: 500m, memory: 1Mi") + "]}"), {});
  EXPECT_EQ(full.cpu_quota_us, 50'000);
  EXPECT_EQ(full.memory_bytes, 1 << 20);
  auto part = PodCgroupLimits(
      PodOf("{containers: [" + Container("cpu: 1", "cpu: 1, memory: 1Mi") + ", {name: d}]}"), {});
  EXPECT_EQ(part.cpu_shares, 1024u);
  EXPECT_FALSE(part.cpu_quota_us || part.memory_bytes);
}

TEST(Node, CapacityIsReadFromProc) {
  auto capacity = ReadNodeCapacity();
  ASSERT_TRUE(capacity.ok()) << capacity.status();
  EXPECT_GT(capacity->milli_cpu, 0);
  EXPECT_GT(capacity->memory_bytes, 1 << 20);
  EXPECT_GT(capacity->pids, 0);
}

}  // namespace
}  // namespace keelson::kubelet
