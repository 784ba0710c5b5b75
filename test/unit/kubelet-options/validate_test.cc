// SPDX-License-Identifier: Apache-2.0
// One bad setting, one line. The setting is a piece of the file over safe standalone defaults.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kubelet/options/parts.h"
#include "proto/codec/codec.h"

namespace keelson::kubelet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

KubeletOptions With(const std::string& yaml) {
  KubeletOptions options;
  auto tree = proto::ParseTree(yaml, {});
  EXPECT_TRUE(tree.ok()) << tree.status();
  EXPECT_TRUE(proto::DecodeTree(*tree, &options.config, {}).ok()) << yaml;
  ApplyDefaults(*tree, &options.config);
  options.config.mutable_authentication()->mutable_webhook()->set_enabled(false);
  options.config.mutable_authorization()->set_mode("AlwaysAllow");
  return options;
}

struct Row {
  const char* yaml;
  const char* expected;
};

constexpr Row kRows[] = {
    {"port: 70000", "port (--port) 70000 must be between 1 and 65535, inclusive"},
    {"healthzPort: -1", "healthzPort (--healthz-port) -1 must be between"},
    {"readOnlyPort: 65536", "readOnlyPort (--read-only-port) 65536 must be between 0"},
    {"maxPods: -1", "maxPods (--max-pods) -1 must not be a negative number"},
    {"podsPerCore: -1", "podsPerCore (--pods-per-core) -1 must not be"},
    {"kubeAPIQPS: -1", "kubeAPIQPS (--kube-api-qps) -1 must not be"},
    {"kubeAPIBurst: -1", "kubeAPIBurst (--kube-api-burst) -1 must not be"},
    {"eventRecordQPS: -1", "eventRecordQPS (--event-qps) -1 must not be"},
    {"eventBurst: -2", "eventBurst (--event-burst) -2 must not be"},
    {"registryPullQPS: -1", "registryPullQPS (--registry-qps) -1 must not be"},
    {"registryBurst: -1", "registryBurst (--registry-burst) -1 must not be"},
    {"maxOpenFiles: -1", "maxOpenFiles (--max-open-files) -1 must not be"},
    {"oomScoreAdj: 1001", "oomScoreAdj (--oom-score-adj) 1001 must be between -1000 and 1000"},
    {"iptablesDropBit: 32", "iptablesDropBit (--iptables-drop-bit) 32"},
    {"nodeStatusMaxImages: -2", "nodeStatusMaxImages (--node-status-max-images) -2 must be -1"},
    {"nodeLeaseDurationSeconds: -1", "nodeLeaseDurationSeconds must be greater than 0"},
    {"runOnce: true", "Runonce mode has been deprecated and should not be set"},
    {"cgroupDriver: runc", "option \"runc\" specified for cgroupDriver (--cgroup-driver)"},
    {"hairpinMode: x", "option \"x\" specified for hairpinMode (--hairpin-mode)"},
    {"cpuManagerPolicy: x", "option \"x\" specified for cpuManagerPolicy"},
    {"topologyManagerPolicy: x", "option \"x\" specified for topologyManagerPolicy"},
    {"memorySwap: {swapBehavior: All}", "option \"All\" specified for memorySwap.swapBehavior"},
    {"memoryReservationPolicy: TieredReservation", "requires MemoryQoS"},
    {"tlsMinVersion: TLS1", "option \"TLS1\" specified for tlsMinVersion"},
    {"logging: {format: xml}", "option \"xml\" specified for logging.format"},
    {"cpuCFSQuotaPeriod: 2s", "cpuCFSQuotaPeriod (--cpu-cfs-quota-period) 2s must be between 1ms"},
    {"crashLoopBackOff: {maxContainerRestartPeriod: 400s}", "(got: 400 seconds) must be set between"},
    {"containerLogMonitorInterval: 1s", "greater than or equal to 3s"},
    {"containerLogMaxFiles: 1", "containerLogMaxFiles must be greater than 1"},
    {"containerLogMaxWorkers: 0", "containerLogMaxWorkers must be greater than or equal to 1"},
    {"containerLogMaxSize: big", "containerLogMaxSize (--container-log-max-size) \"big\""},
    {"imageGCHighThresholdPercent: 70", "80 must be less than imageGCHighThresholdPercent"},
    {"imageMaximumGCAge: 1m", "imageMaximumGCAge 1m0s must be greater than imageMinimumGCAge 2m0s"},
    {"maxParallelImagePulls: 0", "maxParallelImagePulls 0 must be a positive number"},
    {"{maxParallelImagePulls: 2, serializeImagePulls: true}", "cannot be larger than 1 unless"},
    {"preloadedImagesVerificationAllowlist: [a]", "can't set preloadedImagesVerificationAllowlist"},
    {"enforceNodeAllocatable: [none, pods]", "may not contain additional enforcements"},
    {"enforceNodeAllocatable: [pods, pods]", "duplicated enforcements \"pods\""},
    {"enforceNodeAllocatable: [kube-reserved]", "kubeReservedCgroup (--kube-reserved-cgroup) must"},
    {"enforceNodeAllocatable: [x]", "option \"x\" specified for enforceNodeAllocatable"},
    {"cgroupsPerQOS: false", "cgroupsPerQOS (--cgroups-per-qos) must be set to true when \"pods\""},
    {"systemCgroups: /sys", "systemCgroups (--system-cgroups) was specified and cgroupRoot"},
    {"systemReserved: {gpu: '1'}", "resource \"gpu\" is not one of"},
    {"kubeReserved: {cpu: '-1'}", "cpu=\"-1\" cannot be negative"},
    {"reservedSystemCPUs: 3-1", "unable to parse reservedSystemCPUs (--reserved-cpus) 3-1"},
    {"shutdownGracePeriod: 500ms", "shutdownGracePeriod 500ms must be either zero or otherwise"},
    {"shutdownGracePeriodCriticalPods: 5s", "5s must be <= shutdownGracePeriod 0s"},
    {"evictionHard: {disk: 5%}", "unsupported eviction signal disk"},
    {"evictionHard: {pid.available: 101%}", "must be >= 0% and <= 100%: 101%"},
    {"evictionHard: {pid.available: '0'}", "must be a positive quantity: 0"},
    {"evictionSoft: {pid.available: 5%}", "grace period must be specified for the soft eviction"},
    {"clusterDNS: [dns]", "clusterDNS (--cluster-dns) \"dns\" is not an IP address"},
    {"address: here", "address (--address) \"here\" is not an IP address"},
    {"{enableSystemLogQuery: true, enableSystemLogHandler: false}", "enableSystemLogHandler is req"},
    {"podLogsDir: logs", "pod logs path \"logs\" must be absolute path"},
    {"podLogsDir: /a/../b", "pod logs path \"/a/../b\" must be normalized"},
    {"userNamespaces: {idsPerPod: 1000}", "must be a multiple of 65536"},
    {"featureGates: {Nonsense: true}", "unrecognized feature gate: Nonsense"},
};

TEST(Validate, EachBadSettingIsOneLine) {
  for (const Row& row : kRows)
    EXPECT_THAT(Validate(With(row.yaml)), ElementsAre(HasSubstr(row.expected))) << row.yaml;
}

TEST(Validate, TheDefaultsAreGood) { EXPECT_THAT(Validate(With("{}")), IsEmpty()); }

TEST(Validate, AllProblemsAreToldAtOnce) {
  EXPECT_THAT(Validate(With("{port: 0x7fffffff, maxPods: -1, runOnce: true}")), SizeIs(3));
}

TEST(Validate, StandaloneCannotAskAnApiServer) {
  KubeletOptions options = With("{}");
  options.config.mutable_authentication()->mutable_webhook()->set_enabled(true);
  options.config.mutable_authorization()->set_mode("Webhook");
  EXPECT_THAT(Validate(options), ElementsAre(HasSubstr("cannot use webhook authentication"),
                                             HasSubstr("cannot use webhook authorization")));
}

TEST(Validate, FlagsWithoutAFieldAreChecked) {
  KubeletOptions options = With("{}");
  options.cloud_provider = "aws";
  options.node_ip = "a,b";
  options.node_labels = {{"kubernetes.io/role", "x"}, {"team", "y"}};
  options.kubeconfig = "/nonexistent/kl";
  EXPECT_THAT(Validate(options), SizeIs(5));
}

TEST(Cpus, ListsAreCounted) {
  EXPECT_EQ(CountCpus("0-3,5"), 5);
  EXPECT_EQ(CountCpus("1,1"), 1);
  for (const char* bad : {"", "a", "1-", "3-1", "-1", "0-99999999"}) EXPECT_EQ(CountCpus(bad), -1);
}

}  // namespace
}  // namespace keelson::kubelet
