// SPDX-License-Identifier: Apache-2.0
#include "csi/mounts.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/strings.h"

namespace keelson::csi {
namespace {

constexpr size_t kMaxMountinfo = 64 << 20;

// proc(5): space, tab, newline and backslash are written as \ooo.
std::string Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                               (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// The n-th word of a line, counted from zero.
std::string_view Word(std::string_view line, int n) {
  while (n-- > 0) {
    size_t space = line.find(' ');
    if (space == std::string_view::npos) return {};
    line.remove_prefix(space + 1);
  }
  return line.substr(0, line.find(' '));
}

// mountinfo knows no links: the same path with those on the way to its last part resolved. The root
// directory itself may well be a link to a larger disk.
std::string AsMountinfoSays(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos || slash == 0) return path;
  std::unique_ptr<char, decltype(&::free)> real(
      ::realpath(path.substr(0, slash).c_str(), nullptr), ::free);
  if (!real) return path;
  return base::JoinPath(real.get(), path.substr(slash + 1));
}

bool IsMounted(const std::string& given) {
  auto info = base::ReadFile("/proc/self/mountinfo", kMaxMountinfo);
  if (!info.ok()) return false;
  const std::string path = AsMountinfoSays(given);
  auto mounts = MountsBelow(*info, path);
  return std::find(mounts.begin(), mounts.end(), path) != mounts.end();
}

}  // namespace

std::vector<std::string> MountsBelow(std::string_view mountinfo, std::string_view dir) {
  std::vector<std::string> mounts;
  const std::string prefix = base::StrCat(dir, "/");
  while (!mountinfo.empty()) {
    size_t end = std::min(mountinfo.find('\n'), mountinfo.size());
    std::string point = Unescape(Word(mountinfo.substr(0, end), 4));
    if (point == dir || point.starts_with(prefix)) mounts.push_back(std::move(point));
    mountinfo.remove_prefix(std::min(end + 1, mountinfo.size()));
  }
  // Later lines lie on top of earlier ones.
  std::reverse(mounts.begin(), mounts.end());
  return mounts;
}

absl::StatusOr<bool> MountFresh(const std::string& fs_type, const std::string& path,
                                const std::string& options) {
  if (IsMounted(path)) return false;
  if (::mount(fs_type.c_str(), path.c_str(), fs_type.c_str(), MS_NOSUID | MS_NODEV,
              options.c_str()) < 0)
    return base::ErrnoStatus("mount",
                             base::StrCat(fs_type, " at ", path, " with options ", options));
  return true;
}

absl::Status BindFd(int source_fd, const std::string& target) {
  base::UniqueFd tree(static_cast<int>(::syscall(
      SYS_open_tree, source_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH)));
  if (!tree.ok()) return base::ErrnoStatus("open_tree", target);
  if (::syscall(SYS_move_mount, tree.get(), "", AT_FDCWD, target.c_str(),
                MOVE_MOUNT_F_EMPTY_PATH) < 0)
    return base::ErrnoStatus("move_mount", target);
  return absl::OkStatus();
}

absl::Status UnmountBelow(const std::string& dir) {
  auto info = base::ReadFile("/proc/self/mountinfo", kMaxMountinfo);
  if (!info.ok()) return info.status();
  absl::Status first;
  for (const auto& point : MountsBelow(*info, AsMountinfoSays(dir))) {
    if (::umount2(point.c_str(), UMOUNT_NOFOLLOW) == 0 || errno == EINVAL || errno == ENOENT)
      continue;
    // EBUSY: a process still has files open there.
    if (::umount2(point.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH) < 0 && errno != EINVAL)
      first.Update(base::ErrnoStatus("umount", point));
  }
  return first;
}

bool SameObject(int a, int b) {
  struct stat x {}, y {};
  return ::fstat(a, &x) == 0 && ::fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
         x.st_ino == y.st_ino;
}

}  // namespace keelson::csi
