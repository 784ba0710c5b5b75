// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/lib/netns.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cstdio>
#include <cstdlib>

namespace keelson::cni {

namespace {

// What is left at a namespace's path once it is unmounted: the empty file it was mounted on.
bool IsPlaceholder(int fd) {
  struct stat st;
  return ::fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0;
}

// The wrong kind of path is the caller's mistake: the specification's code for that.
Status BadPath(int error, const std::string& path, const std::string& why) {
  Status s(Code::kInvalidEnvironment, "CNI_NETNS: \"" + path + "\" " + why);
  return error == 0 ? s : s.WithErrno(error);
}

}  // namespace

Or<NetNs> NetNs::Open(const std::string& path) {
  // O_PATH first: opening a FIFO or a device by mistake could wait, or act.
  const Fd where(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!where.valid()) {
    const int error = errno == ESRCH || errno == ENOTDIR ? ENOENT : errno;
    return BadPath(error, path, std::string("cannot be opened: ") + std::strerror(errno));
  }
  struct statfs fs;
  if (::fstatfs(where.get(), &fs) < 0) return Status::Errno(errno, "statfs " + path);
  if (fs.f_type != NSFS_MAGIC) {
    const int error = IsPlaceholder(where.get()) ? ENOENT : 0;
    return BadPath(error, path, "is not a network namespace");
  }
  const std::string self = "/proc/self/fd/" + std::to_string(where.get());
  Fd fd(::open(self.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return Status::Errno(errno, "open namespace " + path);
  if (::ioctl(fd.get(), NS_GET_NSTYPE) != CLONE_NEWNET) {
    return BadPath(0, path, "is a namespace, but not a network namespace");
  }
  struct stat st;
  if (::fstat(fd.get(), &st) < 0) return Status::Errno(errno, "stat " + path);
  return NetNs(std::move(fd), st.st_dev, st.st_ino);
}

Or<NetNs> NetNs::Current() {
  Fd fd(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  struct stat st;
  if (!fd.valid() || ::fstat(fd.get(), &st) < 0) {
    return Status::Errno(errno, "open own network namespace");
  }
  return NetNs(std::move(fd), st.st_dev, st.st_ino);
}

bool NetNs::IsGone(const Status& status) {
  return status.code() == Code::kInvalidEnvironment && status.sys_errno() == ENOENT;
}

Status NetNs::Enter() const {
  if (::setns(fd_.get(), CLONE_NEWNET) < 0) return Status::Errno(errno, "enter network namespace");
  return {};
}

void NetNs::EnterOrDie() const {
  if (::setns(fd_.get(), CLONE_NEWNET) == 0) return;
  std::perror("cannot return to the host's network namespace");
  std::abort();
}

}  // namespace keelson::cni
