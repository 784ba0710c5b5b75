// SPDX-License-Identifier: Apache-2.0
#include "cri/image_puller.h"

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "cri/error.h"
#include "cri/image_ref.h"

namespace keelson::cri {

using base::StrCat;
using base::Task;

namespace {

constexpr size_t kMaxSeen = 1000;  // nodes have tens of images; beyond this the cache starts anew

rt::ImageSpec Spec(const std::string& image) {
  rt::ImageSpec spec;
  spec.set_image(image);
  return spec;
}

base::Nanos WholeMillis(base::Nanos time) {
  return std::chrono::floor<std::chrono::milliseconds>(time);
}

ImageResult Fail(std::string reason, std::string message, std::string event_reason) {
  ImageResult result;
  result.failure = {std::move(reason), message, std::move(event_reason), message, false};
  return result;
}

ImageResult NeverPull(const std::string& image) {
  return Fail("ErrImageNeverPull",
              StrCat("Container image \"", image, "\" is not present with pull policy of Never"),
              "ErrImageNeverPull");
}

ImageResult CannotInspect(const std::string& image, const absl::Status& status) {
  return Fail("ImageInspectError",
              StrCat("Failed to inspect image \"", image, "\": ", GrpcErrorText(status)),
              "InspectFailed");
}

// Runtimes name the two errors of CRI by a prefix of their text.
ImageResult PullFailed(const std::string& image, const std::string& error) {
  struct Known {
    std::string_view reason, words;
  };
  constexpr Known kKnown[] = {
      {"RegistryUnavailable", " because the registry is unavailable"},
      {"SignatureValidationFailed", " because the signature validation failed"}};
  ImageResult result;
  result.failure = {"ErrImagePull", error, "Failed",
                    StrCat("Failed to pull image \"", image, "\": ", error), true};
  for (const Known& known : kKnown) {
    if (!error.starts_with(known.reason)) continue;
    result.failure.reason = known.reason;
    result.failure.message = StrCat("image pull failed for ", image, known.words,
                                    std::string_view(error).substr(known.reason.size()));
  }
  return result;
}

ImageResult Present(const rt::Image& image) {
  ImageResult result;
  result.image = PulledImage{.ref = image.id(), .user = ImageUserOf(image), .size = image.size()};
  return result;
}

// What upstream's PullImage error says: the runtime's words alone when the code adds nothing.
std::string PullErrorText(const absl::Status& status) {
  return absl::IsUnknown(status) ? RuntimeMessage(status) : GrpcErrorText(status);
}

// Several errors as one text; equal ones count once.
std::string Aggregate(std::vector<std::string> errors) {
  std::vector<std::string> unique;
  for (std::string& error : errors)
    if (std::find(unique.begin(), unique.end(), error) == unique.end())
      unique.push_back(std::move(error));
  if (unique.size() == 1) return unique[0];
  std::string text;
  for (const std::string& error : unique) base::StrAppend(&text, text.empty() ? "[" : ", ", error);
  return text + "]";
}

std::string PullKey(const std::string& image, const std::vector<rt::AuthConfig>& auths) {
  std::string key = image;
  for (const rt::AuthConfig& auth : auths) {
    const std::string bytes = auth.SerializeAsString();
    base::StrAppend(&key, " ", bytes.size(), ":", bytes);
  }
  return key;
}

}  // namespace

class ImagePuller::Turn {
 public:
  explicit Turn(ImagePuller* owner) : owner_(owner) {}
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() { owner_->GiveBackTurn(); }

 private:
  ImagePuller* const owner_;
};

ImagePuller::ImagePuller(base::Loop& loop, Runtime& runtime, ImagePullOptions options)
    : loop_(loop),
      runtime_(runtime),
      options_(options),
      turns_(options.serialize ? 1 : std::max(options.max_parallel, 0)),
      tokens_(std::max(options.burst, 1)),
      tokens_at_(loop.clock().Monotonic()) {}

template <typename T>
Task<T> ImagePuller::Share(Flights<T>* flights, std::string key, std::function<Task<T>()> work) {
  // Ends the flight however the worker leaves; who still waits then takes over.
  struct Landing {
    Flights<T>* flights;
    const std::string& key;
    std::shared_ptr<Flight<T>> flight;
    ~Landing() {
      flight->abandoned = !flight->result;
      flights->erase(key);
      flight->changed.Set();
    }
  };
  while (true) {
    auto it = flights->find(key);
    if (it == flights->end()) {
      auto flight = std::make_shared<Flight<T>>();
      flights->emplace(key, flight);
      Landing landing{flights, key, flight};
      T result = co_await work();
      flight->result = result;
      co_return result;
    }
    auto flight = it->second;
    while (!flight->result && !flight->abandoned) co_await flight->changed.Wait();
    if (flight->result) co_return *flight->result;
  }
}

Task<ImageResult> ImagePuller::Ensure(Request request) {
  auto name = WithDefaultTag(request.image);
  if (!name.ok())
    co_return Fail("InvalidImageName",
                   StrCat("Failed to apply default image tag \"", request.image,
                          "\": ", base::Message(name.status())),
                   "InspectFailed");
  if (request.policy != "Always") {
    Status status = co_await Inspect(*name);
    if (!status.ok()) co_return CannotInspect(request.image, status.status());
    bool may_use = status->has_value();
    if (may_use && request.may_use) {
      std::string ref = (*status)->id(), repository = ParseImageRef(*name)->FullName();
      may_use = co_await request.may_use(std::move(ref), std::move(repository));
    }
    if (may_use) co_return Present(**status);
    if (request.policy == "Never") co_return NeverPull(request.image);
  }
  co_return co_await PullAndInspect(std::move(request), *name);
}

Task<ImageResult> ImagePuller::PullAndInspect(Request request, std::string image) {
  const base::MonoTime start = loop_.clock().Monotonic();
  std::vector<rt::AuthConfig> auths;
  if (request.credentials) {
    std::string repository = ParseImageRef(image)->FullName();
    auto found = co_await request.credentials(std::move(repository));
    if (!found.ok())
      co_return PullFailed(request.image, std::string(base::Message(found.status())));
    auths = *std::move(found);
  }
  if (request.on_pulling) request.on_pulling();
  const std::string name = request.image;
  const std::string key = PullKey(image, auths);
  auto shared = std::make_shared<const Request>(std::move(request));
  std::function<Task<PullResult>()> work = [this, image, auths, shared] {
    return Pull(image, auths, shared);
  };
  PullResult pulled = co_await Share<PullResult>(&pulls_, key, std::move(work));
  if (!pulled.ref.ok()) co_return PullFailed(name, pulled.raw_error);
  const base::Nanos total = loop_.clock().Monotonic() - start;
  Status status = co_await Inspect(image);
  if (!status.ok()) co_return CannotInspect(name, status.status());
  ImageResult result = *status ? Present(**status) : Present(rt::Image());
  result.image->ref = *pulled.ref;
  result.image->pulled = true;
  result.image->used = pulled.used;
  result.image->pull_time = pulled.pull_time;
  result.image->total_time = total;
  co_return result;
}

Task<ImagePuller::PullResult> ImagePuller::Pull(std::string image,
                                                std::vector<rt::AuthConfig> auths,
                                                std::shared_ptr<const Request> request) {
  auto turn = co_await WaitForTurn();
  PullResult result;
  if (!TakeToken()) {
    result.raw_error = "pull QPS exceeded";
    result.ref = absl::ResourceExhaustedError(base::ToAbsl(result.raw_error));
    co_return result;
  }
  const base::MonoTime start = loop_.clock().Monotonic();
  Forget(image);  // whatever it was before, the pull may change it
  result = co_await TryEach(image, std::move(auths), request);
  result.pull_time = loop_.clock().Monotonic() - start;
  co_return result;
}

Task<ImagePuller::PullResult> ImagePuller::TryEach(std::string image,
                                                   std::vector<rt::AuthConfig> auths,
                                                   std::shared_ptr<const Request> request) {
  rt::ImageSpec spec = Spec(image);
  *spec.mutable_annotations() = request->annotations;
  const bool anonymous = auths.empty();
  if (anonymous) auths.emplace_back();
  PullResult result;
  std::vector<std::string> errors;
  for (size_t i = 0; i < auths.size(); ++i) {
    result.ref = co_await runtime_.PullImage(spec, auths[i], request->sandbox);
    result.used = anonymous ? -1 : static_cast<int>(i);
    if (result.ref.ok()) co_return result;
    errors.push_back(PullErrorText(result.ref.status()));
  }
  result.raw_error = Aggregate(std::move(errors));
  co_return result;
}

Task<ImagePuller::Status> ImagePuller::Inspect(std::string image) {
  if (auto it = seen_.find(image); it != seen_.end()) {
    if (loop_.clock().Monotonic() - it->second.at < options_.presence_ttl)
      co_return std::optional<rt::Image>(it->second.image);
    seen_.erase(it);
  }
  // A check that began before Forget() must not be joined after it.
  const std::string key = StrCat(image, " ", generation_);
  std::function<Task<Status>()> work = [this, image] { return AskStatus(image); };
  co_return co_await Share<Status>(&inspections_, key, std::move(work));
}

Task<ImagePuller::Status> ImagePuller::AskStatus(std::string image) {
  const uint64_t generation = generation_;
  auto answer = co_await runtime_.ImageStatus(Spec(image));
  if (!answer.ok()) co_return answer.status();
  if (!answer->has_image() || answer->image().id().empty()) co_return std::optional<rt::Image>();
  if (generation == generation_) {
    if (seen_.size() >= kMaxSeen) seen_.clear();
    seen_[image] = {answer->image(), loop_.clock().Monotonic()};
  }
  co_return std::optional<rt::Image>(std::move(*answer->mutable_image()));
}

void ImagePuller::Forget(const std::string& image) {
  ++generation_;
  seen_.erase(image);
  if (auto name = WithDefaultTag(image); name.ok()) seen_.erase(*name);
}

bool ImagePuller::TakeToken() {
  if (options_.qps <= 0) return true;
  const base::MonoTime now = loop_.clock().Monotonic();
  const double seconds = std::chrono::duration<double>(now - tokens_at_).count();
  tokens_ = std::min<double>(tokens_ + seconds * options_.qps, std::max(options_.burst, 1));
  tokens_at_ = now;
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

Task<std::unique_ptr<ImagePuller::Turn>> ImagePuller::WaitForTurn() {
  if (turns_ == 0 || running_ < turns_) {
    ++running_;
    co_return std::make_unique<Turn>(this);
  }
  // Leaves the queue when cancelled, and passes a turn on that was given at the same moment.
  struct Place {
    ImagePuller* owner;
    std::list<base::OneShot<bool>>::iterator it;
    base::OneShot<bool> given;
    bool taken = false;
    ~Place() {
      if (taken) return;
      if (given.done())
        owner->GiveBackTurn();
      else
        owner->waiting_.erase(it);
    }
  };
  base::OneShot<bool> given;
  Place place{this, waiting_.insert(waiting_.end(), given), given};
  co_await given.Wait();
  place.taken = true;
  co_return std::make_unique<Turn>(this);
}

void ImagePuller::GiveBackTurn() {
  if (waiting_.empty()) {
    --running_;
    return;
  }
  base::OneShot<bool> next = waiting_.front();
  waiting_.pop_front();
  next.Set(true);
}

std::string PulledMessage(const std::string& image, const PulledImage& result) {
  if (!result.pulled)
    return StrCat("Container image \"", image,
                  "\" already present on machine and can be accessed by the pod");
  return StrCat("Successfully pulled image \"", image, "\" in ",
                base::GoDuration(WholeMillis(result.pull_time)), " (",
                base::GoDuration(WholeMillis(result.total_time)),
                " including waiting). Image size: ", result.size, " bytes.");
}

}  // namespace keelson::cri
