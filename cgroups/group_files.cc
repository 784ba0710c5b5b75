// SPDX-License-Identifier: Apache-2.0
#include "cgroups/group_files.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/errno_status.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/strings.h"

namespace keelson::cgroups {

using base::StrCat;

namespace {

constexpr int kKillRounds = 5;
constexpr int kKillWaitMs = 1000;  // for one killed process to end
// Controllers whose absence means that a pod's group is incomplete.
constexpr const char* kNeeded[] = {"cpu", "cpuacct", "cpuset", "memory"};

std::vector<std::string> UniqueMounts(const Hierarchies& h) {
  std::set<std::string> mounts;
  for (const auto& [controller, mount] : h.v1) mounts.insert(mount);
  if (h.is_v2()) mounts.insert(h.v2);
  return {mounts.begin(), mounts.end()};
}

std::string Number(int64_t value, const char* none) {
  return value < 0 ? std::string(none) : StrCat(value);
}

// /a/b/c -> /a, /a/b, /a/b/c
std::vector<std::string> Ancestry(const std::string& group) {
  std::vector<std::string> groups;
  for (size_t at = group.find('/', 1); at != std::string::npos; at = group.find('/', at + 1))
    groups.push_back(group.substr(0, at));
  groups.push_back(group);
  return groups;
}

std::vector<std::string> SubGroups(const std::string& dir) {
  std::vector<std::string> dirs;
  auto names = base::ListDir(dir);
  if (!names.ok()) return dirs;
  for (const auto& name : *names) {
    struct stat st {};
    std::string path = StrCat(dir, "/", name);
    if (::lstat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode)) dirs.push_back(path);
  }
  return dirs;
}

std::vector<pid_t> PidsOf(const std::string& dir) {
  std::vector<pid_t> pids;
  auto text = base::ReadFile(dir + "/cgroup.procs");
  if (!text.ok()) return pids;
  for (absl::string_view word : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    int pid = 0;
    if (absl::SimpleAtoi(word, &pid) && pid > 0) pids.push_back(pid);
  }
  return pids;
}

// A pid may be another process by the time it is signalled: open it, look again whether it is in the
// group, and signal what was opened. What was signalled is added to `killed`.
void KillIn(const std::string& dir, std::vector<base::UniqueFd>& killed) {
  for (pid_t pid : PidsOf(dir)) {
    base::UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!fd.ok()) continue;
    std::vector<pid_t> now = PidsOf(dir);
    if (std::find(now.begin(), now.end(), pid) == now.end()) continue;
    ::syscall(SYS_pidfd_send_signal, fd.get(), SIGKILL, nullptr, 0);
    killed.push_back(std::move(fd));
  }
}

void KillBelow(const std::string& dir, std::vector<base::UniqueFd>& killed) {
  for (const auto& child : SubGroups(dir)) KillBelow(child, killed);
  KillIn(dir, killed);
}

// Until all have ended or the time is over.
void AwaitEnds(const std::vector<base::UniqueFd>& killed) {
  for (const auto& fd : killed) {
    struct pollfd poll_fd {fd.get(), POLLIN, 0};
    if (::poll(&poll_fd, 1, kKillWaitMs) <= 0) return;
  }
}

absl::Status RemoveGroups(const std::string& dir) {
  for (const auto& child : SubGroups(dir)) RETURN_IF_ERROR(RemoveGroups(child));
  if (::rmdir(dir.c_str()) < 0 && errno != ENOENT) return base::ErrnoStatus("rmdir", dir);
  return absl::OkStatus();
}

}  // namespace

std::vector<LimitFile> LimitFilesV1(const Limits& limits) {
  std::vector<LimitFile> files;
  if (limits.cpu_shares) files.push_back({"cpu", "cpu.shares", StrCat(*limits.cpu_shares)});
  if (limits.cpu_period_us)
    files.push_back({"cpu", "cpu.cfs_period_us", StrCat(*limits.cpu_period_us)});
  if (limits.cpu_quota_us)
    files.push_back({"cpu", "cpu.cfs_quota_us", Number(*limits.cpu_quota_us, "-1")});
  if (limits.memory_bytes)
    files.push_back({"memory", "memory.limit_in_bytes", Number(*limits.memory_bytes, "-1")});
  if (limits.pids_max) files.push_back({"pids", "pids.max", Number(*limits.pids_max, "max")});
  for (const auto& [size, bytes] : limits.hugetlb_bytes)
    files.push_back({"hugetlb", StrCat("hugetlb.", size, ".limit_in_bytes"), StrCat(bytes)});
  return files;
}

std::vector<LimitFile> LimitFilesV2(const Limits& limits) {
  std::vector<LimitFile> files;
  if (limits.cpu_shares)
    files.push_back({"cpu", "cpu.weight", StrCat(WeightFromShares(*limits.cpu_shares))});
  if (limits.cpu_quota_us || limits.cpu_period_us)
    files.push_back({"cpu", "cpu.max",
                     StrCat(Number(limits.cpu_quota_us.value_or(-1), "max"), " ",
                            limits.cpu_period_us.value_or(100'000))});
  if (limits.memory_bytes)
    files.push_back({"memory", "memory.max", Number(*limits.memory_bytes, "max")});
  if (limits.pids_max) files.push_back({"pids", "pids.max", Number(*limits.pids_max, "max")});
  for (const auto& [size, bytes] : limits.hugetlb_bytes)
    files.push_back({"hugetlb", StrCat("hugetlb.", size, ".max"), StrCat(bytes)});
  return files;
}

GroupFiles::GroupFiles(Hierarchies hierarchies)
    : hierarchies_(std::move(hierarchies)), mounts_(UniqueMounts(hierarchies_)) {}

absl::Status GroupFiles::Create(const std::string& group) const {
  if (hierarchies_.is_v2()) return CreateV2(group);
  for (const auto& mount : mounts_) RETURN_IF_ERROR(CreateV1(mount, group));
  return absl::OkStatus();
}

// A new v1 cpuset is empty and takes no process: CPUs and memory nodes come from the parent.
absl::Status GroupFiles::CreateV1(const std::string& mount, const std::string& group) const {
  auto cpuset = hierarchies_.v1.find("cpuset");
  const bool is_cpuset = cpuset != hierarchies_.v1.end() && cpuset->second == mount;
  // Mostly the parents are there: one call instead of four for each of a dozen hierarchies.
  if (!is_cpuset && (::mkdir((mount + group).c_str(), 0755) == 0 || errno == EEXIST))
    return absl::OkStatus();
  std::string parent = mount;
  for (const auto& ancestor : Ancestry(group)) {
    std::string dir = mount + ancestor;
    if (::mkdir(dir.c_str(), 0755) < 0 && errno != EEXIST) return base::ErrnoStatus("mkdir", dir);
    for (const char* file : {"/cpuset.cpus", "/cpuset.mems"}) {
      if (!is_cpuset) break;
      auto own = base::ReadFile(dir + file);
      if (!own.ok()) return own.status();
      if (own->find_first_of("0123456789") != std::string::npos) continue;
      auto inherited = base::ReadFile(parent + file);
      if (!inherited.ok()) return inherited.status();
      RETURN_IF_ERROR(base::WriteControlFile(dir + file, *inherited));
    }
    parent = dir;
  }
  return absl::OkStatus();
}

absl::Status GroupFiles::CreateV2(const std::string& group) const {
  std::string parent = hierarchies_.v2;
  for (const auto& ancestor : Ancestry(group)) {
    // Each controller alone: one that cannot be given must not keep the others.
    auto offered = base::ReadFile(parent + "/cgroup.controllers");
    if (!offered.ok()) return offered.status();
    for (absl::string_view name : absl::StrSplit(*offered, absl::ByAnyChar(" \n"), absl::SkipEmpty()))
      for (const char* wanted : {"cpu", "cpuset", "memory", "pids", "hugetlb", "io"})
        if (name == wanted)
          RETURN_IF_ERROR(base::WriteControlFile(parent + "/cgroup.subtree_control",
                                                 StrCat("+", wanted)));
    parent = hierarchies_.v2 + ancestor;
    if (::mkdir(parent.c_str(), 0755) < 0 && errno != EEXIST)
      return base::ErrnoStatus("mkdir", parent);
  }
  return absl::OkStatus();
}

absl::Status GroupFiles::Write(const std::string& controller, const std::string& group,
                               const std::string& file, const std::string& value) const {
  std::string mount = hierarchies_.v2;
  if (!hierarchies_.is_v2()) {
    auto it = hierarchies_.v1.find(controller);
    if (it == hierarchies_.v1.end())
      return absl::FailedPreconditionError(
          StrCat("cannot set ", file, " of ", group, ": no ", controller, " controller is mounted"));
    mount = it->second;
  }
  return base::WriteControlFile(StrCat(mount, group, "/", file), value);
}

absl::Status GroupFiles::SetLimits(const std::string& group, const Limits& limits) const {
  const auto files = hierarchies_.is_v2() ? LimitFilesV2(limits) : LimitFilesV1(limits);
  for (const LimitFile& f : files)
    RETURN_IF_ERROR(Write(f.controller, group, f.file, f.value));
  return absl::OkStatus();
}

bool GroupFiles::Exists(const std::string& group) const {
  if (hierarchies_.is_v2()) return base::PathExists(hierarchies_.v2 + group);
  return std::all_of(std::begin(kNeeded), std::end(kNeeded), [&](const char* controller) {
    auto it = hierarchies_.v1.find(controller);
    return it == hierarchies_.v1.end() || base::PathExists(it->second + group);
  });
}

absl::Status GroupFiles::Destroy(const std::string& group) const {
  absl::Status last;
  for (int round = 0; round < kKillRounds; ++round) {
    last = absl::OkStatus();
    for (const auto& mount : mounts_) {
      if (!base::PathExists(mount + group)) continue;
      absl::Status removed = RemoveGroups(mount + group);
      if (removed.ok()) continue;
      std::vector<base::UniqueFd> killed;
      KillBelow(mount + group, killed);
      AwaitEnds(killed);
      last = removed;
    }
    if (last.ok()) return last;
  }
  return absl::UnavailableError(StrCat("processes in cgroup ", group,
                                       " did not end after SIGKILL: ", base::Message(last)));
}

std::vector<std::string> GroupFiles::Children(const std::string& group) const {
  std::set<std::string> names;
  for (const auto& mount : mounts_)
    for (const auto& path : SubGroups(mount + group))
      names.insert(path.substr(path.find_last_of('/') + 1));
  return {names.begin(), names.end()};
}

}  // namespace keelson::cgroups
