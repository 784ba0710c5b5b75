// SPDX-License-Identifier: Apache-2.0
#include "csi/atomic_writer.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/errno_status.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/strings.h"

namespace keelson::csi {

using base::StrCat;

namespace {

constexpr const char* kData = "..data";
constexpr const char* kDataTmp = "..data_tmp";
constexpr mode_t kAll = 07777;

std::string FirstElement(const std::string& path) { return path.substr(0, path.find('/')); }

mode_t FileMode(const ProjectedFile& file, std::optional<gid_t> group) {
  return group ? file.mode | 0440 : file.mode;
}

std::string GenerationName() {
  const time_t now = ::time(nullptr);
  struct tm utc {};
  ::gmtime_r(&now, &utc);
  char stamp[32];
  const size_t size = ::strftime(stamp, sizeof stamp, "..%Y_%m_%d_%H_%M_%S.", &utc);
  uint32_t random = 0;
  // Names of one second must differ; mkdirat reports it should they not.
  if (::getrandom(&random, sizeof random, 0) != sizeof random) random = ::getpid();
  return StrCat(std::string_view(stamp, size), random);
}

std::string ReadLinkAt(int dir, const std::string& name) {
  char target[PATH_MAX];
  const ssize_t size = ::readlinkat(dir, name.c_str(), target, sizeof target);
  return size < 0 ? std::string() : std::string(target, static_cast<size_t>(size));
}

absl::Status WriteAll(int fd, std::string_view data, const std::string& name) {
  while (!data.empty()) {
    const ssize_t n = ::write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return base::ErrnoStatus("write", name);
    data.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

// One volume's directory during one write.
class Writer {
 public:
  Writer(std::string path, base::UniqueFd dir, const Payload& payload, std::optional<gid_t> group)
      : path_(std::move(path)), dir_(std::move(dir)), payload_(payload), group_(group) {
    for (const auto& [name, file] : payload_) visible_.insert(FirstElement(name));
  }

  absl::Status Run() {
    // Only a name of ours counts: a link that leads elsewhere is replaced, never followed.
    std::string current = ReadLinkAt(dir_.get(), kData);
    if (!current.starts_with("..2") || current.find('/') != std::string::npos) current.clear();
    if (current.empty() || !Shows(current)) {
      auto made = MakeGeneration();
      if (!made.ok()) return made.status();
      RETURN_IF_ERROR(PointDataAt(*made));
      current = *std::move(made);
    }
    RETURN_IF_ERROR(MakeLinks());
    return Tidy(current);
  }

 private:
  std::string Name(std::string_view name) const { return base::JoinPath(path_, name); }

  // Whether the generation holds the payload: content, modes, owners, and nothing else.
  bool Shows(const std::string& generation) const {
    auto top = base::OpenBeneath(dir_.get(), generation, O_RDONLY | O_DIRECTORY);
    if (!top.ok()) return false;
    for (const auto& [name, file] : payload_) {
      auto fd = base::OpenBeneath(top->get(), name, O_RDONLY | O_NONBLOCK);
      struct stat st {};
      if (!fd.ok() || ::fstat(fd->get(), &st) < 0 || !S_ISREG(st.st_mode)) return false;
      if ((st.st_mode & kAll) != FileMode(file, group_)) return false;
      if (group_ && st.st_gid != *group_) return false;
      if (st.st_uid != file.owner.value_or(0)) return false;
      auto data = base::ReadFd(fd->get(), file.data.size() + 1, name);
      if (!data.ok() || *data != file.data) return false;
    }
    std::set<std::string> there;
    return ListFiles(generation, "", &there) && there.size() == payload_.size();
  }

  bool ListFiles(const std::string& generation, const std::string& below,
                 std::set<std::string>* out) const {
    auto names = base::ListDir(StrCat(Name(generation), "/", below));
    if (!names.ok()) return false;
    for (const std::string& name : *names) {
      const std::string path = below.empty() ? name : StrCat(below, "/", name);
      struct stat st {};
      const std::string full = StrCat(generation, "/", path);
      if (::fstatat(dir_.get(), full.c_str(), &st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
      if (!S_ISDIR(st.st_mode)) out->insert(path);
      else if (!ListFiles(generation, path, out)) return false;
    }
    return true;
  }

  absl::Status OwnDir(int fd, const std::string& name) const {
    if (!group_) return absl::OkStatus();
    struct stat st {};
    if (::fchown(fd, static_cast<uid_t>(-1), *group_) < 0 || ::fstat(fd, &st) < 0 ||
        ::fchmod(fd, (st.st_mode & kAll) | S_ISGID | 0550) < 0)
      return base::ErrnoStatus("give to fsGroup", Name(name));
    return absl::OkStatus();
  }

  absl::StatusOr<base::UniqueFd> MakeDirAt(int parent, const std::string& name) const {
    if (::mkdirat(parent, name.c_str(), 0755) < 0 && errno != EEXIST)
      return base::ErrnoStatus("mkdir", Name(name));
    base::UniqueFd fd(
        ::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd.ok()) return base::ErrnoStatus("open", Name(name));
    if (::fchmod(fd.get(), 0755) < 0) return base::ErrnoStatus("chmod", Name(name));
    RETURN_IF_ERROR(OwnDir(fd.get(), name));
    return fd;
  }

  absl::StatusOr<std::string> MakeGeneration() const {
    std::string name = GenerationName();
    if (::mkdirat(dir_.get(), name.c_str(), 0755) < 0)
      return base::ErrnoStatus("mkdir", Name(name));
    auto top = MakeDirAt(dir_.get(), name);
    absl::Status status = top.ok() ? absl::OkStatus() : top.status();
    for (auto it = payload_.begin(); status.ok() && it != payload_.end(); ++it)
      status = WriteFile(top->get(), it->first, it->second);
    if (status.ok()) return name;
    static_cast<void>(base::RemoveTree(Name(name)));  // the next write tidies up what this leaves
    return status;
  }

  absl::Status WriteFile(int top, const std::string& path, const ProjectedFile& file) const {
    base::UniqueFd parent;
    int at = top;
    size_t begin = 0;
    for (size_t end; (end = path.find('/', begin)) != std::string::npos; begin = end + 1) {
      auto next = MakeDirAt(at, path.substr(begin, end - begin));
      if (!next.ok()) return next.status();
      parent = *std::move(next);
      at = parent.get();
    }
    const std::string leaf = path.substr(begin);
    base::UniqueFd fd(
        ::openat(at, leaf.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd.ok()) return base::ErrnoStatus("create", Name(path));
    RETURN_IF_ERROR(WriteAll(fd.get(), file.data, Name(path)));
    const gid_t group = group_.value_or(static_cast<gid_t>(-1));
    if (::fchown(fd.get(), file.owner.value_or(static_cast<uid_t>(-1)), group) < 0)
      return base::ErrnoStatus("chown", Name(path));
    if (::fchmod(fd.get(), FileMode(file, group_)) < 0)
      return base::ErrnoStatus("chmod", Name(path));
    return absl::OkStatus();
  }

  // A link's owner decides nothing, but is the group's as everything in the volume.
  absl::Status Link(const std::string& target, const std::string& name) const {
    if (::symlinkat(target.c_str(), dir_.get(), name.c_str()) < 0)
      return base::ErrnoStatus("symlink", Name(name));
    if (group_ && ::fchownat(dir_.get(), name.c_str(), static_cast<uid_t>(-1), *group_,
                             AT_SYMLINK_NOFOLLOW) < 0)
      return base::ErrnoStatus("chown", Name(name));
    return absl::OkStatus();
  }

  absl::Status PointDataAt(const std::string& generation) const {
    if (::unlinkat(dir_.get(), kDataTmp, 0) < 0 && errno != ENOENT)
      return base::ErrnoStatus("unlink", Name(kDataTmp));
    RETURN_IF_ERROR(Link(generation, kDataTmp));
    if (::renameat(dir_.get(), kDataTmp, dir_.get(), kData) < 0)
      return base::ErrnoStatus("rename", Name(kDataTmp));
    return absl::OkStatus();
  }

  absl::Status MakeLinks() const {
    for (const std::string& name : visible_) {
      const std::string target = StrCat(kData, "/", name);
      if (ReadLinkAt(dir_.get(), name) == target) continue;
      RETURN_IF_ERROR(Link(target, name));
    }
    return absl::OkStatus();
  }

  // Takes away other generations, whoever left them, and links to files that are no more. A name
  // that is no link of ours is somebody's and stays: a subPath or another volume may be mounted inside.
  absl::Status Tidy(const std::string& current) const {
    auto names = base::ListDir(path_);
    if (!names.ok()) return names.status();
    for (const std::string& name : *names) {
      if (name == kData || name == current || visible_.contains(name)) continue;
      if (name.starts_with("..")) {
        RETURN_IF_ERROR(base::RemoveTree(Name(name)));
      } else if (ReadLinkAt(dir_.get(), name) == StrCat(kData, "/", name)) {
        if (::unlinkat(dir_.get(), name.c_str(), 0) < 0)
          return base::ErrnoStatus("unlink", Name(name));
      }
    }
    return OwnDir(dir_.get(), "");
  }

  const std::string path_;
  const base::UniqueFd dir_;
  const Payload& payload_;
  const std::optional<gid_t> group_;
  std::set<std::string> visible_;
};

}  // namespace

absl::StatusOr<std::string> CleanPayloadPath(std::string_view path) {
  auto refuse = [&](std::string_view why) {
    return absl::InvalidArgumentError(StrCat("invalid path \"", path.substr(0, 300), "\": ", why));
  };
  if (path.empty()) return refuse("must not be empty");
  if (path.front() == '/') return refuse("must be relative");
  if (path.size() > 4096) return refuse("must be less than or equal to 4096 characters");
  if (path.find('\0') != std::string_view::npos) return refuse("must not contain a zero byte");
  std::string clean;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view element = path.substr(begin, end - begin);
    begin = end + 1;
    if (element.empty() || element == ".") continue;
    if (element == "..") return refuse("must not contain '..'");
    if (element.size() > 255)
      return refuse("filenames must be less than or equal to 255 characters");
    if (clean.empty() && element.starts_with("..")) return refuse("must not start with '..'");
    base::StrAppend(&clean, clean.empty() ? "" : "/", element);
  }
  if (clean.empty()) return refuse("must name a file");
  return clean;
}

absl::Status WritePayload(const std::string& dir, const Payload& payload,
                          std::optional<gid_t> group) {
  Payload clean;
  for (const auto& [path, file] : payload) {
    auto name = CleanPayloadPath(path);
    if (!name.ok()) return name.status();
    clean[*std::move(name)] = file;
  }
  base::UniqueFd fd(::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.ok()) return base::ErrnoStatus("open", dir);
  // Two writers would take each other's generations for leftovers. Gone with the descriptor.
  if (::flock(fd.get(), LOCK_EX) < 0) return base::ErrnoStatus("flock", dir);
  return Writer(dir, std::move(fd), clean, group).Run();
}

}  // namespace keelson::csi
