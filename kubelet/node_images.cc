// SPDX-License-Identifier: Apache-2.0
#include "kubelet/node_images.h"

#include "base/strings.h"

namespace keelson::kubelet {

using base::StrCat;

base::Task<ImageAnswer> NodeImages::Ensure(ImageRequest request) {
  cri::ImagePuller::Request pull;
  pull.image = request.image;
  pull.policy = request.policy;
  pull.annotations = request.pod->metadata().annotations();
  pull.sandbox = request.sandbox;
  pull.credentials = [this](const std::string& repository)
      -> absl::StatusOr<std::vector<cri::rt::AuthConfig>> { return keyring_.Lookup(repository); };
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
