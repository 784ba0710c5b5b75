// SPDX-License-Identifier: Apache-2.0
#include "kubelet/pod_images.h"

#include "base/strings.h"

namespace keelson::kubelet {

using base::StrCat;

namespace {
constexpr std::chrono::seconds kPullBackoffInitial(10);
constexpr std::chrono::seconds kPullBackoffMax(300);
// Errors that are no failed pull (an inspect that failed, a wrong name): tried again soon.
constexpr std::chrono::seconds kPlainRetry(10);
}  // namespace

std::string FieldPath(ContainerKind kind, const std::string& container) {
  const char* list = kind == ContainerKind::kInit        ? "initContainers"
                     : kind == ContainerKind::kEphemeral ? "ephemeralContainers"
                                                         : "containers";
  return StrCat("spec.", list, "{", container, "}");
}

std::string FieldPath(const v1::Pod& pod, const std::string& container) {
  for (const auto& c : pod.spec().initcontainers())
    if (c.name() == container) return FieldPath(ContainerKind::kInit, container);
  for (const auto& c : pod.spec().ephemeralcontainers())
    if (c.ephemeralcontainercommon().name() == container)
      return FieldPath(ContainerKind::kEphemeral, container);
  return FieldPath(ContainerKind::kRegular, container);
}

PodImages::PodImages(base::Loop& loop, ImageSource& source, EventRecorder& events,
                     std::function<void()> on_change)
    : loop_(loop),
      source_(source),
      events_(events),
      on_change_(std::move(on_change)),
      backoff_(kPullBackoffInitial, kPullBackoffMax),
      tasks_(loop) {}

void PodImages::Want(const PodPtr& pod, const v1::Container& container, std::string field_path,
                     const std::function<runtime::v1::PodSandboxConfig()>& sandbox) {
  base::MonoTime now = loop_.clock().Monotonic();
  auto it = tickets_.find(container.name());
  if (it != tickets_.end()) {
    const Ticket& ticket = it->second;
    bool same = ticket.image_name == container.image();
    if (same && (ticket.pending || ticket.image || now < ticket.retry_at)) return;
  }
  Ticket& ticket = tickets_[container.name()];
  // The old error stays visible until the new attempt is decided.
  ticket.number = ++next_;
  ticket.pending = true;
  ticket.image.reset();
  ticket.image_name = container.image();
  ImageRequest request{pod,           container.name(),
                       std::move(field_path), container.image(),
                       container.imagepullpolicy(),   sandbox()};
  tasks_.Spawn(StrCat("image ", container.image()), Fetch(ticket.number, std::move(request)));
}

base::Task<void> PodImages::Fetch(uint64_t number, ImageRequest request) {
  ImageAnswer answer = co_await source_.Ensure(request);
  auto it = tickets_.find(request.container);
  if (it == tickets_.end() || it->second.number != number) co_return;
  Ticket& ticket = it->second;
  ticket.pending = false;
  if (answer.image) {
    ticket.image = std::move(answer.image);
    ticket.error = {};
    ticket.backing_off = false;
    backoff_.Reset(request.image);
  } else {
    Fail(ticket, request, std::move(answer.error));
  }
  on_change_();
}

void PodImages::Fail(Ticket& ticket, const ImageRequest& request, ImageError error) {
  base::MonoTime now = loop_.clock().Monotonic();
  if (error.back_off) {
    backoff_.Next(request.image, now, now);
    ticket.retry_at = now + backoff_.Delay(request.image);
    ticket.backing_off = true;
    events_.PodEvent(*request.pod, EventType::kNormal, "BackOff",
                     StrCat("Back-off pulling image \"", request.image, "\""), request.field_path);
  } else {
    ticket.retry_at = now + kPlainRetry;
    ticket.backing_off = false;
  }
  ticket.error = std::move(error);
}

const ImageState* PodImages::Ready(const std::string& container) const {
  auto it = tickets_.find(container);
  return it != tickets_.end() && it->second.image ? &*it->second.image : nullptr;
}

std::map<std::string, Waiting> PodImages::WaitingReasons() const {
  std::map<std::string, Waiting> reasons;
  for (const auto& [name, ticket] : tickets_) {
    if (ticket.error.reason.empty()) continue;
    if (ticket.backing_off && !ticket.pending)
      reasons[name] = {"ImagePullBackOff",
                       StrCat("Back-off pulling image \"", ticket.image_name, "\": ",
                              ticket.error.reason, ": ", ticket.error.message)};
    else
      reasons[name] = {ticket.error.reason, ticket.error.message};
  }
  return reasons;
}

std::optional<base::MonoTime> PodImages::RetryAt() const {
  base::MonoTime now = loop_.clock().Monotonic();
  std::optional<base::MonoTime> at;
  for (const auto& [name, ticket] : tickets_) {
    // One that is due is asked for again when its container's turn comes, not before.
    if (ticket.pending || ticket.image || ticket.retry_at <= now) continue;
    if (!at || ticket.retry_at < *at) at = ticket.retry_at;
  }
  return at;
}

}  // namespace keelson::kubelet
