// SPDX-License-Identifier: Apache-2.0
// The real ImageSource: cri/'s puller with the credentials of pod, node and plugins, and the events
// of pulling. Loop only.
#pragma once

#include <functional>
#include <memory>

#include "cri/credential_plugins.h"
#include "cri/credentials.h"
#include "cri/image_puller.h"
#include "csi/objects.h"
#include "kubelet/event_recorder.h"
#include "kubelet/pod_images.h"
#include "kubelet/pull_records.h"

namespace keelson::kubelet {

class NodeImages : public ImageSource {
 public:
  NodeImages(base::Loop& loop, cri::Runtime& runtime, EventRecorder& events,
             cri::ImagePullOptions options, cri::NodeKeyring::Places places)
      : events_(events), puller_(loop, runtime, options), keyring_(loop.clock(), std::move(places)) {}

  // Where imagePullSecrets are; null: a node without an API server. Outlives this.
  void set_objects(csi::ObjectSource* objects) { objects_ = objects; }
  // --image-credential-provider-config; null: none. Outlives this.
  void set_plugins(cri::CredentialPlugins* plugins) { plugins_ = plugins; }

  // imagePullCredentialsVerificationPolicy; null: whoever finds an image here may use it. Outlives
  // this.
  void set_records(PullRecords* records) { records_ = records; }

  // Hears of each pull that has brought an image, and for which pod.
  using Pulled = std::function<void(const v1::Pod& pod, const cri::PulledImage& image)>;
  void OnPulled(Pulled pulled) { pulled_ = std::move(pulled); }

  base::Task<ImageAnswer> Ensure(ImageRequest request) override;
  void Forget(const std::string& image) override { puller_.Forget(image); }

 private:
  struct Keys;
  class Intent;
  // The pod's secrets, then the node's files, then plugins; looked up once for a request.
  base::Task<absl::Status> FindKeys(PodPtr pod, std::string repository, std::shared_ptr<Keys> keys);
  base::Task<absl::StatusOr<std::vector<cri::rt::AuthConfig>>> BeginPull(
      PodPtr pod, std::string repository, std::shared_ptr<Keys> keys,
      std::shared_ptr<Intent> intent);
  base::Task<bool> MayUse(PodPtr pod, std::string image, std::string ref, std::string repository,
                          std::shared_ptr<Keys> keys);
  // Those of the pod's that can be had; an event names the others.
  base::Task<std::vector<cri::PullSecret>> PullSecrets(PodPtr pod);

  EventRecorder& events_;
  cri::ImagePuller puller_;
  cri::NodeKeyring keyring_;
  csi::ObjectSource* objects_ = nullptr;
  cri::CredentialPlugins* plugins_ = nullptr;
  PullRecords* records_ = nullptr;
  Pulled pulled_;
};

}  // namespace keelson::kubelet
