// SPDX-License-Identifier: Apache-2.0
// Resources, mounts, and whole sandbox and container messages.
#include "cri/pod_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/unit/cri/pods.h"

namespace keelson::cri {
namespace {

using cgroups::QosClass;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kGi = int64_t{1} << 30;
constexpr int64_t kMi = 1 << 20;

v1::Pod PodWithResources(const std::string& resources, const std::string& pod_level = "{}") {
  return PodWithSpec(base::StrCat("  resources: ", pod_level,
                                  "\n  containers: [{name: c, resources: ", resources, "}]\n"));
}

class ResourcesTest : public testing::Test {
 protected:
  ResourcesTest() { node_.memory = 4 * kGi; }
  rt::LinuxContainerResources Make(const v1::Pod& pod) {
    auto out = ContainerResources(pod, pod.spec().containers(0), inputs_, node_);
    EXPECT_TRUE(out.ok()) << out.status();
    return out.value_or(rt::LinuxContainerResources());
  }
  std::string Unified(const v1::Pod& pod, const std::string& key) {
    const auto out = Make(pod);
    auto it = out.unified().find(key);
    return it == out.unified().end() ? "" : it->second;
  }
  NodeResources node_;
  ContainerResourceInputs inputs_;
};

TEST_F(ResourcesTest, CpuAndMemoryFollowTheFormulas) {
  const struct {
    const char* resources;
    int64_t shares, quota, memory;
  } cases[] = {
      {"{}", 2, 0, 0},
      {"{requests: {cpu: 250m}}", 256, 0, 0},
      {"{requests: {cpu: 1m}}", 2, 0, 0},
      {"{limits: {cpu: 500m, memory: 64Mi}}", 512, 50000, 64 * kMi},
      {"{requests: {cpu: \"0\"}, limits: {cpu: 2}}", 2, 200000, 0},
      {"{limits: {cpu: 1m}}", 2, 1000, 0},
      {"{requests: {cpu: 100k}}", 262144, 0, 0},
  };
  for (const auto& c : cases) {
    auto out = Make(PodWithResources(c.resources));
    EXPECT_EQ(out.cpu_shares(), c.shares) << c.resources;
    EXPECT_EQ(out.cpu_period(), 100000);
    EXPECT_EQ(out.cpu_quota(), c.quota) << c.resources;
    EXPECT_EQ(out.memory_limit_in_bytes(), c.memory) << c.resources;
  }
}

TEST_F(ResourcesTest, QuotaObeysItsSettings) {
  const auto pod = PodWithResources("{limits: {cpu: 1}}");
  node_.cpu_cfs_period_us = 10000;
  EXPECT_EQ(Make(pod).cpu_quota(), 10000);
  inputs_.exclusive_cpus = true;
  EXPECT_EQ(Make(pod).cpu_quota(), -1);
  node_.cpu_cfs_quota = false;
  EXPECT_EQ(Make(pod).cpu_period(), 0);
}

TEST_F(ResourcesTest, PodLevelLimitsFillIn) {
  auto out = Make(PodWithResources("{}", "{limits: {cpu: 2, memory: 1Gi}}"));
  EXPECT_EQ(out.cpu_quota(), 200000);
  EXPECT_EQ(out.memory_limit_in_bytes(), kGi);
  out = Make(PodWithResources("{limits: {cpu: 1}}", "{limits: {cpu: 2, memory: 1Gi}}"));
  EXPECT_EQ(out.cpu_quota(), 100000);
}

TEST_F(ResourcesTest, HugePagesAreLimitedInEverySizeTheKernelHas) {
  node_.huge_pages = {"2MB", "1GB"};
  auto out = Make(PodWithResources("{limits: {hugepages-2Mi: 4Mi}}"));
  ASSERT_EQ(out.hugepage_limits_size(), 2);
  EXPECT_EQ(out.hugepage_limits(0).page_size(), "2MB");
  EXPECT_EQ(out.hugepage_limits(0).limit(), uint64_t{4 * kMi});
  EXPECT_EQ(out.hugepage_limits(1).limit(), 0u);
}

TEST_F(ResourcesTest, OomGroupOnlyOnV2) {
  const auto pod = PodWithResources("{}");
  node_.single_process_oom_kill = false;
  EXPECT_EQ(Unified(pod, "memory.oom.group"), "");
  node_.cgroup_v2 = true;
  EXPECT_EQ(Unified(pod, "memory.oom.group"), "1");
}

TEST_F(ResourcesTest, SwapIsForBurstablePodsThatMay) {
  const auto pod = PodWithResources("{requests: {memory: 1Gi}, limits: {memory: 2Gi}}");
  node_.swap_controller = true;
  EXPECT_EQ(Make(pod).memory_swap_limit_in_bytes(), 2 * kGi);  // v1
  node_.cgroup_v2 = true;
  node_.swap = 2 * kGi;
  inputs_.qos = QosClass::kBurstable;
  EXPECT_EQ(Unified(pod, "memory.swap.max"), "0");
  node_.limited_swap = true;
  EXPECT_EQ(Unified(pod, "memory.swap.max"), base::StrCat(kGi / 2));
  EXPECT_EQ(Unified(PodWithResources("{limits: {memory: 1Gi}, requests: {memory: 1Gi}}"),
                    "memory.swap.max"),
            "0");
  inputs_.critical_pod = true;
  EXPECT_EQ(Unified(pod, "memory.swap.max"), "0");
}

TEST_F(ResourcesTest, MemoryQosThrottlesBeforeTheLimit) {
  node_.cgroup_v2 = node_.memory_qos = true;
  node_.allocatable_memory = 3 * kGi;
  const auto pod = PodWithResources("{requests: {memory: 1Gi}, limits: {memory: 2Gi}}");
  EXPECT_EQ(Unified(pod, "memory.high"), "2040107008");  // floor((1Gi + 0.9 * 1Gi) / 4096) * 4096
  EXPECT_EQ(Unified(pod, "memory.min"), "0");
  node_.tiered_reservation = true;
  inputs_.qos = QosClass::kBurstable;
  EXPECT_EQ(Unified(pod, "memory.low"), base::StrCat(kGi));
  inputs_.qos = QosClass::kGuaranteed;
  EXPECT_EQ(Unified(pod, "memory.min"), base::StrCat(kGi));
  EXPECT_EQ(
      Unified(PodWithResources("{requests: {memory: 1Gi}, limits: {memory: 1Gi}}"), "memory.high"),
      "");
}

TEST_F(ResourcesTest, BrokenQuantityIsAnError) {
  EXPECT_FALSE(ContainerResources(
                   PodWithSpec("  containers: [{name: c}]\n"),
                   [] {
                     v1::Container c;
                     (*c.mutable_resources()->mutable_limits())["cpu"].set_string("lots");
                     return c;
                   }(),
                   inputs_, node_)
                   .ok());
}

TEST(PodTotals, InitContainersAndSidecarsCountAsTheyRun) {
  const auto pod = PodWithSpec(R"(
  initContainers:
  - {name: s1, restartPolicy: Always, resources: {requests: {cpu: 100m}}}
  - {name: i1, resources: {requests: {cpu: 1}}}
  - {name: s2, restartPolicy: Always, resources: {requests: {cpu: 200m}}}
  - {name: i2, resources: {requests: {cpu: 500m}}}
  containers:
  - {name: a, resources: {requests: {cpu: 300m}, limits: {memory: 64Mi}}}
  - {name: b, resources: {requests: {cpu: 300m}, limits: {memory: 64Mi}}}
)");
  EXPECT_EQ(PodRequest(pod, "cpu")->value, 1100);  // i1 beside s1
  EXPECT_EQ(PodLimit(pod, "memory")->value, 128 * kMi);
  EXPECT_FALSE(PodLimit(pod, "cpu")->named);
  EXPECT_EQ(
      PodRequest(PodWithResources("{requests: {cpu: 1}}", "{requests: {cpu: 3}}"), "cpu")->value,
      3000);
}

TEST(OomScore, FollowsTheTable) {
  const auto score = [](const v1::Pod& pod, const v1::Container& c, QosClass qos,
                        bool critical = false) {
    return *OomScoreAdj(pod, c, qos, critical, 4 * kGi);
  };
  const auto burstable = [&](const std::string& memory) {
    const auto pod = PodWithResources("{requests: {memory: " + memory + "}}");
    return score(pod, pod.spec().containers(0), QosClass::kBurstable);
  };
  const auto any = PodWithResources("{}");
  EXPECT_EQ(score(any, any.spec().containers(0), QosClass::kGuaranteed), -997);
  EXPECT_EQ(score(any, any.spec().containers(0), QosClass::kBestEffort), 1000);
  EXPECT_EQ(score(any, any.spec().containers(0), QosClass::kBestEffort, true), -997);
  EXPECT_EQ(burstable("1Gi"), 750);
  EXPECT_EQ(burstable("1"), 999);
  EXPECT_EQ(burstable("4Gi"), 3);
  EXPECT_EQ(burstable("400Gi"), 3);
  const auto pod = PodWithSpec(R"(
  initContainers: [{name: s, restartPolicy: Always, resources: {requests: {memory: 64Mi}}}]
  containers:
  - {name: a, resources: {requests: {memory: 1Gi}}}
  - {name: b, resources: {requests: {memory: 2Gi}}}
)");
  EXPECT_EQ(score(pod, pod.spec().initcontainers(0), QosClass::kBurstable), 750);
}

class ConfigTest : public testing::Test {
 protected:
  rt::ContainerConfig Make(const v1::Pod& pod) {
    auto out = Try(pod);
    EXPECT_TRUE(out.ok()) << out.status();
    return out.value_or(rt::ContainerConfig());
  }
  absl::StatusOr<rt::ContainerConfig> Try(const v1::Pod& pod) {
    return MakeContainerConfig(pod, pod.spec().containers(0), inputs_, security_, node_);
  }
  std::string MountError(const std::string& mount) {
    auto out = Try(PodWithSpec("  containers: [{name: c, volumeMounts: [" + mount + "]}]\n"));
    return std::string(base::Message(out.status()));
  }
  static std::string Show(const rt::Mount& m) {
    return base::StrCat(m.host_path(), " ", m.container_path(), m.readonly() ? " ro" : "",
                        m.recursive_read_only() ? " rro" : "", " ",
                        static_cast<int>(m.propagation()));
  }
  static std::vector<std::string> Mounts(const rt::ContainerConfig& config) {
    std::vector<std::string> out;
    for (const auto& m : config.mounts()) out.push_back(Show(m));
    return out;
  }

  ContainerInputs inputs_;
  SecurityContext security_;
  NodeResources node_;
};

TEST_F(ConfigTest, SandboxTellsAllAboutThePod) {
  v1::Pod pod = PodOf(R"(
metadata:
  name: web
  namespace: default
  uid: u1
  labels: {app: w}
  annotations: {kubernetes.io/config.source: file}
spec:
  securityContext:
    sysctls:
    - {name: net/ipv4/conf/eth0.1/forwarding, value: "1"}
    - {name: kernel.shm_rmid_forced, value: "0"}
  overhead: {cpu: 250m, memory: 64Mi}
  initContainers: [{name: i, ports: [{containerPort: 1}]}]
  containers:
  - name: a
    resources: {limits: {cpu: 1, memory: 1Gi}}
    ports:
    - {name: http, containerPort: 80, hostPort: 8080, protocol: TCP, hostIP: 127.0.0.1}
    - {name: http, containerPort: 81}
    - {containerPort: 53, protocol: UDP}
    - {containerPort: 53, protocol: UDP}
  - {name: b, ports: [{containerPort: 9, protocol: SCTP}], resources: {limits: {cpu: 500m}}}
)");
  SandboxInputs inputs{2, "web", "/var/log/pods/default_web_u1", "/kubepods/podu1", {}};
  inputs.dns.add_servers("10.96.0.10");
  auto config = MakeSandboxConfig(pod, inputs, security_, node_).value();
  EXPECT_EQ(config.metadata().name(), "web");
  EXPECT_EQ(config.metadata().namespace_(), "default");
  EXPECT_EQ(config.metadata().uid(), "u1");
  EXPECT_EQ(config.metadata().attempt(), 2u);
  EXPECT_EQ(config.hostname(), "web");
  EXPECT_EQ(config.log_directory(), "/var/log/pods/default_web_u1");
  EXPECT_EQ(config.dns_config().servers(0), "10.96.0.10");
  EXPECT_EQ(config.labels().at("io.kubernetes.pod.uid"), "u1");
  EXPECT_EQ(config.labels().at("app"), "w");
  EXPECT_EQ(config.annotations().at("kubernetes.io/config.source"), "file");
  std::vector<std::string> ports;
  for (const auto& p : config.port_mappings())
    ports.push_back(base::StrCat(static_cast<int>(p.protocol()), " ", p.container_port(), " ",
                                 p.host_port(), " ", p.host_ip()));
  EXPECT_THAT(ports, ElementsAre("0 80 8080 127.0.0.1", "1 53 0 ", "2 9 0 "));
  EXPECT_EQ(config.linux().cgroup_parent(), "/kubepods/podu1");
  EXPECT_EQ(config.linux().sysctls().at("net.ipv4.conf.eth0/1.forwarding"), "1");
  EXPECT_EQ(config.linux().sysctls().at("kernel.shm_rmid_forced"), "0");
  EXPECT_EQ(config.linux().resources().cpu_quota(), 150000);
  EXPECT_EQ(config.linux().resources().memory_limit_in_bytes(), kGi);
  EXPECT_EQ(config.linux().overhead().cpu_shares(), 256);
  EXPECT_EQ(config.linux().overhead().cpu_quota(), 25000);
  EXPECT_EQ(config.linux().overhead().memory_limit_in_bytes(), 64 * kMi);
  EXPECT_TRUE(config.linux().security_context().has_namespace_options());
}

TEST_F(ConfigTest, ContainerTellsAllAboutItself) {
  const auto pod = PodWithSpec(R"yaml(
  containers:
  - name: c
    image: busybox
    command: [sh, -c, "echo $(A) $$(A) $(B)"]
    args: ["$(A)"]
    workingDir: /w
    stdin: true
    stdinOnce: true
    tty: true
)yaml");
  inputs_.restart_count = 4;
  inputs_.image_ref = "sha256:abc";
  inputs_.env = {{"A", "1"}};
  inputs_.resources.oom_score_adj = 999;
  inputs_.extra.annotations = {{"dev", "x"}, {"io.kubernetes.container.restartCount", "99"}};
  inputs_.extra.cdi_devices = {"vendor.com/gpu=0"};
  inputs_.extra.devices.emplace_back().set_container_path("/dev/x");
  auto config = Make(pod);
  EXPECT_EQ(config.metadata().name(), "c");
  EXPECT_EQ(config.metadata().attempt(), 4u);
  EXPECT_EQ(config.image().image(), "sha256:abc");
  EXPECT_EQ(config.image().user_specified_image(), "busybox");
  EXPECT_THAT(config.command(), ElementsAre("sh", "-c", "echo 1 $(A) $(B)"));
  EXPECT_THAT(config.args(), ElementsAre("1"));
  EXPECT_EQ(config.working_dir(), "/w");
  EXPECT_TRUE(config.stdin() && config.stdin_once() && config.tty());
  ASSERT_EQ(config.envs_size(), 1);
  EXPECT_EQ(config.envs(0).key() + "=" + config.envs(0).value(), "A=1");
  EXPECT_EQ(config.log_path(), "c/4.log");
  EXPECT_EQ(config.annotations().at("io.kubernetes.container.restartCount"), "4");
  EXPECT_EQ(config.annotations().at("dev"), "x");
  EXPECT_EQ(config.labels_size(), 4);
  EXPECT_EQ(config.cdi_devices(0).name(), "vendor.com/gpu=0");
  EXPECT_EQ(config.devices(0).container_path(), "/dev/x");
  EXPECT_EQ(config.linux().resources().oom_score_adj(), 999);
}

TEST_F(ConfigTest, MountsComeInOrder) {
  inputs_.volumes = {{"data", {"/vol/data"}}, {"conf", {"/vol/conf", true}}};
  inputs_.sub_paths = {{2, "/bound/2"}};
  inputs_.etc_hosts = "/pods/u1/etc-hosts";
  inputs_.termination_log = "/pods/u1/containers/c/1234";
  inputs_.extra.mounts.emplace_back().set_host_path("/dev-mount");
  const auto config = Make(PodWithSpec(R"(
  containers:
  - name: c
    terminationMessagePath: /dev/termination-log
    volumeMounts:
    - {name: data, mountPath: data, mountPropagation: HostToContainer}
    - {name: conf, mountPath: /conf}
    - {name: data, mountPath: /sub, subPath: a/b, readOnly: true}
)"));
  EXPECT_THAT(Mounts(config),
              ElementsAre("/dev-mount  0", "/vol/data /data 1", "/vol/conf /conf ro 0",
                          "/bound/2 /sub ro 0", "/pods/u1/etc-hosts /etc/hosts 0",
                          "/pods/u1/containers/c/1234 /dev/termination-log 0"));
}

TEST_F(ConfigTest, ContainersOwnHostsFileWins) {
  inputs_.volumes = {{"h", {"/vol/h"}}};
  inputs_.etc_hosts = "/pods/u1/etc-hosts";
  EXPECT_THAT(
      Mounts(Make(PodWithSpec(
          "  containers: [{name: c, volumeMounts: [{name: h, mountPath: /etc/hosts}]}]\n"))),
      ElementsAre("/vol/h /etc/hosts 0"));
}

TEST_F(ConfigTest, ImageVolumesAreLeftToTheRuntime) {
  HostVolume volume;
  volume.image.emplace().set_image("quay.io/x/y:v1");
  volume.read_only = true;
  inputs_.volumes = {{"img", volume}};
  const auto config = Make(PodWithSpec(
      "  containers: [{name: c, volumeMounts: [{name: img, mountPath: /i, subPath: d}]}]\n"));
  ASSERT_EQ(config.mounts_size(), 1);
  EXPECT_EQ(config.mounts(0).image().image(), "quay.io/x/y:v1");
  EXPECT_EQ(config.mounts(0).image_sub_path(), "d");
  EXPECT_EQ(config.mounts(0).host_path(), "");
}

TEST_F(ConfigTest, PodsWithOwnUsersMapEveryMount) {
  security_.user_namespace = {{65536, 65536}};
  inputs_.volumes = {{"data", {"/vol/data"}}};
  inputs_.etc_hosts = "/h";
  const auto config =
      Make(PodWithSpec("  hostUsers: false\n"
                       "  containers: [{name: c, volumeMounts: [{name: data, mountPath: /d}]}]\n"));
  ASSERT_EQ(config.mounts_size(), 2);
  for (const auto& mount : config.mounts()) {
    EXPECT_EQ(mount.uidmappings(0).host_id(), 65536u);
    EXPECT_EQ(mount.gidmappings(0).length(), 65536u);
  }
}

TEST_F(ConfigTest, RecursiveReadOnlyNeedsARuntimeThatCan) {
  inputs_.volumes = {{"v", {"/v"}}};
  const std::string mount = "{name: v, mountPath: /m, readOnly: true, recursiveReadOnly: ";
  EXPECT_THAT(MountError(mount + "Enabled}"), HasSubstr("is not supported by the runtime"));
  EXPECT_EQ(MountError(mount + "IfPossible}"), "");
  EXPECT_THAT(MountError("{name: v, mountPath: /m, recursiveReadOnly: Enabled}"),
              HasSubstr("but it is not read-only"));
  inputs_.recursive_read_only = true;
  EXPECT_EQ(MountError(mount + "Enabled}"), "");
  EXPECT_THAT(MountError(mount + "Enabled, mountPropagation: HostToContainer}"),
              HasSubstr("not compatible with propagation \"HostToContainer\""));
  EXPECT_THAT(MountError(mount + "Odd}"), HasSubstr("unknown recursive read-only mode \"Odd\""));
}

TEST_F(ConfigTest, MountsThatCannotBeMadeSayWhy) {
  inputs_.volumes = {{"v", {"/v"}}};
  EXPECT_EQ(MountError("{name: x, mountPath: /m}"),
            "cannot find volume \"x\" to mount into container \"c\"");
  EXPECT_EQ(MountError("{name: v, mountPath: /m, subPath: /abs}"),
            "error SubPath `/abs` must not be an absolute path");
  EXPECT_EQ(MountError("{name: v, mountPath: /m, subPath: a/../../b}"),
            "unable to provision SubPath `a/../../b`: must not contain '..'");
  EXPECT_EQ(MountError("{name: v, mountPath: /m, subPathExpr: $(NOPE)}"), "missing value for NOPE");
  EXPECT_EQ(MountError("{name: v, mountPath: /m, subPath: ok}"),
            "failed to prepare subPath for volumeMount \"v\" of container \"c\"");
  EXPECT_EQ(MountError("{name: v, mountPath: /m, mountPropagation: Odd}"),
            "invalid MountPropagation mode: \"Odd\"");
}

}  // namespace
}  // namespace keelson::cri
