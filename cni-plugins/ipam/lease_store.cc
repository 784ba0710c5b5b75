// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/ipam/lease_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>

namespace keelson::cni {

namespace {

constexpr int kLockSeconds = 30;
constexpr size_t kMaxLease = 4096;
constexpr size_t kMaxBootFile = 64 << 10;
constexpr const char* kBootFile = "keelson_boot";

std::string_view Trim(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

Status MakeDirs(const std::string& path) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    if (::mkdir(part.c_str(), 0755) < 0 && errno != EEXIST) {
      return Status::Errno(errno, "ipam.dataDir: mkdir " + part);
    }
    if (slash == std::string::npos) return {};
  }
}

// flock with an end to the wait: SIGALRM interrupts the call.
Status LockFor(int fd, int seconds, const std::string& path) {
  struct sigaction on_alarm {
  }, before{};
  on_alarm.sa_handler = [](int) {};
  ::sigaction(SIGALRM, &on_alarm, &before);
  const itimerval limit{{1, 0}, {seconds, 0}};  // and every second after: the first may come early
  const itimerval off{};
  ::setitimer(ITIMER_REAL, &limit, nullptr);
  const int rc = ::flock(fd, LOCK_EX);
  const int error = errno;
  ::setitimer(ITIMER_REAL, &off, nullptr);
  ::sigaction(SIGALRM, &before, nullptr);
  if (rc == 0) return {};
  if (error == EINTR) {
    return {Code::kTryAgainLater,
            "another process has held the lock " + path + " for " + std::to_string(seconds) + " s"};
  }
  return Status::Errno(error, "flock " + path);
}

}  // namespace

std::optional<LeaseOwner> ParseLease(std::string_view content) {
  // A power cut may leave the length without the data, which reads as NULs.
  if (content.find('\0') != std::string_view::npos) return std::nullopt;
  const size_t line = content.find("\r\n");
  if (line == std::string_view::npos) {
    if (content.find('\r') != std::string_view::npos) return std::nullopt;
    const std::string_view id = Trim(content);
    if (id.empty()) return std::nullopt;
    return LeaseOwner{std::string(id), ""};
  }
  const std::string_view id = Trim(content.substr(0, line));
  const std::string_view ifname = Trim(content.substr(line + 2));
  if (id.empty() || ifname.empty()) return std::nullopt;
  return LeaseOwner{std::string(id), std::string(ifname)};
}

Or<LeaseStore> LeaseStore::Open(const std::string& data_dir, const std::string& network,
                                bool create) {
  const std::string path = (data_dir.empty() ? kDefaultDir : data_dir) + "/" + network;
  if (create) CNI_TRY(MakeDirs(path));
  Fd dir(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!dir.valid()) return Status::Errno(errno, "ipam.dataDir: open " + path);
  // O_RDONLY and mode 0750 as the Go plugin opens it.
  Fd lock(::openat(dir.get(), "lock", O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0750));
  if (!lock.valid()) return Status::Errno(errno, "open " + path + "/lock");
  CNI_TRY(LockFor(lock.get(), kLockSeconds, path + "/lock"));
  return LeaseStore(path, std::move(dir), std::move(lock));
}

std::optional<std::string> LeaseStore::Read(const std::string& name) const {
  // O_NONBLOCK: a FIFO somebody put here must not hold us.
  const Fd fd(::openat(dir_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid()) return std::nullopt;
  Or<std::string> text = ReadAll(fd.get(), name == kBootFile ? 4 * kMaxBootFile : kMaxLease);
  if (!text.ok()) return std::nullopt;
  return std::move(*text);
}

Status LeaseStore::Replace(const std::string& name, const std::string& text) const {
  const Fd fd(
      ::openat(dir_.get(), name.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return Status::Errno(errno, "open " + path_ + "/" + name);
  // Not O_TRUNC: ext4 takes a file emptied and written again for one that must reach the disk when
  // it is closed, and waits for that (1.4 ms measured).
  if (::ftruncate(fd.get(), static_cast<off_t>(text.size())) < 0) {
    return Status::Errno(errno, "truncate " + path_ + "/" + name);
  }
  return WriteAll(fd.get(), text).Within(path_ + "/" + name);
}

Or<std::vector<Lease>> LeaseStore::Leases() {
  const int copy = ::openat(dir_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(copy < 0 ? nullptr : ::fdopendir(copy), ::closedir);
  if (!dir) return Status::Errno(errno, "list " + path_);
  std::vector<Lease> leases;
  while (const dirent* entry = ::readdir(dir.get())) {
    const Or<Ip> ip = Ip::Parse(entry->d_name);
    if (!ip.ok()) continue;  // the lock, last_reserved_ip.n, strangers
    const std::optional<std::string> text = Read(entry->d_name);
    if (!text) continue;
    if (const auto owner = ParseLease(*text)) {
      leases.push_back({*ip, *owner});
      continue;
    }
    std::fprintf(stderr, "host-local: warning: %s/%s is torn, taking the address for free\n",
                 path_.c_str(), entry->d_name);
    if (::unlinkat(dir_.get(), entry->d_name, 0) < 0 && errno != ENOENT) {
      return Status::Errno(errno, "remove torn " + path_ + "/" + entry->d_name);
    }
  }
  return leases;
}

Or<bool> LeaseStore::Reserve(const Ip& ip, const LeaseOwner& owner, size_t set) {
  const std::string name = ip.ToString();
  const Fd fd(::openat(dir_.get(), name.c_str(),
                       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid() && errno == EEXIST) return false;
  if (!fd.valid()) return Status::Errno(errno, "create " + path_ + "/" + name);
  Status s = WriteAll(fd.get(), owner.container_id + "\r\n" + owner.ifname);
  if (s.ok()) s = Replace("last_reserved_ip." + std::to_string(set), name);
  if (!s.ok()) {
    ::unlinkat(dir_.get(), name.c_str(), 0);  // best effort: the first error is what counts
    return s.Within("reserve " + name);
  }
  return true;
}

Status LeaseStore::Release(const Ip& ip) {
  const std::string name = ip.ToString();
  if (::unlinkat(dir_.get(), name.c_str(), 0) < 0 && errno != ENOENT) {
    return Status::Errno(errno, "release " + path_ + "/" + name);
  }
  return {};
}

std::optional<Ip> LeaseStore::LastReserved(size_t set) const {
  const auto text = Read("last_reserved_ip." + std::to_string(set));
  if (!text) return std::nullopt;
  const Or<Ip> ip = Ip::Parse(Trim(*text));
  if (!ip.ok()) return std::nullopt;
  return *ip;
}

// ---- leases of earlier boots --------------------------------------------------------------------

namespace {

// keelson_boot: the boot id on the first line, then "<ip> <container id> <interface>" for each
// lease. Damage costs a line's worth of reclaiming and nothing else.
struct BootFile {
  std::string boot_id;
  std::map<Ip, LeaseOwner> leases;
};

BootFile ParseBootFile(std::string_view text) {
  BootFile file;
  const auto next = [&text](char end) {
    const size_t at = std::min(text.find(end), text.size());
    const std::string_view part = text.substr(0, at);
    text.remove_prefix(std::min(at + 1, text.size()));
    return part;
  };
  file.boot_id = next('\n');
  while (!text.empty()) {
    std::string_view line = next('\n');
    const size_t a = line.find(' ');
    const size_t b = a == line.npos ? a : line.find(' ', a + 1);
    if (b == line.npos) continue;
    const Or<Ip> ip = Ip::Parse(line.substr(0, a));
    if (!ip.ok()) continue;
    file.leases[*ip] = {std::string(line.substr(a + 1, b - a - 1)),
                        std::string(line.substr(b + 1))};
  }
  return file;
}

std::string BootLine(const Lease& lease) {
  return lease.ip.ToString() + " " + lease.owner.container_id + " " + lease.owner.ifname + "\n";
}

}  // namespace

Status LeaseStore::ReclaimFromEarlierBoots(const std::string& boot_id) {
  const auto text = Read(kBootFile);
  if (!text || boot_id.empty()) return {};
  if (text->starts_with(boot_id + "\n") && text->size() <= kMaxBootFile) return {};
  const BootFile noted = ParseBootFile(*text);
  CNI_LET(const std::vector<Lease> leases, Leases());
  std::string kept = boot_id + "\n";
  for (const Lease& lease : leases) {
    const auto it = noted.leases.find(lease.ip);
    if (it == noted.leases.end() || it->second != lease.owner) continue;
    if (noted.boot_id == boot_id) {  // the file had only grown too long
      kept += BootLine(lease);
      continue;
    }
    std::fprintf(stderr, "host-local: %s was leased to %s before the reboot, freeing it\n",
                 lease.ip.ToString().c_str(), lease.owner.container_id.c_str());
    CNI_TRY(Release(lease.ip));
  }
  return Replace(kBootFile, kept);
}

Status LeaseStore::NoteBoot(const Lease& lease, const std::string& boot_id) {
  if (boot_id.empty()) return {};
  const Fd fd(::openat(dir_.get(), kBootFile,
                       O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return Status::Errno(errno, "open " + path_ + "/" + kBootFile);
  struct stat st {};
  const bool fresh = ::fstat(fd.get(), &st) == 0 && st.st_size == 0;
  return WriteAll(fd.get(), (fresh ? boot_id + "\n" : "") + BootLine(lease));
}

}  // namespace keelson::cni
