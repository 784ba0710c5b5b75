// SPDX-License-Identifier: Apache-2.0
#include "kubelet/pod_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/numbers.h"
#include "base/errno_status.h"
#include "base/files.h"
#include "base/strings.h"

namespace keelson::kubelet {

using base::StrCat;
using base::Task;

namespace {

constexpr size_t kMaxHostFile = 1 << 20;
constexpr size_t kMaxLogTail = 256 * 1024;  // of a log, looked through for the last 80 lines
constexpr size_t kFallbackBytes = 2048;
constexpr int kFallbackLines = 80;
constexpr size_t kMaxFileName = 255;

std::string TerminationDir(const PodPaths& paths, const PodUid& uid, const std::string& container) {
  return StrCat(paths.PodDir(uid), "/containers/", container);
}

// "3.log", "3.log.20260102-030405", "3.log....gz" -> 3.
std::optional<uint32_t> LogNumber(std::string_view file) {
  size_t dot = file.find(".log");
  uint32_t number = 0;
  if (dot == std::string_view::npos || !absl::SimpleAtoi(base::ToAbsl(file.substr(0, dot)), &number))
    return std::nullopt;
  return number;
}

uint32_t RestartsInLogDir(const std::string& dir) {
  auto names = base::ListDir(dir);
  if (!names.ok()) return 0;
  uint32_t restarts = 0;
  for (const auto& name : *names)
    if (auto number = LogNumber(name)) restarts = std::max(restarts, *number + 1);
  return restarts;
}

// Opens a file that a container may have replaced by anything: regular files only, no links.
absl::StatusOr<base::UniqueFd> OpenOurs(const std::string& dir, const std::string& relative) {
  auto dir_fd = base::OpenDir(dir);
  if (!dir_fd.ok()) return dir_fd.status();
  auto fd = base::OpenBeneath(dir_fd->get(), relative, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!fd.ok()) return fd.status();
  struct stat st {};
  if (::fstat(fd->get(), &st) < 0) return base::ErrnoStatus("fstat", relative);
  if (!S_ISREG(st.st_mode))
    return absl::FailedPreconditionError(StrCat(dir, "/", relative, " is no regular file"));
  return fd;
}

// The last `max` bytes of a file.
std::string ReadEnd(int fd, size_t max) {
  struct stat st {};
  if (::fstat(fd, &st) < 0) return {};
  off_t from = std::max<off_t>(0, st.st_size - static_cast<off_t>(max));
  std::string text(static_cast<size_t>(st.st_size - from), '\0');
  ssize_t n = ::pread(fd, text.data(), text.size(), from);
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return text;
}

// Adds a CRI log line without its time, stream and tag. Tag P: the writer's line goes on in the next.
void AddLogLine(std::string_view line, std::string& text) {
  bool partial = false;
  for (int i = 0; i < 3; ++i) {
    size_t space = line.find(' ');
    if (space == std::string_view::npos) break;
    if (i == 2) partial = line.starts_with("P ") || line.starts_with("P:");
    line.remove_prefix(space + 1);
  }
  base::StrAppend(&text, line, partial ? "" : "\n");
}

std::string LastLogLines(std::string_view log) {
  std::vector<std::string_view> lines;
  size_t begin = 0;
  while (begin < log.size()) {
    size_t end = std::min(log.find('\n', begin), log.size());
    lines.push_back(log.substr(begin, end - begin));
    begin = end + 1;
  }
  std::string text;
  size_t first = lines.size() > kFallbackLines ? lines.size() - kFallbackLines : 0;
  for (size_t i = first; i < lines.size(); ++i) AddLogLine(lines[i], text);
  if (text.size() > kFallbackBytes) text.erase(0, text.size() - kFallbackBytes);
  return text;
}

std::string LinkName(const v1::Pod& pod, const std::string& container, const std::string& id) {
  std::string suffix = ".log";
  std::string name = StrCat(pod.metadata().name(), "_", pod.metadata().namespace_(), "_", container,
                            "-", id);
  if (name.size() + suffix.size() > kMaxFileName) name.resize(kMaxFileName - suffix.size());
  return name + suffix;
}

class DiskPodFiles : public PodFiles {
 public:
  DiskPodFiles(base::Loop& loop, PodPaths paths) : loop_(loop), paths_(std::move(paths)) {}

  const PodPaths& paths() const override { return paths_; }

  Task<absl::Status> MakePodDirs(PodPtr pod) override {
    const auto& meta = pod->metadata();
    std::string dir = paths_.PodDir(meta.uid());
    absl::Status status = base::MakeDirs(StrCat(dir, "/volumes"), 0750);
    status.Update(base::MakeDirs(StrCat(dir, "/plugins"), 0750));
    status.Update(
        base::MakeDirs(paths_.LogDir(meta.namespace_(), meta.name(), meta.uid()), 0755));
    co_return status;
  }

  // Few small local operations on directories of ours: quicker than a trip to the pool.
  Task<absl::StatusOr<ContainerFiles>> PrepareContainer(PodPtr pod, std::string container) override {
    const auto& meta = pod->metadata();
    std::string log_dir =
        StrCat(paths_.LogDir(meta.namespace_(), meta.name(), meta.uid()), "/", container);
    CO_RETURN_IF_ERROR(base::MakeDirs(log_dir, 0755));
    std::string dir = TerminationDir(paths_, meta.uid(), container);
    CO_RETURN_IF_ERROR(base::MakeDirs(dir, 0750));
    ContainerFiles files;
    files.past_restarts = RestartsInLogDir(log_dir);
    // A fresh file per instance: what an earlier instance left must not be taken for this one's.
    CO_RETURN_IF_ERROR(RemoveOldMessages(dir));
    char name[16];
    std::snprintf(name, sizeof(name), "%08x", static_cast<unsigned>(::random()));
    files.termination_log = StrCat(dir, "/", name);
    base::UniqueFd fd(
        ::open(files.termination_log.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
    if (!fd.ok()) co_return base::ErrnoStatus("create", files.termination_log);
    // 0666 whatever the umask: the container's user writes it.
    if (::fchmod(fd.get(), 0666) < 0) co_return base::ErrnoStatus("chmod", files.termination_log);
    co_return files;
  }

  Task<std::map<std::string, uint32_t>> PastRestarts(PodPtr pod) override {
    const auto& meta = pod->metadata();
    std::string dir = paths_.LogDir(meta.namespace_(), meta.name(), meta.uid());
    std::map<std::string, uint32_t> counts;
    auto names = base::ListDir(dir);
    if (!names.ok()) co_return counts;
    for (const auto& name : *names)
      if (uint32_t n = RestartsInLogDir(StrCat(dir, "/", name)); n > 0) counts[name] = n;
    co_return counts;
  }

  // Written in place, not renamed: running containers have this very file bind-mounted.
  Task<absl::Status> WriteEtcHosts(PodUid uid, std::string content) override {
    std::string path = paths_.EtcHosts(uid);
    base::UniqueFd fd(::open(path.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                             0644));
    if (!fd.ok()) co_return base::ErrnoStatus("open", path);
    if (::fchmod(fd.get(), 0644) < 0) co_return base::ErrnoStatus("chmod", path);
    if (::write(fd.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size()))
      co_return base::ErrnoStatus("write", path);
    co_return absl::OkStatus();
  }

  Task<absl::StatusOr<std::string>> ReadHostFile(std::string path) override {
    co_return base::ReadFile(path, kMaxHostFile);
  }

  Task<absl::Status> LinkContainerLog(PodPtr pod, std::string container, std::string id,
                                      std::string log_path) override {
    CO_RETURN_IF_ERROR(base::MakeDirs(paths_.container_logs_dir, 0755));
    std::string link = StrCat(paths_.container_logs_dir, "/", LinkName(*pod, container, id));
    ::unlink(link.c_str());
    if (::symlink(log_path.c_str(), link.c_str()) < 0) co_return base::ErrnoStatus("symlink", link);
    co_return absl::OkStatus();
  }

  Task<std::string> TerminationMessage(PodPtr pod, std::string container, std::string log_path,
                                       bool fall_back, size_t max_bytes) override {
    std::string dir = TerminationDir(paths_, pod->metadata().uid(), container);
    std::string pod_logs = paths_.pod_logs_dir;
    auto read = [=] {
      std::string text = ReadMessage(dir, max_bytes);
      if (!text.empty() || !fall_back || !log_path.starts_with(pod_logs + "/")) return text;
      auto log = OpenOurs(pod_logs, log_path.substr(pod_logs.size() + 1));
      return log.ok() ? LastLogLines(ReadEnd(log->get(), kMaxLogTail)) : std::string();
    };
    co_return co_await base::RunBlocking(loop_, std::move(read));
  }

  Task<absl::Status> RemoveContainerLogs(PodPtr pod, std::string container, std::string id,
                                         std::string log_path) override {
    ::unlink(StrCat(paths_.container_logs_dir, "/", LinkName(*pod, container, id)).c_str());
    if (!log_path.starts_with(paths_.pod_logs_dir + "/")) co_return absl::OkStatus();
    size_t slash = log_path.find_last_of('/');
    std::string dir = log_path.substr(0, slash), base_name = log_path.substr(slash + 1);
    auto names = base::ListDir(dir);
    if (!names.ok()) co_return absl::OkStatus();
    for (const auto& name : *names)
      if (name.starts_with(base_name)) ::unlink(StrCat(dir, "/", name).c_str());
    co_return absl::OkStatus();
  }

  Task<absl::Status> RemovePod(std::string ns, std::string name, PodUid uid) override {
    std::string dir = paths_.PodDir(uid);
    std::string logs = paths_.LogDir(ns, name, uid);
    std::string links = paths_.container_logs_dir;
    std::string prefix = StrCat(name, "_", ns, "_");
    auto remove = [=] {
      absl::Status status = base::RemoveTree(dir);
      status.Update(base::RemoveTree(logs));
      RemoveDeadLinks(links, prefix);
      return status;
    };
    co_return co_await base::RunBlocking(loop_, std::move(remove));
  }

  Task<absl::StatusOr<std::vector<PodUid>>> ListPodDirs() override {
    std::string dir = StrCat(paths_.root_dir, "/pods");
    auto names = base::ListDir(dir);
    if (absl::IsNotFound(names.status())) co_return std::vector<PodUid>();
    co_return names;
  }

  Task<absl::StatusOr<std::vector<LogDir>>> ListLogDirs() override {
    auto names = base::ListDir(paths_.pod_logs_dir);
    std::vector<LogDir> dirs;
    if (absl::IsNotFound(names.status())) co_return dirs;
    if (!names.ok()) co_return names.status();
    for (const auto& name : *names)
      if (auto parsed = ParseLogDirName(name)) dirs.push_back(*parsed);
    co_return dirs;
  }

 private:
  static absl::Status RemoveOldMessages(const std::string& dir) {
    auto names = base::ListDir(dir);
    if (!names.ok()) return names.status();
    for (const auto& name : *names) RETURN_IF_ERROR(base::RemoveTree(StrCat(dir, "/", name)));
    return absl::OkStatus();
  }

  static std::string ReadMessage(const std::string& dir, size_t max_bytes) {
    auto names = base::ListDir(dir, 16);
    if (!names.ok() || names->empty()) return {};
    auto fd = OpenOurs(dir, names->back());
    return fd.ok() ? ReadEnd(fd->get(), max_bytes) : std::string();
  }

  // Links whose log file has gone.
  static void RemoveDeadLinks(const std::string& dir, const std::string& prefix) {
    auto names = base::ListDir(dir);
    if (!names.ok()) return;
    for (const auto& name : *names) {
      std::string path = StrCat(dir, "/", name);
      if (name.starts_with(prefix) && ::access(path.c_str(), F_OK) < 0) ::unlink(path.c_str());
    }
  }

  base::Loop& loop_;
  const PodPaths paths_;
};

}  // namespace

std::string PodPaths::PodDir(const PodUid& uid) const { return StrCat(root_dir, "/pods/", uid); }
std::string PodPaths::VolumesDir(const PodUid& uid) const { return StrCat(PodDir(uid), "/volumes"); }
std::string PodPaths::EtcHosts(const PodUid& uid) const { return StrCat(PodDir(uid), "/etc-hosts"); }
std::string PodPaths::LogDir(const std::string& ns, const std::string& name,
                             const PodUid& uid) const {
  return StrCat(pod_logs_dir, "/", ns, "_", name, "_", uid);
}

std::optional<PodFiles::LogDir> ParseLogDirName(std::string_view name) {
  // None of the three parts may hold an underscore.
  size_t first = name.find('_');
  size_t second = first == std::string_view::npos ? first : name.find('_', first + 1);
  if (second == std::string_view::npos || name.find('_', second + 1) != std::string_view::npos)
    return std::nullopt;
  PodFiles::LogDir dir{std::string(name.substr(0, first)),
                       std::string(name.substr(first + 1, second - first - 1)),
                       std::string(name.substr(second + 1))};
  if (dir.ns.empty() || dir.name.empty() || dir.uid.empty()) return std::nullopt;
  return dir;
}

std::unique_ptr<PodFiles> MakeDiskPodFiles(base::Loop& loop, PodPaths paths) {
  return std::make_unique<DiskPodFiles>(loop, std::move(paths));
}

}  // namespace keelson::kubelet
