// SPDX-License-Identifier: Apache-2.0
#include "base/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>

#include "base/strings.h"
#include "base/errno_status.h"

namespace keelson::base {
namespace {

struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using UniqueDir = std::unique_ptr<DIR, DirCloser>;

absl::Status WriteAll(int fd, std::string_view data, std::string_view name) {
  while (!data.empty()) {
    ssize_t n = ::write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus("write", name);
    data.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

std::string ParentOf(const std::string& path) {
  size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

absl::StatusOr<UniqueFd> OpenAt2(int dir_fd, const std::string& relative, int flags, mode_t mode,
                                 uint64_t resolve) {
  struct open_how how {};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  if (flags & (O_CREAT | O_TMPFILE)) how.mode = mode;
  how.resolve = resolve;
  long fd;
  do {
    fd = ::syscall(SYS_openat2, dir_fd, relative.c_str(), &how, sizeof(how));
  } while (fd < 0 && (errno == EINTR || errno == EAGAIN));
  if (fd < 0) return ErrnoStatus("openat2", relative);
  return UniqueFd(static_cast<int>(fd));
}

// A mount point has another device or another mount id than its parent; statx(2) tells both.
struct MountIdentity {
  uint32_t major, minor;
  uint64_t mount;
  bool operator==(const MountIdentity&) const = default;
};

absl::StatusOr<MountIdentity> IdentityOf(int dir_fd, const char* name, mode_t* mode) {
  struct statx stx {};
  if (::statx(dir_fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH),
              STATX_TYPE | STATX_MODE | STATX_MNT_ID, &stx) < 0)
    return ErrnoStatus("statx", name);
  *mode = stx.stx_mode;
  return MountIdentity{stx.stx_dev_major, stx.stx_dev_minor, stx.stx_mnt_id};
}

absl::Status RemoveAt(int dir_fd, const std::string& name, const MountIdentity& home,
                      const std::string& shown);

absl::Status EmptyDir(UniqueFd dir_fd, const MountIdentity& home, const std::string& shown) {
  int raw = dir_fd.get();
  UniqueDir dir(::fdopendir(dir_fd.release()));
  if (!dir) return ErrnoStatus("fdopendir", shown);
  absl::Status first;
  while (struct dirent* entry = ::readdir(dir.get())) {
    std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    // What cannot be removed does not keep the rest: the first failure is reported.
    first.Update(RemoveAt(raw, name, home, StrCat(shown, "/", name)));
  }
  return first;
}

absl::Status RemoveAt(int dir_fd, const std::string& name, const MountIdentity& home,
                      const std::string& shown) {
  mode_t mode = 0;
  auto identity = IdentityOf(dir_fd, name.c_str(), &mode);
  if (absl::IsNotFound(identity.status())) return absl::OkStatus();
  if (!identity.ok()) return identity.status();
  if (*identity != home)
    return absl::FailedPreconditionError(
        StrCat("remove ", shown, ": it is a mount point; unmount it first"));
  if (!S_ISDIR(mode)) {
    if (::unlinkat(dir_fd, name.c_str(), 0) < 0 && errno != ENOENT)
      return ErrnoStatus("unlink", shown);
    return absl::OkStatus();
  }
  UniqueFd child(::openat(dir_fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!child.ok()) return errno == ENOENT ? absl::OkStatus() : ErrnoStatus("open", shown);
  RETURN_IF_ERROR(EmptyDir(std::move(child), home, shown));
  if (::unlinkat(dir_fd, name.c_str(), AT_REMOVEDIR) < 0 && errno != ENOENT)
    return ErrnoStatus("rmdir", shown);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadFd(int fd, size_t max_bytes, std::string_view name) {
  std::string data;
  char buffer[16384];
  while (true) {
    ssize_t n = ::read(fd, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus("read", name);
    if (n == 0) return data;
    if (data.size() + static_cast<size_t>(n) > max_bytes)
      return absl::ResourceExhaustedError(
          StrCat("read ", name, ": longer than the limit of ", max_bytes, " bytes"));
    data.append(buffer, static_cast<size_t>(n));
  }
}

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd.ok()) return ErrnoStatus("open", path);
  return ReadFd(fd.get(), max_bytes, path);
}

absl::Status WriteControlFile(const std::string& path, std::string_view data) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus("open", path);
  ssize_t n = ::write(fd.get(), data.data(), data.size());
  if (n < 0) return ErrnoStatus("write", StrCat(path, " = ", data.substr(0, 64)));
  return absl::OkStatus();
}

absl::Status WriteFileAtomic(const std::string& path, std::string_view data, mode_t mode,
                             bool durable) {
  static std::atomic<uint64_t> counter{0};
  std::string parent = ParentOf(path);
  std::string base = path.substr(path.find_last_of('/') + 1);
  // A leading dot keeps directory watchers (ours too) from reading a half-written file.
  std::string temp = StrCat(parent, "/.", base, ".", ::getpid(), ".", counter++);
  UniqueFd fd(::open(temp.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd.ok()) return ErrnoStatus("create", temp);
  absl::Status status = WriteAll(fd.get(), data, temp);
  if (status.ok() && ::fchmod(fd.get(), mode) < 0) status = ErrnoStatus("chmod", temp);
  if (status.ok() && durable && ::fsync(fd.get()) < 0) status = ErrnoStatus("fsync", temp);
  if (status.ok() && ::rename(temp.c_str(), path.c_str()) < 0)
    status = ErrnoStatus("rename", StrCat(temp, " to ", path));
  if (!status.ok()) {
    ::unlink(temp.c_str());
    return status;
  }
  if (!durable) return absl::OkStatus();
  auto dir = OpenDir(parent);
  if (!dir.ok()) return dir.status();
  if (::fsync(dir->get()) < 0) return ErrnoStatus("fsync", parent);
  return absl::OkStatus();
}

absl::Status MakeDirs(const std::string& path, mode_t mode) {
  if (path.empty() || path == "/") return absl::OkStatus();
  if (::mkdir(path.c_str(), mode) == 0) {
    if (::chmod(path.c_str(), mode) < 0) return ErrnoStatus("chmod", path);
    return absl::OkStatus();
  }
  if (errno == EEXIST) {
    struct stat st {};
    if (::stat(path.c_str(), &st) == 0 && !S_ISDIR(st.st_mode)) {
      errno = ENOTDIR;
      return ErrnoStatus("mkdir", path);
    }
    return absl::OkStatus();
  }
  if (errno != ENOENT) return ErrnoStatus("mkdir", path);
  std::string parent = ParentOf(path);
  if (parent == path || parent == ".") return ErrnoStatus("mkdir", path);
  RETURN_IF_ERROR(MakeDirs(parent, mode));
  return MakeDirs(path, mode);
}

absl::StatusOr<UniqueFd> OpenInRoot(int dir_fd, const std::string& relative, int flags,
                                    mode_t mode) {
  return OpenAt2(dir_fd, relative, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

absl::StatusOr<UniqueFd> OpenBeneath(int dir_fd, const std::string& relative, int flags,
                                     mode_t mode) {
  return OpenAt2(dir_fd, relative, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

absl::StatusOr<UniqueFd> OpenDir(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus("open directory", path);
  return fd;
}

absl::StatusOr<std::vector<std::string>> ListDir(const std::string& path, size_t max_entries) {
  UniqueDir dir(::opendir(path.c_str()));
  if (!dir) return ErrnoStatus("open directory", path);
  std::vector<std::string> names;
  errno = 0;
  while (struct dirent* entry = ::readdir(dir.get())) {
    std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (names.size() == max_entries)
      return absl::ResourceExhaustedError(
          StrCat("list ", path, ": more than ", max_entries, " entries"));
    names.emplace_back(name);
    errno = 0;
  }
  if (errno != 0) return ErrnoStatus("read directory", path);
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status RemoveTree(const std::string& path) {
  std::string parent = ParentOf(path);
  auto parent_fd = OpenDir(parent);
  if (absl::IsNotFound(parent_fd.status())) return absl::OkStatus();
  if (!parent_fd.ok()) return parent_fd.status();
  mode_t mode = 0;
  auto home = IdentityOf(parent_fd->get(), "", &mode);
  if (!home.ok()) return home.status();
  return RemoveAt(parent_fd->get(), path.substr(path.find_last_of('/') + 1), *home, path);
}

bool PathExists(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0;
}

std::string JoinPath(std::string_view a, std::string_view b) {
  while (a.ends_with("/")) a.remove_suffix(1);
  while (b.starts_with("/")) b.remove_prefix(1);
  return StrCat(a, "/", b);
}

}  // namespace keelson::base
