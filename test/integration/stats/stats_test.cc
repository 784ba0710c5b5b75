// SPDX-License-Identifier: Apache-2.0
// What the agent says that pods use, against what they do: on a real runtime and kernel.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "proto/codec/codec.h"
#include "proto/k8s/stats.pb.h"
#include "test/integration/lib/served_agent.h"
#include "test/lib/metrics_lint.h"

namespace keelson::integration {
namespace {

namespace api = ::k8s::stats::v1alpha1;
using testing::HasSubstr;
using testing::IsEmpty;
using Samples = std::vector<test::MetricSample>;
using Labels = std::map<std::string, std::string>;

constexpr double kMiB = 1 << 20;

// busy never rests and is held to half a core; idle sleeps, and has 4 MiB in its volume, 2 MiB in its
// own layer and a line in its log.
constexpr char kContainers[] = R"(  - name: busy
    image: docker.io/library/busybox:1.36
    command: [/bin/sh, -c, 'while :; do :; done']
    livenessProbe: {exec: {command: [/bin/true]}, periodSeconds: 1}
    resources: {limits: {cpu: 500m, memory: 64Mi}}
  - name: idle
    image: docker.io/library/busybox:1.36
    command: [/bin/sh, -c, 'dd if=/dev/urandom of=/v/f bs=1M count=4; dd if=/dev/urandom of=/f bs=1M count=2; sync; echo ready; exec sleep 10000']
    volumeMounts: [{name: v, mountPath: /v}]
)";

class StatsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    port_ = FreePort();
    secure_port_ = FreePort();
    const std::string config =
        "readOnlyPort: " + std::to_string(port_) + "\nvolumeStatsAggPeriod: 1ms\n" +
        "authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}\nauthorization: {mode: AlwaysAllow}\n" +
        "enableSystemLogQuery: true\n";
    agent_ = StartServing(secure_port_, config, {}, ShopPod("used", kContainers), [](const Agent& agent) {
      return IsRunning("used", "busy") && IsRunning("used", "idle") &&
             agent.TryNodectl({"logs", "-n", "shop", "used-klnode", "-c", "idle"})
                     .output.find("ready") != std::string::npos;
    });
  }
  static void TearDownTestSuite() { agent_.reset(); }

  static std::string Get(const std::string& path) {
    return RunCommand({"curl", "-sS", "--max-time", "60",
                       "http://127.0.0.1:" + std::to_string(port_) + path})
        .output;
  }
  static api::Summary Summary(const std::string& query = "") {
    api::Summary summary;
    const std::string json = Get("/stats/summary" + query);
    EXPECT_TRUE(proto::DecodeJson(json, &summary, {}).ok()) << json;
    return summary;
  }
  static api::PodStats Pod(const api::Summary& summary) {
    for (const auto& pod : summary.pods())
      if (pod.podref().namespace_() == "shop") return pod;
    ADD_FAILURE() << summary.DebugString();
    return {};
  }
  static api::ContainerStats Container(const api::Summary& summary, const std::string& name) {
    const api::PodStats pod = Pod(summary);
    for (const auto& container : pod.containers())
      if (container.name() == name) return container;
    ADD_FAILURE() << summary.DebugString();
    return {};
  }
  static Samples Scrape(const std::string& path) {
    Samples samples;
    const std::string text = Get(path);
    EXPECT_THAT(test::LintMetrics(text, &samples), IsEmpty()) << text;
    return samples;
  }
  // Waits until the busy container's counter has moved by a tenth of a second; false: it never does.
  static bool BusyMoves() {
    const double before = static_cast<double>(
        Container(Summary("?only_cpu_and_memory=true"), "busy").cpu().usagecorenanoseconds());
    return Eventually([&] {
      return static_cast<double>(Container(Summary("?only_cpu_and_memory=true"), "busy")
                                     .cpu()
                                     .usagecorenanoseconds()) > before + 1e8;
    });
  }

  // The secure port, with more words for curl.
  static std::string Ask(const std::string& path, std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"curl", "-sSk", "--max-time", "60"};
    words.insert(words.end(), more.begin(), more.end());
    words.push_back("https://127.0.0.1:" + std::to_string(secure_port_) + path);
    return RunCommand(words).output;
  }

  static inline uint16_t port_ = 0, secure_port_ = 0;
  static inline std::unique_ptr<Agent> agent_;
};

TEST_F(StatsTest, TheSummarySaysWhatContainersUse) {
  EXPECT_TRUE(BusyMoves());
  const api::Summary summary = Summary();
  const auto busy = Container(summary, "busy"), idle = Container(summary, "idle");
  EXPECT_GT(busy.cpu().usagenanocores(), 20'000'000u);  // of 500m, on a machine with other things to do
  EXPECT_LT(busy.cpu().usagenanocores(), 900'000'000u);
  EXPECT_GT(busy.cpu().usagenanocores(), 3 * idle.cpu().usagenanocores());
  for (const auto& container : {busy, idle}) {
    EXPECT_GT(container.memory().workingsetbytes(), 4096u) << container.name();
    EXPECT_LT(container.memory().workingsetbytes(), 64 * kMiB) << container.name();
    EXPECT_GT(container.starttime().seconds(), 1'700'000'000);
  }
  EXPECT_EQ(busy.memory().availablebytes() + busy.memory().workingsetbytes(), 64 * kMiB);
  EXPECT_FALSE(idle.memory().has_availablebytes());
  const auto pod = Pod(summary);
  EXPECT_EQ(pod.podref().name(), "used-klnode");
  EXPECT_GE(pod.cpu().usagecorenanoseconds(), busy.cpu().usagecorenanoseconds());
  EXPECT_EQ(pod.processstats().processcount(), 2u);
  EXPECT_EQ(pod.network().interface().name(), "eth0");
  EXPECT_GT(pod.network().interface().rxbytes() + pod.network().interface().txbytes(), 0u);
}

TEST_F(StatsTest, TheSummarySaysWhatIsOnDisk) {
  // Snapshotters measure layers from time to time.
  EXPECT_TRUE(Eventually([] {
    return static_cast<double>(Container(Summary(), "idle").rootfs().usedbytes()) >= 2 * kMiB;
  }));
  const api::Summary summary = Summary();
  const auto pod = Pod(summary);
  ASSERT_EQ(pod.volume_size(), 1);
  EXPECT_EQ(pod.volume(0).name(), "v");
  EXPECT_GE(pod.volume(0).fs().usedbytes(), 4 * kMiB);
  EXPECT_LT(pod.volume(0).fs().usedbytes(), 5 * kMiB);
  EXPECT_GT(pod.volume(0).fs().capacitybytes(), pod.volume(0).fs().availablebytes());
  const auto idle = Container(summary, "idle");
  EXPECT_GT(idle.logs().usedbytes(), 0u);
  EXPECT_LT(idle.rootfs().usedbytes(), 4 * kMiB);
  EXPECT_GT(idle.rootfs().capacitybytes(), 0u);
  EXPECT_GE(pod.ephemeralstorage().usedbytes(), 6 * kMiB);
}

TEST_F(StatsTest, TheSummarySaysHowTheNodeIs) {
  const auto node = Summary().node();
  EXPECT_EQ(node.nodename(), "klnode");
  EXPECT_GT(node.cpu().usagecorenanoseconds(), 1'000'000'000u);
  EXPECT_GT(node.memory().workingsetbytes(), 16 * kMiB);
  EXPECT_GT(node.memory().availablebytes(), 0u);
  EXPECT_GT(node.fs().capacitybytes(), node.fs().usedbytes());
  EXPECT_GT(node.runtime().imagefs().usedbytes(), 0u);
  EXPECT_GT(node.runtime().imagefs().capacitybytes(), node.runtime().imagefs().usedbytes());
  EXPECT_GT(node.rlimit().maxpid(), node.rlimit().curproc());
  ASSERT_GE(node.systemcontainers_size(), 1);
  const api::ContainerStats& pods = node.systemcontainers(node.systemcontainers_size() - 1);
  EXPECT_EQ(pods.name(), "pods");
  EXPECT_GT(pods.cpu().usagecorenanoseconds(), 0u);
}

TEST_F(StatsTest, OnlyCpuAndMemoryIsOnlyThat) {
  const auto pod = Pod(Summary("?only_cpu_and_memory=true"));
  EXPECT_TRUE(pod.has_cpu() && pod.has_memory());
  EXPECT_FALSE(pod.has_network() || pod.has_ephemeralstorage() || pod.volume_size() > 0);
}

TEST_F(StatsTest, ResourceMetricsRiseWithTheWork) {
  const Labels busy = {{"container", "busy"}, {"pod", "used-klnode"}, {"namespace", "shop"}};
  const Samples before = Scrape("/metrics/resource");
  EXPECT_TRUE(BusyMoves());
  const Samples after = Scrape("/metrics/resource");
  EXPECT_GE(test::ValueOf(after, "container_cpu_usage_seconds_total", busy),
            test::ValueOf(before, "container_cpu_usage_seconds_total", busy) + 0.1);
  EXPECT_GE(test::ValueOf(after, "pod_cpu_usage_seconds_total", {{"namespace", "shop"}}),
            test::ValueOf(after, "container_cpu_usage_seconds_total", busy));
  EXPECT_GT(test::ValueOf(after, "node_cpu_usage_seconds_total"),
            test::ValueOf(before, "node_cpu_usage_seconds_total"));
  const double memory = test::ValueOf(after, "container_memory_working_set_bytes", busy);
  EXPECT_GT(memory, 4096);
  EXPECT_LT(memory, 64 * kMiB);
  EXPECT_GT(test::ValueOf(after, "node_memory_working_set_bytes"), 16 * kMiB);
  EXPECT_GT(test::ValueOf(after, "container_start_time_seconds", busy), 1.7e9);
  EXPECT_EQ(test::ValueOf(after, "resource_scrape_error"), 0);
}

TEST_F(StatsTest, ContainerMetricsAreThoseOfDashboards) {
  EXPECT_TRUE(BusyMoves());
  const Samples samples = Scrape("/metrics/cadvisor");
  const Labels busy = {{"container", "busy"}, {"pod", "used-klnode"}, {"namespace", "shop"}};
  auto value = [&](const char* name, Labels more = {}) {
    more.insert(busy.begin(), busy.end());
    return test::ValueOf(samples, name, more);
  };
  EXPECT_GT(value("container_cpu_usage_seconds_total", {{"cpu", "total"}}), 0.1);
  // On a machine with other things to do it may never get more than its half.
  EXPECT_GT(value("container_cpu_cfs_periods_total"), 0);
  EXPECT_GE(value("container_cpu_cfs_throttled_periods_total"), 0);
  EXPECT_EQ(value("container_spec_cpu_quota"), 50000);
  EXPECT_EQ(value("container_spec_memory_limit_bytes"), 64 * kMiB);
  EXPECT_EQ(value("container_processes"), 1);
  EXPECT_GT(value("container_memory_working_set_bytes"), 4096);
  EXPECT_GT(value("container_file_descriptors"), 0);
  EXPECT_FALSE(std::isnan(test::ValueOf(samples, "container_network_receive_bytes_total",
                                        {{"pod", "used-klnode"}, {"interface", "eth0"}})));
  EXPECT_GE(test::ValueOf(samples, "container_fs_usage_bytes", {{"container", "idle"}}), 0);
  EXPECT_GE(test::ValueOf(samples, "machine_cpu_cores"), 1);
  EXPECT_GT(test::ValueOf(samples, "container_memory_usage_bytes", {{"id", "/"}}), 0);
  EXPECT_EQ(test::ValueOf(samples, "container_scrape_error"), 0);
}

TEST_F(StatsTest, TheAgentCountsWhatItDoes) {
  EXPECT_THAT(Get("/nope"), HasSubstr("not found"));
  const Samples samples = Scrape("/metrics");
  EXPECT_GE(test::ValueOf(samples, "kubelet_runtime_operations_total",
                          {{"operation_type", "create_container"}}), 2);
  EXPECT_GE(test::ValueOf(samples, "kubelet_runtime_operations_duration_seconds_count",
                          {{"operation_type", "run_podsandbox"}}), 1);
  EXPECT_EQ(test::ValueOf(samples, "kubelet_started_pods_total"), 1);
  EXPECT_EQ(test::ValueOf(samples, "kubelet_started_containers_total",
                          {{"container_type", "container"}}), 2);
  EXPECT_EQ(test::ValueOf(samples, "kubelet_pod_start_duration_seconds_count"), 1);
  EXPECT_EQ(test::ValueOf(samples, "kubelet_run_podsandbox_duration_seconds_count",
                          {{"runtime_handler", ""}}), 1);
  EXPECT_EQ(test::ValueOf(samples, "kubelet_mirror_pods"), 0);
  EXPECT_GE(test::ValueOf(samples, "kubelet_pod_worker_duration_seconds_count",
                          {{"operation_type", "sync"}}), 1);
  EXPECT_GE(test::ValueOf(samples, "kubelet_pleg_relist_duration_seconds_count"), 1);
  EXPECT_GT(test::ValueOf(samples, "kubelet_pleg_last_seen_seconds"), 1.7e9);
  EXPECT_EQ(test::ValueOf(samples, "kubelet_running_pods"), 1);
  EXPECT_EQ(test::ValueOf(samples, "kubelet_running_containers", {{"container_state", "running"}}), 2);
  EXPECT_EQ(test::ValueOf(samples, "kubelet_desired_pods", {{"static", "true"}}), 1);
  EXPECT_EQ(test::ValueOf(samples, "kubelet_node_name", {{"node", "klnode"}}), 1);
  EXPECT_GE(test::ValueOf(samples, "kubelet_http_requests_total",
                          {{"path", "other"}, {"server_type", "readonly"}}), 1);
  EXPECT_EQ(test::ValueOf(samples, "kubelet_http_inflight_requests",
                          {{"path", "metrics"}, {"server_type", "readonly"}}), 1);  // this one
  EXPECT_GT(test::ValueOf(samples, "kubelet_container_log_filesystem_used_bytes",
                          {{"container", "idle"}, {"pod", "used-klnode"}}), 0);
  EXPECT_EQ(test::ValueOf(samples, "kubernetes_feature_enabled",
                          {{"name", "PodAndContainerStatsFromCRI"}, {"stage", "ALPHA"}}), 0);
  EXPECT_GT(test::ValueOf(samples, "process_resident_memory_bytes"), kMiB);
  EXPECT_GT(test::ValueOf(samples, "process_start_time_seconds"), 1.7e9);
}

TEST_F(StatsTest, ProbesAreCountedByAnswer) {
  const Labels busy = {{"container", "busy"}, {"pod", "used-klnode"}, {"namespace", "shop"},
                       {"probe_type", "Liveness"}, {"result", "successful"}};
  EXPECT_TRUE(Eventually(
      [&] { return test::ValueOf(Scrape("/metrics/probes"), "prober_probe_total", busy) >= 1; }));
  EXPECT_GE(test::ValueOf(Scrape("/metrics/probes"), "prober_probe_duration_seconds_count",
                          {{"container", "busy"}, {"probe_type", "Liveness"}}), 1);
}

TEST_F(StatsTest, ServiceLevelsSayThatItIsWell) {
  const Samples samples = Scrape("/metrics/slis");
  for (const char* name : {"log", "ping", "syncloop"}) {
    EXPECT_EQ(test::ValueOf(samples, "kubernetes_healthcheck", {{"name", name}, {"type", "healthz"}}), 1);
    EXPECT_GE(test::ValueOf(samples, "kubernetes_healthchecks_total",
                            {{"name", name}, {"status", "success"}}), 1);
  }
}

TEST_F(StatsTest, ManyScrapersGetTheirAnswers) {
  const std::string url = "http://127.0.0.1:" + std::to_string(port_);
  const std::string answers =
      RunCommand({"/bin/sh", "-c",
                  "for i in $(seq 20); do for p in /stats/summary /metrics/cadvisor /metrics/resource; do "
                  "curl -s --max-time 60 -o /dev/null -w '%{http_code} ' " + url + "$p & "
                  "curl -s --max-time 0.01 -o /dev/null " + url + "$p & done; done; wait"}).output;
  int good = 0;
  for (size_t at = 0; (at = answers.find("200 ", at)) != std::string::npos; ++at) ++good;
  EXPECT_EQ(good, 60) << answers;
}

TEST_F(StatsTest, PagesForPeopleAreOnTheSecurePortAlone) {
  const std::string flags = Ask("/flagz");
  EXPECT_THAT(flags, HasSubstr("\nkubelet flagz\nWarning: "));
  EXPECT_THAT(flags, HasSubstr("\nread-only-port=" + std::to_string(port_) + "\n"));
  EXPECT_THAT(flags, HasSubstr("\nroot-dir=" + agent_->root() + "\n"));
  EXPECT_THAT(Ask("/statusz"), HasSubstr("\nkubelet statusz\nWarning: "));
  EXPECT_THAT(Ask("/statusz", {"-H", "Accept: application/json;v=v1alpha1;g=config.k8s.io;as=Statusz"}),
              HasSubstr(R"({"kind":"Statusz","apiVersion":"config.k8s.io/v1alpha1",)"));
  EXPECT_EQ(Ask("/statusz", {"-H", "Accept: application/json", "-o", "/dev/null", "-w", "%{http_code}"}),
            "406");
  for (const char* path : {"/flagz", "/statusz", "/checkpoint/a/b/c"})
    EXPECT_THAT(Get(path), HasSubstr("not found")) << path;
}

TEST_F(StatsTest, AProfileIsTakenWhileTheAgentServes) {
  const std::string profile = Ask("/debug/pprof/profile?seconds=1");
  EXPECT_THAT(profile, HasSubstr("nanoseconds"));  // of its string table
  EXPECT_THAT(profile, HasSubstr("/kubelet"));
  EXPECT_THAT(Ask("/debug/pprof/heap"), HasSubstr("<malloc version="));
  EXPECT_THAT(Ask("/debug/pprof/cmdline"), HasSubstr("--config="));
  EXPECT_EQ(Ask("/debug/pprof/goroutine"), "Unknown profile\n");
}

TEST_F(StatsTest, TheLogsVerbosityCanBeSet) {
  const std::vector<std::string> put = {"-X", "PUT", "-d"};
  auto set = [&](const std::string& level) {
    std::vector<std::string> words = put;
    words.push_back(level);
    return Ask("/debug/flags/v", words);
  };
  EXPECT_EQ(set("4"), "successfully set klog.logging.verbosity to 4");
  EXPECT_EQ(set("0"), "successfully set klog.logging.verbosity to 0");
  EXPECT_THAT(set("loud"), HasSubstr("failed set klog.logging.verbosity loud"));
  EXPECT_EQ(Ask("/debug/flags/v"), "unsupported http method");
}

TEST_F(StatsTest, ACheckpointIsMadeOfWhatIsThere) {
  const std::vector<std::string> post = {"-X", "POST"};
  EXPECT_EQ(Ask("/checkpoint/shop/nope/busy", post), "pod does not exist");
  EXPECT_EQ(Ask("/checkpoint/shop/used-klnode/nope", post), "container nope does not exist");
  EXPECT_EQ(Ask("/checkpoint/shop/used-klnode/busy?timeout=x", post),
            "cannot parse value of timeout parameter");
  // There is no CRIU here, or the runtime is too old: the runtime's own words come back.
  EXPECT_THAT(Ask("/checkpoint/shop/used-klnode/busy", post),
              HasSubstr("checkpointing of shop/used-klnode/busy failed ("));
}

TEST_F(StatsTest, LogsOfTheNodeCanBeAskedFor) {
  EXPECT_EQ(Ask("/logs/?query=klnosuchservice"), "\nlog not found for klnosuchservice\n");
  EXPECT_EQ(Ask("/logs/?query=kl&tailLines=x", {"-o", "/dev/null", "-w", "%{http_code}"}), "400");
  EXPECT_EQ(Ask("/logs/?query=kl%24x", {"-o", "/dev/null", "-w", "%{http_code}"}), "406");
  EXPECT_THAT(Ask("/logs/"), HasSubstr("<pre>"));  // still the folder when nothing is asked for
}

}  // namespace
}  // namespace keelson::integration
