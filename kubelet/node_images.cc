// SPDX-License-Identifier: Apache-2.0
#include "kubelet/node_images.h"

#include "base/log.h"
#include "base/strings.h"
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
    for (const auto& [key, value] : (*found)->data()) secret.data[key] = value;
    secrets.push_back(std::move(secret));
  }
  if (!missing.empty())
    events_.PodEvent(*pod, EventType::kWarning, "FailedToRetrieveImagePullSecret",
                     StrCat("Unable to retrieve some image pull secrets (", missing,
                            "); attempting to pull the image may not succeed."));
  co_return secrets;
}

base::Task<absl::StatusOr<std::vector<cri::rt::AuthConfig>>> NodeImages::CredentialsFor(
    PodPtr pod, std::string repository) {
  const auto secrets = co_await PullSecrets(pod);
  auto own = cri::KeyringOf(secrets);
  if (!own.ok()) co_return own.status();
  std::vector<cri::rt::AuthConfig> all = own->Lookup(repository);
  for (auto& auth : keyring_.Lookup(repository)) all.push_back(std::move(auth));
  if (plugins_ == nullptr) co_return all;
  cri::PullPod who{pod->metadata().namespace_(), pod->metadata().name(), pod->metadata().uid(),
                   pod->spec().serviceaccountname()};
  auto from_plugins = co_await plugins_->Lookup(repository, std::move(who));
  for (auto& auth : from_plugins) all.push_back(std::move(auth));
  co_return all;
}

base::Task<ImageAnswer> NodeImages::Ensure(ImageRequest request) {
  cri::ImagePuller::Request pull;
  pull.image = request.image;
  pull.policy = request.policy;
  pull.annotations = request.pod->metadata().annotations();
  pull.sandbox = request.sandbox;
  pull.credentials = [this, pod = request.pod](std::string repository) {
    return CredentialsFor(pod, std::move(repository));
  };
  pull.on_pulling = [this, &request] {
    events_.PodEvent(*request.pod, EventType::kNormal, "Pulling",
                     StrCat("Pulling image \"", request.image, "\""), request.field_path);
  };
  cri::ImageResult result = co_await puller_.Ensure(std::move(pull));
  ImageAnswer answer;
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
