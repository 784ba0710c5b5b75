// SPDX-License-Identifier: Apache-2.0
#include "csi/pod_volumes.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "csi/host_path.h"
#include "csi/mounts.h"
#include "csi/projection.h"
#include "csi/sub_path.h"
#include "proto/codec/quantity.h"

namespace keelson::csi {

namespace v1 = ::k8s::v1;
using base::StrCat;
using base::Task;

namespace {

constexpr std::string_view kHugePages = "HugePages";

int64_t BytesOf(const k8s::resource::Quantity& quantity) {
  auto parsed = proto::Quantity::From(quantity);
  return parsed.ok() ? parsed->Value() : 0;
}

// Names of volumes that some container mounts or maps; the others are ignored, as upstream does.
std::set<std::string> UsedVolumes(const v1::Pod& pod) {
  std::set<std::string> used;
  auto add = [&](const auto& containers) {
    for (const auto& c : containers) {
      for (const auto& m : c.volumemounts()) used.insert(m.name());
      for (const auto& d : c.volumedevices()) used.insert(d.name());
    }
  };
  add(pod.spec().initcontainers());
  add(pod.spec().containers());
  return used;
}

// What the pod's cgroup may hold: its own limit, else what its containers need at their largest moment
// (sidecars run beside all that follow), plus overhead. 0 when a container has no limit.
int64_t PodMemoryLimit(const v1::Pod& pod) {
  int64_t overhead = 0;
  if (auto it = pod.spec().overhead().find("memory"); it != pod.spec().overhead().end())
    overhead = BytesOf(it->second);
  const auto& own = pod.spec().resources().limits();
  if (auto it = own.find("memory"); it != own.end()) return BytesOf(it->second) + overhead;
  bool all = true;
  auto limit_of = [&](const v1::Container& c) {
    auto it = c.resources().limits().find("memory");
    const int64_t limit = it == c.resources().limits().end() ? 0 : BytesOf(it->second);
    all &= limit > 0;
    return limit;
  };
  int64_t sidecars = 0, init_peak = 0, together = 0;
  for (const auto& c : pod.spec().initcontainers()) {
    const int64_t limit = limit_of(c);
    init_peak = std::max(init_peak, sidecars + limit);
    if (c.restartpolicy() == "Always") sidecars += limit;
  }
  for (const auto& c : pod.spec().containers()) together += limit_of(c);
  return all ? std::max(together + sidecars, init_peak) + overhead : 0;
}

// The sizes of huge pages that anything in the pod requests. Requests and limits are the same.
absl::StatusOr<std::set<int64_t>> HugePageSizes(const v1::Pod& pod) {
  std::set<int64_t> sizes;
  absl::Status status;
  auto add = [&](const v1::ResourceRequirements& r) {
    for (const auto& [name, quantity] : r.requests()) {
      if (!name.starts_with("hugepages-")) continue;
      auto size = proto::Quantity::Parse(name.substr(10));
      if (size.ok()) sizes.insert(size->Value());
      else status.Update(size.status());
    }
  };
  add(pod.spec().resources());
  for (const auto& c : pod.spec().initcontainers()) add(c.resources());
  for (const auto& c : pod.spec().containers()) add(c.resources());
  RETURN_IF_ERROR(status);
  return sizes;
}

// One emptyDir as plain data, so that the work can leave the loop.
struct EmptyDir {
  std::string path;
  std::string fs_type;  // empty: on disk
  std::string options;
  std::optional<gid_t> group;
};

// Memory that a pod asked for is not to end up on a disk: noswap, where the kernel has it (tmpfs(5),
// Linux 6.4).
absl::Status MountMedium(const EmptyDir& dir) {
  if (dir.fs_type != "tmpfs") return MountFresh(dir.fs_type, dir.path, dir.options);
  absl::Status status = MountFresh(dir.fs_type, dir.path, dir.options + ",noswap");
  if (status.ok()) return status;
  return MountFresh(dir.fs_type, dir.path, dir.options);
}

absl::Status SetUp(const EmptyDir& dir) {
  const bool fresh = !base::PathExists(dir.path);
  RETURN_IF_ERROR(base::MakeDirs(dir.path.substr(0, dir.path.find_last_of('/')), 0750));
  RETURN_IF_ERROR(base::MakeDirs(dir.path, 0777));
  if (!dir.fs_type.empty()) RETURN_IF_ERROR(MountMedium(dir));
  if (!fresh) return absl::OkStatus();
  mode_t mode = 0777;
  if (dir.group) {
    if (::chown(dir.path.c_str(), static_cast<uid_t>(-1), *dir.group) < 0)
      return base::ErrnoStatus("chown", dir.path);
    mode |= S_ISGID;
  }
  if (::chmod(dir.path.c_str(), mode) < 0) return base::ErrnoStatus("chmod", dir.path);
  return absl::OkStatus();
}

class NodeVolumes : public PodVolumes {
 public:
  NodeVolumes(base::Loop& loop, PodVolumesOptions options)
      : loop_(loop), options_(std::move(options)) {}

  Task<absl::StatusOr<std::map<std::string, MountedVolume>>> Mount(PodPtr pod) override {
    std::map<std::string, MountedVolume> mounted;
    const std::set<std::string> used = UsedVolumes(*pod);
    Follow(pod);
    for (const auto& volume : pod->spec().volumes()) {
      if (!used.contains(volume.name())) continue;
      auto one = co_await MountOne(pod, volume);
      if (!one.ok())
        co_return base::Annotate(one.status(), StrCat("volume \"", volume.name(), "\""));
      mounted[volume.name()] = *std::move(one);
    }
    co_return mounted;
  }

  Task<absl::StatusOr<std::string>> BindSubPath(std::string pod_uid, std::string volume,
                                                MountedVolume mounted, std::string container,
                                                int index, std::string sub_path) override {
    std::string target =
        StrCat(PodDir(pod_uid), "/volume-subpaths/", volume, "/", container, "/", index);
    auto bind = [=]() -> absl::StatusOr<std::string> {
      auto fd = OpenSubPath(mounted.host_path, sub_path);
      if (!fd.ok()) return base::Annotate(fd.status(), StrCat("volume \"", volume, "\""));
      RETURN_IF_ERROR(BindSubPathAt(fd->get(), target));
      return target;
    };
    co_return co_await base::RunBlocking(loop_, std::move(bind));
  }

  Task<absl::Status> Unmount(std::string pod_uid) override {
    if (followed_.erase(pod_uid)) options_.objects->Unregister(pod_uid);
    std::string dir = PodDir(pod_uid);
    auto unmount = [dir]() -> absl::Status {
      if (!base::PathExists(dir)) return absl::OkStatus();
      RETURN_IF_ERROR(UnmountBelow(dir));
      RETURN_IF_ERROR(base::RemoveTree(dir + "/volume-subpaths"));
      return base::RemoveTree(dir + "/volumes");
    };
    co_return co_await base::RunBlocking(loop_, std::move(unmount));
  }

 private:
  std::string PodDir(const std::string& uid) const {
    return StrCat(options_.root_dir, "/pods/", uid);
  }

  Task<absl::StatusOr<MountedVolume>> MountOne(PodPtr pod, const v1::Volume& volume) {
    const v1::VolumeSource& source = volume.volumesource();
    if (source.has_hostpath()) {
      std::string path = source.hostpath().path(), type = source.hostpath().type();
      auto check = [path, type] { return CheckHostPath(path, type); };
      absl::Status checked = co_await base::RunBlocking(loop_, std::move(check));
      if (!checked.ok()) co_return checked;
      co_return MountedVolume{path, false};
    }
    if (source.has_emptydir()) {
      auto dir = Describe(*pod, volume.name(), source.emptydir());
      if (!dir.ok()) co_return dir.status();
      std::string path = dir->path;
      auto set_up = [dir = *dir] { return SetUp(dir); };
      absl::Status made;
      // A directory on disk is three quick calls; a mount may wait for others.
      if (dir->fs_type.empty()) made = set_up();
      else made = co_await base::RunBlocking(loop_, std::move(set_up));
      if (!made.ok()) co_return made;
      co_return MountedVolume{path, false};
    }
    if (!ObjectPluginDir(source).empty()) {
      EmptyDir dir = DescribeObjects(*pod, volume);
      std::string path = dir.path;
      absl::Status written = co_await Project(std::move(pod), volume, std::move(dir), true);
      if (!written.ok()) co_return written;
      co_return MountedVolume{path, true};
    }
    co_return absl::UnimplementedError(
        "its type is not served by this node; emptyDir, hostPath, configMap, secret, downwardAPI "
        "and projected are");
  }

  // Brings the volume's files up to its objects; again when those changed meanwhile, so that of two
  // writers the last one to write has the newest.
  Task<absl::Status> Project(PodPtr pod, v1::Volume volume, EmptyDir dir, bool make) {
    const std::string uid = pod->metadata().uid();
    for (;;) {
      const uint64_t seen = Changes(uid);
      auto payload = co_await CollectPayload(options_.objects, pod, volume, options_.allocatable);
      if (!payload.ok()) co_return payload.status();
      auto write = [dir, make, files = *std::move(payload)]() -> absl::Status {
        if (make) RETURN_IF_ERROR(SetUp(dir));
        return WritePayload(dir.path, files, dir.group);
      };
      absl::Status written = co_await base::RunBlocking(loop_, std::move(write));
      if (!written.ok() || Changes(uid) == seen) co_return written;
    }
  }

  uint64_t Changes(const std::string& uid) const {
    auto it = followed_.find(uid);
    return it == followed_.end() ? 0 : it->second.changes;
  }

  // From now on a change of what the pod names reaches its volumes.
  void Follow(PodPtr pod) {
    if (!options_.objects) return;
    References references = ReferencesOf(*pod);
    const std::string uid = pod->metadata().uid();
    followed_[uid].pod = pod;
    auto changed = [this, uid] {
      auto it = followed_.find(uid);
      if (it == followed_.end()) return;
      ++it->second.changes;
      if (!std::exchange(it->second.refreshing, true)) tasks_.Spawn("volumes", Refresh(uid));
    };
    options_.objects->Register(std::move(pod), std::move(references), std::move(changed));
  }

  // Only volumes that are there already: making them is the worker's, and after Unmount nobody's.
  Task<void> Refresh(std::string uid) {
    for (uint64_t seen = Changes(uid) - 1; followed_.contains(uid) && Changes(uid) != seen;) {
      seen = Changes(uid);
      PodPtr pod = followed_[uid].pod;
      const std::set<std::string> used = UsedVolumes(*pod);
      for (const auto& volume : pod->spec().volumes()) {
        if (!used.contains(volume.name()) || ObjectPluginDir(volume.volumesource()).empty())
          continue;
        EmptyDir dir = DescribeObjects(*pod, volume);
        if (!base::PathExists(dir.path)) continue;
        absl::Status status = co_await Project(pod, volume, std::move(dir), false);
        if (!status.ok() && followed_.contains(uid))
          KLOG_WARNING("A volume keeps its old files", {"podUID", uid}, {"volume", volume.name()},
                       {"err", status});
      }
    }
    if (auto it = followed_.find(uid); it != followed_.end()) it->second.refreshing = false;
  }

  // Secrets never reach a disk; files of a pod's own metadata are in memory as upstream has them.
  EmptyDir DescribeObjects(const v1::Pod& pod, const v1::Volume& volume) const {
    EmptyDir dir;
    dir.path = StrCat(PodDir(pod.metadata().uid()), "/volumes/",
                      ObjectPluginDir(volume.volumesource()), "/", volume.name());
    if (pod.spec().securitycontext().has_fsgroup())
      dir.group = static_cast<gid_t>(pod.spec().securitycontext().fsgroup());
    if (volume.volumesource().has_configmap()) return dir;
    dir.fs_type = "tmpfs";
    dir.options = StrCat("mode=0777,size=", options_.node_memory_bytes);
    return dir;
  }

  absl::StatusOr<EmptyDir> Describe(const v1::Pod& pod, const std::string& name,
                                    const v1::EmptyDirVolumeSource& source) const {
    EmptyDir dir;
    dir.path = StrCat(PodDir(pod.metadata().uid()), "/volumes/kubernetes.io~empty-dir/", name);
    if (pod.spec().securitycontext().has_fsgroup())
      dir.group = static_cast<gid_t>(pod.spec().securitycontext().fsgroup());
    if (source.medium().empty()) return dir;
    if (source.medium() == "Memory") {
      dir.fs_type = "tmpfs";
      dir.options = StrCat("mode=0777,size=", MemorySize(pod, source));
      return dir;
    }
    if (source.medium() != kHugePages && !source.medium().starts_with("HugePages-"))
      return absl::InvalidArgumentError(StrCat("unknown storage medium \"", source.medium(), "\""));
    auto page = HugePageSize(pod, source.medium());
    if (!page.ok()) return page.status();
    dir.fs_type = "hugetlbfs";
    dir.options = StrCat("mode=0777,pagesize=", *page);
    return dir;
  }

  // The smallest of node memory, the pod's limit and sizeLimit, of those that are set.
  int64_t MemorySize(const v1::Pod& pod, const v1::EmptyDirVolumeSource& source) const {
    int64_t size = options_.node_memory_bytes;
    if (int64_t limit = PodMemoryLimit(pod); limit > 0) size = std::min(size, limit);
    if (source.has_sizelimit())
      if (int64_t limit = BytesOf(source.sizelimit()); limit > 0) size = std::min(size, limit);
    return size;
  }

  // "HugePages-2Mi" names its size, one that the pod requests; plain "HugePages" takes the one size the
  // pod requests.
  static absl::StatusOr<int64_t> HugePageSize(const v1::Pod& pod, const std::string& medium) {
    auto sizes = HugePageSizes(pod);
    if (!sizes.ok()) return sizes.status();
    if (medium == kHugePages) {
      if (sizes->size() == 1) return *sizes->begin();
      return absl::InvalidArgumentError(StrCat(
          "medium HugePages needs requests of exactly one page size, the pod has ", sizes->size()));
    }
    auto size = proto::Quantity::Parse(medium.substr(kHugePages.size() + 1));
    if (!size.ok()) return size.status();
    if (sizes->contains(size->Value())) return size->Value();
    return absl::InvalidArgumentError(
        StrCat("medium ", medium, " needs a request for huge pages of that size"));
  }

  base::Loop& loop_;
  const PodVolumesOptions options_;
  struct Followed {
    PodPtr pod;
    uint64_t changes = 0;  // of its objects
    bool refreshing = false;
  };
  std::map<std::string, Followed> followed_;  // by pod uid; only with objects
  base::TaskGroup tasks_{loop_};
};

}  // namespace

std::unique_ptr<PodVolumes> MakePodVolumes(base::Loop& loop, PodVolumesOptions options) {
  return std::make_unique<NodeVolumes>(loop, std::move(options));
}

}  // namespace keelson::csi
