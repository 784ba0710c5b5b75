// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/lib/os.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/random.h>

#include <memory>

namespace keelson::cni {

Or<std::string> ReadAll(int fd, size_t limit) {
  std::string out;
  char buffer[8192];
  while (true) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Status::Errno(errno, "read");
    if (n == 0) return out;
    out.append(buffer, static_cast<size_t>(n));
    if (out.size() > limit) {
      return Status(Code::kIo, "read: more than " + std::to_string(limit) + " bytes");
    }
  }
}

Or<std::string> ReadFile(const std::string& path, size_t limit) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return Status::Errno(errno, "open " + path);
  Or<std::string> text = ReadAll(fd.get(), limit);
  if (!text.ok()) return text.status().Within(path);
  return text;
}

Status WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Status::Errno(errno, "write");
    text.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Status WriteExisting(const std::string& path, std::string_view text) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return Status::Errno(errno, "open " + path);
  // One write: the kernel parses each write to such a file as a whole value.
  const ssize_t n = ::write(fd.get(), text.data(), text.size());
  if (n < 0) return Status::Errno(errno, "write \"" + std::string(text) + "\" to " + path);
  return {};
}

Or<std::vector<std::string>> ListDir(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), &::closedir);
  if (!dir) return Status::Errno(errno, "open directory " + path);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  if (errno != 0) return Status::Errno(errno, "read directory " + path);
  return names;
}

std::string RandomHex(int n) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out(static_cast<size_t>(n), '0');
  while (::getrandom(out.data(), out.size(), 0) != n) {
  }
  for (char& c : out) c = kHex[c & 15];
  return out;
}

Or<std::string> ReadSysctl(const std::string& name) {
  CNI_LET(std::string value, ReadFile("/proc/sys/" + name));
  while (!value.empty() && value.back() == '\n') value.pop_back();
  return value;
}

Status WriteSysctl(const std::string& name, std::string_view value) {
  return WriteExisting("/proc/sys/" + name, value);
}

}  // namespace keelson::cni
