// SPDX-License-Identifier: Apache-2.0
// configMap, secret, downwardAPI and projected volumes of pods whose objects a test holds.
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "csi/atomic_writer.h"
#include "csi/pod_volumes.h"
#include "csi/projection.h"
#include "proto/codec/codec.h"
#include "proto/k8s/objects.pb.h"
#include "test/unit/csi/fixture.h"

namespace keelson::csi {
namespace {

namespace v1 = ::k8s::v1;
using base::Task;

class FakeObjects : public ObjectSource {
 public:
  Task<absl::StatusOr<std::shared_ptr<const v1::ConfigMap>>> ConfigMap(std::string,
                                                                       std::string name) override {
    auto it = config_maps.find(name);
    if (it == config_maps.end())
      co_return absl::NotFoundError("configmap \"" + name + "\" not found");
    auto object = std::make_shared<v1::ConfigMap>();
    for (const auto& [key, value] : it->second) (*object->mutable_data())[key] = value;
    co_return object;
  }
  Task<absl::StatusOr<std::shared_ptr<const v1::Secret>>> Secret(std::string,
                                                                 std::string name) override {
    auto it = secrets.find(name);
    if (it == secrets.end()) co_return absl::NotFoundError("secret \"" + name + "\" not found");
    auto object = std::make_shared<v1::Secret>();
    for (const auto& [key, value] : it->second) (*object->mutable_data())[key] = value;
    co_return object;
  }
  Task<absl::StatusOr<std::vector<std::shared_ptr<const v1::Service>>>> Services(std::string,
                                                                               bool) override {
    co_return std::vector<std::shared_ptr<const v1::Service>>();
  }
  Task<absl::StatusOr<std::string>> RuntimeHandler(std::string) override {
    co_return std::string();
  }
  Task<absl::StatusOr<Token>> ServiceAccountToken(TokenSpec spec) override {
    co_return Token{spec.service_account + "/" + spec.pod_uid + "/" + spec.audience, {}, {}};
  }
  void Register(PodPtr, References r, std::function<void()> changed) override {
    references = std::move(r);
    change = std::move(changed);
  }
  void Unregister(const std::string&) override { change = nullptr; }

  std::map<std::string, std::map<std::string, std::string>> config_maps, secrets;
  References references;
  std::function<void()> change;
};

class ObjectVolumes : public InDirOnLoop {
 protected:
  PodPtr WithVolume(const std::string& source, const std::string& rest = "") {
    auto pod = std::make_shared<v1::Pod>();
    absl::Status status = proto::DecodeYaml(
        "metadata: {name: web, uid: u1, namespace: shop, labels: {b: \"2\", a: \"1\"}}\n"
        "spec: {serviceAccountName: robot, volumes: [{name: v, " + source + "}], containers: " +
            "[{name: c, volumeMounts: [{name: v, mountPath: /v}], resources: {limits: {memory: " +
            "64Mi}}}]" + rest + "}",
        pod.get(), {});
    EXPECT_TRUE(status.ok()) << status;
    return pod;
  }
  // Its path, or what the first event says.
  std::string MountIt(PodPtr pod) {
    failures.clear();
    auto mounted = Finish(volumes->Mount(std::move(pod)));
    if (!mounted.ok())
      return failures.empty() ? std::string(base::Message(mounted.status())) : failures[0];
    EXPECT_TRUE(mounted->at("v").read_only);
    return mounted->at("v").host_path;
  }
  std::string Read(const std::string& path) {
    auto text = base::ReadFile(path);
    return text.ok() ? *text : "none";
  }
  mode_t Mode(const std::string& path) {
    struct stat st {};
    EXPECT_EQ(::stat(path.c_str(), &st), 0) << path;
    return st.st_mode & 07777;
  }
  std::string Path() { return dir / "pods/u1/volumes/kubernetes.io~configmap/v"; }

  std::unique_ptr<PodVolumes> New(ObjectSource* source) {
    PodVolumesOptions options{dir.path(), 64 << 20, source};
    options.allocatable = {{"cpu", "2"}, {"ephemeral-storage", "10Gi"}};
    options.on_failure = [this](const v1::Pod&, std::string what) {
      failures.push_back(std::move(what));
    };
    return MakePodVolumes(loop, std::move(options));
  }

  FakeObjects objects;
  std::vector<std::string> failures;
  std::unique_ptr<PodVolumes> volumes = New(&objects);
};

TEST_F(ObjectVolumes, AConfigMapIsFilesBehindLinks) {
  objects.config_maps["conf"] = {{"k", "one"}};
  const std::string path = MountIt(WithVolume("configMap: {name: conf}"));
  EXPECT_EQ(path, Path());
  EXPECT_EQ(Read(path + "/k"), "one");
  EXPECT_EQ(Mode(path + "/k"), 0644u);
  EXPECT_TRUE(objects.references.config_maps.contains("conf"));
}

TEST_F(ObjectVolumes, AChangeReachesTheFilesOfARunningPod) {
  objects.config_maps["conf"] = {{"k", "one"}};
  ASSERT_EQ(MountIt(WithVolume("configMap: {name: conf}")), Path());
  objects.config_maps["conf"] = {{"k", "new"}};
  objects.change();
  loop.RunReady();
  EXPECT_EQ(Read(Path() + "/k"), "new");
}

TEST_F(ObjectVolumes, WhatIsMissingIsWaitedForAndAChangeIsTriedAtOnce) {
  using Mounted = absl::StatusOr<std::map<std::string, MountedVolume>>;
  std::optional<Mounted> mounted;
  auto pod = WithVolume("configMap: {name: conf}");
  group.Spawn("mount", base::internal::StoreResult<Mounted>(volumes->Mount(pod), &mounted));
  base::RunFor(loop, clock, std::chrono::seconds(40));
  EXPECT_FALSE(mounted);
  objects.config_maps["conf"] = {{"k", "one"}};
  objects.change();
  loop.RunReady();
  ASSERT_TRUE(mounted && mounted->ok());
  EXPECT_EQ(Read(Path() + "/k"), "one");
}

TEST_F(ObjectVolumes, ARunningPodKeepsItsFilesWhenTheObjectGoes) {
  objects.config_maps["conf"] = {{"k", "one"}};
  ASSERT_EQ(MountIt(WithVolume("configMap: {name: conf}")), Path());
  objects.config_maps.clear();
  objects.change();
  loop.RunReady();
  EXPECT_EQ(Read(Path() + "/k"), "one");
  EXPECT_EQ(failures, std::vector<std::string>{kFailed + "configmap \"conf\" not found"});
  objects.config_maps["conf"] = {{"k", "new"}};
  base::RunFor(loop, clock, std::chrono::seconds(1));
  EXPECT_EQ(Read(Path() + "/k"), "new") << "tried again even without an event";
}

TEST_F(ObjectVolumes, LabelsOfARunningPodReachItsFiles) {
  auto pod =
      WithVolume("downwardAPI: {items: [{path: k, fieldRef: {fieldPath: metadata.labels}}]}");
  const std::string path = MountIt(pod);
  EXPECT_EQ(Read(path + "/k"), "a=\"1\"\nb=\"2\"");
  auto changed = std::make_shared<v1::Pod>(*pod);
  (*changed->mutable_metadata()->mutable_labels())["b"] = "3";
  volumes->Update(changed);
  loop.RunReady();
  EXPECT_EQ(Read(path + "/k"), "a=\"1\"\nb=\"3\"");
}

TEST_F(ObjectVolumes, OtherVolumesFindWhatTheyAreMountedOn) {
  objects.config_maps["conf"] = {{"k", "one"}};
  auto pod = std::make_shared<v1::Pod>();
  ASSERT_TRUE(proto::DecodeYaml(
                  "metadata: {name: web, uid: u1, namespace: shop}\n"
                  "spec: {volumes: [{name: v, configMap: {name: conf}}, {name: w, emptyDir: {}}], "
                  "containers: [{name: c, volumeMounts: [{name: v, mountPath: /etc/app/}, "
                  "{name: w, mountPath: /etc/app/../app/cache/deep}, {name: w, mountPath: "
                  "/etc/apple}]}]}",
                  pod.get(), {})
                  .ok());
  EXPECT_EQ(NestedMountPoints(*pod, "v"), std::vector<std::string>{"cache/deep"});
  EXPECT_EQ(NestedMountPoints(*pod, "w"), std::vector<std::string>());
  ASSERT_EQ(MountIt(pod), Path());
  EXPECT_EQ(Mode(Path() + "/cache/deep"), 0755u);
  objects.config_maps["conf"] = {{"k", "new"}};
  objects.change();
  loop.RunReady();
  EXPECT_EQ(Read(Path() + "/k"), "new");
  EXPECT_TRUE(base::PathExists(Path() + "/cache/deep"));
}

TEST_F(ObjectVolumes, AllThatAPodNamesIsRegistered) {
  auto pod = std::make_shared<v1::Pod>();
  ASSERT_TRUE(
      proto::DecodeYaml(
          "spec: {imagePullSecrets: [{name: pull}], volumes: [{name: v, projected: {sources: "
          "[{configMap: {name: a}}, {secret: {name: b}}]}}, {name: w, secret: {secretName: c}}], "
          "initContainers: [{name: i, envFrom: [{configMapRef: {name: d}}, {secretRef: {}}]}], "
          "containers: [{name: c, env: [{name: X, valueFrom: {secretKeyRef: {name: e, key: k}}}]}], "
          "ephemeralContainers: [{name: x, envFrom: [{secretRef: {name: f}}]}]}",
          pod.get(), {})
          .ok());
  EXPECT_EQ(ReferencesOf(*pod), (References{{"a", "d"}, {"b", "c", "e", "f", "pull"}}));
}

TEST_F(ObjectVolumes, ASecretIsInMemoryAndItsFilesAreTheGroups) {
  objects.secrets["keys"] = {{"k", "s3cret"}};
  const std::string path =
      MountIt(WithVolume("secret: {secretName: keys, defaultMode: 256, items: [{key: k, path: "
                         "deep/er/k}]}", ", securityContext: {fsGroup: 4321}"));
  EXPECT_EQ(Read(path + "/deep/er/k"), "s3cret");
  EXPECT_EQ(Mode(path + "/deep/er/k"), 0440u);
  EXPECT_EQ(Mode(path + "/deep"), 02755u);
  EXPECT_EQ(Mode(path), 02777u);
  struct statfs fs {};
  ASSERT_EQ(::statfs(path.c_str(), &fs), 0);
  EXPECT_EQ(fs.f_type, TMPFS_MAGIC);
  EXPECT_TRUE(Finish(volumes->Unmount("u1")).ok());
  EXPECT_FALSE(base::PathExists(path));
  EXPECT_EQ(objects.change, nullptr);
}

TEST_F(ObjectVolumes, MetadataAndResourcesNeedNoApiServer) {
  volumes = New(nullptr);
  const std::string path = MountIt(WithVolume(
      "downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}, {path: mem, "
      "resourceFieldRef: {containerName: c, resource: limits.memory, divisor: 1Mi}}, {path: cpu, "
      "mode: 256, resourceFieldRef: {containerName: c, resource: limits.cpu}}, {path: disk, "
      "resourceFieldRef: {containerName: c, resource: limits.ephemeral-storage, divisor: 1Gi}}]}"));
  EXPECT_EQ(Read(path + "/labels"), "a=\"1\"\nb=\"2\"");
  EXPECT_EQ(Read(path + "/mem"), "64");
  EXPECT_EQ(Read(path + "/cpu"), "2");
  EXPECT_EQ(Read(path + "/disk"), "10") << "what the node has";
  EXPECT_EQ(Mode(path + "/cpu"), 0400u);
}

TEST_F(ObjectVolumes, LaterSourcesWinAndATokenIsBoundToThePod) {
  objects.config_maps["conf"] = {{"k", "map"}, {"m", "map"}};
  objects.secrets["keys"] = {{"k", "secret"}};
  const std::string path = MountIt(WithVolume(
      "projected: {sources: [{configMap: {name: conf}}, {secret: {name: keys}}, "
      "{configMap: {name: none, optional: true}}, "
      "{serviceAccountToken: {path: token, audience: vault}}]}",
      ", securityContext: {runAsUser: 1234}"));
  EXPECT_EQ(Read(path + "/k"), "secret");
  EXPECT_EQ(Read(path + "/m"), "map");
  EXPECT_EQ(Read(path + "/token"), "robot/u1/vault");
  EXPECT_EQ(Mode(path + "/token"), 0600u);
  struct stat st {};
  ASSERT_EQ(::stat((path + "/token").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 1234u);
}

TEST_F(ObjectVolumes, ATokenIsForItsUserAndItsGroup) {
  const std::string path = MountIt(WithVolume(
      "projected: {sources: [{serviceAccountToken: {path: token}}]}",
      ", securityContext: {runAsUser: 1234, fsGroup: 4321}"));
  struct stat st {};
  ASSERT_EQ(::stat((path + "/token").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 1234u);
  EXPECT_EQ(st.st_gid, 4321u);
  EXPECT_EQ(st.st_mode & 07777, 0640u);
  ASSERT_EQ(::lstat((path + "/token").c_str(), &st), 0);
  EXPECT_EQ(st.st_gid, 4321u) << "links too";
}

TEST_F(ObjectVolumes, WhatIsMissingIsSaidInTheKubeletsWords) {
  objects.config_maps["conf"] = {{"k", "one"}};
  objects.secrets["keys"] = {{"k", "one"}};
  const std::pair<std::string, std::string> cases[] = {
      {"configMap: {name: gone}", "configmap \"gone\" not found"},
      {"secret: {secretName: gone}", "secret \"gone\" not found"},
      {"configMap: {name: conf, items: [{key: x, path: x}]}",
       "configmap references non-existent config key: x"},
      {"secret: {secretName: keys, items: [{key: x, path: x}]}",
       "references non-existent secret key: x"},
      {"projected: {sources: [{clusterTrustBundle: {name: b, path: p}}]}",
       "projected clusterTrustBundle is not served by this node"},
      {"configMap: {name: conf, items: [{key: k, path: ../x}]}",
       "invalid path \"../x\": must not contain '..'"},
  };
  for (const auto& [source, words] : cases)
    EXPECT_EQ(MountIt(WithVolume(source)), kFailed + words);
}

TEST_F(ObjectVolumes, WithoutAnApiServerThereAreNoObjects) {
  volumes = New(nullptr);
  EXPECT_EQ(MountIt(WithVolume("secret: {secretName: keys}")),
            kFailed +
                "cannot setup volume v because kube client is not configured");
}

class AtomicWriter : public InDir {
 protected:
  void Write(const Payload& payload, std::optional<gid_t> group = std::nullopt) {
    absl::Status status = WritePayload(Vol(), payload, group);
    EXPECT_TRUE(status.ok()) << status;
  }
  std::string Vol() { return Dir("v"); }
  std::string Generation() {
    char to[256];
    const ssize_t n = ::readlink((Vol() + "/..data").c_str(), to, sizeof to);
    return n < 0 ? "" : std::string(to, static_cast<size_t>(n));
  }
  std::string Names() {
    std::string out;
    auto names = base::ListDir(Vol());
    EXPECT_TRUE(names.ok());
    for (const auto& name : *names)
      if (name != Generation()) out += name + " ";
    return out;
  }
};

TEST_F(AtomicWriter, NothingIsWrittenWhenNothingChanged) {
  Write({{"a", {"1"}}, {"b/c", {"2"}}});
  const std::string first = Generation();
  EXPECT_EQ(first.substr(0, 4), "..20");
  EXPECT_EQ(Names(), "..data a b ");
  Write({{"a", {"1"}}, {"b/c", {"2"}}});
  EXPECT_EQ(Generation(), first);
  Write({{"a", {"1", 0600}}, {"b/c", {"2"}}});
  EXPECT_NE(Generation(), first);
}

TEST_F(AtomicWriter, RemovedFilesGo) {
  Write({{"a", {"1"}}, {"b/c", {"2"}}, {"b/d", {"3"}}});
  Write({{"b/c", {"2"}}});
  EXPECT_EQ(Names(), "..data b ");
  EXPECT_FALSE(base::PathExists(Vol() + "/b/d"));
  Write({});
  EXPECT_EQ(Names(), "..data ");
}

TEST_F(AtomicWriter, WhatACrashLeftIsTidiedUp) {
  Write({{"a", {"1"}}});
  Dir("v/..2026_11_23_00_00_00.1");
  Link("v/..data_tmp", "..2026_11_23_00_00_00.1");
  ASSERT_EQ(::unlink((Vol() + "/a").c_str()), 0);
  Write({{"a", {"1"}}});
  EXPECT_EQ(Names(), "..data a ");
  Dir("v/..2026_11_23_00_00_00.1");
  Link("v/..data_tmp", "..2026_11_23_00_00_00.1");
  Write({{"a", {"2"}}});
  EXPECT_EQ(Names(), "..data a ");
}

TEST_F(AtomicWriter, ALinkThatLeadsElsewhereIsReplacedNotFollowed) {
  const std::string secret = Dir("elsewhere");
  File("elsewhere/a", "1");
  Vol();
  Link("v/..data", "../elsewhere");
  Write({{"a", {"1"}}});
  EXPECT_EQ(Generation().substr(0, 4), "..20");
  EXPECT_TRUE(base::PathExists(secret + "/a"));
}

TEST_F(AtomicWriter, NamesThatLeadOutAreRefused) {
  const std::string bad[] = {"", "/a", "..", "a/../b", "..a", "./..a", ".", std::string(256, 'a'),
                             std::string(4097, 'a'), std::string("a\0b", 3)};
  for (const auto& path : bad)
    EXPECT_FALSE(WritePayload(Vol(), {{path, {"x"}}}, {}).ok()) << path;
  EXPECT_EQ(Names(), "");
  EXPECT_EQ(*CleanPayloadPath("a//./b/..c"), "a/b/..c");
}

}  // namespace
}  // namespace keelson::csi
