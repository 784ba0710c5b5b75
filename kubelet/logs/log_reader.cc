// SPDX-License-Identifier: Apache-2.0
#include "kubelet/logs/log_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "base/errno_status.h"
#include "base/fd.h"
#include "base/files.h"
#include "kubelet/logs/log_watches.h"

namespace keelson::kubelet {
namespace {

using base::Task;

constexpr size_t kBlock = 128 << 10;

// Shared with reads that outlive a cancelled reader on the pool.
using SharedFd = std::shared_ptr<base::UniqueFd>;

struct OpenLog {
  SharedFd fd;
  dev_t device = 0;
  ino_t inode = 0;
  int64_t offset = 0;
  LogDecoder decoder;
};

absl::StatusOr<std::string> ReadBlock(const SharedFd& fd, int64_t offset, size_t size) {
  std::string block(size, '\0');
  ssize_t got;
  do got = ::pread(fd->get(), block.data(), size, offset);
  while (got < 0 && errno == EINTR);
  if (got < 0) return base::ErrnoStatus("read", "container log");
  block.resize(got);
  return block;
}

// Where the last `lines` lines begin: the end of the file is read backwards, a block at a time.
absl::StatusOr<int64_t> TailStart(const SharedFd& fd, int64_t size, int64_t lines) {
  if (lines < 0) return 0;
  int64_t newlines = 0;
  // A last line without its end is a line too.
  int64_t at = size;
  bool last_byte = true;
  while (at > 0) {
    const int64_t start = std::max<int64_t>(0, at - static_cast<int64_t>(kBlock));
    auto block = ReadBlock(fd, start, at - start);
    if (!block.ok()) return block.status();
    for (int64_t i = static_cast<int64_t>(block->size()) - 1; i >= 0; --i) {
      const bool newline = (*block)[i] == '\n';
      if (last_byte && !newline) ++newlines;
      last_byte = false;
      if (newline && ++newlines > lines) return start + i + 1;
    }
    at = start;
  }
  return 0;
}

class LogStream {
 public:
  LogStream(base::Loop& loop, LogWatches& watches, LogRequest request, LogSink sink, LogEnd end)
      : loop_(loop),
        watches_(watches),
        request_(std::move(request)),
        sink_(std::move(sink)),
        end_(std::move(end)),
        left_(request_.limit_bytes),
        tasks_(loop) {}

  Task<absl::Status> Run() {
    CO_RETURN_IF_ERROR(OpenDirectory());
    if (request_.follow) CO_RETURN_IF_ERROR(StartWatching());
    absl::StatusOr<OpenLog> live = Open(name_);
    if (!live.ok()) co_return live.status();
    CO_RETURN_IF_ERROR(co_await SkipToTail(*live));
    files_.push_back(std::move(*live));
    if (request_.follow) co_return co_await FollowUntilEnd();
    co_return co_await Drain(files_.back(), size_at_open_);
  }

 private:
  absl::Status OpenDirectory();
  absl::Status StartWatching();
  absl::StatusOr<OpenLog> Open(const std::string& name);
  Task<absl::Status> SkipToTail(OpenLog& log);
  Task<absl::Status> FollowUntilEnd();
  Task<absl::Status> Follow();
  Task<absl::Status> Drain(OpenLog& log, std::optional<int64_t> stop_at);
  Task<absl::Status> Emit(std::string text);
  absl::StatusOr<bool> FindNewFiles();
  std::vector<std::string> RotatedSince(ino_t inode);
  Task<void> WatchEnd();
  bool limit_reached() const { return left_ == 0; }

  base::Loop& loop_;
  LogWatches& watches_;
  const LogRequest request_;
  const LogSink sink_;
  const LogEnd end_;
  base::UniqueFd dir_;
  std::string name_;  // of the live file in dir_
  int64_t size_at_open_ = 0;
  int64_t left_;  // bytes of output allowed; negative: no limit
  // Oldest first, the live one last; its predecessor stays while a late writer may hold it.
  std::deque<OpenLog> files_;
  LogFollower follower_;
  std::unique_ptr<LogWatches::Handle> watch_;
  bool ended_ = false;
  base::TaskGroup tasks_;
};

absl::Status LogStream::OpenDirectory() {
  const std::string& path = request_.path;
  const std::string prefix = request_.root + "/";
  const size_t slash = path.rfind('/');
  if (!path.starts_with(prefix) || slash < prefix.size())
    return absl::InvalidArgumentError(
        base::StrCat("log ", path, " is not beneath ", request_.root));
  name_ = path.substr(slash + 1);
  auto root = base::OpenDir(request_.root);
  if (!root.ok()) return root.status();
  const std::string relative = path.substr(prefix.size(), slash - prefix.size());
  auto dir = base::OpenBeneath(root->get(), relative, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (!dir.ok()) return dir.status();
  dir_ = std::move(*dir);
  return absl::OkStatus();
}

absl::Status LogStream::StartWatching() {
  // By descriptor: the path may have come to mean something else since it was opened.
  auto watch = watches_.Add(base::StrCat("/proc/self/fd/", dir_.get()), follower_);
  if (!watch.ok()) return watch.status();
  watch_ = std::move(*watch);
  return absl::OkStatus();
}

absl::StatusOr<OpenLog> LogStream::Open(const std::string& name) {
  // O_NONBLOCK: a FIFO somebody put here must not hold us.
  auto fd = base::OpenBeneath(dir_.get(), name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (!fd.ok()) return fd.status();
  struct stat info;
  if (::fstat(fd->get(), &info) < 0) return base::ErrnoStatus("fstat", name);
  if (!S_ISREG(info.st_mode))
    return absl::InvalidArgumentError(base::StrCat("log ", name, " is not a regular file"));
  const bool line_start = files_.empty() || files_.back().decoder.at_line_start();
  size_at_open_ = info.st_size;
  return OpenLog{std::make_shared<base::UniqueFd>(std::move(*fd)), info.st_dev, info.st_ino, 0,
                 LogDecoder(request_.filter, line_start)};
}

Task<absl::Status> LogStream::SkipToTail(OpenLog& log) {
  auto find = [fd = log.fd, size = size_at_open_, lines = request_.tail_lines] {
    return TailStart(fd, size, lines);
  };
  absl::StatusOr<int64_t> start = co_await base::RunBlocking(loop_, std::move(find));
  if (!start.ok()) co_return start.status();
  log.offset = *start;
  co_return absl::OkStatus();
}

Task<absl::Status> LogStream::Emit(std::string text) {
  if (left_ >= 0 && static_cast<int64_t>(text.size()) > left_) text.resize(left_);
  if (left_ >= 0) left_ -= static_cast<int64_t>(text.size());
  if (text.empty()) co_return absl::OkStatus();
  co_return co_await sink_(std::move(text));
}

// Reads to the end of the file, or to `stop_at`.
Task<absl::Status> LogStream::Drain(OpenLog& log, std::optional<int64_t> stop_at) {
  while (!limit_reached()) {
    size_t size = kBlock;
    if (stop_at) size = std::clamp<int64_t>(*stop_at - log.offset, 0, kBlock);
    if (size == 0) break;
    auto read = [fd = log.fd, offset = log.offset, size] { return ReadBlock(fd, offset, size); };
    absl::StatusOr<std::string> block = co_await base::RunBlocking(loop_, std::move(read));
    if (!block.ok()) co_return block.status();
    if (block->empty()) {
      struct stat info;
      // Somebody emptied the file: what comes now is new.
      if (::fstat(log.fd->get(), &info) < 0 || info.st_size >= log.offset) break;
      log.offset = 0;
      continue;
    }
    log.offset += static_cast<int64_t>(block->size());
    std::string out;
    log.decoder.Feed(*block, &out);
    CO_RETURN_IF_ERROR(co_await Emit(std::move(out)));
  }
  co_return absl::OkStatus();
}

Task<void> LogStream::WatchEnd() {
  co_await end_();
  ended_ = true;
  follower_.wake.Set();
}

Task<absl::Status> LogStream::FollowUntilEnd() {
  tasks_.Spawn("log end", WatchEnd());
  std::exception_ptr cancelled;
  absl::Status status;
  try {
    status = co_await Follow();
    co_await tasks_.CancelAndJoin();
  } catch (const boost::system::system_error&) {
    cancelled = std::current_exception();
  }
  if (!cancelled) co_return status;
  co_await boost::asio::this_coro::reset_cancellation_state(boost::asio::disable_cancellation());
  co_await tasks_.CancelAndJoin();
  std::rethrow_exception(cancelled);
}

Task<absl::Status> LogStream::Follow() {
  for (;;) {
    // Looked at before reading: what was written until the end is in the files by then.
    const bool last_turn = ended_;
    bool more = true;
    while (more) {
      for (size_t i = 0; i < files_.size(); ++i)
        CO_RETURN_IF_ERROR(co_await Drain(files_[i], std::nullopt));
      absl::StatusOr<bool> found = FindNewFiles();
      if (!found.ok()) co_return found.status();
      more = *found;
    }
    while (files_.size() > 2) files_.pop_front();
    if (last_turn || limit_reached()) co_return absl::OkStatus();
    if (!follower_.error.ok()) co_return follower_.error;
    co_await follower_.wake.Wait();
  }
}

// Adds what took the live file's place; true when there was something.
absl::StatusOr<bool> LogStream::FindNewFiles() {
  const OpenLog& newest = files_.back();
  auto live = Open(name_);
  if (absl::IsNotFound(live.status())) return false;  // between rename and reopen
  if (!live.ok()) return live.status();
  if (live->inode == newest.inode && live->device == newest.device) return false;
  for (const std::string& name : RotatedSince(newest.inode)) {
    auto between = Open(name);
    if (between.ok()) files_.push_back(std::move(*between));
  }
  files_.push_back(std::move(*live));
  return true;
}

// Rotated, uncompressed files that came after the one with `inode`, oldest first. When that is not
// there any more it was compressed, so all that are there came after it.
std::vector<std::string> LogStream::RotatedSince(ino_t inode) {
  auto names = base::ListDir(base::StrCat("/proc/self/fd/", dir_.get()), 1000);
  std::vector<std::string> since;
  if (!names.ok()) return since;
  for (const std::string& name : *names) {
    if (!name.starts_with(name_ + ".") || name.ends_with(".gz") || name.ends_with(".tmp")) continue;
    struct stat info;
    if (::fstatat(dir_.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) < 0) continue;
    if (info.st_ino == inode)
      since.clear();
    else
      since.push_back(name);
  }
  return since;
}

}  // namespace

Task<absl::Status> StreamLog(base::Loop& loop, LogWatches& watches, LogRequest request,
                             LogSink sink, LogEnd end) {
  LogStream stream(loop, watches, std::move(request), std::move(sink), std::move(end));
  co_return co_await stream.Run();
}

}  // namespace keelson::kubelet
