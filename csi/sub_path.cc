// SPDX-License-Identifier: Apache-2.0
#include "csi/sub_path.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/strings.h"
#include "csi/mounts.h"

namespace keelson::csi {
namespace {

absl::StatusOr<base::UniqueFd> OpenPathBeneath(int dir_fd, const std::string& path) {
  struct open_how how {};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  long fd;
  // EAGAIN: something was renamed while the kernel walked (openat2(2)).
  for (int tries = 0; (fd = ::syscall(SYS_openat2, dir_fd, path.c_str(), &how, sizeof(how))) < 0 &&
                      errno == EAGAIN && tries < 100;
       ++tries) {
  }
  if (fd < 0) return base::ErrnoStatus("open subPath", path);
  return base::UniqueFd(static_cast<int>(fd));
}

// chmod(2) does not take O_PATH descriptors but by their name in proc(5).
std::string FdPath(int fd) { return base::StrCat("/proc/self/fd/", fd); }

// Makes the last missing directories one by one, each beneath a descriptor of its parent.
absl::StatusOr<base::UniqueFd> MakeBeneath(int root_fd, const std::string& path) {
  auto root = OpenPathBeneath(root_fd, ".");
  if (!root.ok()) return root;
  base::UniqueFd parent = *std::move(root);
  size_t begin = 0;
  while (begin < path.size()) {
    size_t end = std::min(path.find('/', begin), path.size());
    std::string name = path.substr(begin, end - begin);
    begin = end + 1;
    if (name.empty() || name == ".") continue;
    auto next = OpenPathBeneath(parent.get(), name);
    if (absl::IsNotFound(next.status())) {
      struct stat st {};
      if (::fstat(parent.get(), &st) < 0) return base::ErrnoStatus("fstat", path);
      const bool made = ::mkdirat(parent.get(), name.c_str(), st.st_mode & 07777) == 0;
      if (!made && errno != EEXIST) return base::ErrnoStatus("make subPath directory", path);
      next = OpenPathBeneath(parent.get(), name);
      // The umask took bits away. By descriptor: the name may be something else by now.
      if (made && next.ok() && ::chmod(FdPath(next->get()).c_str(), st.st_mode & 07777) < 0)
        return base::ErrnoStatus("chmod subPath directory", path);
    }
    if (!next.ok()) return next;
    parent = *std::move(next);
  }
  return parent;
}

}  // namespace

absl::StatusOr<base::UniqueFd> OpenSubPath(const std::string& volume_root,
                                           const std::string& sub_path) {
  base::UniqueFd root(::open(volume_root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.ok()) return base::ErrnoStatus("open volume", volume_root);
  auto opened = OpenPathBeneath(root.get(), sub_path);
  if (!absl::IsNotFound(opened.status())) return opened;
  return MakeBeneath(root.get(), sub_path);
}

absl::Status BindSubPathAt(int source_fd, const std::string& target) {
  struct stat st {};
  if (::fstat(source_fd, &st) < 0) return base::ErrnoStatus("fstat", target);
  RETURN_IF_ERROR(base::MakeDirs(target.substr(0, target.find_last_of('/')), 0750));
  base::UniqueFd there(::open(target.c_str(), O_PATH | O_CLOEXEC | O_NOFOLLOW));
  if (there.ok()) {
    if (SameObject(source_fd, there.get())) return absl::OkStatus();
    there.reset();
    RETURN_IF_ERROR(UnmountBelow(target));
    RETURN_IF_ERROR(base::RemoveTree(target));
  }
  if (S_ISDIR(st.st_mode)) {
    if (::mkdir(target.c_str(), 0750) < 0) return base::ErrnoStatus("mkdir", target);
  } else {
    base::UniqueFd file(::open(target.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0640));
    if (!file.ok()) return base::ErrnoStatus("create", target);
  }
  return BindFd(source_fd, target);
}

}  // namespace keelson::csi
