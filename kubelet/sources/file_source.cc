// SPDX-License-Identifier: Apache-2.0
#include "kubelet/sources/file_source.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/strings.h"
#include "kubelet/sources/decode.h"
#include "kubelet/sources/static_pod.h"

namespace keelson::kubelet::sources {
namespace {

using base::StrCat;
using base::Task;
using std::chrono::seconds;

constexpr uint32_t kDirMask = IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
                              IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
constexpr uint32_t kParentMask = IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM |
                                 IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
constexpr uint32_t kGone = IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT;
constexpr seconds kFirstRetry(1), kLastRetry(20);  // upstream's retry of the watch

std::string ParentOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string BaseOf(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

std::string WithoutSlash(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

int64_t Nanoseconds(const timespec& t) { return t.tv_sec * 1'000'000'000LL + t.tv_nsec; }

FileStamp StampOf(const struct stat& st) {
  return {.device = st.st_dev,
          .inode = st.st_ino,
          .size = static_cast<uint64_t>(st.st_size),
          .changed_ns = Nanoseconds(st.st_ctim),
          .modified_ns = Nanoseconds(st.st_mtim)};
}

// Opens without any effect on what is there: a FIFO does not block, a device does not start.
absl::StatusOr<base::UniqueFd> OpenRegular(const std::string& path, FileStamp* stamp) {
  const base::UniqueFd place(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!place.ok()) return base::ErrnoStatus("open", path);
  struct stat st;
  if (::fstat(place.get(), &st) < 0) return base::ErrnoStatus("fstat", path);
  if (!S_ISREG(st.st_mode)) return absl::FailedPreconditionError(StrCat(path, ": no regular file"));
  *stamp = StampOf(st);
  base::UniqueFd fd(::open(StrCat("/proc/self/fd/", place.get()).c_str(),
                           O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd.ok()) return base::ErrnoStatus("open", path);
  return fd;
}

// A file that open(2) just made is still being written: its IN_CLOSE_WRITE will follow. A link is
// whole.
bool StillBeingWritten(const std::string& path) {
  struct stat st;
  return ::lstat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1;
}

}  // namespace

FileSource::FileSource(base::Loop& loop, Options options, OnUpdate on_update, OnProblem on_problem)
    : loop_(loop),
      options_([&] {
        options.path = WithoutSlash(std::move(options.path));
        return std::move(options);
      }()),
      on_update_(std::move(on_update)),
      on_problem_(std::move(on_problem)),
      tasks_(loop) {}

void FileSource::Start() {
  auto inotify = base::Inotify::Create(loop_);
  if (inotify.ok()) {
    inotify_ = std::move(*inotify);
    tasks_.Spawn("file source: watch", Watch());
  } else {
    Report(options_.path, StrCat(base::Message(inotify.status()), "; changes are found every ",
                                 base::GoDuration(options_.rescan), " only"));
  }
  tasks_.Spawn("file source: work", Work());
  tasks_.Spawn("file source: rescan", Tick());
}

Task<void> FileSource::Stop() { co_await tasks_.CancelAndJoin(); }

void FileSource::NeedAll() {
  need_all_ = true;
  work_.Set();
}

void FileSource::NeedOne(std::string name) {
  need_.insert(std::move(name));
  work_.Set();
}

std::string FileSource::PathOf(const std::string& name) const {
  return name.empty() ? options_.path : base::JoinPath(options_.path, name);
}

bool FileSource::ArmWatches() {
  if (inotify_ == nullptr) return true;
  auto parent = inotify_->Add(ParentOf(options_.path), kParentMask);
  parent_watch_ = parent.ok() ? *parent : -1;
  auto dir = inotify_->Add(options_.path, kDirMask);
  const int now = dir.ok() ? *dir : -1;
  if (dir_watch_ >= 0 && dir_watch_ != now) inotify_->Remove(dir_watch_);
  dir_watch_ = now;
  return parent_watch_ >= 0;
}

Task<void> FileSource::Watch() {
  for (;;) {
    auto events = co_await inotify_->Next();
    if (!events.ok()) {
      Report(options_.path, std::string(base::Message(events.status())));
      co_await base::Sleep(loop_.clock(), kFirstRetry);
      NeedAll();
      continue;
    }
    for (const base::FileEvent& event : *events) Handle(event);
  }
}

void FileSource::Handle(const base::FileEvent& event) {
  if (event.watch < 0) return NeedAll();  // the queue overflowed
  if (event.watch == dir_watch_) {
    if (event.mask & kGone) return NeedAll();
    // Volumes of the API swap a symlink named ..data, on which the visible names hang.
    if (event.name.starts_with("..")) return NeedAll();
    if (event.name.empty() || event.name.starts_with('.')) return;
    if (event.mask & (IN_DELETE | IN_MOVED_FROM)) gone_.insert(event.name);
    if ((event.mask & IN_CREATE) && StillBeingWritten(PathOf(event.name))) return;
    return NeedOne(event.name);
  }
  if (event.watch != parent_watch_) return;  // of a watch that was dropped
  if ((event.mask & kGone) || event.name == BaseOf(options_.path)) {
    const bool created = (event.mask & IN_CREATE) != 0;
    if (created && StillBeingWritten(options_.path)) return;
    NeedAll();
  }
}

Task<void> FileSource::Tick() {
  base::Nanos retry = kFirstRetry;
  for (;;) {
    const bool watched = parent_watch_ >= 0 || inotify_ == nullptr;
    const base::Nanos pause = watched ? options_.rescan : std::min(retry, options_.rescan);
    co_await base::Sleep(loop_.clock(), pause);
    retry = watched ? kFirstRetry : std::min<base::Nanos>(retry * 2, kLastRetry);
    NeedAll();
  }
}

Task<void> FileSource::Work() {
  for (;;) {
    ForgetGone();
    if (need_all_) {
      need_all_ = false;
      need_.clear();
      ArmWatches();  // before looking, so that no change falls between
      const bool known = co_await LookAtAll();
      if (known) Publish();
    } else if (!need_.empty()) {
      std::string name = std::move(need_.extract(need_.begin()).value());
      std::string path = PathOf(name);
      co_await LookAt(std::move(name), std::move(path));
      if (need_.empty() && published_) Publish();
    } else {
      co_await work_.Wait();
    }
  }
}

// A file that was deleted ends its pod, even if the same words stand there again by now.
void FileSource::ForgetGone() {
  size_t forgotten = 0;
  for (const std::string& name : std::exchange(gone_, {})) forgotten += files_.erase(name);
  if (forgotten > 0 && published_) Publish();
}

// False when the path could be neither read nor found missing: nothing is known, nothing changes.
Task<bool> FileSource::LookAtAll() {
  struct stat st;
  if (::stat(options_.path.c_str(), &st) < 0) {
    if (errno == ENOENT || errno == ENOTDIR) {
      files_.clear();
      reported_.clear();
      co_return true;
    }
    Report(options_.path, std::string(base::Message(base::ErrnoStatus("stat", options_.path))));
    co_return false;
  }
  if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) {
    Report(options_.path, StrCat(options_.path, ": neither a directory nor a regular file"));
    co_return false;
  }
  if (S_ISDIR(st.st_mode) != is_dir_) files_.clear();
  is_dir_ = S_ISDIR(st.st_mode);
  std::vector<std::string> names = {""};
  if (is_dir_) {
    auto listed = base::ListDir(options_.path);
    if (!listed.ok()) {
      Report(options_.path, std::string(base::Message(listed.status())));
      co_return absl::IsNotFound(listed.status());
    }
    names = std::move(*listed);
    std::erase_if(names, [](const std::string& name) { return name.starts_with('.'); });
  }
  if (is_dir_) reported_.erase(options_.path);
  std::erase_if(files_, [&](const auto& entry) {
    return !std::binary_search(names.begin(), names.end(), entry.first);
  });
  std::erase_if(reported_, [&](const auto& entry) {
    return is_dir_ && !std::binary_search(names.begin(), names.end(), BaseOf(entry.first));
  });
  for (const std::string& name : names) {
    std::string path = PathOf(name);
    co_await LookAt(name, std::move(path));
  }
  co_return true;
}

FileSource::Content FileSource::ReadAndParse(const std::string& path, ManifestOrigin origin) {
  Content content{.stamp = {}, .manifest = absl::UnknownError(""), .fingerprint = {}};
  auto fd = OpenRegular(path, &content.stamp);
  if (!fd.ok()) {
    content.stamp = {};  // try again at the next look
    content.manifest = fd.status();
    return content;
  }
  if (content.stamp.size > kMaxManifestBytes) {
    content.manifest = absl::InvalidArgumentError(
        StrCat(path, ": ", content.stamp.size, " bytes are too many for a manifest, at most ",
               kMaxManifestBytes, " are read"));
    return content;
  }
  auto bytes = base::ReadFd(fd->get(), kMaxManifestBytes, path);
  if (!bytes.ok()) {
    content.stamp = {};
    content.manifest = bytes.status();
    return content;
  }
  content.manifest = ReadManifest(*bytes, origin);
  if (content.manifest.ok()) content.fingerprint = Fingerprint(*content.manifest->pods.front());
  return content;
}

Task<void> FileSource::LookAt(std::string name, std::string path) {
  struct stat st;
  const bool regular = ::stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode);
  if (!regular) {  // gone, or a directory, socket, device: no business of ours
    files_.erase(name);
    reported_.erase(path);
    co_return;
  }
  const auto known = files_.find(name);
  if (known != files_.end() && known->second.stamp == StampOf(st)) co_return;
  ManifestOrigin origin{PodSource::kFile, path, options_.node_name};
  ++parsed_;
  if (static_cast<size_t>(st.st_size) <= options_.inline_bytes) {
    Accept(name, path, ReadAndParse(path, std::move(origin)));
    co_return;
  }
  auto read = [path, origin] { return ReadAndParse(path, origin); };
  Content content = co_await base::RunBlocking(loop_, std::move(read));
  Accept(name, path, std::move(content));
}

void FileSource::Accept(const std::string& name, const std::string& path, Content content) {
  if (absl::IsNotFound(content.manifest.status())) {
    files_.erase(name);
    return;
  }
  File& file = files_[name];
  file.stamp = content.stamp;
  if (!content.manifest.ok()) {
    return Report(path, OneLine(base::Message(content.manifest.status())));
  }
  if (content.manifest->warnings.empty()) {
    reported_.erase(path);
  } else {
    std::string text;
    for (const auto& line : content.manifest->warnings) {
      base::StrAppend(&text, text.empty() ? "" : "; ", line);
    }
    Report(path, text);
  }
  if (file.pod != nullptr && file.fingerprint == content.fingerprint) return;
  auto pod = content.manifest->pods.front();
  SetFirstSeen(pod.get(), loop_.clock().Now());
  if (file.pod != nullptr && file.pod->metadata().uid() == pod->metadata().uid()) {
    KeepFirstSeen(pod.get(), *file.pod);
  }
  file.pod = std::move(pod);
  file.fingerprint = std::move(content.fingerprint);
}

void FileSource::Publish() {
  std::vector<PodPtr> pods;
  std::map<std::string, std::string> names, uids;  // -> file
  for (auto& [name, file] : files_) {
    if (file.pod == nullptr) continue;
    const auto [by_name, new_name] = names.insert({FullName(*file.pod), name});
    const auto [by_uid, new_uid] = uids.insert({file.pod->metadata().uid(), name});
    if (new_name && new_uid) {
      file.duplicate.clear();
      pods.push_back(file.pod);
      continue;
    }
    const std::string winner = PathOf(new_name ? by_uid->second : by_name->second);
    if (file.duplicate == winner) continue;
    file.duplicate = winner;
    const std::string path = PathOf(name);
    on_problem_({path, StrCat(path, ": pod ", ShortName(*file.pod), " has the same ",
                              new_name ? "UID" : "name", " as the one of ", winner,
                              " and is ignored")});
  }
  if (published_ && pods == last_) return;
  published_ = true;
  last_ = pods;
  on_update_({PodSource::kFile, std::move(pods)});
}

void FileSource::Report(const std::string& object, const std::string& message) {
  std::string& last = reported_[object];
  if (last == message) return;
  last = message;
  on_problem_({object, message});
}

}  // namespace keelson::kubelet::sources
