// SPDX-License-Identifier: Apache-2.0
#include "kubelet/logs/rotation.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <set>

#include "base/errno_status.h"
#include "base/files.h"

namespace keelson::kubelet {
namespace {

constexpr std::string_view kCompressed = ".gz";
constexpr std::string_view kTemporary = ".tmp";

bool InUse(const std::string& name, const std::set<std::string>& all) {
  if (name.ends_with(kTemporary)) return false;
  if (name.ends_with(kCompressed)) return true;
  return !all.contains(base::StrCat(name, kCompressed));
}

absl::Status Unlink(int dir, const std::string& name) {
  if (::unlinkat(dir, name.c_str(), 0) < 0 && errno != ENOENT)
    return base::ErrnoStatus("unlink", name);
  return absl::OkStatus();
}

absl::Status CopyCompressed(int from, gzFile to, const std::string& name) {
  char block[64 << 10];
  ssize_t got;
  while ((got = ::read(from, block, sizeof(block))) != 0) {
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::ErrnoStatus("read", name);
    if (::gzwrite(to, block, static_cast<unsigned>(got)) != got)
      return base::ErrnoStatus("write compressed", name);
  }
  return absl::OkStatus();
}

// Writes name.gz through name.tmp, which is left behind on failure: the next rotation removes it.
absl::Status Compress(int dir, const std::string& name) {
  auto from = base::OpenBeneath(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (!from.ok()) return from.status();
  struct stat info;
  if (::fstat(from->get(), &info) < 0) return base::ErrnoStatus("fstat", name);
  if (!S_ISREG(info.st_mode))
    return absl::InvalidArgumentError(base::StrCat("rotated log ", name, " is not a file"));

  const std::string temporary = base::StrCat(name, kTemporary);
  RETURN_IF_ERROR(Unlink(dir, temporary));
  auto to = base::OpenBeneath(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (!to.ok()) return to.status();
  if (::fchmod(to->get(), info.st_mode & 07777) < 0) return base::ErrnoStatus("chmod", temporary);
  gzFile packer = ::gzdopen(to->get(), "wb");
  if (packer == nullptr) return base::ErrnoStatus("gzdopen", temporary);
  static_cast<void>(to->release());  // gzclose closes it
  absl::Status copied = CopyCompressed(from->get(), packer, name);
  const int closed = ::gzclose(packer);
  RETURN_IF_ERROR(copied);
  if (closed != Z_OK) return base::ErrnoStatus("close compressed", temporary);

  const std::string compressed = base::StrCat(name, kCompressed);
  if (::renameat(dir, temporary.c_str(), dir, compressed.c_str()) < 0)
    return base::ErrnoStatus("rename", base::StrCat(temporary, " to ", compressed));
  return Unlink(dir, name);
}

}  // namespace

RotationPlan PlanRotation(const std::string& name, std::vector<std::string> names, int max_files,
                          const std::string& stamp) {
  std::erase_if(names, [&](const std::string& n) { return !n.starts_with(name + "."); });
  const std::set<std::string> all(names.begin(), names.end());  // sorted: oldest first

  RotationPlan plan{{}, {}, base::StrCat(name, ".", stamp)};
  std::vector<std::string> kept;
  for (const std::string& n : all) (InUse(n, all) ? kept : plan.remove).push_back(n);
  // The new live file and the one rotated now come on top.
  const size_t room = std::max(0, max_files - 2);
  const size_t excess = kept.size() > room ? kept.size() - room : 0;
  plan.remove.insert(plan.remove.end(), kept.begin(), kept.begin() + excess);
  for (size_t i = excess; i < kept.size(); ++i)
    if (!kept[i].ends_with(kCompressed)) plan.compress.push_back(kept[i]);
  return plan;
}

std::string RotationStamp(base::WallTime time) {
  const time_t seconds = std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
  struct tm parts;
  ::localtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof(text), "%Y%m%d-%H%M%S", &parts);
  return text;
}

absl::Status Rotate(const base::UniqueFd& dir, const std::string& name, const RotationPlan& plan) {
  for (const std::string& n : plan.remove) RETURN_IF_ERROR(Unlink(dir.get(), n));
  for (const std::string& n : plan.compress) RETURN_IF_ERROR(Compress(dir.get(), n));
  const std::string& rotated = plan.rotated;
  if (::faccessat(dir.get(), base::StrCat(rotated, kCompressed).c_str(), F_OK, 0) == 0)
    return absl::AlreadyExistsError(base::StrCat(rotated, kCompressed, " exists"));
  if (::renameat2(dir.get(), name.c_str(), dir.get(), rotated.c_str(), RENAME_NOREPLACE) < 0)
    return base::ErrnoStatus("rename", base::StrCat(name, " to ", rotated));
  return absl::OkStatus();
}

}  // namespace keelson::kubelet
