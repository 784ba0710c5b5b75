// SPDX-License-Identifier: Apache-2.0
#include "kubelet/sources/defaults.h"

#include <gtest/gtest.h>

#include "kubelet/sources/static_pod.h"
#include "test/unit/sources/manifests.h"

namespace keelson::kubelet::sources {
namespace {

v1::Container ContainerOf(std::string_view fields, std::string_view spec = "") {
  return Defaulted(PodText(base::StrCat("{containers: [{name: c, image: i:1, ", fields, "}], ",
                                        spec, "}")))
      .spec()
      .containers(0);
}

v1::VolumeSource VolumeOf(std::string_view source) {
  return Defaulted(WithContainer(base::StrCat("volumes: [{name: v, ", source, "}]")))
      .spec()
      .volumes(0)
      .volumesource();
}

struct Policy {
  const char* image;
  const char* policy;
};
class PullPolicy : public ::testing::TestWithParam<Policy> {};
TEST_P(PullPolicy, FollowsTheTag) {
  EXPECT_EQ(DefaultPullPolicy(GetParam().image), GetParam().policy) << GetParam().image;
}
INSTANTIATE_TEST_SUITE_P(
    Images, PullPolicy,
    ::testing::Values(
        Policy{"nginx", "Always"}, Policy{"nginx:latest", "Always"},
        Policy{"nginx:1.2", "IfNotPresent"}, Policy{"reg:5000/nginx", "Always"},
        Policy{"reg:5000/nginx:v1", "IfNotPresent"}, Policy{"reg:5000/a/b:latest", "Always"},
        Policy{"nginx@sha256:0123", "IfNotPresent"},
        Policy{"nginx:latest@sha256:0123", "Always"}, Policy{"nginx:v1@sha256:01", "IfNotPresent"},
        Policy{"REG.example/nginx", "Always"}, Policy{"Nginx", "IfNotPresent"},
        Policy{"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
               "IfNotPresent"},
        Policy{"", "IfNotPresent"}));

TEST(Defaults, OfASpec) {
  const v1::Pod pod = Defaulted(PodText("{containers: [{name: c, image: i}]}"));
  EXPECT_EQ(pod.spec().restartpolicy(), "Always");
  EXPECT_EQ(pod.spec().dnspolicy(), "ClusterFirst");
  EXPECT_EQ(pod.spec().terminationgraceperiodseconds(), 30);
  EXPECT_EQ(pod.spec().schedulername(), "default-scheduler");
  EXPECT_TRUE(pod.spec().has_securitycontext());
  EXPECT_TRUE(pod.spec().enableservicelinks());
  EXPECT_FALSE(pod.spec().has_serviceaccountname());
}

TEST(Defaults, WhatIsGivenStays) {
  const v1::Pod pod = Defaulted(
      WithContainer("restartPolicy: Never, dnsPolicy: None, terminationGracePeriodSeconds: 0, "
                    "schedulerName: s, enableServiceLinks: false"));
  EXPECT_EQ(pod.spec().restartpolicy(), "Never");
  EXPECT_EQ(pod.spec().dnspolicy(), "None");
  EXPECT_EQ(pod.spec().terminationgraceperiodseconds(), 0);
  EXPECT_EQ(pod.spec().schedulername(), "s");
  EXPECT_FALSE(pod.spec().enableservicelinks());
}

TEST(Defaults, ANegativeGracePeriodIsOneSecond) {
  EXPECT_EQ(Defaulted(WithContainer("terminationGracePeriodSeconds: -5"))
                .spec().terminationgraceperiodseconds(),
            1);
}

TEST(Defaults, TheOldNameOfTheServiceAccountCounts) {
  EXPECT_EQ(Defaulted(WithContainer("serviceAccount: a")).spec().serviceaccountname(), "a");
  EXPECT_EQ(Defaulted(WithContainer("serviceAccountName: a")).spec().serviceaccount(), "a");
}

TEST(Defaults, OfAContainer) {
  const v1::Container c = ContainerOf(
      "ports: [{containerPort: 80}], env: [{name: A, valueFrom: {fieldRef: {fieldPath: "
      "metadata.name}}}, {name: B, valueFrom: {fileKeyRef: {volumeName: v, path: p, key: k}}}]");
  EXPECT_EQ(c.imagepullpolicy(), "IfNotPresent");
  EXPECT_EQ(c.terminationmessagepath(), "/dev/termination-log");
  EXPECT_EQ(c.terminationmessagepolicy(), "File");
  EXPECT_EQ(c.ports(0).protocol(), "TCP");
  EXPECT_EQ(c.ports(0).hostport(), 0);
  EXPECT_EQ(c.env(0).valuefrom().fieldref().apiversion(), "v1");
  EXPECT_TRUE(c.env(1).valuefrom().filekeyref().has_optional());
}

TEST(Defaults, HostNetworkPortsAreHostPorts) {
  EXPECT_EQ(ContainerOf("ports: [{containerPort: 80}]", "hostNetwork: true").ports(0).hostport(),
            80);
}

TEST(Defaults, OfProbesAndHooks) {
  const v1::Container c = ContainerOf(
      "livenessProbe: {httpGet: {port: 80}}, readinessProbe: {grpc: {port: 1}}, startupProbe: "
      "{exec: {command: [a]}, periodSeconds: 3}, lifecycle: {preStop: {httpGet: {port: 1}}}");
  EXPECT_EQ(c.livenessprobe().timeoutseconds(), 1);
  EXPECT_EQ(c.livenessprobe().periodseconds(), 10);
  EXPECT_EQ(c.livenessprobe().successthreshold(), 1);
  EXPECT_EQ(c.livenessprobe().failurethreshold(), 3);
  EXPECT_EQ(c.livenessprobe().handler().httpget().path(), "/");
  EXPECT_EQ(c.livenessprobe().handler().httpget().scheme(), "HTTP");
  EXPECT_TRUE(c.readinessprobe().handler().grpc().has_service());
  EXPECT_EQ(c.startupprobe().periodseconds(), 3);
  EXPECT_EQ(c.lifecycle().prestop().httpget().path(), "/");
}

TEST(Defaults, RequestsFollowLimits) {
  const auto c = ContainerOf("resources: {limits: {cpu: '1', memory: 1Gi}, requests: {cpu: 500m}}");
  EXPECT_EQ(c.resources().requests().at("cpu").string(), "500m");
  EXPECT_EQ(c.resources().requests().at("memory").string(), "1Gi");
}

TEST(Defaults, AmountsAreRoundedUpToThousandths) {
  const auto c = ContainerOf("resources: {limits: {cpu: 1500u, memory: 1Gi}}");
  EXPECT_EQ(c.resources().limits().at("cpu").string(), "2m");
  EXPECT_EQ(c.resources().limits().at("memory").string(), "1Gi");
}

TEST(Defaults, OfVolumes) {
  EXPECT_TRUE(VolumeOf("").has_emptydir());
  EXPECT_TRUE(VolumeOf("hostPath: {path: /x}").hostpath().has_type());
  EXPECT_EQ(VolumeOf("secret: {secretName: s}").secret().defaultmode(), 0644);
  EXPECT_EQ(VolumeOf("configMap: {name: s}").configmap().defaultmode(), 0644);
  EXPECT_EQ(VolumeOf("configMap: {name: s, defaultMode: 0400}").configmap().defaultmode(), 0400);
  const auto downward = VolumeOf("downwardAPI: {items: [{path: a, fieldRef: {fieldPath: "
                                 "metadata.name}}]}").downwardapi();
  EXPECT_EQ(downward.defaultmode(), 0644);
  EXPECT_EQ(downward.items(0).fieldref().apiversion(), "v1");
  const auto projected = VolumeOf("projected: {sources: [{serviceAccountToken: {path: t}}]}");
  EXPECT_EQ(projected.projected().defaultmode(), 0644);
  EXPECT_EQ(projected.projected().sources(0).serviceaccounttoken().expirationseconds(), 3600);
  EXPECT_EQ(VolumeOf("iscsi: {targetPortal: t, iqn: i, lun: 0}").iscsi().iscsiinterface(),
            "default");
  EXPECT_EQ(VolumeOf("rbd: {monitors: [m], image: i}").rbd().keyring(), "/etc/ceph/keyring");
  EXPECT_EQ(VolumeOf("azureDisk: {diskName: d, diskURI: u}").azuredisk().kind(), "Shared");
  EXPECT_EQ(VolumeOf("scaleIO: {gateway: g, system: s}").scaleio().fstype(), "xfs");
  EXPECT_EQ(VolumeOf("image: {reference: 'a:latest'}").image().pullpolicy(), "Always");
  EXPECT_EQ(VolumeOf("ephemeral: {volumeClaimTemplate: {spec: {}}}")
                .ephemeral().volumeclaimtemplate().spec().volumemode(),
            "Filesystem");
}

// KEP-2837.
TEST(Defaults, PodRequestsFollowContainersThenPodLimits) {
  const v1::Pod pod = Defaulted(PodText(
      "{resources: {limits: {cpu: '4', memory: 4Gi}}, containers: [{name: a, image: i, resources: "
      "{requests: {cpu: '1'}}}, {name: b, image: i, resources: {requests: {cpu: 500m}}}]}"));
  EXPECT_EQ(pod.spec().resources().requests().at("cpu").string(), "1500m");
  EXPECT_EQ(pod.spec().resources().requests().at("memory").string(), "4Gi");
}

TEST(Defaults, SidecarsCountWithContainersAndWithLaterInits) {
  const v1::Pod pod = Defaulted(PodText(
      "{containers: [{name: c, image: i, resources: {requests: {cpu: '1'}}}], initContainers: ["
      "{name: s, image: i, restartPolicy: Always, resources: {requests: {cpu: '2'}}},"
      "{name: x, image: i, resources: {requests: {cpu: '5'}}}]}"));
  EXPECT_EQ(SumRequests(pod.spec()).at("cpu").MilliValue(), 7000);
}

TEST(Defaults, TwiceIsOnce) {
  v1::Pod pod = Defaulted(WithContainer(
      "hostNetwork: true, volumes: [{name: v}, {name: w, projected: {sources: []}}]"));
  const std::string once = Fingerprint(pod);
  ApplyDefaults(&pod);
  EXPECT_EQ(Fingerprint(pod), once);
}

}  // namespace
}  // namespace keelson::kubelet::sources
