// SPDX-License-Identifier: Apache-2.0
// Reads one container's log, and follows it while the container runs.
//
// Loop only; file reads run on the pool. Following is driven by inotify and goes on across
// rotation: what is left in the old file comes before the new one. A reader so slow that its file
// was rotated twice and compressed loses what was compressed before it got there, as with upstream.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "base/loop.h"
#include "kubelet/logs/cri_log.h"

namespace keelson::kubelet {

class LogWatches;

struct LogRequest {
  std::string root;  // directory of all pod logs: nothing outside is opened, no symlink followed
  std::string path;  // the live log, absolute and beneath `root`
  int64_t tail_lines = -1;   // lines of the file (also P lines) from its end; negative: all
  int64_t limit_bytes = -1;  // of output; negative: no limit
  LogFilter filter{};
  bool follow = false;
};

// Takes a piece of output; the next one is read when it has returned. An error ends the reading.
using LogSink = std::function<base::Task<absl::Status>(std::string)>;
// Returns when the container is not running any more and the runtime has written all it had.
using LogEnd = std::function<base::Task<void>()>;

// Returns when everything there was at the call has been given to `sink`; with `follow`, when
// besides `end` has returned; `watches` tells it of changes. NotFound: there is no such log. PermissionDenied/InvalidArgument: not
// a regular file beneath the root. Cancelling leaves nothing behind. `end` is only called with
// `follow`.
base::Task<absl::Status> StreamLog(base::Loop& loop, LogWatches& watches, LogRequest request,
                                   LogSink sink, LogEnd end);

}  // namespace keelson::kubelet
