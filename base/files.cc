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
#include <cstdio>
#include <memory>

#include "base/strings.h"
#include "base/errno_status.h"

namespace keelson::base {
namespace {

constexpr int kMaxRaces = 1000;

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
  // EAGAIN: something was renamed while the kernel walked. Somebody may do that on purpose for ever.
  int tries = 0;
  do {
    fd = ::syscall(SYS_openat2, dir_fd, relative.c_str(), &how, sizeof(how));
  } while (fd < 0 && (errno == EINTR || (errno == EAGAIN && ++tries < kMaxRaces)));
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

// rm -r with a bounded number of descriptors and a bounded stack, however deep the tree is: what lies
// deeper than kMaxDepth is first moved up into the top directory.
class TreeRemover {
 public:
  explicit TreeRemover(const MountIdentity& home) : home_(home) {}

  absl::Status RemoveAt(int dir_fd, const std::string& name, const std::string& shown, int depth) {
    mode_t mode = 0;
    auto identity = IdentityOf(dir_fd, name.c_str(), &mode);
    if (absl::IsNotFound(identity.status())) return absl::OkStatus();
    if (!identity.ok()) return identity.status();
    if (*identity != home_)
      return absl::FailedPreconditionError(
          StrCat("remove ", shown, ": it is a mount point; unmount it first"));
    if (!S_ISDIR(mode)) return Unlink(dir_fd, name, 0, shown);
    if (depth == kMaxDepth) return MoveUp(dir_fd, name, shown);
    UniqueFd child(
        ::openat(dir_fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!child.ok()) return errno == ENOENT ? absl::OkStatus() : ErrnoStatus("open", shown);
    RETURN_IF_ERROR(Empty(std::move(child), shown, depth));
    return Unlink(dir_fd, name, AT_REMOVEDIR, shown);
  }

 private:
  static constexpr int kMaxDepth = 64;
  struct Moved {
    std::string name;
    std::string shown;
  };

  static absl::Status Unlink(int dir_fd, const std::string& name, int flags,
                             const std::string& shown) {
    if (::unlinkat(dir_fd, name.c_str(), flags) < 0 && errno != ENOENT)
      return ErrnoStatus(flags == AT_REMOVEDIR ? "rmdir" : "unlink", shown);
    return absl::OkStatus();
  }

  absl::Status MoveUp(int dir_fd, const std::string& name, const std::string& shown) {
    if (::unlinkat(dir_fd, name.c_str(), AT_REMOVEDIR) == 0) return absl::OkStatus();
    std::string to;
    // RENAME_NOREPLACE: an entry of that name may be there by itself.
    do {
      to = StrCat(".removing-", count_++);
      if (::renameat2(dir_fd, name.c_str(), top_fd_, to.c_str(), RENAME_NOREPLACE) == 0) {
        moved_.push_back({std::move(to), shown});
        return absl::OkStatus();
      }
    } while (errno == EEXIST);
    return ErrnoStatus("rename", shown);
  }

  absl::Status Empty(UniqueFd dir_fd, const std::string& shown, int depth) {
    int raw = dir_fd.get();
    UniqueDir dir(::fdopendir(dir_fd.release()));
    if (!dir) return ErrnoStatus("fdopendir", shown);
    if (depth == 0) top_fd_ = raw;
    absl::Status first;
    while (struct dirent* entry = ::readdir(dir.get())) {
      std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      // What cannot be removed does not keep the rest: the first failure is reported.
      first.Update(RemoveAt(raw, name, StrCat(shown, "/", name), depth + 1));
    }
    while (depth == 0 && !moved_.empty()) {
      Moved next = std::move(moved_.back());
      moved_.pop_back();
      first.Update(RemoveAt(raw, next.name, next.shown, 1));
    }
    return first;
  }

  const MountIdentity home_;
  int top_fd_ = -1;  // of the directory that is being removed
  std::vector<Moved> moved_;
  uint64_t count_ = 0;
};

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
    if (::stat(path.c_str(), &st) < 0) return ErrnoStatus("mkdir", path);  // a dangling link
    if (S_ISDIR(st.st_mode)) return absl::OkStatus();
    errno = ENOTDIR;
    return ErrnoStatus("mkdir", path);
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

absl::Status RemoveTree(const std::string& given) {
  std::string path = given;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  std::string parent = ParentOf(path);
  auto parent_fd = OpenDir(parent);
  if (absl::IsNotFound(parent_fd.status())) return absl::OkStatus();
  if (!parent_fd.ok()) return parent_fd.status();
  mode_t mode = 0;
  auto home = IdentityOf(parent_fd->get(), "", &mode);
  if (!home.ok()) return home.status();
  TreeRemover remover(*home);
  return remover.RemoveAt(parent_fd->get(), path.substr(path.find_last_of('/') + 1), path, 0);
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
