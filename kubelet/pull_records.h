// SPDX-License-Identifier: Apache-2.0
// Which images were pulled with whose credentials, so that a pod may not use another's private
// image just because it is here (KEP-2535, imagePullCredentialsVerificationPolicy).
//
// Records are upstream's files: <root>/image_manager/pulling/sha256-<hash of the image's name>
// while an image is pulled, pulled/sha256-<hash of its id> afterwards
// (kubelet.config.k8s.io/v1beta1). A record that cannot be read lets nobody in without a pull. Loop
// only; small local files.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"

namespace k8s::kubelet::v1beta1 {
class ImagePullCredentials;
class ImagePulledRecord;
class ImagePullSecret;
}  // namespace k8s::kubelet::v1beta1

namespace keelson::kubelet {

namespace config = ::k8s::kubelet::v1beta1;

struct PullPolicy {
  std::string policy = "NeverVerifyPreloadedImages";
  std::vector<std::string> allowlist;  // preloadedImagesVerificationAllowlist
};

// Whether a pod must show that it may pull `image`, which is here. Pure.
bool MustVerify(const PullPolicy& policy, const std::string& image, bool pulled_by_us);
// The name as the pod has it, without tag and digest.
std::string WithoutTag(const std::string& image);
// Of a user name and password, as upstream's records have it.
std::string CredentialHash(const std::string& username, const std::string& password);
// Adds what is known now to what was; false: nothing new. Pure.
bool MergeCredentials(const config::ImagePullCredentials& more, config::ImagePullCredentials* all);

class PullRecords {
 public:
  PullRecords(base::Clock& clock, const std::string& root_dir, PullPolicy policy);

  enum class Access { kYes, kNo, kByCredentials };
  // May any pod use the image, which is here as `ref`? kByCredentials: see MayUse.
  Access Check(const std::string& image, const std::string& ref) const;
  // With one of these secrets? Remembers a secret that was changed, or has the same content.
  bool MayUse(const std::string& image, const std::string& ref,
              const std::vector<config::ImagePullSecret>& secrets);

  // A pull begins; an error stops it: nobody could tell later that it was a pull.
  absl::Status Begin(const std::string& image);
  // It ended; `ref` empty: in failure.
  void End(const std::string& image, const std::string& ref,
           const config::ImagePullCredentials& used);
  // It brought an image whose id nobody knows: as a crash leaves it.
  void Abandon(const std::string& image);

  // What an earlier agent began and did not see end: images that are here are recorded as ours, for
  // nobody so far. `here`: ids by tag and digest. Before the first Begin.
  void Recover(const std::map<std::string, std::string>& here);
  // Forgets images that are gone: records that are older than `listed` and about none of `here`.
  void Prune(const std::set<std::string>& here, base::WallTime listed);

 private:
  std::string PullingPath(const std::string& image) const;
  std::string PulledPath(const std::string& ref) const;
  // NotFound: none.
  absl::StatusOr<config::ImagePulledRecord> Read(const std::string& ref) const;
  absl::Status Add(const std::string& image, const std::string& ref,
                   const config::ImagePullCredentials& used);
  // One pull less; true when it was the last of its image.
  bool Leave(const std::string& image);

  base::Clock& clock_;
  const std::string dir_;
  const PullPolicy policy_;
  std::map<std::string, int> pulling_;  // how many pulls of an image are under way
  // Images that an earlier pull may have brought without a record: the intent stays until there is
  // one, or nobody could tell them from preloaded ones.
  std::set<std::string> unrecorded_;
};

}  // namespace keelson::kubelet
