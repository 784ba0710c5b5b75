// SPDX-License-Identifier: Apache-2.0
#include "kubelet/node_images.h"

#include "base/errno_status.h"
#include "base/log.h"
#include "base/strings.h"
#include "proto/k8s/kubelet_config.pb.h"
#include "proto/k8s/objects.pb.h"

namespace keelson::kubelet {

using base::StrCat;

base::Task<std::vector<cri::PullSecret>> NodeImages::PullSecrets(PodPtr pod) {
  std::vector<cri::PullSecret> secrets;
  std::string missing;
  for (const auto& reference : pod->spec().imagepullsecrets()) {
    if (reference.name().empty() || objects_ == nullptr) continue;
    auto found = co_await objects_->Secret(pod->metadata().namespace_(), reference.name());
    if (!found.ok()) {
      KLOG_WARNING("Unable to retrieve pull secret, the image pull may not succeed.",
                   {"pod", StrCat(pod->metadata().namespace_(), "/", pod->metadata().name())},
                   {"secret", reference.name()}, {"err", found.status()});
      base::StrAppend(&missing, missing.empty() ? "" : ", ", reference.name());
      continue;
    }
    cri::PullSecret secret;
    secret.type = (*found)->type();
    secret.uid = (*found)->metadata().uid();
    secret.ns = pod->metadata().namespace_();
    secret.name = reference.name();
    for (const auto& [key, value] : (*found)->data()) secret.data[key] = value;
    secrets.push_back(std::move(secret));
  }
  if (!missing.empty())
    events_.PodEvent(*pod, EventType::kWarning, "FailedToRetrieveImagePullSecret",
                     StrCat("Unable to retrieve some image pull secrets (", missing,
                            "); attempting to pull the image may not succeed."));
  co_return secrets;
}

// What a pod may be let in with, in the order it is tried.
struct NodeImages::Keys {
  bool found = false;
  std::vector<cri::rt::AuthConfig> auths;
  std::vector<config::ImagePullSecret> secrets;  // of the first auths, as many
  size_t first_of_plugins = 0;

  // What the auth of this index says about who may use the image.
  config::ImagePullCredentials About(int used, bool plugins_are_private) const;
};

config::ImagePullCredentials NodeImages::Keys::About(int used, bool plugins_are_private) const {
  config::ImagePullCredentials about;
  const size_t index = used < 0 ? auths.size() : static_cast<size_t>(used);
  if (used >= 0 && index < secrets.size()) {
    *about.add_kubernetessecrets() = secrets[index];
  } else if (used < 0 || index < first_of_plugins || !plugins_are_private) {
    about.set_nodepodsaccessible(true);
  }
  return about;
}

// The record of a pull under way; gone when the pull is.
class NodeImages::Intent {
 public:
  Intent(PullRecords* records, std::string image) : records_(records), image_(std::move(image)) {}
  Intent(const Intent&) = delete;
  Intent& operator=(const Intent&) = delete;
  ~Intent() { End("", {}); }  // cancelled, and the runtime's pull with it

  absl::Status Begin() {
    if (records_ == nullptr || begun_) return absl::OkStatus();
    absl::Status status = records_->Begin(image_);
    begun_ = status.ok();
    return status;
  }
  void End(const std::string& ref, const config::ImagePullCredentials& used) {
    if (begun_) records_->End(image_, ref, used);
    begun_ = false;
  }
  void Abandon() {
    if (begun_) records_->Abandon(image_);
    begun_ = false;
  }

 private:
  PullRecords* const records_;
  const std::string image_;
  bool begun_ = false;
};

namespace {

// The secret an auth of the pod's own comes from.
config::ImagePullSecret SecretOf(const cri::rt::AuthConfig& auth,
                                 const std::vector<cri::PullSecret>& secrets,
                                 const std::string& repository) {
  config::ImagePullSecret found;
  found.set_credentialhash(CredentialHash(auth.username(), auth.password()));
  for (const cri::PullSecret& secret : secrets) {
    const auto keyring = cri::KeyringOf({secret});
    if (!keyring.ok()) continue;
    for (const auto& candidate : keyring->Lookup(repository)) {
      if (candidate.username() != auth.username() || candidate.password() != auth.password())
        continue;
      found.set_uid(secret.uid);
      found.set_namespace_(secret.ns);
      found.set_name(secret.name);
      return found;
    }
  }
  return found;
}

}  // namespace

base::Task<absl::Status> NodeImages::FindKeys(PodPtr pod, std::string repository,
                                              std::shared_ptr<Keys> keys) {
  if (keys->found) co_return absl::OkStatus();
  const auto secrets = co_await PullSecrets(pod);
  auto own = cri::KeyringOf(secrets);
  if (!own.ok()) co_return own.status();
  Keys result;
  result.auths = own->Lookup(repository);
  for (const auto& auth : result.auths)
    result.secrets.push_back(SecretOf(auth, secrets, repository));
  for (auto& auth : keyring_.Lookup(repository)) result.auths.push_back(std::move(auth));
  result.first_of_plugins = result.auths.size();
  if (plugins_ != nullptr) {
    cri::PullPod who{pod->metadata().namespace_(), pod->metadata().name(), pod->metadata().uid(),
                     pod->spec().serviceaccountname()};
    auto from_plugins = co_await plugins_->Lookup(repository, std::move(who));
    for (auto& auth : from_plugins) result.auths.push_back(std::move(auth));
  }
  result.found = true;
  *keys = std::move(result);
  co_return absl::OkStatus();
}

base::Task<absl::StatusOr<std::vector<cri::rt::AuthConfig>>> NodeImages::BeginPull(
    PodPtr pod, std::string repository, std::shared_ptr<Keys> keys,
    std::shared_ptr<Intent> intent) {
  absl::Status found = co_await FindKeys(std::move(pod), std::move(repository), keys);
  if (!found.ok()) co_return found;
  absl::Status begun = intent->Begin();
  if (!begun.ok()) co_return base::Annotate(begun, "failed to record image pull intent");
  co_return keys->auths;
}

base::Task<bool> NodeImages::MayUse(PodPtr pod, std::string image, std::string ref,
                                    std::string repository, std::shared_ptr<Keys> keys) {
  const PullRecords::Access access = records_->Check(image, ref);
  if (access != PullRecords::Access::kByCredentials) co_return access == PullRecords::Access::kYes;
  absl::Status found = co_await FindKeys(std::move(pod), std::move(repository), keys);
  if (!found.ok()) co_return false;  // the pull says what is wrong
  co_return records_->MayUse(image, ref, keys->secrets);
}

base::Task<ImageAnswer> NodeImages::Ensure(ImageRequest request) {
  cri::ImagePuller::Request pull;
  pull.image = request.image;
  pull.policy = request.policy;
  pull.annotations = request.pod->metadata().annotations();
  pull.sandbox = request.sandbox;
  auto keys = std::make_shared<Keys>();
  auto intent = std::make_shared<Intent>(records_, request.image);
  pull.credentials = [this, pod = request.pod, keys, intent](std::string repository) {
    return BeginPull(pod, std::move(repository), keys, intent);
  };
  if (records_ != nullptr)
    pull.may_use = [this, pod = request.pod, image = request.image, keys](std::string ref,
                                                                          std::string repository) {
      return MayUse(pod, image, std::move(ref), std::move(repository), keys);
    };
  pull.on_pulling = [this, &request] {
    events_.PodEvent(*request.pod, EventType::kNormal, "Pulling",
                     StrCat("Pulling image \"", request.image, "\""), request.field_path);
  };
  cri::ImageResult result = co_await puller_.Ensure(std::move(pull));
  ImageAnswer answer;
  if (result.image && result.image->pulled) {
    const bool plugins_are_private = plugins_ != nullptr && plugins_->uses_service_accounts();
    intent->End(result.image->ref, keys->About(result.image->used, plugins_are_private));
    if (pulled_) pulled_(*request.pod, *result.image);
  } else if (!result.image && !result.failure.pull_failed) {
    intent->Abandon();  // pulled, and then not to be seen
  }
  if (result.image) {
    events_.PodEvent(*request.pod, EventType::kNormal, "Pulled",
                     cri::PulledMessage(request.image, *result.image), request.field_path);
    answer.image = ImageState{result.image->ref, result.image->user.uid, result.image->user.name};
    co_return answer;
  }
  const cri::ImageFailure& failure = result.failure;
  events_.PodEvent(*request.pod, EventType::kWarning, failure.event_reason, failure.event_message,
                   request.field_path);
  if (failure.pull_failed)
    events_.PodEvent(*request.pod, EventType::kWarning, "Failed",
                     StrCat("Error: ", failure.reason), request.field_path);
  answer.error = {failure.reason, failure.message, failure.pull_failed};
  co_return answer;
}

}  // namespace keelson::kubelet
