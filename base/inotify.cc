// SPDX-License-Identifier: Apache-2.0
#include "base/inotify.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <cstring>

#include "base/errno_status.h"

namespace keelson::base {

absl::StatusOr<std::unique_ptr<Inotify>> Inotify::Create(Loop& loop) {
  UniqueFd fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!fd.ok()) return ErrnoStatus("inotify_init1");
  return std::unique_ptr<Inotify>(new Inotify(loop, std::move(fd)));
}

absl::StatusOr<int> Inotify::Add(const std::string& path, uint32_t mask) {
  int watch = ::inotify_add_watch(fd_.get(), path.c_str(), mask);
  if (watch < 0) return ErrnoStatus("inotify_add_watch", path);
  return watch;
}

// EINVAL (already gone with its file) is what the caller wants.
void Inotify::Remove(int watch) { static_cast<void>(::inotify_rm_watch(fd_.get(), watch)); }

namespace {
std::vector<FileEvent> ParseEvents(const char* at, const char* end) {
  std::vector<FileEvent> events;
  while (at < end) {
    struct inotify_event head;
    std::memcpy(&head, at, sizeof(head));
    FileEvent event{(head.mask & IN_Q_OVERFLOW) ? -1 : head.wd, head.mask, {}};
    if (head.len > 0) event.name = at + sizeof(head);  // NUL-padded by the kernel
    events.push_back(std::move(event));
    at += sizeof(head) + head.len;
  }
  return events;
}
}  // namespace

Task<absl::StatusOr<std::vector<FileEvent>>> Inotify::Next() {
  alignas(8) char buffer[8192];
  ssize_t size;
  while ((size = ::read(fd_.get(), buffer, sizeof(buffer))) < 0) {
    if (errno == EINTR) continue;
    if (errno != EAGAIN) co_return ErrnoStatus("read", "inotify");
    absl::Status ready = co_await WaitReadable(loop_, fd_.get());
    if (!ready.ok()) co_return ready;
  }
  co_return ParseEvents(buffer, buffer + size);
}

}  // namespace keelson::base
