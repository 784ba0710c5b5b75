// SPDX-License-Identifier: Apache-2.0
#include "kubelet/logs/log_rotator.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/log.h"

namespace keelson::kubelet {
namespace {

using base::Task;

struct LogPlace {
  base::UniqueFd dir;
  std::string name;
};

absl::StatusOr<LogPlace> Locate(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == path.npos)
    return absl::InvalidArgumentError(base::StrCat("log path ", path, " is not absolute"));
  auto dir = base::OpenDir(path.substr(0, slash));
  if (!dir.ok()) return dir.status();
  return LogPlace{std::move(*dir), path.substr(slash + 1)};
}

absl::StatusOr<int64_t> FileSize(const std::string& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) < 0) return base::ErrnoStatus("stat", path);
  if (!S_ISREG(info.st_mode))
    return absl::InvalidArgumentError(base::StrCat("log ", path, " is not a regular file"));
  return info.st_size;
}

// The rotated file's name, for putting it back.
absl::StatusOr<std::string> RotateFiles(const std::string& path, int max_files,
                                        const std::string& stamp) {
  auto place = Locate(path);
  if (!place.ok()) return place.status();
  auto names = base::ListDir(path.substr(0, path.rfind('/')));
  if (!names.ok()) return names.status();
  const RotationPlan plan = PlanRotation(place->name, std::move(*names), max_files, stamp);
  RETURN_IF_ERROR(Rotate(place->dir, place->name, plan));
  return plan.rotated;
}

absl::Status PutBack(const std::string& path, const std::string& rotated) {
  auto place = Locate(path);
  if (!place.ok()) return place.status();
  // No replacing: when the runtime made a new file after all, both have content.
  if (::renameat2(place->dir.get(), rotated.c_str(), place->dir.get(), place->name.c_str(),
                  RENAME_NOREPLACE) < 0)
    return base::ErrnoStatus("rename", base::StrCat(rotated, " back to ", path));
  return absl::OkStatus();
}

}  // namespace

Task<void> LogRotator::Run() {
  if (options_.max_size_bytes < 0) co_return;
  for (;;) {
    co_await base::Sleep(loop_.clock(), options_.interval);
    co_await CheckAll();
  }
}

Task<void> LogRotator::CheckAll() {
  std::vector<RunningLog> queue = list_();
  base::TaskGroup workers(loop_);
  for (int i = 0; i < options_.workers; ++i) workers.Spawn("rotate logs", Work(&queue));
  co_await base::internal::JoinOrCancel(workers);
}

Task<void> LogRotator::Work(std::vector<RunningLog>* queue) {
  while (!queue->empty()) {
    RunningLog log = std::move(queue->back());
    queue->pop_back();
    absl::Status status = co_await Check(log);
    if (!status.ok())
      KLOG_ERROR("Container log not rotated, trying again at the next turn", {"path", log.path},
                 {"containerID", log.container_id}, {"err", status});
  }
}

Task<absl::Status> LogRotator::Check(RunningLog log) {
  absl::StatusOr<bool> large = co_await TooLarge(log);
  if (!large.ok()) co_return large.status();
  if (!*large) co_return absl::OkStatus();
  co_return co_await RotateAndReopen(std::move(log));
}

Task<absl::StatusOr<bool>> LogRotator::TooLarge(const RunningLog& log) {
  absl::StatusOr<int64_t> size = FileSize(log.path);
  if (absl::IsNotFound(size.status())) {
    absl::Status reopened = co_await reopen_(log.container_id);
    if (!reopened.ok()) co_return base::Annotate(reopened, "log is missing, reopen it");
    size = FileSize(log.path);
  }
  if (!size.ok()) co_return size.status();
  co_return *size >= options_.max_size_bytes;
}

Task<absl::Status> LogRotator::RotateAndReopen(RunningLog log) {
  std::string stamp = RotationStamp(loop_.clock().Now());
  auto work = [path = log.path, files = options_.max_files, stamp = std::move(stamp)] {
    return RotateFiles(path, files, stamp);
  };
  absl::StatusOr<std::string> rotated = co_await base::RunBlocking(loop_, std::move(work));
  if (!rotated.ok()) co_return rotated.status();
  absl::Status reopened = co_await reopen_(log.container_id);
  if (reopened.ok()) co_return reopened;
  // The runtime still writes to the old file: under its old name the next turn finds it.
  absl::Status back = PutBack(log.path, *rotated);
  if (!back.ok()) KLOG_ERROR("Rotated log not put back", {"path", log.path}, {"err", back});
  co_return base::Annotate(reopened, "reopen container log");
}

}  // namespace keelson::kubelet
