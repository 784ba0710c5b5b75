// SPDX-License-Identifier: Apache-2.0
// The images of one pod's next container starts: asked for early, at the same time, each on its own.
// Loop only.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/loop.h"
#include "kubelet/backoff.h"
#include "kubelet/event_recorder.h"
#include "kubelet/plan.h"
#include "kubelet/pod.h"
#include "proto/cri/api.pb.h"

namespace keelson::kubelet {

// An image that is present, with what a container config takes from it.
struct ImageState {
  std::string ref;  // the id to create containers from
  std::optional<int64_t> uid;
  std::string username;
};

struct ImageError {
  std::string reason;  // ErrImagePull, ErrImageNeverPull, InvalidImageName, ...
  std::string message;
  bool back_off = true;  // counts for the pull back-off
};

struct ImageAnswer {
  std::optional<ImageState> image;
  ImageError error;  // when there is no image
};

struct ImageRequest {
  PodPtr pod;
  std::string container;
  std::string field_path;  // of the container, for events
  std::string image;
  std::string policy;
  runtime::v1::PodSandboxConfig sandbox;
};

// Makes an image present by its pull policy; shared by all pods.
class ImageSource {
 public:
  virtual ~ImageSource() = default;
  virtual base::Task<ImageAnswer> Ensure(ImageRequest request) = 0;
  // The image turned out not to be there: what was known of it does not hold.
  virtual void Forget(const std::string& image) = 0;
};

class PodImages {
 public:
  // `on_change` runs when an image became ready or failed.
  PodImages(base::Loop& loop, ImageSource& source, EventRecorder& events,
            std::function<void()> on_change);

  // Asks for the image of the container's next start unless that has been done.
  void Want(const PodPtr& pod, const v1::Container& container, std::string field_path,
            const std::function<runtime::v1::PodSandboxConfig()>& sandbox);
  // The image, when it is there.
  const ImageState* Ready(const std::string& container) const;
  // The container was created: its next start asks again (policy Always pulls each time).
  void Consume(const std::string& container) { tickets_.erase(container); }
  // Why containers wait for their images, and when Want may be called again.
  std::map<std::string, Waiting> WaitingReasons() const;
  std::optional<base::MonoTime> RetryAt() const;
  base::Task<void> Close() { co_await tasks_.CancelAndJoin(); }

 private:
  struct Ticket {
    uint64_t number = 0;
    bool pending = true;
    std::optional<ImageState> image;
    ImageError error;
    std::string image_name;
    base::MonoTime retry_at;
    bool backing_off = false;
  };

  base::Task<void> Fetch(uint64_t number, ImageRequest request);
  void Fail(Ticket& ticket, const ImageRequest& request, ImageError error);

  base::Loop& loop_;
  ImageSource& source_;
  EventRecorder& events_;
  const std::function<void()> on_change_;
  uint64_t next_ = 0;
  std::map<std::string, Ticket> tickets_;  // by container name
  BackoffTable backoff_;                   // by image
  base::TaskGroup tasks_;
};

// spec.containers{name} or spec.initContainers{name}.
std::string FieldPath(ContainerKind kind, const std::string& container);
// The same, by where the pod's spec has the container.
std::string FieldPath(const v1::Pod& pod, const std::string& container);

}  // namespace keelson::kubelet
