// SPDX-License-Identifier: Apache-2.0
// Static pods from a directory of manifests, or from one manifest file (--pod-manifest-path).
//
// Loop only. inotify says what changed; a full look every `rescan` finds what inotify cannot see
// (the target of a symlink, a network file system) and events that were lost. A manifest that does
// not parse, or cannot be read, keeps the pod that its last good content made, and leaves other
// files alone. Files over `inline_bytes` are read and parsed on the pool, so that the loop keeps
// running.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/inotify.h"
#include "base/loop.h"
#include "base/task.h"
#include "kubelet/pod.h"
#include "kubelet/sources/manifest.h"

namespace keelson::kubelet::sources {

// What identifies the content of a file without reading it.
struct FileStamp {
  uint64_t device = 0, inode = 0, size = 0;
  int64_t changed_ns = 0, modified_ns = 0;
  bool operator==(const FileStamp&) const = default;
};

class FileSource {
 public:
  struct Options {
    std::string path{};  // absolute; a directory or a regular file, which need not exist yet
    std::string node_name{};
    base::Nanos rescan = std::chrono::seconds(20);  // fileCheckFrequency
    size_t inline_bytes = 64 << 10;
  };
  // All pods of the source: first as soon as the path could be read or was found missing, then
  // whenever something changed.
  using OnUpdate = absl::AnyInvocable<void(SourceUpdate)>;
  // Each problem once, until the file changes or the problem goes away.
  using OnProblem = absl::AnyInvocable<void(SourceProblem)>;

  // Callbacks are called from the loop, and may not destroy the source.
  FileSource(base::Loop& loop, Options options, OnUpdate on_update, OnProblem on_problem);

  // Begins to watch; the first update follows in a later turn of the loop.
  void Start();
  // Returns when nothing runs any more. REQUIRES: awaited before destruction, if Start was called.
  base::Task<void> Stop();

  // Manifests parsed so far: unchanged files must not be parsed again.
  size_t parsed() const { return parsed_; }

 private:
  struct File {
    FileStamp stamp;          // of the content last looked at
    PodPtr pod;               // of its last good content
    std::string fingerprint;  // of `pod`
    std::string duplicate;    // the other file that `pod` yields to, as reported
  };
  struct Content {
    FileStamp stamp;
    absl::StatusOr<Manifest> manifest;
    std::string fingerprint;
  };

  base::Task<void> Watch();
  base::Task<void> Tick();
  base::Task<void> Work();

  void Handle(const base::FileEvent& event);
  void NeedAll();
  void NeedOne(std::string name);
  // Watches what exists now. False when not even the parent is there.
  bool ArmWatches();

  base::Task<bool> LookAtAll();
  base::Task<void> LookAt(std::string name, std::string path);
  void Accept(const std::string& name, const std::string& path, Content content);
  void ForgetGone();
  void Publish();
  void Report(const std::string& object, const std::string& message);
  std::string PathOf(const std::string& name) const;

  static Content ReadAndParse(const std::string& path, ManifestOrigin origin);

  base::Loop& loop_;
  const Options options_;
  OnUpdate on_update_;
  OnProblem on_problem_;

  std::unique_ptr<base::Inotify> inotify_;
  int parent_watch_ = -1;
  int dir_watch_ = -1;

  base::Wakeup work_;
  bool need_all_ = true;
  std::set<std::string> need_;  // names in the directory
  std::set<std::string> gone_;  // those of them that were deleted since the last look

  bool is_dir_ = true;     // what the path was when last seen
  bool published_ = false;
  std::map<std::string, File> files_;           // by name; "" for a single file
  std::map<std::string, std::string> reported_;  // object -> last message
  std::vector<PodPtr> last_;
  size_t parsed_ = 0;

  base::TaskGroup tasks_;  // last, so that no task outlives what it uses
};

}  // namespace keelson::kubelet::sources
