// SPDX-License-Identifier: Apache-2.0
#include "csi/empty_dir.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/strings.h"
#include "csi/mounts.h"
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

// Memory that a pod asked for is not to end up on a disk: noswap, where the kernel has it (tmpfs(5),
// Linux 6.4).
absl::StatusOr<bool> MountMedium(const FreshDir& dir) {
  if (dir.fs_type != "tmpfs") return MountFresh(dir.fs_type, dir.path, dir.options);
  auto mounted = MountFresh(dir.fs_type, dir.path, dir.options + ",noswap");
  if (mounted.ok()) return mounted;
  return MountFresh(dir.fs_type, dir.path, dir.options);
}

class EmptyDirPlugin : public VolumePlugin {
 public:
  EmptyDirPlugin(base::Loop& loop, int64_t node_memory_bytes)
      : VolumePlugin("kubernetes.io/empty-dir"),
        loop_(loop),
        node_memory_bytes_(node_memory_bytes) {}

  bool Serves(const v1::VolumeSource& source) const override { return source.has_emptydir(); }

  Task<absl::StatusOr<MountedVolume>> SetUp(VolumeRequest request) override {
    auto dir = Describe(*request.pod, request.volume.volumesource().emptydir(), request.dir);
    if (!dir.ok()) co_return dir.status();
    auto set_up = [dir = *dir] { return MakeFreshDir(dir); };
    absl::Status made;
    // A directory on disk is three quick calls; a mount may wait for others.
    if (dir->fs_type.empty()) made = set_up();
    else made = co_await base::RunBlocking(loop_, std::move(set_up));
    if (!made.ok()) co_return made;
    co_return MountedVolume{request.dir, false};
  }

 private:
  absl::StatusOr<FreshDir> Describe(const v1::Pod& pod, const v1::EmptyDirVolumeSource& source,
                                    std::string path) const {
    FreshDir dir;
    dir.path = std::move(path);
    dir.group = FsGroupOf(pod);
    if (source.medium().empty()) return dir;
    if (source.medium() == "Memory") {
      dir.fs_type = "tmpfs";
      dir.mode = 01777;  // as the kernel makes a tmpfs; a subPath that is made there takes it over
      dir.options = StrCat("mode=1777,size=", MemorySize(pod, source));
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
    int64_t size = node_memory_bytes_;
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
  const int64_t node_memory_bytes_;
};

}  // namespace

std::optional<gid_t> FsGroupOf(const v1::Pod& pod) {
  if (!pod.spec().securitycontext().has_fsgroup()) return std::nullopt;
  return static_cast<gid_t>(pod.spec().securitycontext().fsgroup());
}

absl::Status MakeFreshDir(const FreshDir& dir) {
  bool fresh = !base::PathExists(dir.path);
  RETURN_IF_ERROR(base::MakeDirs(dir.path.substr(0, dir.path.find_last_of('/')), 0750));
  RETURN_IF_ERROR(base::MakeDirs(dir.path, 0777));
  if (!dir.fs_type.empty()) {
    auto mounted = MountMedium(dir);
    RETURN_IF_ERROR(mounted.status());
    fresh = *mounted;  // the directory may be of an attempt that failed, or of before a reboot
  }
  if (!fresh) return absl::OkStatus();
  mode_t mode = dir.mode;
  if (dir.group) {
    if (::chown(dir.path.c_str(), static_cast<uid_t>(-1), *dir.group) < 0)
      return base::ErrnoStatus("chown", dir.path);
    mode |= S_ISGID;
  }
  if (::chmod(dir.path.c_str(), mode) < 0) return base::ErrnoStatus("chmod", dir.path);
  return absl::OkStatus();
}

std::unique_ptr<VolumePlugin> MakeEmptyDirPlugin(base::Loop& loop, int64_t node_memory_bytes) {
  return std::make_unique<EmptyDirPlugin>(loop, node_memory_bytes);
}

}  // namespace keelson::csi
