// SPDX-License-Identifier: Apache-2.0
// Makes images present: presence checks, pulls with the right credentials, limits on both. What to
// do after a failure (back-off) is the caller's.
//
// Loop only. Requests for the same thing at the same time share one call: a burst of pods of one
// image asks the runtime once. A cancelled request takes its call with it, unless others wait for
// it: then one of them makes the call again.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/loop.h"
#include "cri/runtime.h"
#include "cri/security.h"

namespace keelson::cri {

struct ImagePullOptions {
  bool serialize = true;  // serializeImagePulls: one pull at a time
  int max_parallel = 0;   // maxParallelImagePulls, when not serialized; 0: no limit
  double qps = 5;         // registryPullQPS; 0: no limit
  int burst = 10;         // registryBurst
  // How long a presence check's "yes" is believed. Within it a removal by others is not seen; then
  // CreateContainer fails with NotFound, Forget() is called and the next request asks again.
  base::Nanos presence_ttl = std::chrono::seconds(5);
};

struct PulledImage {
  std::string ref;  // the id to create containers from
  ImageUser user;
  uint64_t size = 0;         // bytes, as the runtime counts them
  bool pulled = false;       // false: it was there
  int used = -1;             // which of the credentials pulled it; -1: none were needed
  base::Nanos pull_time{};   // of the pull alone
  base::Nanos total_time{};  // with waiting for its turn
};

// Upstream's words for a request that failed.
struct ImageFailure {
  std::string reason;  // Waiting: ErrImagePull, ErrImageNeverPull, InvalidImageName,
                       // ImageInspectError, RegistryUnavailable, SignatureValidationFailed
  std::string message;       // Waiting
  std::string event_reason;  // of the Warning event: Failed, InspectFailed, ErrImageNeverPull
  std::string event_message;
  bool pull_failed = false;  // a pull was tried: counts for the back-off
};

struct ImageResult {
  std::optional<PulledImage> image;
  ImageFailure failure;  // when there is none
};

class ImagePuller {
 public:
  // `runtime` outlives the puller, the puller its requests.
  ImagePuller(base::Loop& loop, Runtime& runtime, ImagePullOptions options);

  struct Request {
    std::string image;                                            // as in the spec
    std::string policy;                                           // Always, IfNotPresent, Never
    google::protobuf::Map<std::string, std::string> annotations;  // of the pod
    rt::PodSandboxConfig sandbox;
    // Credentials to try, in order, for "registry/repository"; asked only before a pull. Empty:
    // none.
    std::function<base::Task<absl::StatusOr<std::vector<rt::AuthConfig>>>(std::string repository)>
        credentials;
    std::function<void()> on_pulling;  // when a pull is due: the Pulling event
    // Whether the pod may use the image `ref` that is here without a pull; empty: yes. With "no" it
    // is pulled, and with the policy Never it is as if it were not here.
    std::function<base::Task<bool>(std::string ref, std::string repository)> may_use;
  };
  base::Task<ImageResult> Ensure(Request request);

  // The image may be gone: no presence check before this call counts any more.
  void Forget(const std::string& image);

 private:
  // Work that several requests wait for.
  template <typename T>
  struct Flight {
    base::Wakeup changed;
    std::optional<T> result;
    bool abandoned = false;  // by the request that did the work
  };
  template <typename T>
  using Flights = std::map<std::string, std::shared_ptr<Flight<T>>>;
  template <typename T>
  static base::Task<T> Share(Flights<T>* flights, std::string key,
                             std::function<base::Task<T>()> work);

  using Status = absl::StatusOr<std::optional<rt::Image>>;
  base::Task<Status> Inspect(std::string image);
  base::Task<Status> AskStatus(std::string image);

  struct PullResult {
    absl::StatusOr<std::string> ref = std::string();  // the status' message is for people
    std::string raw_error;                            // upstream's text of the error
    base::Nanos pull_time{};
    int used = -1;  // index of the credentials; -1: none
  };
  base::Task<ImageResult> PullAndInspect(Request request, std::string image);
  base::Task<PullResult> Pull(std::string image, std::vector<rt::AuthConfig> auths,
                              std::shared_ptr<const Request> request);
  base::Task<PullResult> TryEach(std::string image, std::vector<rt::AuthConfig> auths,
                                 std::shared_ptr<const Request> request);
  bool TakeToken();

  // A turn to pull; given back by the destructor.
  class Turn;
  base::Task<std::unique_ptr<Turn>> WaitForTurn();
  void GiveBackTurn();

  base::Loop& loop_;
  Runtime& runtime_;
  const ImagePullOptions options_;
  const int turns_;  // how many pulls at a time; 0: any number

  Flights<Status> inspections_;  // by image
  Flights<PullResult> pulls_;    // by image and credentials
  struct Seen {
    rt::Image image;
    base::MonoTime at;
  };
  std::map<std::string, Seen> seen_;  // present images, by name; at most kMaxSeen
  uint64_t generation_ = 0;           // counts Forget(): older answers are not remembered
  int running_ = 0;
  std::list<base::OneShot<bool>> waiting_;  // for a turn, in order
  double tokens_ = 0;
  base::MonoTime tokens_at_;
};

// Events of a success: reason Pulled, in upstream's words.
std::string PulledMessage(const std::string& image, const PulledImage& result);

}  // namespace keelson::cri
