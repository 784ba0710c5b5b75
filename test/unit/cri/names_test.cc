// SPDX-License-Identifier: Apache-2.0
// Expansion, identity, image names.
#include <gtest/gtest.h>

#include "cri/expand.h"
#include "cri/identity.h"
#include "cri/image_ref.h"
#include "test/unit/cri/pods.h"

namespace keelson::cri {
namespace {

TEST(Expand, FollowsTheExpansionRules) {
  const std::vector<EnvVar> env{{"A", "1"}, {"B", "$(A)"}, {"EMPTY", ""}, {"A", "one"}};
  const struct {
    const char* text;
    const char* want;
  } cases[] = {
      {"plain", "plain"},
      {"$(A)", "one"},
      {"x$(A)y$(B)z", "xoney$(A)z"},  // values are not expanded again
      {"$(EMPTY)", ""},
      {"$(MISSING)", "$(MISSING)"},
      {"$$(A)", "$(A)"},
      {"$$$(A)", "$one"},
      {"$A", "$A"},
      {"$", "$"},
      {"a$", "a$"},
      {"$(A", "$(A"},
      {"$(", "$("},
      {"$()", "$()"},
      {"$(a$(B)", "$(a$(B)"},
      {"$(A))", "one)"},
      {"", ""},
  };
  for (const auto& c : cases) EXPECT_EQ(Expand(c.text, env), c.want) << c.text;
}

TEST(Expand, SubPathNeedsEveryValue) {
  const std::vector<EnvVar> env{{"POD", "web"}, {"EMPTY", ""}};
  EXPECT_EQ(*ExpandSubPath("logs/$(POD)", env), "logs/web");
  EXPECT_EQ(base::Message(ExpandSubPath("$(X)/$(EMPTY)/$(A)", env).status()),
            "missing value for A, EMPTY, X");
}

// Values of upstream's own tests and, for the escapes, of encoding/json's rules.
TEST(Identity, HashEqualsUpstreams) {
  v1::Container container;
  container.set_name("test_container");
  container.set_image("foo/image:v1");
  container.add_args("echo abc");  // counts for nothing
  EXPECT_EQ(ContainerHash(container), "8e45cbd0");
  container.set_name("foo");
  container.set_image("bar");
  EXPECT_EQ(ContainerHash(container), "11a6d6d6");
}

TEST(Identity, LabelsAndAnnotationsCarryThePodsStory) {
  const v1::Pod pod = PodOf(R"(
metadata:
  name: web
  namespace: default
  uid: u1
  deletionGracePeriodSeconds: 7
  labels: {app: web, io.kubernetes.pod.name: liar}
spec:
  terminationGracePeriodSeconds: 30
  containers:
  - name: c
    image: busybox
    terminationMessagePath: /dev/termination-log
    terminationMessagePolicy: File
    ports: [{containerPort: 80, protocol: TCP}, {name: x, hostPort: 1, containerPort: 2}]
    lifecycle: {preStop: {httpGet: {path: /bye, port: 8080, scheme: HTTP}}}
)");
  EXPECT_EQ(PodLabels(pod), (StringMap{{"app", "web"},
                                       {"io.kubernetes.pod.name", "web"},
                                       {"io.kubernetes.pod.namespace", "default"},
                                       {"io.kubernetes.pod.uid", "u1"}}));
  const v1::Container& container = pod.spec().containers(0);
  EXPECT_EQ(ContainerLabels(pod, container), (StringMap{{"io.kubernetes.container.name", "c"},
                                                        {"io.kubernetes.pod.name", "web"},
                                                        {"io.kubernetes.pod.namespace", "default"},
                                                        {"io.kubernetes.pod.uid", "u1"}}));
  auto annotations = *ContainerAnnotations(pod, container, 3);
  EXPECT_EQ(annotations["io.kubernetes.container.restartCount"], "3");
  EXPECT_EQ(annotations["io.kubernetes.container.hash"], ContainerHash(container));
  EXPECT_EQ(annotations["io.kubernetes.container.terminationMessagePath"], "/dev/termination-log");
  EXPECT_EQ(annotations["io.kubernetes.container.terminationMessagePolicy"], "File");
  EXPECT_EQ(annotations["io.kubernetes.pod.deletionGracePeriod"], "7");
  EXPECT_EQ(annotations["io.kubernetes.pod.terminationGracePeriod"], "30");
  EXPECT_EQ(annotations["io.kubernetes.container.preStopHandler"],
            R"({"httpGet":{"path":"/bye","port":8080,"scheme":"HTTP"}})");
  EXPECT_EQ(annotations["io.kubernetes.container.ports"],
            R"([{"containerPort":80,"protocol":"TCP"},)"
            R"({"name":"x","hostPort":1,"containerPort":2}])");
}

TEST(Identity, LogFilesHaveTheStandardLayout) {
  const v1::Pod pod = PodWithSpec("  containers: []\n");
  EXPECT_EQ(PodLogDirectory("/var/log/pods", pod), "/var/log/pods/default_web_u1");
  EXPECT_EQ(ContainerLogPath("c", 2), "c/2.log");
  EXPECT_EQ(ContainerLogLink("web", "default", "c", "id"), "web_default_c-id.log");
  const std::string link = ContainerLogLink(std::string(253, 'p'), "default", "c", "id");
  EXPECT_EQ(link.size(), 255u);
  EXPECT_TRUE(link.ends_with(".log"));
}

TEST(ImageRef, NamesAreReadAsRegistriesDo) {
  const std::string digest =
      "sha256:7cc4b5aefd1d0cadf8d97d4350462ba51c694ebca145b08d7d41b41acc8db5aa";
  const struct {
    std::string image, full, tag, digest, with_tag;
  } cases[] = {
      {"busybox", "docker.io/library/busybox", "latest", "", "busybox:latest"},
      {"busybox:1.36", "docker.io/library/busybox", "1.36", "", "busybox:1.36"},
      {"team/app", "docker.io/team/app", "latest", "", "team/app:latest"},
      {"docker.io/busybox", "docker.io/library/busybox", "latest", "", "docker.io/busybox:latest"},
      {"index.docker.io/busybox", "docker.io/library/busybox", "latest", "",
       "index.docker.io/busybox:latest"},
      {"quay.io/a/b:v1", "quay.io/a/b", "v1", "", "quay.io/a/b:v1"},
      {"localhost/a", "localhost/a", "latest", "", "localhost/a:latest"},
      {"127.0.0.1:5000/a", "127.0.0.1:5000/a", "latest", "", "127.0.0.1:5000/a:latest"},
      {"[::1]:5000/a:x", "[::1]:5000/a", "x", "", "[::1]:5000/a:x"},
      {"UPPER/a", "UPPER/a", "latest", "", "UPPER/a:latest"},
      {"a/b@" + digest, "docker.io/a/b", "", digest, "a/b@" + digest},
      {"a/b:v1@" + digest, "docker.io/a/b", "v1", digest, "a/b:v1@" + digest},
      {"a__b/c-d--e.f_g", "docker.io/a__b/c-d--e.f_g", "latest", "", "a__b/c-d--e.f_g:latest"},
  };
  for (const auto& c : cases) {
    auto ref = ParseImageRef(c.image);
    ASSERT_TRUE(ref.ok()) << ref.status();
    EXPECT_EQ(ref->FullName(), c.full);
    EXPECT_EQ(ref->tag, c.tag) << c.image;
    EXPECT_EQ(ref->digest, c.digest) << c.image;
    EXPECT_EQ(*WithDefaultTag(c.image), c.with_tag);
  }
}

TEST(ImageRef, BrokenNamesAreRefused) {
  for (const std::string& bad :
       {std::string(""), std::string(":tag"), std::string("a:"), std::string("a b"),
        std::string("a//b"), std::string("a/"), std::string("/a"), std::string("a..b"),
        std::string("a___b"), std::string("-a"), std::string("a@sha256:12"), std::string("a@"),
        std::string("a.b:x/c"), std::string("http://a/b"), std::string(64, 'a'),
        std::string(300, 'a') + ":v1", "a:" + std::string(129, 't'), std::string("a:-x"),
        std::string("exam_ple.com/x")})
    EXPECT_FALSE(ParseImageRef(bad).ok()) << bad;
  EXPECT_EQ(base::Message(ParseImageRef("Busybox").status()),
            "couldn't parse image name \"Busybox\": invalid reference format: repository name "
            "(library/Busybox) must be lowercase");
  EXPECT_EQ(base::Message(ParseImageRef("a b").status()),
            "couldn't parse image name \"a b\": invalid reference format");
}

}  // namespace
}  // namespace keelson::cri
