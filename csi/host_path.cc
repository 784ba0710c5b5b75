// SPDX-License-Identifier: Apache-2.0
#include "csi/host_path.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/errno_status.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/strings.h"

namespace keelson::csi {
namespace {

struct Kind {
  const char* type;
  mode_t format;
  const char* words;
};
constexpr Kind kKinds[] = {
    {"Directory", S_IFDIR, "a directory"},        {"File", S_IFREG, "a file"},
    {"Socket", S_IFSOCK, "a socket file"},        {"CharDevice", S_IFCHR, "a character device"},
    {"BlockDevice", S_IFBLK, "a block device"},
};

absl::Status Create(const std::string& path, const std::string& type) {
  if (type == "DirectoryOrCreate") return base::MakeDirs(path, 0755);
  base::UniqueFd fd(::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644));
  if (!fd.ok()) return base::ErrnoStatus("create", path);
  return absl::OkStatus();
}

class HostPathPlugin : public VolumePlugin {
 public:
  explicit HostPathPlugin(base::Loop& loop)
      : VolumePlugin("kubernetes.io/host-path"), loop_(loop) {}

  bool Serves(const k8s::v1::VolumeSource& source) const override { return source.has_hostpath(); }

  base::Task<absl::StatusOr<MountedVolume>> SetUp(VolumeRequest request) override {
    const auto& source = request.volume.volumesource().hostpath();
    const std::string path = source.path();
    auto check = [path, type = source.type()] { return CheckHostPath(path, type); };
    absl::Status checked = co_await base::RunBlocking(loop_, std::move(check));
    if (!checked.ok()) co_return checked;
    co_return MountedVolume{path, false};
  }

 private:
  base::Loop& loop_;
};

}  // namespace

absl::Status CheckHostPath(const std::string& path, const std::string& type) {
  if (type.empty()) return absl::OkStatus();
  const bool may_create = type == "DirectoryOrCreate" || type == "FileOrCreate";
  struct stat st {};
  if (::stat(path.c_str(), &st) < 0) {
    if (errno != ENOENT) return base::ErrnoStatus("stat", path);
    if (may_create) return Create(path, type);
  }
  std::string wanted = may_create ? type.substr(0, type.size() - 8) : type;
  for (const Kind& kind : kKinds) {
    if (wanted != kind.type) continue;
    if ((st.st_mode & S_IFMT) == kind.format) return absl::OkStatus();
    return absl::FailedPreconditionError(
        base::StrCat("hostPath type check failed: ", path, " is not ", kind.words));
  }
  return absl::InvalidArgumentError(base::StrCat(type, " is an invalid volume type"));
}

std::unique_ptr<VolumePlugin> MakeHostPathPlugin(base::Loop& loop) {
  return std::make_unique<HostPathPlugin>(loop);
}

}  // namespace keelson::csi
