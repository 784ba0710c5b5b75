// SPDX-License-Identifier: Apache-2.0
#include "kubelet/sources/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kubelet/sources/static_pod.h"
#include "test/unit/sources/manifests.h"

namespace keelson::kubelet::sources {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

const char kGood[] = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n"
                     "spec: {containers: [{name: c, image: i}]}\n";

v1::Pod One(std::string_view text, PodSource source = PodSource::kFile,
            std::string name = "/m/web.yaml", std::string node = "node1") {
  auto manifest = Read(text, source, std::move(name), std::move(node));
  if (!manifest.ok()) {
    ADD_FAILURE() << manifest.status();
    return {};
  }
  return *manifest->pods.at(0);
}

TEST(Decode, YamlAndJsonMakeTheSamePod) {
  const char json[] = R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"web"},
    "spec":{"containers":[{"name":"c","image":"i"}]}})";
  EXPECT_EQ(Fingerprint(One(json)), Fingerprint(One(kGood)));
}

TEST(Decode, AnUnknownFieldIsAWarningWithLineAndPath) {
  auto manifest = Read("apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n"
                       "  containers:\n  - name: c\n    image: i\n    imagePullPolice: Never\n");
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_THAT(manifest->warnings,
              ElementsAre("web.yaml:8: spec.containers[0].imagePullPolice: unknown field"));
}

TEST(Decode, AProblemNamesFileLineAndField) {
  EXPECT_THAT(Verdict("apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n"
                      "  containers:\n  - name: Web\n    image: i\n"),
              HasSubstr("web.yaml:6: spec.containers[0].name: Invalid value: \"Web\": a lowercase "
                        "RFC 1123 label"));
  EXPECT_THAT(Verdict("apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n"
                      "  hostNetwork: 7\n"),
              HasSubstr("web.yaml:5: spec.hostNetwork: expected bool, got number 7"));
}

TEST(Decode, AMissingFieldIsShownWhereItsParentStands) {
  EXPECT_EQ(Verdict("apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n"
                    "  containers:\n  - name: c\n"),
            "web.yaml:6: spec.containers[0].image: Required value");
}

TEST(Decode, AFileHoldsOnePodAndAUrlPerhapsAList) {
  const std::string list = "apiVersion: v1\nkind: PodList\nitems:\n"
                           "- metadata: {name: a}\n  spec: {containers: [{name: c, image: i}]}\n"
                           "- metadata: {name: b}\n  spec: {containers: [{name: c, image: i}]}\n";
  EXPECT_EQ(Verdict(list),
            "web.yaml:2: kind: \"PodList\" is for manifest URLs; a file holds exactly one Pod");
  auto manifest = Read(list, PodSource::kUrl);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  ASSERT_EQ(manifest->pods.size(), 2u);
  EXPECT_EQ(manifest->pods[1]->metadata().name(), "b-node1");
}

TEST(Decode, AProblemInAListNamesTheItem) {
  EXPECT_EQ(Verdict("apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: a}\n"
                    "  spec: {containers: [{name: c, image: i}]}\n- metadata: {name: b}\n  spec: "
                         "{}\n",
                    PodSource::kUrl),
            "web.yaml:7: items[1].spec.containers: Required value");
}

TEST(Decode, OtherKindsAreRefused) {
  EXPECT_EQ(Verdict("apiVersion: v1\nkind: Service\n"),
       "web.yaml:2: kind: \"Service\" is not \"Pod\"");
  EXPECT_EQ(Verdict("kind: Pod\napiVersion: v2\n"),
            "web.yaml:2: apiVersion: \"v2\" is not \"v1\"");
  EXPECT_THAT(Verdict("kind: Pod\n"), HasSubstr("apiVersion: Required value"));
  EXPECT_THAT(Verdict(""), HasSubstr("empty"));
}

TEST(LineOf, FollowsListsMapsAndKeysInBrackets) {
  auto tree = proto::ParseTree("a:\n  b:\n  - c: 1\n  - c: 2\nd:\n  x.y/z: 1\n", {});
  ASSERT_TRUE(tree.ok());
  EXPECT_EQ(LineOf(*tree, "a.b[1].c"), 4);
  EXPECT_EQ(LineOf(*tree, "a.b[1].missing.deep"), 4);
  EXPECT_EQ(LineOf(*tree, "a.b[7]"), 2);
  EXPECT_EQ(LineOf(*tree, "d[x.y/z]"), 6);
  EXPECT_EQ(LineOf(*tree, ""), 1);
  EXPECT_EQ(LineOf(*tree, "a.b[]"), 3);
  EXPECT_EQ(LineOf(*tree, "a["), 1);
}

TEST(StaticPod, GetsNodeNamespacePhaseAndAnnotations) {
  const v1::Pod pod = One(kGood);
  EXPECT_EQ(pod.metadata().name(), "web-node1");
  EXPECT_EQ(pod.metadata().namespace_(), "default");
  EXPECT_EQ(pod.spec().nodename(), "node1");
  EXPECT_EQ(pod.status().phase(), "Pending");
  EXPECT_THAT(pod.metadata().uid(), MatchesRegex("[0-9a-f]{32}"));
  EXPECT_EQ(Annotation(pod, kConfigHash), pod.metadata().uid());
  EXPECT_EQ(Annotation(pod, kConfigSource), "file");
  EXPECT_TRUE(IsStaticPod(pod));
  EXPECT_EQ(FullName(pod), "web-node1_default");
  EXPECT_EQ(ShortName(pod), "default/web-node1");
}

TEST(StaticPod, TheNameTakesTheNodeInLowerCase) {
  v1::Pod pod;
  pod.mutable_metadata()->set_name("web");
  MakeStatic(&pod, PodSource::kFile, "/m/web.yaml", "Node-A");
  EXPECT_EQ(pod.metadata().name(), "web-node-a");
  EXPECT_EQ(pod.spec().nodename(), "Node-A");
}

TEST(StaticPod, FromAFileToleratesNoExecuteAndFromAUrlDoesNot) {
  const v1::Pod file = One(kGood);
  ASSERT_EQ(file.spec().tolerations_size(), 1);
  EXPECT_EQ(file.spec().tolerations(0).operator_(), "Exists");
  EXPECT_EQ(file.spec().tolerations(0).effect(), "NoExecute");
  const v1::Pod url = One(kGood, PodSource::kUrl, "http://h/pod");
  EXPECT_THAT(url.spec().tolerations(), IsEmpty());
  EXPECT_EQ(Annotation(url, kConfigSource), "http");
}

TEST(StaticPod, UidFollowsContentPathAndNodeOnly) {
  const std::string uid = One(kGood).metadata().uid();
  EXPECT_EQ(One(kGood).metadata().uid(), uid);
  EXPECT_EQ(One(base::StrCat("# a comment\n", kGood)).metadata().uid(), uid);
  EXPECT_NE(One(kGood, PodSource::kFile, "/m/other.yaml").metadata().uid(), uid);
  EXPECT_NE(One(kGood, PodSource::kFile, "/m/web.yaml", "node2").metadata().uid(), uid);
  EXPECT_NE(One(PodText("{containers: [{name: c, image: j}]}")).metadata().uid(), uid);
  EXPECT_NE(One(PodText("{containers: [{name: c, image: i}]}", "{name: web, labels: {a: b}}"))
                .metadata()
                .uid(),
            uid);
}

TEST(StaticPod, UidDoesNotDependOnTheOrderOfMaps) {
  const auto uid = [](std::string_view labels) {
    return One(PodText("{containers: [{name: c, image: i}]}",
                       base::StrCat("{name: web, labels: ", labels, "}")))
        .metadata()
        .uid();
  };
  EXPECT_EQ(uid("{a: '1', b: '2', c: '3', d: '4'}"), uid("{d: '4', c: '3', b: '2', a: '1'}"));
}

TEST(StaticPod, AGivenUidAndNamespaceAreKept) {
  const v1::Pod pod =
      One(PodText("{containers: [{name: c, image: i}]}", "{name: web, uid: u1, namespace: sys}"));
  EXPECT_EQ(pod.metadata().uid(), "u1");
  EXPECT_EQ(Annotation(pod, kConfigHash), "u1");
  EXPECT_EQ(pod.metadata().namespace_(), "sys");
}

TEST(StaticPod, FirstSeenIsNoContent) {
  v1::Pod pod = One(kGood);
  const std::string before = Fingerprint(pod);
  SetFirstSeen(&pod, base::FromUnixNanos(1'767'225'600'000'000'005));
  EXPECT_EQ(Annotation(pod, kConfigSeen), "2026-01-01T00:00:00.000000005Z");
  EXPECT_EQ(Fingerprint(pod), before);
  v1::Pod again = One(kGood);
  KeepFirstSeen(&again, pod);
  EXPECT_EQ(Annotation(again, kConfigSeen), "2026-01-01T00:00:00.000000005Z");
}

TEST(StaticPod, ANameIsNeeded) {
  EXPECT_EQ(Verdict(PodText("{containers: [{name: c, image: i}]}", "{labels: {a: b}}")),
            "web.yaml:3: metadata.name: Required value: a static pod needs a name");
}

TEST(Pod, CriticalByPriorityMirrorOrSource) {
  v1::Pod pod;
  EXPECT_FALSE(IsCriticalPod(pod));
  pod.mutable_spec()->set_priority(2'000'000'000);
  EXPECT_TRUE(IsCriticalPod(pod));
  pod.mutable_spec()->set_priority(1'999'999'999);
  EXPECT_FALSE(IsCriticalPod(pod));
  (*pod.mutable_metadata()->mutable_annotations())["kubernetes.io/config.source"] = "api";
  EXPECT_FALSE(IsStaticPod(pod));
  EXPECT_FALSE(IsCriticalPod(pod));
  (*pod.mutable_metadata()->mutable_annotations())["kubernetes.io/config.mirror"] = "x";
  EXPECT_TRUE(IsCriticalPod(pod));
}

struct Reference {
  const char* spec;
  const char* resource;
};
class ApiObjects : public ::testing::TestWithParam<Reference> {};
TEST_P(ApiObjects, AreRefused) {
  EXPECT_THAT(Verdict(WithContainer(GetParam().spec)),
              ::testing::EndsWith(base::StrCat("static pods may not reference ",
                                               GetParam().resource)));
}
INSTANTIATE_TEST_SUITE_P(
    All, ApiObjects,
    ::testing::Values(
        Reference{"serviceAccountName: sa", "serviceaccounts"},
        Reference{"serviceAccount: sa", "serviceaccounts"},
        Reference{"imagePullSecrets: [{name: s}]", "secrets"},
        Reference{"volumes: [{name: v, secret: {secretName: s}}]", "secrets"},
        Reference{"volumes: [{name: v, configMap: {name: m}}]", "configmaps"},
        Reference{"volumes: [{name: v, projected: {sources: [{configMap: {name: m}}]}}]",
                  "configmaps"},
        Reference{"volumes: [{name: v, persistentVolumeClaim: {claimName: p}}]",
                  "persistentvolumeclaims"},
        Reference{"volumes: [{name: v, csi: {driver: d.example.com}}]",
                  "csidrivers (via CSI volumes)"},
        Reference{"volumes: [{name: v, glusterfs: {endpoints: e, path: p}}]",
                  "endpoints (via glusterFS volumes)"},
        Reference{"volumes: [{name: v, ephemeral: {volumeClaimTemplate: {spec: {accessModes: "
                  "[ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}}]",
                  "persistentvolumeclaims (via ephemeral volumes)"},
        Reference{"volumes: [{name: v, projected: {sources: [{clusterTrustBundle: {name: nn, path: "
                  "p}}]}}]",
                  "clustertrustbundles"},
        Reference{"resourceClaims: [{name: r, resourceClaimName: c}]", "resourceclaims"},
        Reference{"initContainers: [{name: x, image: i, envFrom: [{secretRef: {name: s}}]}]",
                  "secrets"},
        Reference{"initContainers: [{name: x, image: i, env: [{name: A, valueFrom: "
                  "{configMapKeyRef: {name: m, key: k}}}]}]",
                  "configmaps"}));

TEST(ApiObjects, DownwardApiNeedsNone) {
  EXPECT_EQ(Verdict(WithContainer(
                "volumes: [{name: v, projected: {sources: [{downwardAPI: {items: [{path: a, "
                "fieldRef: {fieldPath: metadata.name}}]}}]}}]")),
            "fine");
}

}  // namespace
}  // namespace keelson::kubelet::sources
