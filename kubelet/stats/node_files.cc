// SPDX-License-Identifier: Apache-2.0
#include "kubelet/stats/node_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <set>

#include "base/errno_status.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/strings.h"

namespace keelson::kubelet {
namespace {

using base::StrCat;

constexpr std::string_view kIgnoredInterfaces[] = {"lo", "veth", "docker", "nerdctl"};
constexpr int kMaxDepth = 256;

template <typename T = uint64_t>
std::optional<T> Number(std::string_view text) {
  T value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

// Takes the next line off `text`; false at its end.
bool NextLine(std::string_view* text, std::string_view* line) {
  if (text->empty()) return false;
  const size_t end = std::min(text->find('\n'), text->size());
  *line = text->substr(0, end);
  text->remove_prefix(std::min(end + 1, text->size()));
  return true;
}

std::vector<std::string_view> Words(std::string_view line) {
  std::vector<std::string_view> words;
  while (true) {
    const size_t begin = line.find_first_not_of(" \t");
    if (begin == line.npos) return words;
    line.remove_prefix(begin);
    const size_t end = std::min(line.find_first_of(" \t"), line.size());
    words.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

std::string Trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\n\"");
  if (begin == text.npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(" \t\n\"") - begin + 1));
}

std::string ReadLine(const std::string& path) {
  auto text = base::ReadFile(path);
  return text.ok() ? Trimmed(*text) : "";
}

// The device a number in mountinfo belongs to, as it was mounted.
std::string DeviceName(std::string_view mountinfo, dev_t device) {
  const std::string number = StrCat(major(device), ":", minor(device));
  std::string_view line;
  while (NextLine(&mountinfo, &line)) {
    const auto words = Words(line);
    if (words.size() < 5 || words[2] != number) continue;
    for (size_t i = 5; i + 2 < words.size(); ++i)
      if (words[i] == "-") return std::string(words[i + 2]);
  }
  return "";
}

struct Walk {
  dev_t device = 0;
  size_t left = 0;
  std::set<ino_t> linked;  // files with more than one name, counted already
  FolderUse use;
};

void Count(const struct stat& st, Walk* walk) {
  if (!S_ISDIR(st.st_mode) && st.st_nlink > 1 && !walk->linked.insert(st.st_ino).second) return;
  walk->use.bytes += static_cast<uint64_t>(st.st_blocks) * 512;
  ++walk->use.inodes;
}

absl::Status Measure(base::UniqueFd fd, int depth, Walk* walk) {
  if (depth > kMaxDepth) return absl::ResourceExhaustedError("folders are nested too deeply");
  DIR* stream = ::fdopendir(fd.get());
  if (stream == nullptr) return base::ErrnoStatus("fdopendir");
  static_cast<void>(fd.release());
  const std::unique_ptr<DIR, int (*)(DIR*)> closer(stream, ::closedir);
  while (const dirent* entry = ::readdir(stream)) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat st = {};
    if (::fstatat(::dirfd(stream), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) continue;  // gone
    if (st.st_dev != walk->device) continue;
    if (walk->left-- == 0) return absl::ResourceExhaustedError("too many files to count");
    Count(st, walk);
    if (!S_ISDIR(st.st_mode)) continue;
    base::UniqueFd below(::openat(::dirfd(stream), entry->d_name,
                                  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!below.ok()) continue;  // gone, or made something else meanwhile
    RETURN_IF_ERROR(Measure(std::move(below), depth + 1, walk));
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<InterfaceFigures> ParseNetDev(std::string_view text) {
  std::vector<InterfaceFigures> interfaces;
  std::string_view line;
  while (NextLine(&text, &line)) {
    const size_t colon = line.rfind(':');  // a name may hold colons (aliases), numbers do not
    if (colon == line.npos) continue;
    const auto values = Words(line.substr(colon + 1));
    InterfaceFigures link;
    link.name = Trimmed(line.substr(0, colon));
    auto ignored = [&](std::string_view prefix) { return link.name.starts_with(prefix); };
    if (values.size() < 16 || std::ranges::any_of(kIgnoredInterfaces, ignored)) continue;
    uint64_t* const fields[] = {&link.rx_bytes,  &link.rx_packets, &link.rx_errors,
                                &link.rx_dropped, &link.tx_bytes,   &link.tx_packets,
                                &link.tx_errors,  &link.tx_dropped};
    for (size_t i = 0; i < 8; ++i) *fields[i] = Number(values[i < 4 ? i : i + 4]).value_or(0);
    interfaces.push_back(std::move(link));
  }
  return interfaces;
}

std::map<std::string, DiskFigures> ParseDiskStats(std::string_view text) {
  std::map<std::string, DiskFigures> disks;
  std::string_view line;
  while (NextLine(&text, &line)) {
    const auto words = Words(line);  // major, minor, name, then the figures
    if (words.size() < 14) continue;
    DiskFigures d;
    uint64_t* const fields[] = {&d.reads,  &d.reads_merged,  &d.sectors_read,    &d.read_ms,
                                &d.writes, &d.writes_merged, &d.sectors_written, &d.write_ms,
                                &d.in_progress, &d.busy_ms,  &d.weighted_ms};
    for (size_t i = 0; i < std::size(fields); ++i) *fields[i] = Number(words[i + 3]).value_or(0);
    disks[StrCat("/dev/", words[2])] = d;
  }
  return disks;
}

std::optional<uint64_t> MemInfoBytes(std::string_view meminfo, std::string_view name) {
  std::string_view line;
  while (NextLine(&meminfo, &line)) {
    if (!line.starts_with(name) || line.substr(name.size(), 1) != ":") continue;
    const auto words = Words(line.substr(name.size() + 1));
    if (words.empty()) return std::nullopt;
    auto value = Number(words[0]);
    return value ? std::optional<uint64_t>(*value * 1024) : std::nullopt;
  }
  return std::nullopt;
}

std::optional<base::WallTime> BootTime(std::string_view stat) {
  std::string_view line;
  while (NextLine(&stat, &line)) {
    if (!line.starts_with("btime ")) continue;
    auto seconds = Number<int64_t>(line.substr(6));
    if (!seconds) return std::nullopt;
    return base::FromUnixNanos(*seconds * 1'000'000'000);
  }
  return std::nullopt;
}

std::optional<int64_t> TasksOf(std::string_view loadavg) {
  const auto words = Words(loadavg);
  if (words.size() < 4) return std::nullopt;
  const size_t slash = words[3].find('/');
  return slash == words[3].npos ? std::nullopt : Number<int64_t>(words[3].substr(slash + 1));
}

void CountCpus(std::string_view cpuinfo, MachineFigures* machine) {
  std::set<std::pair<std::string, std::string>> cores;
  std::set<std::string> sockets;
  std::string socket;
  std::string_view line;
  machine->cores = 0;
  while (NextLine(&cpuinfo, &line)) {
    const size_t colon = line.find(':');
    if (colon == line.npos) continue;
    const std::string key = Trimmed(line.substr(0, colon)), value = Trimmed(line.substr(colon + 1));
    if (key == "processor") ++machine->cores;
    if (key == "physical id") sockets.insert(socket = value);
    if (key == "core id") cores.emplace(socket, value);
  }
  machine->physical_cores = cores.empty() ? machine->cores : cores.size();
  machine->sockets = std::max<uint64_t>(sockets.size(), 1);
}

std::optional<uint64_t> MaxOpenFiles(std::string_view limits) {
  constexpr std::string_view kName = "Max open files";
  std::string_view line;
  while (NextLine(&limits, &line)) {
    if (!line.starts_with(kName)) continue;
    const auto words = Words(line.substr(kName.size()));
    return words.empty() ? std::nullopt : Number(words[0]);
  }
  return std::nullopt;
}

std::string DeviceOf(std::string_view uevent) {
  constexpr std::string_view kName = "DEVNAME=";
  std::string_view line;
  while (NextLine(&uevent, &line))
    if (line.starts_with(kName)) return StrCat("/dev/", line.substr(kName.size()));
  return "";
}

MachineFigures ReadMachine(const NodePaths& paths) {
  MachineFigures machine;
  if (auto text = base::ReadFile(paths.proc + "/meminfo"); text.ok()) {
    machine.memory_bytes = MemInfoBytes(*text, "MemTotal").value_or(0);
    machine.swap_bytes = MemInfoBytes(*text, "SwapTotal").value_or(0);
  }
  if (auto text = base::ReadFile(paths.proc + "/cpuinfo", 64 << 20); text.ok())
    CountCpus(*text, &machine);
  machine.boot_id = ReadLine(paths.proc + "/sys/kernel/random/boot_id");
  machine.machine_id = ReadLine(paths.etc + "/machine-id");
  machine.system_uuid = ReadLine(paths.sys + "/class/dmi/id/product_uuid");
  machine.kernel = ReadLine(paths.proc + "/sys/kernel/osrelease");
  if (auto text = base::ReadFile(paths.etc + "/os-release"); text.ok()) {
    std::string_view rest = *text, line;
    while (NextLine(&rest, &line))
      if (line.starts_with("PRETTY_NAME=")) machine.os_image = Trimmed(line.substr(12));
  }
  return machine;
}

absl::StatusOr<FsFigures> ReadFileSystem(const std::string& path, base::WallTime at,
                                         std::string_view mountinfo) {
  struct statvfs fs = {};
  struct stat st = {};
  if (::statvfs(path.c_str(), &fs) < 0) return base::ErrnoStatus("statvfs", path);
  if (::stat(path.c_str(), &st) < 0) return base::ErrnoStatus("stat", path);
  FsFigures figures;
  figures.at = at;
  figures.device = DeviceName(mountinfo, st.st_dev);
  figures.available = fs.f_bavail * fs.f_frsize;
  figures.capacity = fs.f_blocks * fs.f_frsize;
  figures.used = (fs.f_blocks - fs.f_bfree) * fs.f_frsize;
  if (fs.f_files > 0) {  // btrfs and others have no fixed number
    figures.inodes = fs.f_files;
    figures.inodes_free = fs.f_ffree;
    figures.inodes_used = fs.f_files - fs.f_ffree;
  }
  return figures;
}

ProcessFigures ReadProcesses(const std::string& proc, const std::vector<int>& pids) {
  ProcessFigures figures;
  for (int pid : pids) {
    const std::string dir = StrCat(proc, "/", pid, "/fd");
    auto names = base::ListDir(dir);
    if (!names.ok()) continue;
    figures.descriptors += names->size();
    for (const std::string& name : *names) {
      char target[16];
      const ssize_t length = ::readlink(StrCat(dir, "/", name).c_str(), target, sizeof(target));
      if (length > 0 &&
          std::string_view(target, static_cast<size_t>(length)).starts_with("socket:"))
        ++figures.sockets;
    }
  }
  if (pids.empty()) return figures;
  auto limits = base::ReadFile(StrCat(proc, "/", pids.front(), "/limits"));
  if (limits.ok()) figures.max_open_files = MaxOpenFiles(*limits);
  return figures;
}

std::string GroupOfListener(const std::string& proc, const std::string& socket) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (socket.empty() || socket.size() >= sizeof(address.sun_path)) return "";
  socket.copy(address.sun_path, socket.size());
  const base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  ucred peer = {};
  socklen_t size = sizeof(peer);
  if (!fd.ok() ||
      ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0 ||
      ::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.pid <= 1)
    return "";
  auto text = base::ReadFile(StrCat(proc, "/", peer.pid, "/cgroup"));
  return text.ok() ? cgroups::GroupOfProcess(*text) : "";
}

absl::StatusOr<FolderUse> MeasureFolder(const std::string& path, size_t max_entries) {
  base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.ok()) return base::ErrnoStatus("open", path);
  struct stat st = {};
  if (::fstat(fd.get(), &st) < 0) return base::ErrnoStatus("stat", path);
  Walk walk;
  walk.device = st.st_dev;
  walk.left = max_entries;
  Count(st, &walk);
  absl::Status walked = Measure(std::move(fd), 0, &walk);
  if (!walked.ok()) return base::Annotate(walked, StrCat("measure ", path));
  return walk.use;
}

}  // namespace keelson::kubelet
