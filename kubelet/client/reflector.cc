// SPDX-License-Identifier: Apache-2.0
#include "kubelet/client/reflector.h"

#include <google/protobuf/message.h>

#include <algorithm>

#include "base/errno_status.h"
#include "base/log.h"
#include "base/strings.h"
#include "proto/k8s/meta.pb.h"

namespace keelson::kubelet::client {
namespace {

using base::Task;

constexpr base::Nanos kFirstBackOff = std::chrono::milliseconds(800);
constexpr base::Nanos kLongestBackOff = std::chrono::seconds(30);
constexpr base::Nanos kCalm = std::chrono::minutes(2);
constexpr int64_t kPage = 500;
// A watch that ends sooner with nothing to say is no watch: some proxies do this for ever.
constexpr base::Nanos kShortWatch = std::chrono::seconds(1);

// Rule 4: the server cannot or may not serve us now, and our version is as good as before.
bool Resumable(const absl::Status& error) {
  const auto api = ApiErrorOf(error);
  if (!api || IsForbidden(error) || IsUnauthorized(error)) return true;
  return api->code == 429 || (api->code >= 500 && !IsTooLargeResourceVersion(error));
}

}  // namespace

ObjectKey KeyOf(const Message& object) {
  const auto& meta = MetaOf(object);
  return {meta.namespace_(), meta.name()};
}

ReflectorCore::ReflectorCore(base::Loop& loop, ApiServer& api, const Resource& resource,
                             ReflectorOptions options, ReflectorEvents events)
    : loop_(loop),
      api_(api),
      resource_(resource),
      options_(std::move(options)),
      events_(std::move(events)),
      last_contact_(loop.clock().Monotonic()),
      random_(options_.seed != 0 ? options_.seed : std::random_device{}()) {}

ReflectorCore::~ReflectorCore() = default;

std::string ReflectorCore::FieldSelector() const {
  std::string selector = options_.field_selector;
  if (options_.name.empty()) return selector;
  if (!selector.empty()) selector += ",";
  return selector + "metadata.name=" + options_.name;
}

ObjectPtr ReflectorCore::Find(const ObjectKey& key) const {
  const auto found = objects_.find(key);
  return found == objects_.end() ? nullptr : found->second;
}

Task<bool> ReflectorCore::WaitSynced(base::MonoTime deadline) {
  while (!synced_) {
    const bool woken = co_await first_sync_.WaitUntil(loop_.clock(), deadline);
    if (!woken) co_return synced_;
  }
  co_return true;
}

Task<void> ReflectorCore::Run() {
  Next next = Next::kList;
  for (;;) {
    absl::Status status;
    if (next == Next::kList) {
      status = co_await ListAll();
    } else {
      status = co_await WatchOnce();
    }
    last_error_ = status;
    if (status.ok()) {
      next = Next::kWatch;
      continue;
    }
    if (next == Next::kWatch && !Resumable(status)) next = Next::kList;
    const base::Nanos wait = NextBackOff(status);
    if (wait.count() == 0) continue;
    KLOG_V(1, "API server does not serve a list or watch, trying again",
           {"resource", resource_.plural}, {"ns", options_.ns}, {"selector", FieldSelector()},
           {"in", base::GoDuration(wait)}, {"err", status});
    co_await base::Sleep(loop_.clock(), wait);
  }
}

base::Nanos ReflectorCore::NextBackOff(const absl::Status& error) {
  const base::MonoTime now = loop_.clock().Monotonic();
  const bool calm = !last_failure_ || now - *last_failure_ > kCalm;
  last_failure_ = now;
  if (calm) back_off_ = base::Nanos(0);
  if (IsGone(error)) {
    const bool first = !last_gone_ || now - *last_gone_ > kCalm;
    last_gone_ = now;
    if (first) return base::Nanos(0);
  }
  back_off_ = back_off_.count() == 0 ? kFirstBackOff : std::min(back_off_ * 2, kLongestBackOff);
  const base::Nanos jitter(random_() % static_cast<uint64_t>(back_off_.count()));
  return std::max(back_off_ + jitter, RetryAfter(error));
}

// Rules 1, 5, 6 and 7.
Task<absl::Status> ReflectorCore::ListAll() {
  std::string version = version_;
  if (version.empty() && !options_.consistent) version = "0";
  if (version_refused_) version.clear();
  Listing listing;
  absl::Status status = co_await ListPages(version, /*paged=*/true, &listing);
  if (!version.empty() && (IsGone(status) || IsTooLargeResourceVersion(status))) {
    version_refused_ = true;
    version.clear();
    status = co_await ListPages(version, /*paged=*/true, &listing);
  }
  if (version.empty() && IsGone(status)) {
    status = co_await ListPages(version, /*paged=*/false, &listing);
  }
  CO_RETURN_IF_ERROR(status);
  version_refused_ = false;
  Replace(std::move(listing));
  co_return absl::OkStatus();
}

Task<absl::Status> ReflectorCore::ListPages(std::string version, bool paged, Listing* listing) {
  *listing = Listing();
  std::string token;
  do {
    ApiRequest request;
    request.verb = Verb::kList;
    request.resource = &resource_;
    request.ns = options_.ns;
    request.list.field_selector = FieldSelector();
    request.list.label_selector = options_.label_selector;
    request.list.continue_token = token;
    if (token.empty()) request.list.resource_version = version;  // later pages: it is in the token
    if (token.empty() && !version.empty() && version != "0") {
      request.list.resource_version_match = "NotOlderThan";
    }
    if (paged && version.empty()) request.list.limit = kPage;  // a cache answers "0" whole anyway
    const auto page = resource_.NewList();
    auto status = co_await api_.Do(std::move(request), page.get());
    CO_RETURN_IF_ERROR(status);
    last_contact_ = loop_.clock().Monotonic();
    token = ListMetaOf(*page).continue_();
    listing->version = ListMetaOf(*page).resourceversion();
    TakeItems(page.get(), &listing->items);
  } while (!token.empty());
  co_return absl::OkStatus();
}

Task<absl::Status> ReflectorCore::WatchOnce() {
  WatchOptions options;
  options.field_selector = FieldSelector();
  options.label_selector = options_.label_selector;
  options.resource_version = version_;
  const auto spread = static_cast<uint64_t>(options_.min_watch.count());
  options.timeout = options_.min_watch + base::Nanos(random_() % std::max<uint64_t>(spread, 1));
  const base::MonoTime start = loop_.clock().Monotonic();
  auto stream = co_await api_.Watch(resource_, options_.ns, std::move(options));
  CO_RETURN_IF_ERROR(stream.status());
  last_error_ = absl::OkStatus();
  bool useful = false;
  for (;;) {
    auto event = co_await (*stream)->Next();
    last_contact_ = event.ok() ? loop_.clock().Monotonic() : last_contact_;
    CO_RETURN_IF_ERROR(event.status());
    if (!*event) break;
    useful = true;
    Apply(std::move(**event));
  }
  if (useful || loop_.clock().Monotonic() - start >= kShortWatch) co_return absl::OkStatus();
  co_return absl::UnavailableError(
      base::StrCat("WATCH ", resource_.Path(options_.ns, ""), ": ended at once with no event"));
}

void ReflectorCore::Apply(WatchEvent event) {
  const std::string version = MetaOf(*event.object).resourceversion();
  switch (event.type) {
    case WatchEvent::Type::kAdded:
    case WatchEvent::Type::kModified:
      Put(std::move(event.object));
      break;
    case WatchEvent::Type::kDeleted: {
      ObjectPtr last = std::move(event.object);
      Remove(KeyOf(*last), last);
      break;
    }
    case WatchEvent::Type::kBookmark:
      break;
  }
  if (!version.empty()) version_ = version;
}

void ReflectorCore::Replace(Listing listing) {
  std::map<ObjectKey, ObjectPtr> gone = objects_;
  for (const auto& item : listing.items) gone.erase(KeyOf(*item));
  for (const auto& [key, object] : gone) Remove(key, object);
  for (auto& item : listing.items) Put(std::move(item));
  version_ = std::move(listing.version);
  if (!synced_) {
    synced_ = true;
    first_sync_.Set();
  }
  if (events_.listed) events_.listed();
}

void ReflectorCore::Put(std::shared_ptr<Message> object) {
  if (!options_.keep_managed_fields) MutableMetaOf(object.get())->clear_managedfields();
  const ObjectKey key = KeyOf(*object);
  const auto& meta = MetaOf(*object);
  if (const ObjectPtr had = Find(key)) {
    if (MetaOf(*had).uid() != meta.uid()) {
      Remove(key, had);  // its deletion went unseen
    } else if (MetaOf(*had).resourceversion() == meta.resourceversion()) {
      return;
    }
  }
  if (options_.prepare) options_.prepare(object.get());
  ObjectPtr& slot = objects_[key];
  const ObjectPtr before = std::exchange(slot, std::move(object));
  const ObjectPtr after = slot;
  if (events_.changed) events_.changed(key, before, after);
}

void ReflectorCore::Remove(const ObjectKey& key, const ObjectPtr& last) {
  if (objects_.erase(key) == 0) return;
  if (events_.changed) events_.changed(key, last, nullptr);
}

}  // namespace keelson::kubelet::client
