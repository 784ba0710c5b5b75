// SPDX-License-Identifier: Apache-2.0
#include "kubelet/server/system_logs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <memory>

#include "base/errno_status.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/strings.h"
#include "kubelet/server/replies.h"

namespace keelson::kubelet {
namespace {

using base::Task;

constexpr size_t kBlock = 256 << 10;
constexpr size_t kMostEntries = 20'000;

struct Opened {
  std::shared_ptr<base::UniqueFd> fd;  // shared with reads that outlive a cancelled answer
  bool directory = false;
  int64_t size = 0;
  std::vector<std::string> names{};  // of a directory; with a slash behind directories
};

absl::StatusOr<std::vector<std::string>> NamesIn(int fd) {
  auto names = base::ListDir(base::StrCat("/proc/self/fd/", fd), kMostEntries);
  if (!names.ok()) return names;
  for (std::string& name : *names) {
    struct stat info;
    if (::fstatat(fd, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode))
      name += '/';
  }
  return names;
}

absl::StatusOr<Opened> Open(const std::string& root, const std::string& path) {
  auto dir = base::OpenDir(root);
  if (!dir.ok()) return dir.status();
  // O_NONBLOCK: a FIFO must not hold us.
  auto fd = base::OpenInRoot(dir->get(), path.empty() ? "." : path,
                             O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (!fd.ok()) return fd.status();
  struct stat info;
  if (::fstat(fd->get(), &info) < 0) return base::ErrnoStatus("fstat", path);
  if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode))
    return absl::PermissionDeniedError("neither a file nor a directory");
  Opened out{std::make_shared<base::UniqueFd>(std::move(*fd)), S_ISDIR(info.st_mode),
             static_cast<int64_t>(info.st_size)};
  if (!out.directory) return out;
  auto names = NamesIn(out.fd->get());
  if (!names.ok()) return names.status();
  out.names = std::move(*names);
  return out;
}

absl::StatusOr<std::string> ReadAt(int fd, int64_t offset, size_t size) {
  std::string block(size, '\0');
  const ssize_t got = ::pread(fd, block.data(), size, offset);
  if (got < 0) return base::ErrnoStatus("read", "log file");
  block.resize(static_cast<size_t>(got));
  return block;
}

std::string Escaped(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '&') out += "&amp;";
    else if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '"') out += "&#34;";
    else if (c == '\'') out += "&#39;";
    else out += c;
  }
  return out;
}

// As a relative link.
std::string PercentEncoded(const std::string& text) {
  static const char* const kHex = "0123456789ABCDEF";
  std::string out;
  for (unsigned char c : text) {
    if (std::isalnum(c) || c == '-' || c == '_' || c == '.' || c == '~' || c == '/') {
      out += static_cast<char>(c);
    } else {
      out += '%';
      out += kHex[c >> 4];
      out += kHex[c & 15];
    }
  }
  return out;
}

Task<void> SendFile(base::Loop& loop, Opened file, Responder& responder) {
  HttpResponse head;
  absl::Status sent = co_await responder.Start(std::move(head));
  int64_t at = 0;
  // To the end there was at the beginning: a busy log would never end.
  while (sent.ok() && at < file.size) {
    const size_t size = static_cast<size_t>(std::min<int64_t>(kBlock, file.size - at));
    auto read = [fd = file.fd, at, size] { return ReadAt(fd->get(), at, size); };
    absl::StatusOr<std::string> block = co_await base::RunBlocking(loop, std::move(read));
    if (!block.ok() || block->empty()) co_return;
    at += static_cast<int64_t>(block->size());
    sent = co_await responder.Write(std::move(*block));
  }
}

}  // namespace

std::string ListingHtml(const std::vector<std::string>& names) {
  std::string html = "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n";
  for (const std::string& name : names)
    base::StrAppend(&html, "<a href=\"", PercentEncoded(name), "\">", Escaped(name), "</a>\n");
  return html + "</pre>\n";
}

Task<void> ServeSystemLog(base::Loop& loop, std::string root, std::string path,
                          Responder& responder) {
  auto open = [root, path] { return Open(root, path); };
  absl::StatusOr<Opened> opened = co_await base::RunBlocking(loop, std::move(open));
  if (opened.ok() && !opened->directory) {
    co_await SendFile(loop, std::move(*opened), responder);
    co_return;
  }
  HttpResponse answer = TextResponse(404, "404 page not found\n");
  if (opened.ok()) {
    answer = TextResponse(200, ListingHtml(opened->names));
    answer.content_type = "text/html; charset=utf-8";
  } else if (absl::IsPermissionDenied(opened.status())) {
    answer = TextResponse(403, "403 Forbidden\n");
  } else if (!absl::IsNotFound(opened.status()) && !absl::IsInvalidArgument(opened.status()) &&
             !absl::IsFailedPrecondition(opened.status())) {  // the way leads through a file
    answer = TextResponse(500, "500 Internal Server Error\n");
  }
  static_cast<void>(co_await responder.Send(std::move(answer)));  // who left needs no answer
}

}  // namespace keelson::kubelet
