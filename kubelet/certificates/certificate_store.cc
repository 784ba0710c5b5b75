// SPDX-License-Identifier: Apache-2.0
#include "kubelet/certificates/certificate_store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "kubelet/certificates/rotation.h"

namespace keelson::kubelet {
namespace {

using base::StrCat;

enum class Kind { kNothing, kLink, kOther };

Kind KindOf(const std::string& path) {
  struct stat found {};
  if (::lstat(path.c_str(), &found) < 0) return Kind::kNothing;
  return S_ISLNK(found.st_mode) ? Kind::kLink : Kind::kOther;
}

// The link's target has to make sense from anywhere.
std::string Absolute(const std::string& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.string();
}

}  // namespace

CertificateStore::CertificateStore(std::string dir, std::string prefix)
    : dir_(Absolute(dir)),
      prefix_(std::move(prefix)),
      current_path_(base::JoinPath(dir_, StrCat(prefix_, "-current.pem"))),
      updated_path_(base::JoinPath(dir_, StrCat(prefix_, "-updated.pem"))),
      pending_path_(base::JoinPath(dir_, StrCat(prefix_, ".key.tmp"))) {}

absl::StatusOr<Leaf> CertificateStore::Current() const {
  if (KindOf(current_path_) == Kind::kNothing && KindOf(updated_path_) == Kind::kLink &&
      ::rename(updated_path_.c_str(), current_path_.c_str()) < 0)
    return base::ErrnoStatus("rename", updated_path_);
  auto pem = base::ReadFile(current_path_);
  RETURN_IF_ERROR(pem.status());
  auto leaf = ParsePair(*pem, *pem);
  RETURN_IF_ERROR(base::Annotate(leaf.status(), current_path_));
  return leaf;
}

absl::StatusOr<Leaf> CertificateStore::Update(const std::string& cert_pem,
                                              const std::string& key_pem, base::WallTime now) {
  auto leaf = ParsePair(cert_pem, key_pem);
  RETURN_IF_ERROR(leaf.status());
  auto both = JoinPair(cert_pem, key_pem);
  RETURN_IF_ERROR(both.status());
  RETURN_IF_ERROR(base::MakeDirs(dir_, 0755));
  const std::string file = base::JoinPath(dir_, PairFileName(prefix_, now));
  RETURN_IF_ERROR(base::WriteFileAtomic(file, *both, 0600));
  RETURN_IF_ERROR(Link(file));
  return leaf;
}

absl::Status CertificateStore::Link(const std::string& target) const {
  for (const std::string& path : {current_path_, updated_path_})
    if (KindOf(path) == Kind::kOther)
      return absl::FailedPreconditionError(
          StrCat("expected ", path, " to be a symlink but it is a file; move it away"));
  ::unlink(updated_path_.c_str());
  if (::symlink(target.c_str(), updated_path_.c_str()) < 0)
    return base::ErrnoStatus("symlink", updated_path_);
  if (::rename(updated_path_.c_str(), current_path_.c_str()) < 0)
    return base::ErrnoStatus("rename", updated_path_);
  auto dir = base::OpenDir(dir_);
  RETURN_IF_ERROR(dir.status());
  return ::fsync(dir->get()) < 0 ? base::ErrnoStatus("fsync", dir_) : absl::OkStatus();
}

absl::StatusOr<std::string> CertificateStore::PendingKey() const {
  auto found = base::ReadFile(pending_path_);
  if (found.ok() && CheckPrivateKey(*found).ok()) return found;
  if (found.ok())
    KLOG_WARNING("The key of an earlier certificate request is damaged; making another",
                 {"path", pending_path_});
  auto key = MakePrivateKey();
  RETURN_IF_ERROR(key.status());
  RETURN_IF_ERROR(base::MakeDirs(dir_, 0755));
  RETURN_IF_ERROR(base::WriteFileAtomic(pending_path_, *key, 0600));
  return key;
}

void CertificateStore::DropPendingKey() const { ::unlink(pending_path_.c_str()); }

}  // namespace keelson::kubelet
