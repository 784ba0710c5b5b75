// SPDX-License-Identifier: Apache-2.0
#include "csi/object_volumes.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <utility>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/strings.h"
#include "csi/atomic_writer.h"
#include "csi/empty_dir.h"
#include "csi/projection.h"

namespace keelson::csi {

namespace v1 = ::k8s::v1;
using base::StrCat;
using base::Task;

namespace {

// mkdir -p below `dir`, without following a link anywhere.
absl::Status MakeDirsBelow(const std::string& dir, const std::string& path) {
  auto top = base::OpenDir(dir);
  if (!top.ok()) return top.status();
  for (size_t end = 0; end != std::string::npos;) {
    end = path.find('/', end + 1);
    const std::string part = path.substr(0, end);
    if (::mkdirat(top->get(), part.c_str(), 0755) < 0 && errno != EEXIST)
      return base::ErrnoStatus("mkdir", base::JoinPath(dir, part));
    auto made = base::OpenBeneath(top->get(), part, O_PATH | O_DIRECTORY);
    if (!made.ok()) return made.status();
  }
  return absl::OkStatus();
}

absl::Status Write(const FreshDir& dir, const std::vector<std::string>& nested,
                   const Payload& files) {
  RETURN_IF_ERROR(MakeFreshDir(dir));
  for (const std::string& path : nested) RETURN_IF_ERROR(MakeDirsBelow(dir.path, path));
  return WritePayload(dir.path, files, dir.group);
}

class ObjectPlugin : public VolumePlugin {
 public:
  using Has = bool (v1::VolumeSource::*)() const;

  ObjectPlugin(base::Loop& loop, std::string name, Has has, bool in_memory,
               std::shared_ptr<const ObjectVolumesOptions> options)
      : VolumePlugin(std::move(name)),
        loop_(loop),
        has_(has),
        in_memory_(in_memory),
        options_(std::move(options)) {}

  bool Serves(const v1::VolumeSource& source) const override { return (source.*has_)(); }
  bool follows_changes() const override { return true; }

  Task<absl::StatusOr<MountedVolume>> SetUp(VolumeRequest request) override {
    auto files = co_await CollectPayload(options_->objects, request.pod, request.volume,
                                         options_->allocatable);
    if (!files.ok()) co_return files.status();
    FreshDir dir{request.dir, "", "", FsGroupOf(*request.pod)};
    if (in_memory_) {
      dir.fs_type = "tmpfs";
      dir.options = StrCat("mode=0777,size=", options_->node_memory_bytes);
    }
    auto write = [dir, nested = NestedMountPoints(*request.pod, request.volume.name()),
                  files = *std::move(files)] { return Write(dir, nested, files); };
    absl::Status written = co_await base::RunBlocking(loop_, std::move(write));
    if (!written.ok()) co_return written;
    co_return MountedVolume{request.dir, true};
  }

 private:
  base::Loop& loop_;
  const Has has_;
  const bool in_memory_;
  const std::shared_ptr<const ObjectVolumesOptions> options_;
};

}  // namespace

std::vector<std::unique_ptr<VolumePlugin>> MakeObjectPlugins(base::Loop& loop,
                                                             ObjectVolumesOptions given) {
  using Source = v1::VolumeSource;
  auto options = std::make_shared<const ObjectVolumesOptions>(std::move(given));
  std::vector<std::unique_ptr<VolumePlugin>> plugins;
  auto add = [&](const char* name, ObjectPlugin::Has has, bool in_memory) {
    plugins.push_back(std::make_unique<ObjectPlugin>(loop, name, has, in_memory, options));
  };
  // What is secret, or the pod's own, never reaches a disk.
  add("kubernetes.io/configmap", &Source::has_configmap, false);
  add("kubernetes.io/secret", &Source::has_secret, true);
  add("kubernetes.io/downward-api", &Source::has_downwardapi, true);
  add("kubernetes.io/projected", &Source::has_projected, true);
  return plugins;
}

}  // namespace keelson::csi
