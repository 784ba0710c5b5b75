// SPDX-License-Identifier: Apache-2.0
#include "csi/pod_volumes.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "csi/mounts.h"
#include "csi/sub_path.h"
#include "proto/codec/codec.h"
#include "test/unit/csi/fixture.h"

namespace keelson::csi {
namespace {

using Mounted = absl::StatusOr<std::map<std::string, MountedVolume>>;

constexpr int64_t kMi = 1 << 20;

class Volumes : public InDirOnLoop {
 protected:
  PodPtr Pod(const std::string& spec) {
    auto pod = std::make_shared<k8s::v1::Pod>();
    absl::Status status =
        proto::DecodeYaml("metadata: {name: web, uid: u1}\nspec: " + spec, pod.get(), {});
    EXPECT_TRUE(status.ok()) << status << " in " << spec;
    return pod;
  }
  // A pod of one container that mounts its one volume `v`.
  PodPtr WithVolume(const std::string& source, const std::string& rest = "") {
    return Pod("{volumes: [{name: v, " + source + "}], containers: [{name: c, volumeMounts: " +
               "[{name: v, mountPath: /v}]" + rest + "}]}");
  }
  Mounted Mount(PodPtr pod) { return Finish(volumes->Mount(std::move(pod))); }
  absl::Status Unmount() { return Finish(volumes->Unmount("u1")); }
  // What events say; else why there are no volumes.
  std::string Error(PodPtr pod) {
    failures.clear();
    auto mounted = Mount(std::move(pod));
    if (mounted.ok()) return "none";
    return failures.empty() ? std::string(base::Message(mounted.status())) : failures[0];
  }
  std::string EmptyDir() { return dir / "pods/u1/volumes/kubernetes.io~empty-dir/v"; }
  struct statfs FsOf(const std::string& path) {
    struct statfs fs {};
    EXPECT_EQ(::statfs(path.c_str(), &fs), 0) << path;
    return fs;
  }
  size_t MountsLeft() {
    auto info = base::ReadFile("/proc/self/mountinfo", 1 << 24);
    return info.ok() ? MountsBelow(*info, dir.path()).size() : 99;
  }

  std::unique_ptr<PodVolumes> New() {
    PodVolumesOptions options{dir.path(), 64 * kMi};
    options.on_failure = [this](const k8s::v1::Pod&, std::string what) {
      failures.push_back(std::move(what));
    };
    return MakePodVolumes(loop, std::move(options));
  }

  std::vector<std::string> failures;
  std::unique_ptr<PodVolumes> volumes = New();
};

TEST_F(Volumes, AnEmptyDirIsForAllAndKeepsItsData) {
  auto mounted = Mount(WithVolume("emptyDir: {}"));
  ASSERT_TRUE(mounted.ok()) << mounted.status();
  EXPECT_EQ(mounted->at("v").host_path, EmptyDir());
  struct stat st {};
  ASSERT_EQ(::stat(EmptyDir().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode, S_IFDIR | 0777u);
  ASSERT_EQ(::stat((dir / "pods/u1/volumes").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode, S_IFDIR | 0750u);
  ASSERT_TRUE(base::WriteFileAtomic(EmptyDir() + "/data", "kept", 0644, false).ok());
  ASSERT_EQ(::chmod(EmptyDir().c_str(), 0700), 0);
  ASSERT_TRUE(Mount(WithVolume("emptyDir: {}")).ok());
  EXPECT_EQ(*base::ReadFile(EmptyDir() + "/data"), "kept");
  ASSERT_EQ(::stat(EmptyDir().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode, S_IFDIR | 0700u) << "it is the pod's by now";
}

TEST_F(Volumes, FsGroupOwnsAnEmptyDir) {
  ASSERT_TRUE(Mount(Pod("{securityContext: {fsGroup: 4321}, volumes: [{name: v, emptyDir: {}}],"
                        " containers: [{name: c, volumeMounts: [{name: v, mountPath: /v}]}]}"))
                  .ok());
  struct stat st {};
  ASSERT_EQ(::stat(EmptyDir().c_str(), &st), 0);
  EXPECT_EQ(st.st_gid, 4321u);
  EXPECT_EQ(st.st_mode, S_IFDIR | S_ISGID | 0777u);
}

TEST_F(Volumes, FsGroupOwnsMemoryWhoseDirectoryWasThereBefore) {
  // Left by a mount that failed, or by the time before the machine booted.
  ASSERT_TRUE(base::MakeDirs(EmptyDir(), 0777).ok());
  ASSERT_TRUE(Mount(Pod("{securityContext: {fsGroup: 4321},"
                        " volumes: [{name: v, emptyDir: {medium: Memory}}],"
                        " containers: [{name: c, volumeMounts: [{name: v, mountPath: /v}]}]}"))
                  .ok());
  struct stat st {};
  ASSERT_EQ(::stat(EmptyDir().c_str(), &st), 0);
  EXPECT_EQ(st.st_gid, 4321u);
  EXPECT_EQ(st.st_mode, S_IFDIR | S_ISGID | 01777u);
}

TEST_F(Volumes, MemoryIsBoundedByTheSmallestLimit) {
  struct Row {
    const char* what;
    std::string spec;
    int64_t mebibytes;
  };
  auto spec = [](const std::string& dir, const std::string& limits, const std::string& pod = "") {
    return "{" + pod + "volumes: [{name: v, emptyDir: {medium: Memory" + dir +
           "}}], containers: [{name: c, volumeMounts: [{name: v, mountPath: /v}], " +
           "resources: {limits: {" + limits + "}}}]}";
  };
  const std::string two = "initContainers: [{name: i, resources: {limits: {memory: 24Mi}}}],";
  const std::string sidecar =
      "initContainers: [{name: s, restartPolicy: Always, resources: {limits: {memory: 4Mi}}}],";
  const Row rows[] = {
      {"the node", spec("", ""), 64},
      {"sizeLimit", spec(", sizeLimit: 8Mi", ""), 8},
      {"sizeLimit beyond the node", spec(", sizeLimit: 1Gi", ""), 64},
      {"sizeLimit 0 is none", spec(", sizeLimit: '0'", ""), 64},
      {"the containers' limit", spec("", "memory: 16Mi"), 16},
      {"sizeLimit below it", spec(", sizeLimit: 8Mi", "memory: 16Mi"), 8},
      {"sizeLimit above it", spec(", sizeLimit: 32Mi", "memory: 16Mi"), 16},
      {"an init container needs more", spec("", "memory: 16Mi", two), 24},
      {"a sidecar runs beside", spec("", "memory: 16Mi", sidecar), 20},
      {"one has no limit", spec("", "memory: 16Mi", "initContainers: [{name: i}],"), 64},
      {"the pod's own limit", spec("", "", "resources: {limits: {memory: 12Mi}},"), 12},
      {"overhead", spec("", "memory: 16Mi", "overhead: {memory: 2Mi},"), 18},
  };
  for (const Row& row : rows) {
    auto mounted = Mount(Pod(row.spec));
    ASSERT_TRUE(mounted.ok()) << row.what << ": " << mounted.status();
    const struct statfs fs = FsOf(EmptyDir());
    EXPECT_EQ(fs.f_type, TMPFS_MAGIC) << row.what;
    EXPECT_EQ(static_cast<int64_t>(fs.f_blocks) * fs.f_bsize, row.mebibytes * kMi) << row.what;
    ASSERT_TRUE(Unmount().ok()) << row.what;
    EXPECT_EQ(MountsLeft(), 0u);
    EXPECT_FALSE(base::PathExists(dir / "pods/u1/volumes"));
  }
}

TEST_F(Volumes, MemoryIsMountedOnceAndKeepsItsData) {
  auto pod = WithVolume("emptyDir: {medium: Memory}");
  ASSERT_TRUE(Mount(pod).ok());
  ASSERT_TRUE(base::WriteFileAtomic(EmptyDir() + "/data", "kept", 0644, false).ok());
  ASSERT_TRUE(Mount(pod).ok());
  EXPECT_EQ(MountsLeft(), 1u);
  EXPECT_EQ(*base::ReadFile(EmptyDir() + "/data"), "kept");
  struct stat st {};
  ASSERT_EQ(::stat(EmptyDir().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 01777u);
}

TEST_F(Volumes, ASubPathMadeInMemoryHasModeAndGroupOfItsVolume) {
  ASSERT_TRUE(Mount(Pod("{securityContext: {fsGroup: 4321},"
                        " volumes: [{name: v, emptyDir: {medium: Memory}}],"
                        " containers: [{name: c, volumeMounts: [{name: v, mountPath: /v}]}]}"))
                  .ok());
  ASSERT_TRUE(OpenSubPath(EmptyDir(), "new/one").ok());
  struct stat st {};
  ASSERT_EQ(::stat((EmptyDir() + "/new/one").c_str(), &st), 0);
  EXPECT_EQ(st.st_gid, 4321u);
  EXPECT_EQ(st.st_mode, S_IFDIR | S_ISGID | 01777u) << "as the kernel makes a tmpfs";
}

TEST_F(Volumes, HugePagesNeedARequestOfTheirSize) {
  auto error = [&](const std::string& medium, const std::string& requests) {
    return Error(WithVolume("emptyDir: {medium: " + medium + "}",
                            ", resources: {requests: {" + requests + "}}"));
  };
  EXPECT_EQ(error("HugePages", ""),
            kFailed +
                "medium HugePages needs requests of exactly one page size, the pod has 0");
  EXPECT_EQ(error("HugePages", "hugepages-2Mi: 2Mi, hugepages-1Gi: 1Gi"),
            kFailed +
                "medium HugePages needs requests of exactly one page size, the pod has 2");
  EXPECT_EQ(error("HugePages-1Gi", "hugepages-2Mi: 2Mi"),
            kFailed + "medium HugePages-1Gi needs a request for huge pages of that size");
  EXPECT_EQ(error("Disk", ""), kFailed + "unknown storage medium \"Disk\"");
  EXPECT_EQ(error("HugePagesX", ""), kFailed + "unknown storage medium \"HugePagesX\"");
  if (!base::PathExists("/sys/kernel/mm/hugepages/hugepages-2048kB"))
    GTEST_SKIP() << "this kernel has no huge pages of 2 MiB";
  for (const char* medium : {"HugePages", "HugePages-2Mi"}) {
    EXPECT_EQ(error(medium, "hugepages-2Mi: 2Mi"), "none") << medium;
    EXPECT_EQ(FsOf(EmptyDir()).f_type, HUGETLBFS_MAGIC);
    EXPECT_EQ(FsOf(EmptyDir()).f_bsize, 2 * kMi);
    EXPECT_TRUE(Unmount().ok());
  }
}

TEST_F(Volumes, HostPathsAreCheckedAndHandedOutAsTheyAre) {
  const std::string file = File("file");
  auto mounted = Mount(WithVolume("hostPath: {path: " + file + ", type: File}"));
  ASSERT_TRUE(mounted.ok()) << mounted.status();
  EXPECT_EQ(mounted->at("v").host_path, file);
  ASSERT_TRUE(Unmount().ok());
  EXPECT_EQ(Error(WithVolume("hostPath: {path: " + file + ", type: Directory}")),
            kFailed + "hostPath type check failed: " + file + " is not a directory");
}

TEST_F(Volumes, OnlyWhatIsMountedIsSetUpAndOtherTypesAreRefused) {
  auto mounted = Mount(Pod("{volumes: [{name: v, emptyDir: {}}, {name: w, nfs: {server: s, path: /p}}],"
                           " initContainers: [{name: i, volumeMounts: [{name: v, mountPath: /v}]}],"
                           " containers: [{name: c}]}"));
  ASSERT_TRUE(mounted.ok()) << mounted.status();
  EXPECT_EQ(mounted->size(), 1u);
  EXPECT_EQ(Error(WithVolume("nfs: {server: s, path: /p}")),
            "unmounted volumes=[v], unattached volumes=[], failed to process volumes=[v]: this node "
            "serves emptyDir, hostPath, configMap, secret, downwardAPI and projected");
}

TEST_F(Volumes, UnmountLeavesTheHostsDataAlone) {
  Dir("host/sub");
  File("host/sub/data", "host");
  auto mounted = Mount(WithVolume("hostPath: {path: " + (dir / "host") + "}"));
  ASSERT_TRUE(mounted.ok()) << mounted.status();
  auto bind = [&](const char* sub_path) {
    return Finish(volumes->BindSubPath("u1", "v", mounted->at("v"), "c", 0, sub_path));
  };
  auto bound = bind("sub");
  ASSERT_TRUE(bound.ok()) << bound.status();
  EXPECT_EQ(*bound, dir / "pods/u1/volume-subpaths/v/c/0");
  EXPECT_EQ(*base::ReadFile(*bound + "/data"), "host");
  EXPECT_FALSE(bind("../host").ok());
  ASSERT_TRUE(Unmount().ok());
  EXPECT_EQ(MountsLeft(), 0u);
  EXPECT_FALSE(base::PathExists(dir / "pods/u1/volume-subpaths"));
  EXPECT_EQ(*base::ReadFile(dir / "host/sub/data"), "host");
  EXPECT_TRUE(Unmount().ok()) << "nothing is left, and that is fine";
}

TEST_F(Volumes, AFailureIsSaidAndTriedAgainUntilItWorks) {
  auto pod = WithVolume("hostPath: {path: " + (dir / "late") + ", type: Directory}");
  std::optional<Mounted> mounted;
  group.Spawn("mount", base::internal::StoreResult<Mounted>(volumes->Mount(pod), &mounted));
  base::RunFor(loop, clock, std::chrono::seconds(60));
  EXPECT_FALSE(mounted);
  EXPECT_EQ(failures.size(), 7u) << "at 0, 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 seconds";
  Dir("late");
  base::RunFor(loop, clock, std::chrono::seconds(10));
  ASSERT_TRUE(mounted && mounted->ok());
  EXPECT_EQ((*mounted)->at("v").host_path, dir / "late");
}

TEST_F(Volumes, AfterTwoMinutesWhatIsMissingIsNamed) {
  auto mounted = Mount(Pod("{volumes: [{name: w, hostPath: {path: /nowhere, type: File}}, {name: "
                           "v, hostPath: {path: /nowhere, type: File}}, {name: e, emptyDir: {}}], "
                           "containers: [{name: c, volumeMounts: [{name: v, mountPath: /v}, {name: "
                           "w, mountPath: /w}, {name: e, mountPath: /e}]}]}"));
  EXPECT_EQ(base::Message(mounted.status()),
            "unmounted volumes=[v w], unattached volumes=[], failed to process volumes=[]: context "
            "deadline exceeded");
  EXPECT_TRUE(base::PathExists(dir / "pods/u1/volumes/kubernetes.io~empty-dir/e"));
}

TEST_F(Volumes, AnotherAgentTakesOverWhatIsWantedAndTearsDownTheRest) {
  ASSERT_TRUE(Mount(Pod("{volumes: [{name: v, emptyDir: {}}, {name: old, emptyDir: {medium: "
                        "Memory}}], containers: [{name: c, volumeMounts: [{name: v, mountPath: "
                        "/v}, {name: old, mountPath: /old}]}]}"))
                  .ok());
  Dir("pods/u1/volumes/example.com~theirs/x");
  ASSERT_TRUE(base::WriteFileAtomic(EmptyDir() + "/data", "kept", 0644, false).ok());
  auto before = std::exchange(volumes, New());
  ASSERT_TRUE(Mount(WithVolume("emptyDir: {}")).ok());
  base::RunFor(loop, clock, std::chrono::seconds(1));
  EXPECT_EQ(*base::ReadFile(EmptyDir() + "/data"), "kept");
  EXPECT_FALSE(base::PathExists(dir / "pods/u1/volumes/kubernetes.io~empty-dir/old"));
  EXPECT_TRUE(base::PathExists(dir / "pods/u1/volumes/example.com~theirs/x")) << "not ours";
  EXPECT_EQ(MountsLeft(), 0u);
  volumes = New();
  ASSERT_TRUE(Unmount().ok()) << "a pod that nobody mounted in this life";
  EXPECT_FALSE(base::PathExists(EmptyDir()));
}

// A type whose calls end when the test says so.
class SlowPlugin : public VolumePlugin {
 public:
  SlowPlugin() : VolumePlugin("test/slow") {}
  bool Serves(const k8s::v1::VolumeSource& source) const override { return source.has_nfs(); }
  base::Task<absl::StatusOr<MountedVolume>> SetUp(VolumeRequest request) override {
    begun.push_back(request.volume.name());
    base::OneShot<bool>& gate = gates[request.volume.name()];
    co_await gate.Wait();
    co_return MountedVolume{request.dir, false};
  }
  base::Task<absl::Status> TearDown(std::string path) override {
    torn_down.push_back(path.substr(path.rfind('/') + 1));
    co_return absl::OkStatus();
  }
  std::vector<std::string> begun, torn_down;
  std::map<std::string, base::OneShot<bool>> gates;
};

class SlowVolumes : public Volumes {
 protected:
  SlowVolumes() {
    std::vector<std::unique_ptr<VolumePlugin>> plugins;
    plugins.push_back(std::make_unique<SlowPlugin>());
    slow = static_cast<SlowPlugin*>(plugins[0].get());
    volumes = MakePodVolumes(loop, {dir.path()}, std::move(plugins));
  }
  PodPtr Both() {
    return Pod("{volumes: [{name: a, nfs: {server: s, path: /p}}, {name: b, nfs: {server: s, path: "
               "/p}}], containers: [{name: c, volumeMounts: [{name: a, mountPath: /a}, {name: b, "
               "mountPath: /b}]}]}");
  }
  using Names = std::vector<std::string>;
  SlowPlugin* slow;
};

TEST_F(SlowVolumes, AreSetUpAtTheSameTimeAndEachOnce) {
  std::optional<Mounted> mounted;
  group.Spawn("mount", base::internal::StoreResult<Mounted>(volumes->Mount(Both()), &mounted));
  loop.RunReady();
  EXPECT_EQ(slow->begun, (Names{"a", "b"}));
  slow->gates["a"].Set(true);
  loop.RunReady();
  EXPECT_FALSE(mounted);
  slow->gates["b"].Set(true);
  loop.RunReady();
  ASSERT_TRUE(mounted && mounted->ok());
  EXPECT_EQ((*mounted)->at("b").host_path, dir / "pods/u1/volumes/test~slow/b");
  EXPECT_TRUE(Mount(Both()).ok());
  EXPECT_EQ(slow->begun.size(), 2u);
}

TEST_F(SlowVolumes, UnmountingAwaitsWhatWasBegun) {
  base::TaskGroup waiting(loop);
  std::optional<Mounted> mounted;
  waiting.Spawn("mount", base::internal::StoreResult<Mounted>(volumes->Mount(Both()), &mounted));
  loop.RunReady();
  waiting.Cancel();
  loop.RunReady();
  EXPECT_EQ(waiting.size(), 0u) << "nobody has to wait for what may never come";
  Dir("pods/u1/volumes/test~slow/a");
  EXPECT_EQ(base::Message(Unmount()),
            "volumes [a b] are still being set up: what they use hangs");
  EXPECT_TRUE(slow->torn_down.empty());
  slow->gates["a"].Set(true);
  slow->gates["b"].Set(true);
  EXPECT_TRUE(Unmount().ok());
  EXPECT_EQ(slow->torn_down, Names{"a"});
  EXPECT_FALSE(base::PathExists(dir / "pods/u1/volumes"));
}

// What a container leaves in its emptyDir cannot make us remove something else.
TEST_F(Volumes, RemovalFollowsNoLinkOfAContainer) {
  Dir("outside");
  File("outside/secret");
  ASSERT_TRUE(Mount(WithVolume("emptyDir: {}")).ok());
  ASSERT_EQ(::symlink((dir / "outside").c_str(), (EmptyDir() + "/link").c_str()), 0);
  ASSERT_TRUE(Unmount().ok());
  EXPECT_FALSE(base::PathExists(EmptyDir()));
  EXPECT_TRUE(base::PathExists(dir / "outside/secret"));
}

}  // namespace
}  // namespace keelson::csi
