// SPDX-License-Identifier: Apache-2.0
#include "kubelet/pull_records.h"

#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>

#include "base/check.h"
#include "base/errno_status.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "proto/codec/codec.h"
#include "proto/codec/text.h"
#include "proto/k8s/kubelet_config.pb.h"

namespace keelson::kubelet {
namespace {

using base::StrCat;

constexpr char kVersion[] = "kubelet.config.k8s.io/v1beta1";
// A match by content or by name is written down only while there are few.
constexpr int kMostSecrets = 100;

std::string Sha256Hex(std::string_view data) {
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  KEELSON_CHECK(EVP_Digest(data.data(), data.size(), hash, &size, EVP_sha256(), nullptr) == 1);
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  for (unsigned i = 0; i < size; ++i) hex += {kDigits[hash[i] >> 4], kDigits[hash[i] & 15]};
  return hex;
}

// Go's encoder writes what HTML might take for its own as \u003c and so on.
std::string GoJsonString(std::string_view text) {
  std::string plain, escaped;
  proto::AppendJsonString(text, &plain);
  for (const char c : plain) {
    if (c == '<') {
      escaped += "\\u003c";
    } else if (c == '>') {
      escaped += "\\u003e";
    } else if (c == '&') {
      escaped += "\\u0026";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

bool SamePlace(const config::ImagePullSecret& a, const config::ImagePullSecret& b) {
  return a.uid() == b.uid() && a.namespace_() == b.namespace_() && a.name() == b.name();
}

bool SameContent(const config::ImagePullSecret& a, const config::ImagePullSecret& b) {
  return !a.credentialhash().empty() && a.credentialhash() == b.credentialhash();
}

bool MergeSecret(const config::ImagePullSecret& secret, config::ImagePullCredentials* all) {
  for (auto& had : *all->mutable_kubernetessecrets()) {
    if (!SamePlace(had, secret)) continue;
    if (had.credentialhash() == secret.credentialhash()) return false;
    had.set_credentialhash(secret.credentialhash());
    return true;
  }
  *all->add_kubernetessecrets() = secret;
  return true;
}

bool MergeAccount(const config::ImagePullServiceAccount& account,
                  config::ImagePullCredentials* all) {
  const auto& had = all->kubernetesserviceaccounts();
  const bool known = std::any_of(had.begin(), had.end(), [&](const auto& other) {
    return other.uid() == account.uid() && other.namespace_() == account.namespace_() &&
           other.name() == account.name();
  });
  if (!known) *all->add_kubernetesserviceaccounts() = account;
  return !known;
}

std::vector<std::string> FilesIn(const std::string& dir) {
  auto names = base::ListDir(dir);
  if (!names.ok()) {
    if (!absl::IsNotFound(names.status()))
      KLOG_ERROR("Unable to list records about image pulls", {"err", names.status()});
    return {};
  }
  std::vector<std::string> paths;
  for (const std::string& name : *names)
    if (name.starts_with("sha256-")) paths.push_back(base::JoinPath(dir, name));
  return paths;
}

// False, and told: it cannot be read.
bool ReadRecord(const std::string& path, google::protobuf::Message* record) {
  record->Clear();
  proto::DecodeOptions options;
  options.source = path;
  auto text = base::ReadFile(path);
  const absl::Status status = text.ok() ? proto::DecodeJson(*text, record, options) : text.status();
  if (!status.ok()) KLOG_ERROR("Unable to read a record about an image pull", {"err", status});
  return status.ok();
}

bool Listed(const std::vector<std::string>& allowlist, const std::string& image) {
  const std::string name = WithoutTag(image);
  return std::any_of(allowlist.begin(), allowlist.end(), [&](const std::string& pattern) {
    return pattern.ends_with("/*") ? name.starts_with(pattern.substr(0, pattern.size() - 1))
                                   : name == pattern;
  });
}

}  // namespace

std::string WithoutTag(const std::string& image) {
  const std::string name = image.substr(0, image.find('@'));
  const size_t slash = name.rfind('/');
  const size_t colon = name.find(':', slash == name.npos ? 0 : slash);
  return name.substr(0, colon);
}

std::string CredentialHash(const std::string& username, const std::string& password) {
  std::string json = "{";
  if (!username.empty()) base::StrAppend(&json, "\"username\":", GoJsonString(username));
  if (!username.empty() && !password.empty()) json += ",";
  if (!password.empty()) base::StrAppend(&json, "\"password\":", GoJsonString(password));
  return Sha256Hex(json + "}");
}

bool MustVerify(const PullPolicy& policy, const std::string& image, bool pulled_by_us) {
  if (policy.policy == "NeverVerify") return false;
  if (policy.policy == "NeverVerifyPreloadedImages") return pulled_by_us;
  if (policy.policy == "NeverVerifyAllowlistedImages") return !Listed(policy.allowlist, image);
  return true;  // AlwaysVerify
}

bool MergeCredentials(const config::ImagePullCredentials& more,
                      config::ImagePullCredentials* all) {
  if (all->nodepodsaccessible()) return false;
  if (more.nodepodsaccessible()) {
    all->Clear();
    all->set_nodepodsaccessible(true);
    return true;
  }
  bool changed = false;
  for (const auto& secret : more.kubernetessecrets()) changed |= MergeSecret(secret, all);
  for (const auto& account : more.kubernetesserviceaccounts())
    changed |= MergeAccount(account, all);
  return changed;
}

PullRecords::PullRecords(base::Clock& clock, const std::string& root_dir, PullPolicy policy)
    : clock_(clock),
      dir_(base::JoinPath(root_dir, "image_manager")),
      policy_(std::move(policy)) {}

std::string PullRecords::PullingPath(const std::string& image) const {
  return StrCat(dir_, "/pulling/sha256-", Sha256Hex(image));
}

std::string PullRecords::PulledPath(const std::string& ref) const {
  return StrCat(dir_, "/pulled/sha256-", Sha256Hex(ref));
}

absl::StatusOr<config::ImagePulledRecord> PullRecords::Read(const std::string& ref) const {
  const std::string path = PulledPath(ref);
  auto text = base::ReadFile(path);
  if (!text.ok()) return text.status();
  proto::DecodeOptions options;
  options.source = path;
  config::ImagePulledRecord record;
  RETURN_IF_ERROR(proto::DecodeJson(*text, &record, options));
  if (record.imageref() != ref)
    return absl::NotFoundError(StrCat(path, " is about another image"));
  return record;
}

PullRecords::Access PullRecords::Check(const std::string& image, const std::string& ref) const {
  const auto record = Read(ref);
  const bool unreadable = !record.ok() && !absl::IsNotFound(record.status());
  if (unreadable) {
    KLOG_ERROR("Unable to access cache records about image pulls", {"image", image},
               {"err", record.status()});
  }
  const bool ours = record.ok() || unreadable || pulling_.contains(image) ||
                    base::PathExists(PullingPath(image));
  if (!MustVerify(policy_, image, ours)) return Access::kYes;
  if (!record.ok()) return Access::kNo;
  const auto known = record->credentialmapping().find(WithoutTag(image));
  if (known == record->credentialmapping().end()) return Access::kNo;
  if (known->second.nodepodsaccessible()) return Access::kYes;
  return known->second.kubernetessecrets().empty() ? Access::kNo : Access::kByCredentials;
}

bool PullRecords::MayUse(const std::string& image, const std::string& ref,
                         const std::vector<config::ImagePullSecret>& secrets) {
  const auto record = Read(ref);
  if (!record.ok()) return false;
  const auto known = record->credentialmapping().find(WithoutTag(image));
  if (known == record->credentialmapping().end()) return false;
  const auto& had = known->second.kubernetessecrets();
  for (const auto& secret : secrets) {
    const bool match = std::any_of(had.begin(), had.end(), [&](const auto& other) {
      return SameContent(secret, other) || SamePlace(secret, other);
    });
    if (!match) continue;
    config::ImagePullCredentials used;
    *used.add_kubernetessecrets() = secret;
    if (had.size() < kMostSecrets) {
      if (absl::Status added = Add(image, ref, used); !added.ok())
        KLOG_ERROR("failed to write an image pulled record", {"image", image}, {"err", added});
    }
    return true;
  }
  return false;
}

absl::Status PullRecords::Begin(const std::string& image) {
  config::ImagePullIntent intent;
  intent.set_image(image);
  proto::EncodeOptions options;
  options.type = {kVersion, "ImagePullIntent"};
  auto text = proto::EncodeJson(intent, options);
  RETURN_IF_ERROR(text.status());
  RETURN_IF_ERROR(base::MakeDirs(base::JoinPath(dir_, "pulling"), 0700));
  const std::string path = PullingPath(image);
  if (!pulling_.contains(image) && base::PathExists(path)) unrecorded_.insert(image);
  RETURN_IF_ERROR(base::WriteFileAtomic(path, *text, 0600));
  ++pulling_[image];
  return absl::OkStatus();
}

void PullRecords::End(const std::string& image, const std::string& ref,
                      const config::ImagePullCredentials& used) {
  const bool last = Leave(image);
  if (!ref.empty()) {
    if (absl::Status added = Add(image, ref, used); added.ok()) {
      unrecorded_.erase(image);
    } else {
      // The image is known to be ours, and whose it is has to be shown again.
      KLOG_ERROR("failed to write an image pulled record", {"image", image}, {"err", added});
      unrecorded_.insert(image);
    }
  }
  if (last && !unrecorded_.contains(image)) ::unlink(PullingPath(image).c_str());
}

void PullRecords::Abandon(const std::string& image) {
  Leave(image);
  unrecorded_.insert(image);
}

void PullRecords::Recover(const std::map<std::string, std::string>& here) {
  config::ImagePullIntent intent;
  for (const std::string& path : FilesIn(base::JoinPath(dir_, "pulling"))) {
    if (!ReadRecord(path, &intent)) continue;
    const auto found = here.find(intent.image());
    if (found == here.end()) continue;
    if (absl::Status added = Add(intent.image(), found->second, {}); !added.ok())
      KLOG_ERROR("failed to write an image pulled record", {"image", intent.image()},
                 {"err", added});
    else
      ::unlink(path.c_str());
  }
}

void PullRecords::Prune(const std::set<std::string>& here, base::WallTime listed) {
  const int64_t seconds = base::ToUnixNanos(listed) / 1'000'000'000;
  config::ImagePulledRecord record;
  for (const std::string& path : FilesIn(base::JoinPath(dir_, "pulled"))) {
    if (!ReadRecord(path, &record)) continue;
    if (record.lastupdatedtime().seconds() >= seconds || here.contains(record.imageref())) continue;
    if (::unlink(path.c_str()) != 0)
      KLOG_ERROR("failed to remove an ImagePulledRecord", {"imageRef", record.imageref()},
                 {"err", base::ErrnoStatus("unlink", path)});
  }
}

bool PullRecords::Leave(const std::string& image) {
  if (--pulling_[image] > 0) return false;
  pulling_.erase(image);
  return true;
}

absl::Status PullRecords::Add(const std::string& image, const std::string& ref,
                              const config::ImagePullCredentials& used) {
  config::ImagePulledRecord record;
  auto found = Read(ref);
  if (found.ok()) record = *std::move(found);
  auto& all = (*record.mutable_credentialmapping())[WithoutTag(image)];
  if (!MergeCredentials(used, &all) && found.ok()) return absl::OkStatus();
  record.set_imageref(ref);
  record.mutable_lastupdatedtime()->set_seconds(base::ToUnixNanos(clock_.Now()) / 1'000'000'000);
  proto::EncodeOptions options;
  options.type = {kVersion, "ImagePulledRecord"};
  auto text = proto::EncodeJson(record, options);
  RETURN_IF_ERROR(text.status());
  RETURN_IF_ERROR(base::MakeDirs(base::JoinPath(dir_, "pulled"), 0700));
  return base::WriteFileAtomic(PulledPath(ref), *text, 0600);
}

}  // namespace keelson::kubelet
