// SPDX-License-Identifier: Apache-2.0
// The real ImageSource: cri/'s puller with the node's credentials, and the events of pulling.
// Loop only.
#pragma once

#include <memory>

#include "cri/credentials.h"
#include "cri/image_puller.h"
#include "kubelet/event_recorder.h"
#include "kubelet/pod_images.h"

namespace keelson::kubelet {

class NodeImages : public ImageSource {
 public:
  NodeImages(base::Loop& loop, cri::Runtime& runtime, EventRecorder& events,
             cri::ImagePullOptions options, cri::NodeKeyring::Places places)
      : events_(events), puller_(loop, runtime, options), keyring_(loop.clock(), std::move(places)) {}

  base::Task<ImageAnswer> Ensure(ImageRequest request) override;
  void Forget(const std::string& image) override { puller_.Forget(image); }

 private:
  EventRecorder& events_;
  cri::ImagePuller puller_;
  cri::NodeKeyring keyring_;
};

}  // namespace keelson::kubelet
