// SPDX-License-Identifier: Apache-2.0
// Environments of containers from objects of an API server and files of volumes.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/strings.h"
#include "kubelet/cluster/api_objects.h"
#include "kubelet/environment_facts.h"
#include "proto/codec/codec.h"
#include "proto/k8s/objects.pb.h"
#include "test/apiserver/fake_api_server.h"
#include "test/unit/base/fixture.h"

namespace keelson::kubelet {
namespace {

using std::chrono::seconds;

class ContainerEnvironment : public base::OnVirtualClock {
 protected:
  ContainerEnvironment() {
    v1::ConfigMap map;
    map.mutable_metadata()->set_namespace_("shop");
    map.mutable_metadata()->set_name("conf");
    (*map.mutable_data())["A"] = "map";
    store_.Put(map);
    v1::Secret secret;
    secret.mutable_metadata()->set_namespace_("shop");
    secret.mutable_metadata()->set_name("keys");
    (*secret.mutable_data())["A"] = "secret";
    store_.Put(secret);
    v1::Service service;
    service.mutable_metadata()->set_namespace_("default");
    service.mutable_metadata()->set_name("kubernetes");
    service.mutable_spec()->set_clusterip("10.0.0.1");
    service.mutable_spec()->add_ports()->set_port(443);
    store_.Put(service);
  }
  ~ContainerEnvironment() override {
    base::TaskGroup group(loop);
    group.Spawn("close", api_.Close());
    loop.RunReady();
  }

  // NAME=value of those that are no service's, or what is wrong.
  std::string Env(const std::string& lines, csi::ObjectSource* objects, bool is_static = false) {
    auto pod = std::make_shared<v1::Pod>();
    absl::Status read = proto::DecodeYaml(
        "metadata: {name: web, uid: u1, namespace: shop}\nspec: {enableServiceLinks: true, "
        "containers: [{name: c, " + lines + "}]}", pod.get(), {});
    EXPECT_TRUE(read.ok()) << read;
    auto& annotations = *pod->mutable_metadata()->mutable_annotations();
    if (is_static) annotations[std::string(kConfigSource)] = "file";
    api_.Register(pod, {{"conf", "none"}, {"keys", "none"}}, [] {});
    std::optional<absl::StatusOr<EnvironmentFacts>> facts;
    base::TaskGroup group(loop);
    group.Spawn("fetch", base::internal::StoreResult<absl::StatusOr<EnvironmentFacts>>(
                             FetchEnvironment(loop, objects, pod, &pod->spec().containers(0),
                                              {{"v", {dir_.path(), false}}}),
                             &facts));
    loop.RunReady();
    if (!facts) RunFor(seconds(3));
    if (!facts) return "still waiting";
    if (!facts->ok()) return std::string(base::Message(facts->status()));
    auto env = cri::MakeEnvironment(*pod, pod->spec().containers(0), ContextOf(**facts));
    if (!env.ok()) return std::string(base::Message(env.status()));
    std::string text;
    for (const auto& var : *env)
      if (!var.name.starts_with("KUBERNETES_") || var.name.ends_with("_HOST"))
        base::StrAppend(&text, text.empty() ? "" : " ", var.name, "=", var.value);
    return text;
  }
  std::string FromFile(const std::string& path, const std::string& key,
                       const std::string& rest = "") {
    return Env("env: [{name: X, valueFrom: {fileKeyRef: {volumeName: v, path: " + path +
                   ", key: " + key + rest + "}}}]", nullptr);
  }

  apiserver::ObjectStore store_{clock};
  apiserver::FakeApiServer server_{loop, store_};
  ApiObjects api_{loop, server_, {.seed = 1}};
  base::TempDir dir_;
};

TEST_F(ContainerEnvironment, ComesFromObjectsAndServices) {
  EXPECT_EQ(Env("envFrom: [{prefix: P_, configMapRef: {name: conf}}, {secretRef: {name: keys}}], "
                "env: [{name: K, valueFrom: {configMapKeyRef: {name: conf, key: A}}}, {name: S, "
                "valueFrom: {secretKeyRef: {name: keys, key: A}}}]", &api_),
            "P_A=map A=secret K=map S=secret KUBERNETES_SERVICE_HOST=10.0.0.1");
}

TEST_F(ContainerEnvironment, WhatIsMissingIsNamedUnlessItIsOptional) {
  const std::pair<const char*, const char*> rows[] = {
      {"envFrom: [{configMapRef: {name: none}}]", "configmap \"none\" not found"},
      {"envFrom: [{secretRef: {name: none}}]", "secret \"none\" not found"},
      {"env: [{name: X, valueFrom: {secretKeyRef: {name: keys, key: B}}}]",
       "couldn't find key B in Secret shop/keys"},
      {"envFrom: [{configMapRef: {name: none, optional: true}}], env: [{name: X, valueFrom: "
       "{secretKeyRef: {name: none, key: B, optional: true}}}]",
       "KUBERNETES_SERVICE_HOST=10.0.0.1"},
  };
  for (const auto& [lines, words] : rows) EXPECT_EQ(Env(lines, &api_), words) << lines;
  EXPECT_EQ(Env("envFrom: [{configMapRef: {name: conf}}]", nullptr),
            "couldn't get configMap shop/conf, no kubeClient defined");
}

TEST_F(ContainerEnvironment, StaticPodsDoNotWaitForServices) {
  server_.SetReachable(false);
  EXPECT_EQ(Env("env: [{name: X, value: x}]", &api_),
            "services have not yet been read at least once, cannot construct envvars");
  EXPECT_EQ(Env("env: [{name: X, value: x}]", &api_, true), "X=x");
}

TEST_F(ContainerEnvironment, FilesAreReadInsideTheirVolume) {
  ASSERT_TRUE(base::WriteFileAtomic(dir_ / "env", "K='one'\nE=''\n", 0644, false).ok());
  ASSERT_TRUE(base::WriteFileAtomic(dir_ / "bad", "K=one\n", 0644, false).ok());
  ASSERT_EQ(::symlink("/etc/passwd", (dir_ / "link").c_str()), 0);
  ASSERT_EQ(::mkfifo((dir_ / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(FromFile("env", "K"), "X=one");
  EXPECT_EQ(FromFile("env", "E", ", optional: true"), "");
  EXPECT_EQ(FromFile("env", "Z"), "environment variable key \"Z\" not found in file \"" +
                                      (dir_ / "env") + "\"");
  for (const char* path : {"bad", "link", "pipe", "none"})
    EXPECT_EQ(FromFile(path, "K"), "couldn't parse env file") << path;
  EXPECT_EQ(Env("env: [{name: X, valueFrom: {fileKeyRef: {volumeName: w, path: p, key: K}}}]",
                nullptr),
            "cannot find the volume \"w\" referenced by FileKeyRef");
}

}  // namespace
}  // namespace keelson::kubelet
