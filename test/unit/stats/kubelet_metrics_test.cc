// SPDX-License-Identifier: Apache-2.0
// What the agent counts of itself, under the names that dashboards know.
#include "kubelet/stats/kubelet_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kubelet/stats/process_metrics.h"
#include "test/lib/metrics_lint.h"

namespace keelson::kubelet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::ValueOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class KubeletMetricsTest : public ::testing::Test {
 protected:
  std::vector<test::MetricSample> Scrape(Registry& registry) {
    std::vector<test::MetricSample> samples;
    EXPECT_THAT(test::LintMetrics(registry.Text(), &samples), IsEmpty()) << registry.Text();
    return samples;
  }
  KubeletMetrics metrics_;
};

TEST_F(KubeletMetricsTest, CallsToTheRuntimeAreCountedByOperation) {
  metrics_.RuntimeCall("RunPodSandbox", absl::OkStatus(), milliseconds(100));
  metrics_.RuntimeCall("RunPodSandbox", absl::UnavailableError("gone"), milliseconds(1));
  metrics_.RuntimeCall("Version", absl::OkStatus(), milliseconds(1));
  const auto samples = Scrape(metrics_.main());
  EXPECT_EQ(ValueOf(samples, "kubelet_runtime_operations_total",
                    {{"operation_type", "run_podsandbox"}}), 2);
  EXPECT_EQ(ValueOf(samples, "kubelet_runtime_operations_errors_total",
                    {{"operation_type", "run_podsandbox"}}), 1);
  EXPECT_EQ(ValueOf(samples, "kubelet_runtime_operations_duration_seconds_count",
                    {{"operation_type", "version"}}), 1);
  EXPECT_THAT(metrics_.main().Text(),
              Not(HasSubstr("errors_total{operation_type=\"version\"}")));
}

TEST_F(KubeletMetricsTest, OperationsHaveUpstreamsNames) {
  const std::pair<const char*, const char*> kNames[] = {
      {"Version", "version"}, {"RunPodSandbox", "run_podsandbox"},
      {"PodSandboxStatus", "podsandbox_status"}, {"ListPodSandbox", "list_podsandbox"},
      {"ListPodSandboxStats", "list_podsandbox_stats"}, {"CreateContainer", "create_container"},
      {"UpdateContainerResources", "update_container"}, {"ReopenContainerLog", "reopen_container_log"},
      {"ExecSync", "exec_sync"}, {"PortForward", "port_forward"}, {"ImageFsInfo", "image_fs_info"},
      {"UpdateRuntimeConfig", "update_runtime_config"}, {"PullImage", "pull_image"}};
  for (const auto& [method, name] : kNames) EXPECT_EQ(OperationName(method), name);
}

TEST_F(KubeletMetricsTest, PathsThatNobodyServesAreOne) {
  const std::pair<const char*, const char*> kPaths[] = {
      {"/metrics", "metrics"}, {"/metrics/cadvisor", "metrics/cadvisor"},
      {"/metrics/cadvisor/x", "metrics/cadvisor"}, {"/metrics/nope", "other"},
      {"/exec/ns/pod/c", "exec"}, {"/pods", "pods"}, {"/nope/", "other"}, {"/", "other"},
      {"", "other"}, {"/pods\n", "other"}};
  for (const auto& [path, bucket] : kPaths) EXPECT_EQ(PathBucket(path), bucket) << path;
}

TEST_F(KubeletMetricsTest, RequestsAreCountedWhileAndAfterTheyAreServed) {
  metrics_.RequestBegan({"GET", "/exec/a/b/c", true});
  metrics_.RequestBegan({"GET", "/exec/a/b/d", true});
  metrics_.RequestEnded({"GET", "/exec/a/b/c", true}, seconds(1));
  metrics_.RequestBegan({"BREW", "/coffee", false});
  const auto samples = Scrape(metrics_.main());
  const std::map<std::string, std::string> exec = {
      {"method", "GET"}, {"path", "exec"}, {"server_type", "readwrite"}, {"long_running", "true"}};
  EXPECT_EQ(ValueOf(samples, "kubelet_http_requests_total", exec), 2);
  EXPECT_EQ(ValueOf(samples, "kubelet_http_inflight_requests", exec), 1);
  EXPECT_EQ(ValueOf(samples, "kubelet_http_requests_duration_seconds_count", exec), 1);
  EXPECT_EQ(ValueOf(samples, "kubelet_http_requests_total",
                    {{"method", "other"}, {"path", "other"}, {"server_type", "readonly"}}), 1);
}

TEST_F(KubeletMetricsTest, SandboxesAndPullsAreTimed) {
  metrics_.SandboxRun("", true, milliseconds(90));
  metrics_.SandboxRun("kata", false, seconds(3));
  metrics_.ImagePulled(30 << 20, seconds(7));
  const auto samples = Scrape(metrics_.main());
  EXPECT_EQ(ValueOf(samples, "kubelet_run_podsandbox_duration_seconds_bucket",
                    {{"le", "0.1"}, {"runtime_handler", ""}}), 1);
  EXPECT_EQ(ValueOf(samples, "kubelet_run_podsandbox_errors_total", {{"runtime_handler", "kata"}}),
            1);
  EXPECT_EQ(ValueOf(samples, "kubelet_image_pull_duration_seconds_bucket",
                    {{"image_size_in_bytes", "10MB-100MB"}, {"le", "5"}}), 0);
  EXPECT_EQ(ValueOf(samples, "kubelet_image_pull_duration_seconds_bucket",
                    {{"image_size_in_bytes", "10MB-100MB"}, {"le", "10"}}), 1);
}

TEST(ImageSizeBucketTest, HasUpstreamsLimits) {
  EXPECT_EQ(ImageSizeBucket(0), "N/A");
  EXPECT_EQ(ImageSizeBucket(1), "0-10MB");
  EXPECT_EQ(ImageSizeBucket(10 << 20), "0-10MB");
  EXPECT_EQ(ImageSizeBucket((10 << 20) + 1), "10MB-100MB");
  EXPECT_EQ(ImageSizeBucket(uint64_t{1} << 30), "500MB-1GB");
  EXPECT_EQ(ImageSizeBucket((uint64_t{100} << 30) + 1), "GT100GB");
}

TEST_F(KubeletMetricsTest, StartsOfPodsAndContainersAreCounted) {
  metrics_.SandboxMade(true);
  metrics_.SandboxMade(false);
  metrics_.ContainerStarted(ContainerKind::kInit, "");
  metrics_.ContainerStarted(ContainerKind::kRegular, "CreateContainerError");
  metrics_.PodRunning({}, seconds(3));
  metrics_.PodSynced(milliseconds(2));
  metrics_.Relisted(milliseconds(5), std::nullopt);
  metrics_.Relisted(milliseconds(5), seconds(10));
  metrics_.ApiCall("10.0.0.1:6443", "GET", 200, milliseconds(9));
  metrics_.ApiCall("10.0.0.1:6443", "GET", 0, milliseconds(9));
  const auto samples = Scrape(metrics_.main());
  EXPECT_EQ(ValueOf(samples, "kubelet_started_pods_total"), 2);
  EXPECT_EQ(ValueOf(samples, "kubelet_started_pods_errors_total"), 1);
  EXPECT_EQ(ValueOf(samples, "kubelet_started_containers_total",
                    {{"container_type", "init_container"}}), 1);
  EXPECT_EQ(ValueOf(samples, "kubelet_started_containers_errors_total",
                    {{"container_type", "container"}, {"code", "CreateContainerError"}}), 1);
  EXPECT_EQ(ValueOf(samples, "kubelet_pod_start_duration_seconds_bucket", {{"le", "2"}}), 0);
  EXPECT_EQ(ValueOf(samples, "kubelet_pod_start_duration_seconds_bucket", {{"le", "3"}}), 1);
  EXPECT_EQ(ValueOf(samples, "kubelet_pod_worker_duration_seconds_count",
                    {{"operation_type", "sync"}}), 1);
  EXPECT_EQ(ValueOf(samples, "kubelet_pleg_relist_duration_seconds_count"), 2);
  EXPECT_EQ(ValueOf(samples, "kubelet_pleg_relist_interval_seconds_count"), 1);
  EXPECT_EQ(ValueOf(samples, "rest_client_requests_total", {{"code", "<error>"}}), 1);
}

TEST_F(KubeletMetricsTest, ProbesOfPodsThatAreGoneAreForgotten) {
  metrics_.Probed({"Liveness", "successful", "c", "web", "shop", "u1", milliseconds(3)});
  metrics_.Probed({"Readiness", "failed", "c", "old", "shop", "u2", milliseconds(3)});
  auto samples = Scrape(metrics_.probes());
  EXPECT_EQ(ValueOf(samples, "prober_probe_total", {{"pod_uid", "u2"}, {"result", "failed"}}), 1);
  EXPECT_EQ(ValueOf(samples, "prober_probe_duration_seconds_count",
                    {{"probe_type", "Liveness"}, {"pod", "web"}}), 1);
  metrics_.KeepProbesOf({"u1"}, {{"shop", "web"}});
  EXPECT_THAT(metrics_.probes().Text(), Not(HasSubstr("u2")));
  EXPECT_THAT(metrics_.probes().Text(), HasSubstr("u1"));
}

TEST(ProcessMetrics, AreThoseOfThisProcess) {
  MetricsText text;
  WriteProcessMetrics(text);
  std::vector<test::MetricSample> samples;
  EXPECT_THAT(test::LintMetrics(text.Take(), &samples), IsEmpty());
  EXPECT_GT(ValueOf(samples, "process_resident_memory_bytes"), 1 << 20);
  EXPECT_GT(ValueOf(samples, "process_open_fds"), 2);
  EXPECT_GT(ValueOf(samples, "process_start_time_seconds"), 1.6e9);
  EXPECT_GE(ValueOf(samples, "process_cpu_seconds_total"), 0);
}

TEST(ProcessMetrics, ANameMayHoldAnything) {
  std::string fields;
  for (int field = 4; field <= 24; ++field) fields += " " + std::to_string(field);
  const auto stat = ParseProcessStat("7 (a) b) S" + fields + " 25\n");
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->cpu_ticks, 29u);
  EXPECT_EQ(stat->start_ticks, 22u);
  EXPECT_EQ(stat->resident_pages, 24u);
  EXPECT_FALSE(ParseProcessStat("7 (a) S 1 2 3\n"));
}

}  // namespace
}  // namespace keelson::kubelet
